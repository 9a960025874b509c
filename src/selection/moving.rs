//! Waiting jobs that go to another queue.

use regex::bytes::Regex;

use super::selector::Selector;
use crate::queue::Admin;
use crate::queue::control::Order;
use crate::wire::RawFields;

/// Moves the waiting jobs of a queue of which these fields match to another one, all if there are none, and gives their number.
pub(crate) async fn move_wanted(
    admin: &Admin,
    (from, to): (&str, &str),
    wanted: &[(String, Regex)],
) -> anyhow::Result<u64> {
    Ok(match wanted {
        [] => admin.move_all(from.as_bytes(), to, Order::Behind).await?,
        wanted => {
            let is_wanted = |fields: &RawFields| Selector::has_fields(wanted, fields);
            admin.move_some(from, to, is_wanted).await?
        }
    })
}
