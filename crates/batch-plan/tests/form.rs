//! What is said of plans that are wrong.

use batch_plan::{Overrides, Plan, Resolved};
use proptest::prelude::*;

fn resolve(text: &str) -> Result<Resolved, String> {
    Plan::parse(text.as_bytes())
        .and_then(|plan| plan.resolve(&Overrides::default()))
        .map_err(|error| error.to_string())
}

/// The plan with one stage above a grid.
fn above(stage: &str) -> String {
    format!(
        "plan: 1\nname: p\nset: {{graph: g}}\nstages:\n  - {{name: a, queue: q, items: {{range: {{x: 5, y: [3, 8]}}}}}}\n  \
         - {{queue: q, {stage}}}\n"
    )
}

#[test]
fn everything_is_told_at_once_with_its_place() {
    let error = resolve(
        "plan: 1\nname: p\nstages:\n  - name: l2\n    queue: q\n    items: {range: {x: 4}}\n    atempts: 3\n    timeout: 3 \n    rerun: nevr\n    \
         limit: {queue: 0}\n  - queue: q\n    items: {list: [1], csv: a.csv}\n",
    )
    .unwrap_err();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(
        lines,
        [
            "line 7, column 5: stages[0].atempts: unknown; did you mean `attempts`?",
            "line 8, column 14: stages[0].timeout: `3` is not a duration of a second or more, such as 90s, 15m, 2h or 7d",
            "line 9, column 12: stages[0].rerun: `nevr` is none of always, never; did you mean `never`?",
            "line 10, column 20: stages[0].limit.queue: expected a whole number of 1 or more",
            "line 11, column 5: stages[1].name: missing",
            "line 12, column 12: stages[1].items: expected one of range, objects, files, csv, jsonl, list, yaml, command, found 2",
        ],
        "{error}"
    );
}

/// Stages that do not fit above the grid, and what is said of them.
const MISFITS: [(&str, &str); 34] = [
    ("name: b", "stages.b.items: missing"),
    ("name: a, after: a", "two stages are called `a`"),
    ("name: b, after: c", "no stage `c` stands above"),
    ("name: b, after: b", "no stage `b` stands above"),
    ("name: b, after: [a, {stage: a, all: true}]", "named twice"),
    ("name: b, after: {stage: a, group: {z: 2}}", "no axis `z`"),
    (
        "name: b, after: {stage: a, group: {x: 0}}",
        "a factor of 1 or more",
    ),
    (
        "name: b, after: {stage: a, group: '{{ x }}'}",
        "factors of its axes",
    ),
    (
        "name: b, after: a, items: {list: [1]}",
        "has none of its own",
    ),
    ("name: b, after: a, shuffle: true", "no order of their own"),
    (
        "name: b, after: a, manifest: true",
        "only a stage with a `group`",
    ),
    (
        "name: b, after: a, sort: '{{ x }}'",
        "only groups by a text",
    ),
    (
        "name: b, after: a, allow_failed: 5%",
        "only a stage with `after: {all: true}`",
    ),
    ("name: b, after: a, late: true", "read later"),
    ("name: b, after: {stage: a, all: true}", "missing"),
    (
        "name: b, items: {range: {x: 3, graph: 2}}",
        "`graph` is a value of the plan",
    ),
    (
        "name: b, items: {range: {count: 3}}",
        "is a variable of every plan",
    ),
    ("name: b, items: {range: {x: [3, 3]}}", "there is nothing"),
    (
        "name: b, items: {range: {x: 65536, y: 65536}}",
        "4294967296 items",
    ),
    (
        "name: b, items: {range: {x: 18446744073709551615, y: 9}}",
        "more items",
    ),
    (
        "name: b, items: {range: {x: '{{ graph }}'}}",
        "no whole number",
    ),
    ("name: b, items: {list: '{{ graph }}'}", "gives no list"),
    (
        "name: b, after: a, fields: {status: x}",
        "consumers write it",
    ),
    (
        "name: b, after: a, fields: {x: '{{ x '}",
        "fields.x: syntax error",
    ),
    (
        "name: b, after: a, rerun: never, crashes: 3",
        "one crash already",
    ),
    ("name: B, after: a", "`B` is no name"),
    ("name: '{{ x }}', after: a", "`x` is not defined"),
    (
        "name: b, items: {objects: {capture: '(?P<key>.)'}}",
        "a variable of every object",
    ),
    (
        "name: b, items: {objects: {capture: '('}}",
        "unclosed group",
    ),
    (
        "name: b, items: {objects: {match: 'a[', prefix: p}}",
        "match",
    ),
    (
        "name: b, repeat: {n: [1, 2]}, after: a",
        "the name needs {{ n }}",
    ),
    (
        "name: 'b{{ n }}', repeat: {n: [1, auto]}, after: previous",
        "`auto` needs",
    ),
    (
        "name: 'b{{ n }}', repeat: {n: [1, auto]}, after: {stage: previous, group: {x: 2}}",
        "never ends",
    ),
    (
        "name: 'b{{ n }}', repeat: {n: [2, 1]}, after: previous",
        "smaller than the first",
    ),
];

#[test]
fn what_does_not_fit_together_is_told() {
    for (stage, expected) in MISFITS {
        let error = resolve(&above(stage)).expect_err(stage);
        assert!(error.contains(expected), "{stage}: {error}");
        assert!(error.starts_with("line "), "{stage}: {error}");
    }
}

#[test]
fn several_stages_are_gathered_if_their_items_are_the_same() {
    let plan = resolve(
        "plan: 1\nname: p\nstages:\n  - {name: a, queue: q, items: {range: {x: 5}}}\n  - {name: b, queue: q, items: {range: {x: [0, 3]}}}\n  \
         - {name: c, queue: q, after: [b, {stage: a, group: {x: 2}}]}\n",
    )
    .unwrap();
    assert_eq!(plan.total(2), Some(3));
    assert_eq!(plan.ups(0, 4, None)[0].children, 2, "one of each");
    assert_eq!(plan.ups(1, 0, None)[0].children, 3);
    assert_eq!(plan.largest_group(2), Some(3));
    let error = resolve(&above(
        "name: b, after: [a]}\n  - {name: c, queue: q, after: [a, {stage: b, group: {x: 2}}]",
    ));
    assert!(error.unwrap_err().contains("different items"));
}

#[test]
fn a_repetition_is_counted_to_its_last() {
    let plan = resolve(&above(
        "name: 'b{{ n }}', repeat: {n: [1, 3]}, after: previous}\n  - {name: c, queue: q, after: previous",
    ))
    .unwrap();
    let names: Vec<_> = plan
        .stages()
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b1", "b2", "b3", "c"]);
    assert_eq!(plan.stages()[4].after[0].stage, "b3");
    // From 3 to 8 in halves: 1 to 4, 0 to 2, 0 to 1.
    let plan = resolve(&above(
        "name: 'b{{ n }}', repeat: {n: [1, auto]}, after: {stage: previous, group: {x: 2, y: 2}}",
    ))
    .unwrap();
    let totals: Vec<_> = (0..plan.stages().len())
        .map(|k| plan.total(k).unwrap())
        .collect();
    assert_eq!(totals, [25, 9, 4, 1]);
}

#[test]
fn a_value_may_have_to_be_given() {
    let text = above("name: b, after: a").replace("graph: g", "graph: ~");
    let plan = Plan::parse(text.as_bytes()).unwrap();
    let error = plan.resolve(&Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("give one with --set"), "{error}");
    let set = |name: &str| Overrides {
        set: vec![(name.to_owned(), "x".to_owned())],
        ..Overrides::default()
    };
    assert!(plan.resolve(&set("graph")).is_ok());
    let error = plan.resolve(&set("grahp")).unwrap_err().to_string();
    assert!(error.contains("did you mean `graph`?"), "{error}");
}

/// A plan with one stage.
fn one(stage: &str) -> String {
    format!("plan: 1\nname: p\nstages:\n  - {{queue: q, {stage}}}\n")
}

#[track_caller]
fn assert_refused(text: &str, expected: &str) {
    let error = resolve(text).unwrap_err();
    let shown = &error[..error.len().min(300)];
    assert!(error.contains(expected), "{expected}: {shown}");
}

#[test]
fn endless_repetitions_come_to_an_end() {
    let endless = "name: 's{{ n }}', repeat: {n: [0, 18446744073709551615]}, items: {list: [a]}";
    assert_refused(&one(endless), "at most 1000 stages");
    let large = format!("{endless}, fields: {{x: '{}'}}", "y".repeat(100_000));
    assert_refused(&one(&large), "more than 1048576 bytes");
    let values: String = (0..2000).map(|n| format!("v{n}: 1, ")).collect();
    let with_values = one(endless).replace("stages:", &format!("set: {{{values}}}\nstages:"));
    assert_refused(&with_values, "at most 1000 values");
}

#[test]
fn patterns_and_templates_that_are_too_large_are_refused() {
    let capture = |pattern: &str| {
        one(&format!(
            "name: a, items: {{objects: {{capture: '{pattern}'}}}}"
        ))
    };
    let long = format!("(?P<n>{})", "a|".repeat(600));
    assert_refused(&capture(&long), "at most 1000 bytes");
    let deep = "(?P<n>((a{1000}){1000}){1000})";
    assert_refused(&capture(deep), "too large");
    let minuses = "-".repeat(4000);
    let template = one(&format!(
        "name: a, items: {{list: ['{{{{ {minuses} 1 }}}}']}}"
    ));
    assert_refused(&template, "at most 500 operators");
}

#[test]
fn lists_that_are_too_long_are_refused() {
    let globs = "'*',".repeat(101);
    let except = one(&format!(
        "name: a, items: {{objects: {{except: [{globs}]}}}}"
    ));
    assert_refused(&except, "at most 100 globs");
    let after = one(&format!("name: a, after: [{}]", "a,".repeat(101)));
    assert_refused(&after, "at most 100 others");
    let unknown: String = (0..1000).map(|n| format!("atempt{n}: 1\n")).collect();
    assert_refused(&format!("plan: 1\nname: p\n{unknown}"), "unknown");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Plan::parse(&bytes).map(|plan| plan.resolve(&Overrides::default()));
    }

    /// What is stored comes from Redis, where others write, too.
    #[test]
    fn no_change_of_a_stored_plan_panics(
        at: prop::sample::Index,
        len in 0_usize..12,
        new in "[-{}\\[\\]:,a-z0-9\"]{0,8}",
    ) {
        let plan = resolve(&above("name: b, after: {stage: a, group: {x: 2}}"));
        let mut json = plan.unwrap().to_json().unwrap();
        let at = at.index(json.len());
        let end = (at + len).min(json.len());
        json.replace_range(at..end, &new);
        if let Ok(plan) = Resolved::from_json(&json) {
            for k in 0..plan.stages().len() {
                plan.ups(k, 0, None);
                plan.children(k, 0, None);
            }
        }
    }

    #[test]
    fn no_change_of_a_plan_panics(
        which in 0_usize..3,
        at: prop::sample::Index,
        len in 0_usize..12,
        new in "[-{}\\[\\]:,&*!#a-z0-9\"' \n]{0,8}",
    ) {
        let plans = [
            include_str!("plans/layers.yaml"),
            include_str!("plans/scans.yaml"),
            include_str!("plans/movies.yaml"),
        ];
        let mut text: Vec<char> = plans[which].chars().collect();
        let at = at.index(text.len());
        let end = (at + len).min(text.len());
        text.splice(at..end, new.chars());
        let text: String = text.into_iter().collect();
        let _ = Plan::parse(text.as_bytes()).map(|plan| plan.resolve(&Overrides::default()));
    }
}
