//! Numbers, sizes and times as people write and read them, on terminals and on pages.

mod numbers;
mod times;

pub(crate) use self::numbers::{counted, grouped, jobs, size};
pub(crate) use self::times::{Age, Moment, Span, age, ago, clock};
