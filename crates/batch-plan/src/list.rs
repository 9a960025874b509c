//! Lists of items: read once, put in order, and stored by number.
//!
//! Ten million rows have to be looked at in another order than they come in, and several times. So they are kept as the JSON that
//! is stored in the end, one after the other, with eight bytes for the place of each and four for its number.

mod arena;
mod groups;
mod members;
mod prepare;
mod rows;
mod uploads;

pub(crate) use arena::Arena;
pub(crate) use groups::sibling;
pub use prepare::Lists;
pub use rows::List;
pub use uploads::Upload;
