//! Rules that cannot be held, whatever is there.

use std::collections::HashMap;
use std::sync::Arc;

use batch_plan::work::{ImageRule, Verify};
use batch_plan::{Expected, Lists, Problem, RenderError, Renderer, Resolved};

use super::rules::{has, named, needs_input};
use super::subjects::{Subjects, references};
use crate::serving::ModelId;

/// Rules that cannot be held, whatever is there.
pub(crate) fn mistakes(plan: &Arc<Resolved>, lists: &Lists) -> Result<Vec<Problem>, RenderError> {
    let mut outputs = None;
    let mut problems = Vec::new();
    for (number, stage) in plan.stages().iter().enumerate() {
        let mut wrong = |message: String| {
            problems.push(Problem {
                at: None,
                path: format!("stages.{}.verify", stage.name),
                message,
            });
        };
        stage
            .work
            .verify
            .iter()
            .filter_map(of_rule)
            .for_each(&mut wrong);
        if has(stage, needs_input) {
            let outputs = match &outputs {
                Some(outputs) => outputs,
                None => outputs.insert(outputs_of(plan, lists)?),
            };
            of_inputs(plan, lists, number, outputs)?.map(wrong);
        }
    }
    Ok(problems)
}

/// What is wrong with a rule by itself.
fn of_rule(rule: &Verify) -> Option<String> {
    match rule {
        Verify::Model(models) => models.iter().find_map(|model| {
            let parsed = model.parse::<ModelId>();
            Some(format!("model: {}", parsed.err()?))
        }),
        Verify::Command(words) if words.is_empty() => Some("command: it names no program".into()),
        Verify::Image(ImageRule { axes, types, .. }) => {
            let axes = axes.iter().find(|order| !is_order(order)).map(|order| {
                format!("image: `{order}` is no order of rows X, columns Y, channels C and frames B, such as XY or CXY")
            });
            axes.or_else(|| {
                let name = types.iter().find(|name| !is_type(name))?;
                Some(format!("image: `{name}` is no type such as u8, u16 or f32"))
            })
        }
        _ => None,
    }
}

fn is_order(order: &str) -> bool {
    let count = |letter| order.matches(letter).count();
    count('X') == 1 && count('Y') == 1 && order.chars().all(|letter| "BCXY".contains(letter))
}

fn is_type(name: &str) -> bool {
    name.strip_prefix(['u', 'i', 'f', 'c'])
        .and_then(|bits| bits.parse::<u8>().ok())
        .is_some_and(|bits| bits > 0)
}

/// The number of the stage that expects an output, by its key or what its keys begin with.
type Outputs = HashMap<String, usize>;

fn outputs_of(plan: &Arc<Resolved>, lists: &Lists) -> Result<Outputs, RenderError> {
    let mut outputs = HashMap::new();
    for (number, stage) in plan.stages().iter().enumerate() {
        if stage.work.expect.is_empty() {
            continue;
        }
        let renderer = Renderer::new(Arc::clone(plan), number)?;
        let rows = plan.rows_of(number).and_then(|base| lists.get(base));
        for item in plan.looked_at(number, false) {
            let row = rows.and_then(|list| list.row(item));
            // What cannot be rendered is found by the check of all items.
            let expected = renderer.expected(item, row.as_ref()).unwrap_or_default();
            for output in expected {
                if let Expected::Key { key, .. } | Expected::Prefix { prefix: key, .. } = output {
                    outputs.insert(key, number);
                }
            }
        }
    }
    Ok(outputs)
}

/// The stage that makes an object, or those in a folder that it is in.
fn maker(outputs: &Outputs, key: &str) -> Option<usize> {
    let folders = key.match_indices('/').map(|(slash, _)| &key[..=slash]);
    let mut makers = folders.chain([key]).filter_map(|part| outputs.get(part));
    makers.next().copied()
}

/// Why the inputs of a stage cannot be looked at before the batch runs.
fn of_inputs(
    plan: &Arc<Resolved>,
    lists: &Lists,
    number: usize,
    outputs: &Outputs,
) -> Result<Option<String>, RenderError> {
    let stage = &plan.stages()[number];
    let rules = stage.work.verify.iter().filter(|rule| needs_input(rule));
    let rules: Vec<_> = rules.filter_map(named).map(|(word, _)| word).collect();
    let rules = rules.join(", ");
    if stage.work.manifest {
        return Ok(Some(format!(
            "{rules}: its inputs are lists of children, which are written while the batch runs: verify the stage below"
        )));
    }
    for (job, _) in Subjects::of(plan, lists, number)?.jobs().flatten() {
        if references(&job).next().is_none() {
            return Ok(Some(format!(
                "{rules}: its items have no input that could be looked at: give them one by `input`, or leave it out"
            )));
        }
        let made = references(&job).find_map(|input| {
            let maker = maker(outputs, input).filter(|maker| *maker < number)?;
            Some((input, &plan.stages()[maker].name))
        });
        if let Some((input, maker)) = made {
            return Ok(Some(format!(
                "{rules}: `{input}` is made by stage `{maker}` while the batch runs, and cannot be there before: leave it out here; \
                 `expect` of `{maker}` sees to it"
            )));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_types_are_told_from_other_words() {
        for order in ["XY", "CXY", "XYB", "BXYC", "CXYB"] {
            assert!(is_order(order), "{order}");
        }
        for order in ["", "YX C", "XYZ", "xy", "XYX"] {
            assert!(!is_order(order), "{order}");
        }
        for name in ["u8", "i16", "f32", "u12", "c64"] {
            assert!(is_type(name), "{name}");
        }
        for name in ["", "u", "uint8", "u0", "8", "float"] {
            assert!(!is_type(name), "{name}");
        }
    }
}
