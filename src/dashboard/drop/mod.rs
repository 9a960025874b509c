//! Files that people bring: each goes into the bucket while it comes, below a folder of its own for everything that is dropped
//! together.

mod channel;
mod form;
mod place;
mod put;

pub(super) use self::channel::channel;
pub(super) use self::form::take_form;
pub(super) use self::place::{check_upload, folder};
pub(super) use self::put::{put, there};
