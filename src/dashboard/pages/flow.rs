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
    let below = |stage: usize| {
        let gathered = plan.below(stage).map(|it| (it, false));
        let barriers = plan.barriers(stage).iter().map(|&it| (it, true));
        gathered.chain(barriers)
    };
    let (mut columns, mut rows) = (vec![0_usize; stages.len()], Vec::new());
    let mut used: Vec<usize> = vec![0; stages.len()];
    for stage in 0..stages.len() {
        // Those below stand before it in the plan.
        let last = below(stage).map(|(it, _)| columns[it] + 1).max();
        columns[stage] = last.unwrap_or(0).min(stages.len() - 1);
        rows.push(used[columns[stage]]);
        used[columns[stage]] += 1;
    }
    let place = |stage: usize| (1 + columns[stage] * STEP.0, 1 + rows[stage] * STEP.1);
    let boxes = stages.iter().enumerate().map(|(stage, is)| StageBox {
        x: place(stage).0,
        y: place(stage).1,
        name: fitting(&is.name),
    });
    let all = (0..stages.len()).flat_map(|stage| below(stage).map(move |it| (it, stage)));
    let all: Vec<_> = all.collect();
    let arrows = all.iter().map(|&((from, is_barrier), to)| {
        let ((x1, y1), (x2, y2)) = (place(from), place(to));
        let (x1, x2) = (x1 + BOX.0, x2.saturating_sub(6));
        let (y1, y2) = (y1 + BOX.1 / 2, y2 + BOX.1 / 2);
        let middle = usize::midpoint(x1, x2);
        Arrow {
            path: format!("M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"),
            is_barrier,
        }
    });
    let words = all.iter().map(|&((from, is_barrier), to)| {
        let [from, to] = [from, to].map(|it| name(stages[it].name.as_bytes()));
        match is_barrier {
            true => format!("{to} begins when {from} has ended"),
            false => format!("{to} follows {from}"),
        }
    });
    Some(Flow {
        width: 2 + columns.iter().max().copied().unwrap_or(0) * STEP.0 + BOX.0,
        height: 2 + (used.iter().max().copied().unwrap_or(1) - 1) * STEP.1 + BOX.1,
        boxes: boxes.collect(),
        text: words.collect::<Vec<_>>().join("; "),
        arrows: arrows.collect(),
    })
}

fn fitting(text: &str) -> String {
    let text = name(text.as_bytes());
    match text.chars().count() > FITTING {
        true => text.chars().take(FITTING - 1).chain(['…']).collect(),
        false => text,
    }
}
