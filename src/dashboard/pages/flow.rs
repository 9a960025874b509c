//! Which stage of a batch follows which, as a drawing.

use batch_plan::Resolved;

use super::super::shown::name;

/// Sizes of boxes and of the room between them.
const BOX: (usize, usize) = (190, 32);
const STEP: (usize, usize) = (240, 48);

/// Characters of a name that fit into a box.
const FITTING: usize = 22;

/// The stages as boxes, those below on the left, and arrows between them.
pub(super) struct Flow {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) boxes: Vec<StageBox>,
    pub(super) arrows: Vec<Arrow>,
    /// The same in words.
    pub(super) text: String,
}

pub(super) struct StageBox {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) name: String,
}

pub(super) struct Arrow {
    /// From where to where, as a path of SVG.
    pub(super) path: String,
    /// Whether all of the stage below has to end first.
    pub(super) is_barrier: bool,
}

/// Of a plan with several stages.
pub(super) fn flow(plan: &Resolved) -> Option<Flow> {
    let stages = plan.stages();
    if stages.len() < 2 {
        return None;
    }
    let links: Vec<_> = (0..stages.len())
        .flat_map(|stage| links_to(plan, stage))
        .collect();
    let places = places(stages.len(), &links);
    let boxes = stages.iter().zip(&places).map(|(stage, &(x, y))| StageBox {
        x,
        y,
        name: fitting(&stage.name),
    });
    let arrows = links.iter().map(|link| Arrow {
        path: curve(places[link.from], places[link.to]),
        is_barrier: link.is_barrier,
    });
    let words = links.iter().map(|link| {
        let [from, to] = [link.from, link.to].map(|it| name(stages[it].name.as_bytes()));
        match link.is_barrier {
            true => format!("{to} begins when {from} has ended"),
            false => format!("{to} follows {from}"),
        }
    });
    let (right, bottom) =
        (places.iter()).fold((0, 0), |(x, y), place| (x.max(place.0), y.max(place.1)));
    Some(Flow {
        width: 1 + right + BOX.0,
        height: 1 + bottom + BOX.1,
        boxes: boxes.collect(),
        text: words.collect::<Vec<_>>().join("; "),
        arrows: arrows.collect(),
    })
}

/// That one stage follows another, by their numbers.
struct Link {
    from: usize,
    to: usize,
    is_barrier: bool,
}

fn links_to(plan: &Resolved, to: usize) -> impl Iterator<Item = Link> {
    let gathered = plan.below(to).map(|from| (from, false));
    let barriers = plan.barriers(to).iter().map(|&from| (from, true));
    let all = gathered.chain(barriers);
    all.map(move |(from, is_barrier)| Link {
        from,
        to,
        is_barrier,
    })
}

/// Where the box of each stage is: to the right of all below it, under those that were there before.
fn places(count: usize, links: &[Link]) -> Vec<(usize, usize)> {
    let (mut columns, mut used) = (vec![0_usize; count], vec![0_usize; count]);
    let place = |stage: usize| {
        // Those below stand before it in the plan.
        let below = links.iter().filter(|link| link.to == stage);
        let last = below.map(|link| columns[link.from] + 1).max();
        let column = last.unwrap_or(0).min(count - 1);
        columns[stage] = column;
        used[column] += 1;
        (1 + column * STEP.0, 1 + (used[column] - 1) * STEP.1)
    };
    (0..count).map(place).collect()
}

/// An arrow from the right side of one box to the left side of another.
fn curve((x1, y1): (usize, usize), (x2, y2): (usize, usize)) -> String {
    let (x1, x2) = (x1 + BOX.0, x2.saturating_sub(6));
    let (y1, y2) = (y1 + BOX.1 / 2, y2 + BOX.1 / 2);
    let middle = usize::midpoint(x1, x2);
    format!("M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}")
}

fn fitting(text: &str) -> String {
    let text = name(text.as_bytes());
    match text.chars().count() > FITTING {
        true => text.chars().take(FITTING - 1).chain(['…']).collect(),
        false => text,
    }
}
