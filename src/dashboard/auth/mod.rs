//! Who may do what: nobody, viewers, operators.
//!
//! People are told apart by a token or by a proxy, and what changes something has to come from a page of ours. What is answered
//! to those who may not is in `guard`.

mod digest;
mod door;
mod identity;
mod origin;
mod session;
mod throttle;

pub(super) use self::door::{Door, Entrance, random_digits};
pub(super) use self::identity::{Access, Operators, ProxyHeaders, Role, Token, User, Way};
pub(super) use self::origin::is_from_us;
pub(super) use self::throttle::Throttle;
