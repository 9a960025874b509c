//! The settings of the web page.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use cell_analysis::quality::QualityThresholds;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::auth::{Access, Operators, ProxyHeaders, Token};
use super::elsewhere::{Address, Elsewhere};
use crate::settings::{Bytes, List, Loader, Parsed, Secret, Switch, WebAddress, Word, address_of};

/// The shortest token that is taken, in characters.
const SHORTEST_TOKEN: usize = 20;

/// How people prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Auth {
    None,
    Token,
    Proxy,
}

crate::settings! {
    /// The web page.
    struct DashboardVariables {
        /// Address and port of the page.
        dashboard_listen: Parsed<SocketAddr> = Parsed(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8080)),
        /// Who may look and act: `none` asks nobody, `token` asks for a token, `proxy` trusts a proxy that has asked.
        dashboard_auth: Option<Word<Auth>> = None => "`none` on an address of this machine alone; must be set for others",
        /// Serve everybody who reaches the port, where `DASHBOARD_AUTH` is `none` and the address is not of this machine alone.
        dashboard_allow_anyone: Switch = Switch(false),
        /// Token of those who may act, 20 characters or more. Several lines `name:token` give them names.
        dashboard_token: Option<Secret> = None,
        /// File with that token, or those lines.
        dashboard_token_file: Option<String> = None,
        /// Token, or lines, of those who may only look.
        dashboard_view_token: Option<Secret> = None,
        /// Header in which the proxy says who it is.
        dashboard_user_header: Parsed<HeaderName> = Parsed(HeaderName("X-Forwarded-User".to_owned())),
        /// Header in which the proxy says their groups, with commas between them.
        dashboard_groups_header: Parsed<HeaderName> = Parsed(HeaderName("X-Forwarded-Groups".to_owned())),
        /// What the proxy has to say in `X-Proxy-Secret`: others may reach the port, too. 20 characters or more.
        dashboard_proxy_secret: Option<Secret> = None,
        /// Names, or `group:NAME`, of those who may act.
        dashboard_operators: List = List(Vec::new()) => "nobody under `proxy`; under `token`, everybody with the token",
        /// Nobody may act.
        dashboard_read_only: Switch = Switch(false),
        /// Path below which the page is, behind a proxy that leaves it there.
        dashboard_base_path: Parsed<BasePath> = Parsed(BasePath(String::new())),
        /// Largest image of which pictures and tables of cells are made, in pixels of all channels and frames together.
        max_preview_pixels: u64 = 100_000_000,
        /// DeepCell Label, to which pages of jobs send images with their labels.
        label_url: Option<Parsed<WebAddress>> = None,
        /// Panels; `{queue}` in it stands for the name of a queue.
        grafana_url: Option<Parsed<Address>> = None,
        /// Traces; `{trace}` in it stands for the id of a trace, `{queue}` for the name of a queue.
        traces_url: Option<Parsed<Address>> = None,
        /// Thresholds above or below which numbers of quality are flagged, as `contrast=2,cut=0.8`.
        quality_flags: Option<String> = None => "those of the page",
    }
}

crate::settings! {
    /// The Kiosk's API of the web page.
    struct ApiVariables {
        /// Who may call the API: `token` those who may use the page, `open` everybody, as with a Kiosk; `off` nobody.
        dashboard_api: Word<ApiMode> = Word(ApiMode::Token),
        /// Job types that the page and the API take.
        job_types: List = List(Vec::new()) => "queues that have workers",
        /// What the keys of uploaded files begin with.
        upload_prefix: String = "uploads".to_owned(),
        /// Largest file that the page and the API take.
        max_upload_bytes: Bytes = Bytes(2 << 30),
    }
}

/// Who may call the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ApiMode {
    Token,
    Open,
    Off,
}

/// How the API behaves.
#[derive(Debug)]
pub(super) struct ApiSettings {
    pub(super) mode: ApiMode,
    /// Nothing: what is worked at present.
    pub(super) job_types: Vec<String>,
    /// What keys of uploaded files begin with, without a slash at its end.
    pub(super) prefix: String,
    pub(super) max_upload_bytes: u64,
}

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderName(pub(super) String);

impl std::str::FromStr for HeaderName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name: Result<http::HeaderName, _> = text.parse();
        name.map(|_| Self(text.to_owned()))
            .map_err(|_| "expected the name of a header, such as X-Forwarded-User")
    }
}

impl std::fmt::Display for HeaderName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path without a slash at its end; empty for the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BasePath(pub(super) String);

impl std::str::FromStr for BasePath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.trim_end_matches('/');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~/".contains(c);
        let is_path = path.is_empty() || (path.starts_with('/') && !path.contains("//"));
        if is_path && path.chars().all(is_plain) {
            return Ok(Self(path.to_owned()));
        }
        Err("expected a path such as /kiosk/jobs")
    }
}

impl std::fmt::Display for BasePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/", self.0)
    }
}

/// Where the page is, and who may do what.
#[derive(Debug)]
pub(super) struct DashboardSettings {
    pub(super) listen: SocketAddr,
    /// The path before all others, without a slash at its end.
    pub(super) base: String,
    pub(super) access: Access,
    pub(super) is_read_only: bool,
    /// Pixels of the largest image that pictures are made of.
    pub(super) max_preview_pixels: u64,
    /// What is flagged.
    pub(super) quality_flags: QualityThresholds,
    pub(super) elsewhere: Elsewhere,
    pub(super) api: ApiSettings,
}

impl DashboardSettings {
    /// Loads and checks all of them; `listen` goes before `DASHBOARD_LISTEN`.
    pub(super) fn load(loader: &mut Loader<'_>, listen: Option<SocketAddr>) -> Self {
        let variables: DashboardVariables = loader.load();
        let listen = listen.unwrap_or(variables.dashboard_listen.0);
        loader.derive("DASHBOARD_LISTEN", listen);
        let access = variables.access(loader, listen);
        let quality_flags = variables.thresholds(loader);
        let elsewhere = Elsewhere {
            grafana: variables.grafana_url.map(|Parsed(address)| address),
            traces: variables.traces_url.map(|Parsed(address)| address),
            label: variables.label_url.map(address_of),
        };
        Self {
            listen,
            access,
            base: variables.dashboard_base_path.0.0,
            is_read_only: variables.dashboard_read_only.0,
            max_preview_pixels: variables.max_preview_pixels,
            quality_flags,
            elsewhere,
            api: ApiSettings::load(loader),
        }
    }
}

impl ApiSettings {
    fn load(loader: &mut Loader<'_>) -> Self {
        let variables: ApiVariables = loader.load();
        let prefix = variables.upload_prefix.trim_matches('/');
        let is_odd = |part: &str| matches!(part, "" | "." | "..");
        if prefix.split('/').any(is_odd) || prefix.chars().any(char::is_control) {
            let text = "expected what keys begin with, such as uploads";
            loader.refuse("UPLOAD_PREFIX", &variables.upload_prefix, text);
        }
        Self {
            mode: variables.dashboard_api.0,
            job_types: variables.job_types.0,
            prefix: prefix.to_owned(),
            max_upload_bytes: variables.max_upload_bytes.0,
        }
    }
}

impl DashboardVariables {
    fn thresholds(&self, loader: &mut Loader<'_>) -> QualityThresholds {
        let text = self.quality_flags.as_deref().unwrap_or_default();
        text.parse().unwrap_or_else(|why| {
            loader.refuse("QUALITY_FLAGS", text, why);
            QualityThresholds::default()
        })
    }

    fn access(&self, loader: &mut Loader<'_>, listen: SocketAddr) -> Access {
        let is_local = listen.ip().is_loopback();
        let auth = self.dashboard_auth.map_or(Auth::None, |Word(auth)| auth);
        if self.dashboard_auth.is_none() {
            loader.derive("DASHBOARD_AUTH", Word(Auth::None));
        }
        let operators = Operators::new(&self.dashboard_operators.0);
        match auth {
            Auth::None => self.open(loader, is_local),
            Auth::Token => self.tokens(loader, operators),
            Auth::Proxy => self.proxy(loader, operators),
        }
    }

    fn open(&self, loader: &mut Loader<'_>, is_local: bool) -> Access {
        let anyone = self.dashboard_allow_anyone.0;
        if !is_local && !anyone {
            let text = "everybody who reaches this address could purge queues: set DASHBOARD_AUTH to token or proxy, or \
                DASHBOARD_ALLOW_ANYONE=true if that is wanted";
            loader.problem("DASHBOARD_LISTEN", text);
        }
        Access::Open { any_host: anyone }
    }

    fn tokens(&self, loader: &mut Loader<'_>, operators: Operators) -> Access {
        let given = self.dashboard_token.as_ref().map(text_of);
        let given = read_tokens(loader, "DASHBOARD_TOKEN", given.as_ref(), "operator");
        let of_file = self.token_file(loader);
        // Without those that are wrong, which is said already.
        let is_wrong = given.is_none() || of_file.is_none();
        let tokens: Vec<_> = given.into_iter().chain(of_file).flatten().collect();
        if tokens.is_empty() && !is_wrong {
            let text = "DASHBOARD_AUTH=token needs one: 20 characters or more, such as `openssl rand -hex 20` prints";
            loader.problem("DASHBOARD_TOKEN", text);
        }
        let viewing = self.dashboard_view_token.as_ref().map(text_of);
        let viewers = read_tokens(loader, "DASHBOARD_VIEW_TOKEN", viewing.as_ref(), "viewer");
        Access::Token {
            tokens: tokens
                .into_iter()
                .map(|token| token.acting(&operators))
                .chain(viewers.into_iter().flatten())
                .collect(),
        }
    }

    /// Those of the file, if there is one; nothing after a mistake.
    fn token_file(&self, loader: &mut Loader<'_>) -> Option<Vec<Token>> {
        let variable = "DASHBOARD_TOKEN_FILE";
        let Some(file) = &self.dashboard_token_file else {
            return Some(Vec::new());
        };
        match fs::read_to_string(file) {
            Ok(text) => read_tokens(loader, variable, Some(&text.into()), "operator"),
            Err(error) => {
                loader.refuse(variable, file, error);
                None
            }
        }
    }

    fn proxy(&self, loader: &mut Loader<'_>, operators: Operators) -> Access {
        let secret = self.dashboard_proxy_secret.as_ref().map(text_of);
        let is_long = secret.as_ref().is_some_and(is_long_enough);
        if !is_long {
            let text = "DASHBOARD_AUTH=proxy needs a secret of 20 characters or more, which the proxy adds to each request as \
                X-Proxy-Secret: headers with names alone are anybody's";
            loader.problem("DASHBOARD_PROXY_SECRET", text);
        }
        Access::Proxy {
            headers: ProxyHeaders {
                user: self.dashboard_user_header.0.0.clone(),
                groups: self.dashboard_groups_header.0.0.clone(),
            },
            secret: secret.unwrap_or_default(),
            operators,
        }
    }
}

fn text_of(Secret(text): &Secret) -> SecretString {
    text.clone()
}

fn is_long_enough(secret: &SecretString) -> bool {
    secret.expose_secret().trim().chars().count() >= SHORTEST_TOKEN
}

/// The tokens of a text: one alone, or several lines with a name each. They may only look, as yet. Nothing after a mistake.
fn read_tokens(
    loader: &mut Loader<'_>,
    variable: &str,
    text: Option<&SecretString>,
    unnamed: &str,
) -> Option<Vec<Token>> {
    let text = text.map_or("", |text| text.expose_secret());
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut tokens = Vec::new();
    for line in lines {
        let (name, token) = line.split_once(':').unwrap_or((unnamed, line));
        let (name, token) = (name.trim(), SecretString::from(token.trim()));
        if name.is_empty() || !is_long_enough(&token) {
            let text = format!(
                "a token needs {SHORTEST_TOKEN} characters or more, and a name before the colon if there is one"
            );
            loader.problem(variable, text);
            return None;
        }
        tokens.push(Token::viewing(name, token));
    }
    Some(tokens)
}
