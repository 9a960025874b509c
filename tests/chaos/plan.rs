//! A plan that runs beside everything else: items of three layers, worked by commands that die, hang and give up.

use super::commands;
use super::losses::Item;
use super::peers::redis::Redis;
use super::uploads;

pub(crate) const NAME: &str = "chaos";

/// How long its layers are in each direction, from the second layer on.
const SIZES: [[u64; 3]; 4] = [[7, 6, 6], [4, 3, 3], [2, 2, 2], [1, 1, 1]];

/// All of its items.
pub(crate) fn items() -> Vec<Item> {
    let layers = (2..).zip(SIZES);
    let of_layer = |(layer, [xs, ys, zs]): (u64, [u64; 3])| {
        (0..xs * ys * zs).map(move |at| [layer, at / zs / ys, at / zs % ys, at % zs])
    };
    layers.flat_map(of_layer).collect()
}

/// The plan.
pub(crate) fn text() -> String {
    format!(
        r#"
plan: 1
name: {NAME}
stages:
  - name: l2
    queue: {queue}
    items: {{range: {{x: 7, y: 6, z: 6}}}}
    shuffle: true
    input: {input}
    fields: {{layer: "2", x: "{{{{ x }}}}", y: "{{{{ y }}}}", z: "{{{{ z }}}}"}}
    expect: [result]
    limit: {{queue: 20}}
  - repeat: {{layer: [3, auto]}}
    name: "l{{{{ layer }}}}"
    queue: {queue}
    after: {{stage: previous, group: {{x: 2, y: 2, z: 2}}}}
    input: {input}
    fields: {{layer: "{{{{ layer }}}}", x: "{{{{ x }}}}", y: "{{{{ y }}}}", z: "{{{{ z }}}}"}}
    expect: [result]
    first: true
"#,
        queue = commands::QUEUE,
        input = uploads::IMAGE,
    )
}

/// Whether all of its items have ended.
pub(crate) fn is_over(master: &Redis) -> bool {
    let state = master.try_ask::<Option<String>>(&["HGET", &head(), "state"]);
    state.is_ok_and(|state| state.as_deref() == Some("finished"))
}

/// Items that are not counted as they have to be: all done, none under way, none failed.
pub(crate) fn miscounted(master: &Redis) -> u64 {
    let number = |stage: usize, what: &str| {
        let field = format!("{stage}:{what}");
        let found: Option<String> = master.ask(&["HGET", &head(), &field]);
        found.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let stages = SIZES.iter().map(|size| size.iter().product::<u64>());
    stages
        .enumerate()
        .map(|(stage, total)| {
            let bits: u64 = master.ask(&["BITCOUNT", &format!("{}:{stage}:done", head())]);
            total.abs_diff(number(stage, "done"))
                + total.abs_diff(bits)
                + number(stage, "out")
                + number(stage, "failed")
        })
        .sum()
}

/// Items that are done.
pub(crate) fn done(master: &Redis) -> u64 {
    let stages = 0..SIZES.len();
    stages
        .map(|stage| master.ask::<u64>(&["BITCOUNT", &format!("{}:{stage}:done", head())]))
        .sum()
}

fn head() -> String {
    format!("rc:batch:{NAME}")
}
