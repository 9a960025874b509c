//! What the operator has set: the only reader of the process environment.
//!
//! Each owner declares its variables with [`settings!`](crate::settings!): name, type, default and text stand in one
//! place. A [`Loader`](crate::settings::Loader) turns the environment into these structs, each variable by itself, and remembers every value
//! with its origin and every mistake, so that one start shows them all. Rules over several variables are functions
//! `check` of the owner.

mod declaration;
mod env;
mod field;
mod loader;
mod password;
mod value;
mod web_address;

pub use self::env::Env;
pub(crate) use self::env::is_placeholder;
pub use self::field::{Field, Owner};
pub use self::loader::{Declared, Loaded, Loader, Origin, Problem, Problems, Setting};
pub(crate) use self::value::NOT_SET;
pub use self::value::{Bytes, List, Parsed, Seconds, Secret, Switch, Value, Word};
pub(crate) use self::web_address::{WebAddress, address_of};
