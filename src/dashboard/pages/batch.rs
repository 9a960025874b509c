//! One batch, stage by stage.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use batch_plan::Resolved;

use super::super::fault::Fault;
use super::super::layout::Layout;
use super::super::shown::{Link, When, message, name};
use super::super::visit::Visit;
use super::flow::{Flow, flow};
use super::items::{self, Blocked, Own};
use super::sheet::{Sheet, sheet};
use crate::batch::{MEMORY_FULL, Standing, can_resume};
use crate::figures::{Age, counted, grouped};
use crate::queue::control::StageState;
use crate::untrusted;
use crate::wire::batch;

/// Width of a bar, in its own units.
const WIDTH: u64 = 1000;

#[derive(Template)]
#[template(path = "batch.html")]
struct BatchPage {
    layout: Layout,
    batch: Link,
    /// The name as forms send it.
    name: String,
    state: String,
    by: String,
    created: When,
    ended: Option<When>,
    /// Which stage follows which.
    flow: Option<Flow>,
    stages: Vec<Stage>,
    blocked: Vec<Blocked>,
    own: Option<Own>,
    causes: Vec<Cause>,
    sheet: Option<Sheet>,
    obstacles: Vec<String>,
    can_pause: bool,
    can_resume: bool,
    can_cancel: bool,
    can_repair: bool,
}

struct Stage {
    name: String,
    queue: Link,
    counts: Vec<Count>,
    total: String,
    percent: u64,
    rate: String,
    left: String,
    held: Option<String>,
    /// Whether a person has to start it, and its name as forms send it.
    waits_for_start: bool,
    raw_name: String,
}

/// How many items stand somewhere, and the part of the bar that stands for them.
struct Count {
    word: &'static str,
    number: String,
    x: u64,
    width: u64,
}

struct Cause {
    count: String,
    why: String,
    signature: String,
}

/// `GET /batches/B`
pub(in super::super) async fn batch(visit: Visit, Path(name): Path<String>) -> Response {
    let page = make(&visit, name).await;
    visit.answer(page)
}

async fn make(visit: &Visit, name: String) -> Result<BatchPage, Fault> {
    let standing = Standing::of(&visit.site.admin, &name).await;
    let standing = standing.map_err(|error| match Fault::from(error) {
        Fault::Misuse(text) => Fault::Absent(text),
        fault => fault,
    })?;
    let state = &standing.state;
    let (sheet, blocked, own, flow) = futures::join!(
        sheet(visit, &name, state),
        items::blocked(visit, &name, state),
        items::own(visit, &name, state),
        flow_of(visit, &name),
    );
    let is_over = [batch::FINISHED, batch::CANCELLED].contains(&state.state.as_str());
    let causes = standing.causes.iter().map(|(why, count)| Cause {
        count: grouped(*count),
        why: message(why),
        signature: why.clone(),
    });
    Ok(BatchPage {
        layout: visit.layout(&format!("Batch {}", untrusted::name(&name)), "/batches"),
        batch: Link::to_batch(&name),
        state: super::super::shown::name(state.state.as_bytes()),
        by: super::super::shown::name(state.created_by.as_bytes()),
        created: When::at(state.created * 1000),
        ended: state.ended.map(|at| When::at(at * 1000)),
        stages: (0..state.stages.len())
            .map(|it| stage(&standing, it))
            .collect(),
        causes: causes.collect(),
        flow,
        blocked,
        own,
        sheet,
        obstacles: obstacles(&standing),
        can_pause: state.state == batch::RUNNING,
        can_resume: can_resume(state, None) && state.state != batch::FINISHED,
        can_cancel: !is_over,
        can_repair: visit.site.storage.is_some(),
        name,
    })
}

/// Which stage follows which, as the plan says.
async fn flow_of(visit: &Visit, name: &str) -> Option<Flow> {
    let plan = visit.site.admin.batch_plan(name).await.ok()??;
    flow(&Resolved::from_json(&plan).ok()?)
}

fn stage(standing: &Standing, number: usize) -> Stage {
    let stage = &standing.state.stages[number];
    let rate = standing.rates[number];
    let dash = || "–".to_owned();
    Stage {
        name: name(stage.name.as_bytes()),
        queue: Link::to_queue(&stage.queue),
        counts: counts(standing, number),
        total: match stage.is_read {
            true => counted(stage.total, "item"),
            false => "items are not known yet".to_owned(),
        },
        percent: stage.done * 100 / stage.total.max(1),
        rate: if rate > 0.0 {
            format!("{rate:.1}/s")
        } else {
            dash()
        },
        left: standing
            .left(number)
            .map_or_else(dash, |left| Age(left).to_string()),
        held: stage.held.as_deref().map(message),
        waits_for_start: !stage.is_started && !stage.is_over(),
        raw_name: stage.name.clone(),
    }
}

/// Where the items of a stage stand. Those that are blocked are among the new ones.
fn counts(standing: &Standing, number: usize) -> Vec<Count> {
    let stage: &StageState = &standing.state.stages[number];
    let blocked = standing.blocked[number];
    let all = [
        ("done", stage.done),
        ("failed", stage.failed),
        ("out", stage.out),
        ("ready", stage.ready),
        ("blocked", blocked),
        ("new", standing.untouched(number).saturating_sub(blocked)),
    ];
    let mut x = 0;
    let count = |(word, number): (&'static str, u64)| {
        // What there is at all is seen.
        let width = (number * WIDTH).div_ceil(stage.total.max(1)).min(WIDTH - x);
        let count = Count {
            word,
            number: grouped(number),
            x,
            width,
        };
        x += width;
        count
    };
    all.into_iter().map(count).collect()
}

/// Why nothing gets further, where buttons do not say it.
fn obstacles(standing: &Standing) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(used) = standing.memory.filter(|used| *used > MEMORY_FULL) {
        all.push(format!(
            "Redis uses {used} % of its memory: above {MEMORY_FULL} % nothing is fed"
        ));
    }
    if standing.is_alone && standing.state.state == batch::RUNNING {
        all.push(
            "no worker serves its queues: nothing is fed, unless a janitor or redis-consumer feed runs"
                .to_owned(),
        );
    }
    all
}
