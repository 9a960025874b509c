//! Sessions without a table: a cookie says who somebody is, until when, and has a mark that only we can make.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::digest::Key;
use super::identity::{Role, User, Way};

/// The name of the cookie.
const COOKIE: &str = "rc_session";

/// How long a session lasts, in seconds.
const LIFETIME_S: u64 = 12 * 3600;

/// What marks are for.
const SESSION: &str = "session";
const FORM: &str = "form";

/// Makes sessions and the tokens of forms, and knows its own.
pub(super) struct Keeper {
    key: Key,
    /// What all cookies have in common behind their values.
    attributes: String,
}

impl Keeper {
    /// Whoever has only `is_local` addresses speaks without TLS; others have a proxy with it in front.
    pub(super) fn new(key: Key, base: &str, is_local: bool) -> Self {
        let secure = if is_local { "" } else { "; Secure" };
        Self {
            key,
            attributes: format!("Path={base}/; HttpOnly; SameSite=Strict{secure}"),
        }
    }

    /// The header that begins a session; `now` is in seconds since 1970.
    pub(super) fn begin(&self, name: &str, role: Role, now: u64) -> String {
        let value = self.value(name, role, now + LIFETIME_S);
        format!(
            "{COOKIE}={value}; Max-Age={LIFETIME_S}; {}",
            self.attributes
        )
    }

    /// The header that ends one.
    pub(super) fn end(&self) -> String {
        format!("{COOKIE}=; Max-Age=0; {}", self.attributes)
    }

    /// Who somebody with these cookies is.
    pub(super) fn user(&self, cookies: &str, now: u64) -> Option<User> {
        let mut all = cookies.split(';').map(str::trim);
        all.find_map(|cookie| {
            let value = cookie.strip_prefix(COOKIE)?.strip_prefix('=')?;
            self.read(value, now)
        })
    }

    /// What a form has to send back.
    pub(super) fn form_token(&self, user: &User) -> String {
        self.key.mark(FORM, session_of(user))
    }

    /// Whether a form has sent it.
    pub(super) fn is_form_token(&self, user: &User, given: &str) -> bool {
        self.key.is_mark(FORM, session_of(user), given)
    }

    fn value(&self, name: &str, role: Role, until: u64) -> String {
        let name = BASE64_URL_SAFE_NO_PAD.encode(name);
        let said = format!("{name}.{}.{until}", role.as_str());
        let mark = self.key.mark(SESSION, &said);
        format!("{said}.{mark}")
    }

    fn read(&self, value: &str, now: u64) -> Option<User> {
        let (said, mark) = value.rsplit_once('.')?;
        if !self.key.is_mark(SESSION, said, mark) {
            return None;
        }
        let mut parts = said.split('.');
        let name = BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        let role = Role::of(parts.next()?)?;
        let until: u64 = parts.next()?.parse().ok()?;
        (now < until).then_some(User {
            name: String::from_utf8(name).ok()?,
            role,
            way: Way::Session(value.to_owned()),
        })
    }
}

/// What the token of a form belongs to: the session, or where there is none the name.
fn session_of(user: &User) -> &str {
    match &user.way {
        Way::Session(value) => value,
        Way::Open | Way::Bearer | Way::Proxy => &user.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(secret: &str) -> Keeper {
        Keeper::new(Key::of([secret.as_bytes()]), "", true)
    }

    fn cookie(header: &str) -> &str {
        header.split(';').next().expect("a cookie")
    }

    #[test]
    fn a_session_says_who_somebody_is_until_it_ends() {
        let keeper = keeper("one");
        let header = keeper.begin("ana; admin=1", Role::Viewer, 1000);
        let cookies = format!("a=b; {}; c=d", cookie(&header));
        let user = keeper.user(&cookies, 1001).expect("a session");
        assert_eq!(
            (user.name.as_str(), user.role),
            ("ana; admin=1", Role::Viewer)
        );
        assert!(keeper.user(&cookies, 1000 + LIFETIME_S).is_none());
    }

    #[test]
    fn a_session_is_not_to_be_forged() {
        let ours = keeper("one");
        let header = ours.begin("ana", Role::Viewer, 1000);
        let good = cookie(&header);
        assert!(ours.user(good, 1000).is_some());
        assert!(
            keeper("two").user(good, 1000).is_none(),
            "the token has changed"
        );
        let operator = good.replace("viewer", "operator");
        let later = good.replace(&(1000 + LIFETIME_S).to_string(), "99999999999");
        let unmarked = good.rsplit_once('.').expect("a mark").0;
        for forged in [&operator, &later, unmarked, "rc_session=", "rc_session=..."] {
            assert!(ours.user(forged, 1000).is_none(), "{forged}");
        }
    }

    #[test]
    fn a_form_belongs_to_a_session() {
        let keeper = keeper("one");
        let user = |now| {
            let header = keeper.begin("ana", Role::Operator, now);
            keeper.user(cookie(&header), now).expect("a session")
        };
        let token = keeper.form_token(&user(1));
        assert!(keeper.is_form_token(&user(1), &token));
        assert!(!keeper.is_form_token(&user(2), &token));
        assert!(!keeper.is_form_token(&user(1), ""));
    }

    #[test]
    fn cookies_are_for_us_alone() {
        let far = Keeper::new(Key::of([&b"k"[..]]), "/kiosk", false);
        let header = far.begin("ana", Role::Viewer, 0);
        for attribute in [
            "; HttpOnly",
            "; SameSite=Strict",
            "; Secure",
            "; Path=/kiosk/;",
        ] {
            assert!(header.contains(attribute), "{attribute} in {header}");
        }
        assert!(
            !keeper("one")
                .begin("ana", Role::Viewer, 0)
                .contains("Secure")
        );
    }
}
