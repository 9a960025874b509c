//! People, what they may do, and by what they are told apart.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

use super::digest::is_same;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Role {
    /// Look.
    Viewer,
    /// Look and act.
    Operator,
}

/// How somebody has come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Way {
    /// Nobody was asked.
    Open,
    /// With a token in the header of the request, which no other page can send.
    Bearer,
    /// With a cookie of ours of this value.
    Session(String),
    /// Through the proxy.
    Proxy,
}

/// Somebody who may at least look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct User {
    pub(in super::super) name: String,
    pub(in super::super) role: Role,
    pub(in super::super) way: Way,
}

/// By what people are told apart.
#[derive(Debug)]
pub(in super::super) enum Access {
    /// Everybody may do everything.
    Open {
        /// Whether the page may be called by any name, not only by those of this machine.
        any_host: bool,
    },
    Token {
        tokens: Vec<Token>,
    },
    Proxy {
        headers: ProxyHeaders,
        secret: SecretString,
        operators: Operators,
    },
}

/// Names of headers.
#[derive(Debug)]
pub(in super::super) struct ProxyHeaders {
    pub(in super::super) user: String,
    pub(in super::super) groups: String,
}

/// Those who may act, by their names or their groups, which are compared whole.
#[derive(Debug)]
pub(in super::super) struct Operators {
    names: Vec<String>,
    groups: Vec<String>,
}

/// A token, and whose it is.
pub(in super::super) struct Token {
    pub(super) name: String,
    pub(super) role: Role,
    secret: SecretString,
}

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        let roles = [Self::Viewer, Self::Operator];
        roles.into_iter().find(|role| role.as_str() == word)
    }
}

impl Operators {
    /// From names, and groups as `group:NAME`.
    pub(in super::super) fn new(words: &[String]) -> Self {
        let (groups, names): (Vec<_>, Vec<_>) =
            words.iter().partition(|word| word.starts_with(GROUP));
        Self {
            names: names.into_iter().cloned().collect(),
            groups: groups
                .into_iter()
                .map(|word| word[GROUP.len()..].to_owned())
                .collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.groups.is_empty()
    }

    /// What somebody of this name and these groups may do.
    pub(super) fn role(&self, name: &str, groups: &[&str]) -> Role {
        let is_named = self.names.iter().any(|it| it == name);
        let is_in = |group: &String| groups.contains(&group.as_str());
        match is_named || self.groups.iter().any(is_in) {
            true => Role::Operator,
            false => Role::Viewer,
        }
    }
}

const GROUP: &str = "group:";

impl Token {
    /// One whose bearer may only look.
    pub(in super::super) fn viewing(name: &str, secret: SecretString) -> Self {
        Self {
            name: name.to_owned(),
            role: Role::Viewer,
            secret,
        }
    }

    /// The same; the bearer may act, unless others are named who may.
    pub(in super::super) fn acting(self, operators: &Operators) -> Self {
        let role = match operators.is_empty() {
            true => Role::Operator,
            false => operators.role(&self.name, &[]),
        };
        Self { role, ..self }
    }

    /// All that a session depends on.
    pub(super) fn parts(&self) -> [&[u8]; 3] {
        [
            self.name.as_bytes(),
            self.role.as_str().as_bytes(),
            self.secret().as_bytes(),
        ]
    }

    pub(super) fn secret(&self) -> &str {
        self.secret.expose_secret()
    }

    fn is(&self, given: &str) -> bool {
        is_same(given.as_bytes(), self.secret().as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token of {} ({})", self.name, self.role.as_str())
    }
}

/// The token that was given, if it is one of these. All are looked at, so that the time does not tell which.
pub(super) fn find<'t>(tokens: &'t [Token], given: &str) -> Option<&'t Token> {
    let mut found = None;
    for token in tokens {
        if token.is(given) {
            found = found.or(Some(token));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operators(words: &[&str]) -> Operators {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        Operators::new(&words)
    }

    #[test]
    fn names_and_groups_are_compared_whole_and_not_taken_for_each_other() {
        let some = operators(&["ana", "group:lab"]);
        assert_eq!(some.role("ana", &[]), Role::Operator);
        assert_eq!(some.role("bob", &["lab"]), Role::Operator);
        for (name, groups) in [
            ("an", &[][..]),
            ("ana2", &[]),
            ("Ana", &[]),
            ("lab", &[]),
            ("group:lab", &[]),
            ("bob", &["ana", "labs", "group:lab"]),
        ] {
            assert_eq!(some.role(name, groups), Role::Viewer, "{name} {groups:?}");
        }
        assert_eq!(operators(&[]).role("ana", &["lab"]), Role::Viewer);
    }

    #[test]
    fn the_bearer_of_a_token_may_act_unless_others_are_named() {
        let token = |operators: &Operators| {
            let secret = SecretString::from("0123456789abcdefghij");
            Token::viewing("ana", secret).acting(operators).role
        };
        assert_eq!(token(&operators(&[])), Role::Operator);
        assert_eq!(token(&operators(&["ana"])), Role::Operator);
        assert_eq!(token(&operators(&["bob"])), Role::Viewer);
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::viewing("ana", SecretString::from("0123456789abcdefghij"));
        assert_eq!(format!("{token:?}"), "token of ana (viewer)");
        assert!(find(std::slice::from_ref(&token), "0123456789abcdefghij").is_some());
        assert!(find(&[token], "0123456789abcdefghi").is_none());
    }
}
