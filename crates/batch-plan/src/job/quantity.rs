//! Numbers that a plan gives as texts.

use crate::template::Text;
use crate::units::UnitError;

/// Nothing, a number that is the same for all items, or a text that is one for each.
pub(super) enum Quantity<T> {
    None,
    Fixed(T),
    Text(Text, fn(&str) -> Result<T, UnitError>),
}
