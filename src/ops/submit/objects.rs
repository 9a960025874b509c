//! Jobs of objects that are in the bucket already.

use globset::GlobMatcher;
use serde_json::json;

use super::super::desk::{Line, Progress};
use super::context::Context;
use super::enqueuer::Enqueuer;
use crate::storage::Listed;
use crate::wire::field;

/// Queues jobs of the objects of these keys. That they are there is for the consumer to find out.
pub(super) async fn by_key(
    context: &Context,
    keys: &[String],
    enqueuer: &mut Enqueuer<'_>,
) -> anyhow::Result<()> {
    for key in keys.iter().take(context.limit) {
        let name = context.wishes.field(field::ORIGINAL_NAME);
        let input = context.input(key, name.unwrap_or(key), None);
        enqueuer.add(&input).await?;
    }
    Ok(())
}

/// Queues jobs of the objects whose keys begin with this, while they are listed.
pub(super) async fn by_prefix(
    context: &Context,
    prefix: &str,
    pattern: Option<&GlobMatcher>,
    enqueuer: &mut Enqueuer<'_>,
) -> anyhow::Result<()> {
    let rest_at = prefix
        .trim_start_matches('/')
        .rfind('/')
        .map_or(0, |slash| slash + 1);
    let is_meant = |listed: &Listed| {
        let rest = listed.key.get(rest_at..).unwrap_or_default();
        // An object of no bytes is what consoles make for a folder.
        listed.size_bytes > 0 && pattern.is_none_or(|pattern| pattern.is_match(rest))
    };
    let progress = Progress::begin(context.screen, "objects", None, line(0, 0))?;
    let mut listing = context.storage.listing(prefix);
    let (mut looked, mut meant) = (0, 0);
    while let Some(page) = listing.next_page().await? {
        looked += page.len();
        for listed in page.iter().filter(|listed| is_meant(listed)) {
            if meant == context.limit {
                return Ok(progress.end(meant as u64, line(meant, looked))?);
            }
            meant += 1;
            let input = context.input(&listed.key, &listed.key, None);
            enqueuer.add(&input).await?;
        }
        progress.show(meant as u64, || line(meant, looked))?;
    }
    Ok(progress.end(meant as u64, line(meant, looked))?)
}

fn line(meant: usize, looked: usize) -> Line {
    Line {
        text: format!("{meant} of {looked}"),
        json: json!({ "done": meant, "listed": looked }),
    }
}
