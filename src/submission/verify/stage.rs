//! The rules of one stage, held against its items.

use std::sync::Arc;

use batch_plan::work::Verify;
use batch_plan::{Lists, Resolved, Stage};
use futures::{StreamExt as _, stream};

use super::fault::{Fault, Kind};
use super::inputs::Inputs;
use super::peers::Peers;
use super::report::StageReport;
use super::rules::{has, is_of_items};
use super::subjects::{Subject, Subjects};
use super::workers::Crew;
use super::{command, room};

/// Items that are looked at at the same time.
const AT_ONCE: usize = 16;

/// A stage that is being looked at.
struct Look<'a> {
    plan: &'a Arc<Resolved>,
    stage: &'a Stage,
    peers: &'a Peers,
    inputs: Inputs<'a>,
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
            inputs: Inputs::of(stage, peers.storage.as_ref(), subjects).await?,
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
            faults.extend(self.crew.as_ref().and_then(|crew| crew.refusal(input)));
            faults.extend(self.inputs.look(&subject.job, input).await);
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
}
