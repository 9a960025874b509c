//! One batch: its state, its stages, and how often items have failed of which cause.

use askama::Template;

use super::super::shown::{Link, When, message, name};
use super::piece::{Ground, Shape, html};
use crate::batch::{MEMORY_FULL, Standing};
use crate::figures::{Age, counted, grouped};
use crate::queue::control::StageState;
use crate::wire::batch;

/// Width of a bar, in its own units.
const WIDTH: u64 = 1000;

/// The pieces of a batch's page.
pub(in super::super) struct BatchPieces {
    pub(in super::super) facts: BatchFacts,
    pub(in super::super) stages: Vec<Stage>,
    pub(in super::super) causes: Vec<Cause>,
    pub(in super::super) shape: Shape,
}

#[derive(Template)]
#[template(path = "pieces/batch_facts.html")]
pub(in super::super) struct BatchFacts {
    state: String,
    by: String,
    created: When,
    ended: Option<When>,
    obstacles: Vec<String>,
    /// What is said to those who do not see.
    said: String,
}

/// A stage.
pub(in super::super) struct Stage {
    pub(in super::super) head: StageHead,
    /// Whether a person has to start it, and its name as forms send it.
    pub(in super::super) waits_for_start: bool,
    pub(in super::super) raw_name: String,
}

/// What changes of it.
#[derive(Template)]
#[template(path = "pieces/stage_head.html")]
pub(in super::super) struct StageHead {
    layout: Ground,
    number: usize,
    name: String,
    queue: Link,
    counts: Vec<Count>,
    total: String,
    percent: u64,
    rate: Option<String>,
    left: Option<String>,
    held: Option<String>,
}

/// How many items stand somewhere, and the part of the bar that stands for them.
struct Count {
    word: &'static str,
    number: String,
    x: u64,
    width: u64,
}

/// Why items have failed.
pub(in super::super) struct Cause {
    pub(in super::super) count: CauseCount,
    pub(in super::super) why: String,
    pub(in super::super) signature: String,
}

/// How many of them.
#[derive(Template)]
#[template(path = "pieces/cause_count.html")]
pub(in super::super) struct CauseCount {
    number: usize,
    count: String,
}

impl BatchPieces {
    pub(in super::super) fn of(ground: &Ground, standing: &Standing) -> Self {
        let numbers = 0..standing.state.stages.len();
        let stages: Vec<_> = numbers
            .map(|number| Stage::of(ground, standing, number))
            .collect();
        Self {
            shape: shape(standing, &stages),
            facts: BatchFacts::of(standing),
            stages,
            causes: causes(standing),
        }
    }

    pub(in super::super) fn html(&self) -> Vec<String> {
        let first = [html(&self.shape), html(&self.facts)].into_iter();
        let stages = self.stages.iter().map(|stage| html(&stage.head));
        let causes = self.causes.iter().map(|cause| html(&cause.count));
        first.chain(stages).chain(causes).collect()
    }
}

/// Which sections and buttons there are.
fn shape(standing: &Standing, stages: &[Stage]) -> Shape {
    let state = &standing.state;
    let signatures: Vec<_> = standing.causes.iter().map(|(why, _)| why).collect();
    let waits = stages.iter().map(|stage| stage.waits_for_start);
    let over = state.stages.iter();
    let over = over.map(|stage| (stage.is_over(), stage.held.is_some()));
    let stages: Vec<_> = waits.zip(over).collect();
    Shape::of((&state.state, stages, signatures))
}

fn causes(standing: &Standing) -> Vec<Cause> {
    let causes = standing.causes.iter().enumerate();
    let cause = |(number, (why, count)): (usize, &(String, u64))| Cause {
        count: CauseCount {
            number,
            count: grouped(*count),
        },
        why: message(why),
        signature: why.clone(),
    };
    causes.map(cause).collect()
}

impl BatchFacts {
    fn of(standing: &Standing) -> Self {
        let state = &standing.state;
        let [done, failed] = [state.sum(|it| it.done), state.sum(|it| it.failed)].map(grouped);
        let word = name(state.state.as_bytes());
        Self {
            said: format!("{word}, {done} done, {failed} failed"),
            state: word,
            by: name(state.created_by.as_bytes()),
            created: When::at(state.created * 1000),
            ended: state.ended.map(|at| When::at(at * 1000)),
            obstacles: obstacles(standing),
        }
    }
}

impl Stage {
    fn of(ground: &Ground, standing: &Standing, number: usize) -> Self {
        let stage = &standing.state.stages[number];
        Self {
            head: StageHead::of(ground, standing, number),
            waits_for_start: !stage.is_started && !stage.is_over(),
            raw_name: stage.name.clone(),
        }
    }
}

impl StageHead {
    fn of(ground: &Ground, standing: &Standing, number: usize) -> Self {
        let stage = &standing.state.stages[number];
        let rate = standing.rates[number];
        Self {
            layout: ground.clone(),
            number,
            name: name(stage.name.as_bytes()),
            queue: Link::to_queue(&stage.queue),
            counts: counts(standing, number),
            total: match stage.is_read {
                true => counted(stage.total, "item"),
                false => "items are not known yet".to_owned(),
            },
            percent: stage.done * 100 / stage.total.max(1),
            rate: (rate > 0.0).then(|| format!("{rate:.1}/s")),
            left: standing.left(number).map(|left| Age(left).to_string()),
            held: stage.held.as_deref().map(message),
        }
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
