//! Small pictures of what a batch has done, with what should be looked at in front.

use std::collections::BTreeMap;

use cell_analysis::quality::{BatchMedians, Quality};
use tracing::warn;

use super::super::looks::Subject;
use super::super::shown::{Link, name};
use super::super::visit::Visit;
use super::judgement::quality;
use crate::batch::{DoneItem, done_items};
use crate::figures::{counted, grouped};
use crate::queue::control::BatchState;
use crate::wire::RawFields;

/// Items that are looked at, and those of them that are shown.
const LOOKED: usize = 1000;
const SHOWN: usize = 60;

/// The pictures of a batch.
pub(super) struct Sheet {
    pub(super) text: String,
    /// Flags that some have, and where those with them are; the first one is for all.
    pub(super) flags: Vec<FlagLink>,
    pub(super) items: Vec<Item>,
}

/// A part of the sheet.
pub(super) struct FlagLink {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) is_here: bool,
}

/// One of them.
pub(super) struct Item {
    pub(super) job: Link,
    /// What it is called in its batch.
    pub(super) id: String,
    /// Where its picture is, below the base.
    pub(super) picture: String,
    pub(super) cells: String,
    pub(super) flags: Vec<String>,
}

/// An item, and how far it is out of the ordinary.
struct Ranked {
    item: Item,
    /// The names of its flags.
    names: Vec<&'static str>,
    distance: f64,
}

/// Of a batch with results of images; nothing without a bucket, and where the plan cannot be read.
pub(super) async fn sheet(visit: &Visit, batch: &str, state: &BatchState) -> Option<Sheet> {
    let site = &visit.site;
    site.looks.as_ref()?;
    let found = done_items((&site.admin, site.storage.clone()), (batch, state), LOOKED);
    let found = found
        .await
        .inspect_err(|error| warn!(error = %format!("{error:#}"), "no pictures of a batch"));
    let found = found.ok()?;
    let keys: Vec<_> = found.iter().map(|item| item.key.clone()).collect();
    let fields = site.admin.looked_fields(&keys).await.ok()?;
    let sheet = of(visit, batch, (&found, &fields));
    (!sheet.items.is_empty()).then_some(sheet)
}

fn of(visit: &Visit, batch: &str, (found, fields): (&[DoneItem], &[RawFields])) -> Sheet {
    let judged: Vec<_> = fields.iter().map(quality).collect();
    let known: Vec<Quality> = judged.iter().flatten().cloned().collect();
    let medians = BatchMedians::of(&known);
    let all = found.iter().zip(fields).zip(&judged);
    let mut ranked: Vec<_> = all
        .filter_map(|((item, fields), quality)| {
            ranked(visit, (item, fields), (quality.as_ref(), medians.as_ref()))
        })
        .collect();
    ranked.sort_by(|a, b| {
        let flags = b.item.flags.len().cmp(&a.item.flags.len());
        flags.then(b.distance.total_cmp(&a.distance))
    });
    let wanted = visit.form.text("flag");
    let flags = flag_links(batch, &ranked, wanted);
    if flags.iter().skip(1).any(|flag| flag.is_here) {
        ranked.retain(|it| it.names.contains(&wanted));
    }
    let total = ranked.len();
    let items: Vec<_> = ranked.into_iter().take(SHOWN).map(|it| it.item).collect();
    let shown = grouped(items.len() as u64);
    Sheet {
        text: match found.len() < LOOKED {
            true => format!("{shown} of {}", counted(total as u64, "result")),
            false => format!("{shown} of the first {} results", grouped(total as u64)),
        },
        flags,
        items,
    }
}

/// All, and those with each of the flags that there are.
fn flag_links(batch: &str, ranked: &[Ranked], wanted: &str) -> Vec<FlagLink> {
    let mut counts = BTreeMap::<&str, u64>::new();
    let names = ranked.iter().flat_map(|it| &it.names);
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    let path = Link::to_batch(batch).path;
    let all = FlagLink {
        name: format!("all ({})", grouped(ranked.len() as u64)),
        path: format!("{path}#sheet"),
        is_here: !counts.contains_key(wanted),
    };
    let each = counts.iter().map(|(name, count)| FlagLink {
        name: format!("{name} ({})", grouped(*count)),
        path: format!("{path}?flag={name}#sheet"),
        is_here: *name == wanted,
    });
    [all].into_iter().chain(each).collect()
}

fn ranked(
    visit: &Visit,
    (item, fields): (&DoneItem, &RawFields),
    (quality, medians): (Option<&Quality>, Option<&BatchMedians>),
) -> Option<Ranked> {
    let subject = Subject::of(&item.key, fields)?;
    subject.result()?;
    let job = Link::to_job(&item.key);
    let flags = quality.map(|it| it.flags(&visit.site.quality_flags, medians));
    let flags = flags.unwrap_or_default();
    let names = flags.iter().map(|raised| raised.flag.name()).collect();
    let flags = flags.into_iter().map(|raised| raised.text);
    let distance = quality
        .zip(medians)
        .map(|(it, medians)| medians.distance(it));
    Some(Ranked {
        item: Item {
            picture: format!("{}/preview.png?v={}", job.path, subject.version()),
            id: name(item.id.as_bytes()),
            cells: quality.map_or_else(String::new, |it| counted(it.cells as u64, "cell")),
            flags: flags.collect(),
            job,
        },
        names,
        distance: distance.unwrap_or_default(),
    })
}
