//! Who comes in.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::{HeaderMap, header};
use secrecy::ExposeSecret as _;

use super::digest::{Key, is_same};
use super::identity::{Access, Role, Token, User, Way, find};
use super::origin::is_host_of_ours;
use super::session::Keeper;
use super::throttle::Throttle;
use crate::storage::hexadecimal;
use crate::wire::millis_since_1970;

/// The longest name of a user, in characters.
const LONGEST_NAME: usize = 200;

/// Wrong tokens from one address within the window.
const WRONG: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// What the proxy says to prove itself.
const PROXY_SECRET: &str = "x-proxy-secret";

/// Who comes in, and with what.
pub(in super::super) struct Door {
    access: Access,
    keeper: Keeper,
    throttle: Throttle,
}

/// What came of somebody's coming.
#[derive(Debug)]
pub(in super::super) enum Entrance {
    Welcome(User),
    /// Nobody that we know.
    Unknown,
    /// They called the page by a name that is not ours.
    WrongHost,
    /// They were wrong too often, and have to wait.
    TooOften(Duration),
}

impl Door {
    pub(in super::super) fn new(
        access: Access,
        base: &str,
        is_local: bool,
    ) -> anyhow::Result<Self> {
        let key = match &access {
            Access::Open { .. } => Key::of([&random()?[..]]),
            Access::Token { tokens } => {
                let secrets = tokens.iter();
                Key::of(secrets.flat_map(|it| it.parts()))
            }
            Access::Proxy { secret, .. } => Key::of([secret.expose_secret().as_bytes()]),
        };
        Ok(Self {
            access,
            keeper: Keeper::new(key, base, is_local),
            throttle: Throttle::new(WRONG, WINDOW),
        })
    }

    /// Whether people log in here, with a token.
    pub(in super::super) fn has_login(&self) -> bool {
        matches!(self.access, Access::Token { .. })
    }

    /// Who somebody with these headers is.
    pub(in super::super) fn enter(&self, headers: &HeaderMap, from: IpAddr) -> Entrance {
        match &self.access {
            Access::Open { any_host } => {
                if !any_host && !is_host_of_ours(headers) {
                    return Entrance::WrongHost;
                }
                Entrance::Welcome(User {
                    name: "dashboard".to_owned(),
                    role: Role::Operator,
                    way: Way::Open,
                })
            }
            Access::Token { tokens } => self.with_token(tokens, headers, from),
            Access::Proxy { .. } => self.through_proxy(headers),
        }
    }

    /// The header that begins a session for the bearer of this token.
    pub(in super::super) fn log_in(&self, given: &str, from: IpAddr) -> Result<String, Entrance> {
        let Access::Token { tokens } = &self.access else {
            return Err(Entrance::Unknown);
        };
        let token = self.token(tokens, given, from)?;
        Ok(self.keeper.begin(&token.name, token.role, now_s()))
    }

    /// The header that ends a session.
    pub(in super::super) fn log_out(&self) -> String {
        self.keeper.end()
    }

    /// What a form of somebody has to send back.
    pub(in super::super) fn form_token(&self, user: &User) -> String {
        self.keeper.form_token(user)
    }

    /// Whether it has.
    pub(in super::super) fn is_form_token(&self, user: &User, given: &str) -> bool {
        self.keeper.is_form_token(user, given)
    }

    fn with_token(&self, tokens: &[Token], headers: &HeaderMap, from: IpAddr) -> Entrance {
        let text = |name| headers.get(name)?.to_str().ok();
        let bearer = text(header::AUTHORIZATION).and_then(bearer);
        if let Some(given) = bearer {
            return match self.token(tokens, given, from) {
                Ok(token) => Entrance::Welcome(User {
                    name: token.name.clone(),
                    role: token.role,
                    way: Way::Bearer,
                }),
                Err(entrance) => entrance,
            };
        }
        let cookies = text(header::COOKIE).unwrap_or_default();
        let user = self.keeper.user(cookies, now_s());
        user.map_or(Entrance::Unknown, Entrance::Welcome)
    }

    /// The token that was given, if it is one, and whoever gives it was not wrong too often.
    fn token<'t>(
        &self,
        tokens: &'t [Token],
        given: &str,
        from: IpAddr,
    ) -> Result<&'t Token, Entrance> {
        let now = Instant::now();
        if let Some(wait) = self.throttle.wait(from, now) {
            return Err(Entrance::TooOften(wait));
        }
        find(tokens, given).ok_or_else(|| {
            self.throttle.count(from, now);
            Entrance::Unknown
        })
    }

    fn through_proxy(&self, headers: &HeaderMap) -> Entrance {
        let Access::Proxy {
            headers: names,
            secret,
            operators,
        } = &self.access
        else {
            return Entrance::Unknown;
        };
        let value = |name: &str| headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        if !is_same(value(PROXY_SECRET), secret.expose_secret().as_bytes()) {
            return Entrance::Unknown;
        }
        let text = |name: &str| String::from_utf8_lossy(value(name)).trim().to_owned();
        let (name, groups) = (text(&names.user), text(&names.groups));
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            return Entrance::Unknown;
        }
        let groups: Vec<_> = groups.split(',').map(str::trim).collect();
        Entrance::Welcome(User {
            role: operators.role(&name, &groups),
            name,
            way: Way::Proxy,
        })
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn now_s() -> u64 {
    millis_since_1970() / 1000
}

/// 32 hexadecimal digits that nobody can guess.
pub(in super::super) fn random_digits() -> anyhow::Result<String> {
    Ok(hexadecimal(&random()?[..16]))
}

/// Bytes that nobody can guess.
fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    let provider = rustls::crypto::ring::default_provider();
    let filled = provider.secure_random.fill(&mut bytes);
    filled.ok().context("this system gives no random numbers")?;
    Ok(bytes)
}
