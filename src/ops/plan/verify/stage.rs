//! The rules of one stage, held against its items.

use std::sync::Arc;

use batch_plan::work::{Bounds, ImageRule, Verify};
use batch_plan::{Lists, Resolved, Stage};
use futures::{StreamExt as _, stream};

use super::super::super::desk::grouped;
use super::fault::{Fault, Kind};
use super::peers::Peers;
use super::report::StageReport;
use super::rules::{has, is_of_items, needs_input};
use super::subjects::{Input, Place, Subject, Subjects};
use super::workers::Crew;
use super::{command, header, image, room};
use crate::batch::{Outputs, Wanted};

/// Items that are looked at at the same time.
const AT_ONCE: usize = 16;

/// A stage that is being looked at.
struct Look<'a> {
    plan: &'a Arc<Resolved>,
    stage: &'a Stage,
    peers: &'a Peers,
    /// What is in the bucket where inputs are, if a rule asks for it.
    listing: Option<Outputs>,
    crew: Option<Crew>,
}

/// Holds the rules of a stage against its items.
pub(super) async fn look(
    plan: &Arc<Resolved>,
    lists: &Lists,
    number: usize,
    peers: &Peers,
) -> anyhow::Result<StageReport> {
    let stage = &plan.stages()[number];
    let subjects = Subjects::of(plan, lists, number)?;
    let mut report = StageReport::new(stage, plan.total(number), subjects.len());
    hold_against_peers(plan, lists, stage, peers, &mut report).await?;
    let look = Look::of(plan, stage, peers, &subjects).await?;
    if let Some(crew) = &look.crew {
        report.count(Kind::Workers, crew.live);
        report.add(crew.fault(&stage.queue));
    }
    look.items(&subjects, &mut report).await?;
    Ok(report)
}

/// Holds those rules that are not about items.
async fn hold_against_peers(
    plan: &Arc<Resolved>,
    lists: &Lists,
    stage: &Stage,
    peers: &Peers,
    report: &mut StageReport,
) -> anyhow::Result<()> {
    for rule in &stage.work.verify {
        match (rule, &peers.models, &peers.admin) {
            (Verify::Model(names), Some(models), _) => {
                let (there, faults) = models.look(names).await;
                report.count(Kind::Model, there);
                report.add(faults);
            }
            (Verify::Model(_), None, _) => report.leave_out(Kind::Model, "TF_HOST"),
            (Verify::Room, _, Some(_)) => {
                let faults = room::look(peers, plan, lists).await?;
                report.count(Kind::Room, usize::from(faults.is_empty()));
                report.add(faults);
            }
            (Verify::Room, _, None) => report.leave_out(Kind::Room, "REDIS_HOST"),
            (Verify::Workers, _, None) => report.leave_out(Kind::Workers, "REDIS_HOST"),
            _ => {}
        }
    }
    Ok(())
}

impl<'a> Look<'a> {
    async fn of(
        plan: &'a Arc<Resolved>,
        stage: &'a Stage,
        peers: &'a Peers,
        subjects: &Subjects<'_>,
    ) -> anyhow::Result<Self> {
        let listing = match (&peers.storage, has(stage, needs_input)) {
            (Some(storage), true) => match common_prefix(subjects, peers)? {
                Some(prefix) => {
                    Some(Outputs::list(storage, Wanted::new([Some(prefix)], false)).await?)
                }
                None => None,
            },
            _ => None,
        };
        let crew = match &peers.admin {
            Some(admin) if has(stage, |rule| *rule == Verify::Workers) => {
                Some(Crew::of(admin, &stage.queue).await?)
            }
            _ => None,
        };
        Ok(Self {
            plan,
            stage,
            peers,
            listing,
            crew,
        })
    }

    /// Looks at all items, some at a time, in their order.
    async fn items(&self, subjects: &Subjects<'_>, report: &mut StageReport) -> anyhow::Result<()> {
        if !has(self.stage, is_of_items) && self.crew.is_none() {
            return Ok(());
        }
        let items = subjects.iter(self.peers.storage.as_ref());
        let looks = stream::iter(items).map(|subject| async {
            let subject = subject?;
            let faults = self.item(&subject).await;
            anyhow::Ok((subject, faults))
        });
        let mut looks = std::pin::pin!(looks.buffered(AT_ONCE));
        while let Some(looked) = looks.next().await {
            let (subject, faults) = looked?;
            report.add_item(&subject.job, faults);
        }
        Ok(())
    }

    async fn item(&self, subject: &Subject) -> Vec<Fault> {
        let mut faults = Vec::new();
        for input in &subject.inputs {
            faults.extend(self.input(subject, input).await);
        }
        for rule in &self.stage.work.verify {
            if let Verify::Command(words) = rule {
                let item = command::to_json(self.plan, subject);
                let why = command::look(words, &item).await;
                faults.extend(why.map(|why| Fault::new(Kind::Command, &subject.job.id, why)));
            }
        }
        faults
    }

    async fn input(&self, subject: &Subject, input: &Input) -> Vec<Fault> {
        let fault = |kind, why: String| Fault::new(kind, &input.reference, why);
        let mut faults = Vec::new();
        faults.extend(self.crew.as_ref().and_then(|crew| crew.refusal(input)));
        let (size, is_asked) = (self.size(&input.place), has(self.stage, needs_input));
        for rule in &self.stage.work.verify {
            match (rule, size) {
                (Verify::Suffix(suffixes), _) if !ends_so(&input.reference, suffixes) => {
                    let wanted = suffixes.join(" or ");
                    faults.push(fault(Kind::Suffix, format!("{wanted} wanted")));
                }
                (Verify::Size(bounds), Some(size)) => {
                    let why = wrong_size(size, *bounds);
                    faults.extend(why.map(|why| fault(Kind::Size, why)));
                }
                (Verify::Image(rule), Some(_)) => {
                    let why = self.image(subject, input, rule).await;
                    faults.extend(why.map(|why| fault(Kind::Image, why)));
                }
                _ => {}
            }
        }
        if is_asked && size.is_none() {
            let why = match &input.place {
                Place::Nowhere(why) => why.clone(),
                Place::Object(_) | Place::File(_) => String::new(),
            };
            faults.push(fault(Kind::Missing, why));
        }
        faults
    }

    /// The bytes of an input that is there.
    fn size(&self, place: &Place) -> Option<u64> {
        match place {
            Place::Object(key) => self.listing.as_ref()?.size(key),
            Place::File(path) => Some(std::fs::metadata(path).ok()?.len()),
            Place::Nowhere(_) => None,
        }
    }

    async fn image(&self, subject: &Subject, input: &Input, rule: &ImageRule) -> Option<String> {
        let storage = self.peers.storage.as_ref();
        match header::read(&input.place, &input.reference, storage).await {
            Err(why) => Some(why),
            Ok(header) => {
                let fields = &subject.job.fields;
                let order = fields.iter().find(|(name, _)| name == "dimension_order");
                image::compare(&header, order.map(|(_, order)| order.as_str()), rule)
            }
        }
    }
}

/// What the keys of all inputs in the bucket begin with; nothing if there are none.
fn common_prefix(subjects: &Subjects<'_>, peers: &Peers) -> anyhow::Result<Option<String>> {
    let mut prefix: Option<String> = None;
    for subject in subjects.iter(peers.storage.as_ref()) {
        for input in subject?.inputs {
            let Place::Object(key) = input.place else {
                continue;
            };
            let Some(prefix) = &mut prefix else {
                prefix = Some(key);
                continue;
            };
            let common = prefix.chars().zip(key.chars()).take_while(|(a, b)| a == b);
            let bytes = common.map(|(letter, _)| letter.len_utf8()).sum();
            prefix.truncate(bytes);
        }
    }
    Ok(prefix)
}

fn ends_so(reference: &str, suffixes: &[String]) -> bool {
    let name = reference.to_lowercase();
    suffixes
        .iter()
        .any(|suffix| name.ends_with(&suffix.to_lowercase()))
}

fn wrong_size(size: u64, Bounds { min, max }: Bounds) -> Option<String> {
    let wanted = match (min, max) {
        (Some(min), _) if size < min => format!("{} or more", grouped(min)),
        (_, Some(max)) if size > max => format!("{} at most", grouped(max)),
        _ => return None,
    };
    Some(format!("{} bytes, {wanted} wanted", grouped(size)))
}
