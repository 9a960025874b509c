//! What makes a plan another one, and what does not.

use batch_plan::{Difference, Overrides, Plan, Resolved, diff};
use proptest::prelude::*;

fn resolve(text: &str) -> Resolved {
    let plan = Plan::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let plan = plan.resolve(&Overrides::default());
    plan.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

const PLAN: &str = "\
plan: 1
name: p
about: words
set: {graph: a, size: 4}
priority: 0
stages:
  - name: l2
    queue: q
    items: {range: {x: 8, y: [2, 6]}}
    id: '{{ x }}-{{ y }}'
    shuffle: 1
    input: in
    fields: {graph: '{{ graph }}'}
    timeout: 3m
    memory: 1Gi
    attempts: 3
    crashes: 2
    rerun: always
    expect: [{key: 'out/{{ x }}-{{ y }}', min_size: 1}]
    verify: [workers]
    limit: {queue: 1000, at_once: 5, ramp: {from: 1, by: 2, every: 1m}}
    stop_after: {same_cause: 5, failed: 10%}
    on_failure: wait
    trigger: auto
    first: false
    keep: {done: 10}
  - name: l3
    queue: q
    after: {stage: l2, group: {x: 2}}
  - name: end
    queue: q
    items: {list: [a, b]}
    after: {stage: l3, all: true}
    allow_failed: 1
";

/// What stands in the text, what takes its place, and what differs by it.
type Change = (&'static str, &'static str, &'static str);

const SOFT: [Change; 17] = [
    (
        "about: words",
        "about: others",
        "about: \"words\" → \"others\"",
    ),
    ("priority: 0", "priority: 5", "priority: – → 5"),
    (
        "timeout: 3m",
        "timeout: 4m",
        "stages.l2.timeout: \"3m\" → \"4m\"",
    ),
    (
        "memory: 1Gi",
        "memory: 2Gi",
        "stages.l2.memory: \"1Gi\" → \"2Gi\"",
    ),
    (
        "attempts: 3",
        "attempts: 4",
        "stages.l2.attempts: \"3\" → \"4\"",
    ),
    (
        "crashes: 2",
        "crashes: 4",
        "stages.l2.crashes: \"2\" → \"4\"",
    ),
    (
        "crashes: 2\n    rerun: always",
        "rerun: never",
        "stages.l2.crashes: \"2\" → –",
    ),
    (
        "[workers]",
        "[workers, exists]",
        "stages.l2.verify: [\"workers\"] → [\"workers\",\"exists\"]",
    ),
    (
        "queue: 1000",
        "queue: 2000",
        "stages.l2.limit.queue: 1000 → 2000",
    ),
    ("at_once: 5", "at_once: 6", "stages.l2.limit.at_once: 5 → 6"),
    (
        "every: 1m",
        "every: 2m",
        "stages.l2.limit.ramp.every: 60 → 120",
    ),
    (
        "same_cause: 5",
        "same_cause: 6",
        "stages.l2.stop_after.same_cause: 5 → 6",
    ),
    (
        "10%",
        "11%",
        "stages.l2.stop_after.failed: \"10%\" → \"11%\"",
    ),
    (
        "trigger: auto",
        "trigger: manual",
        "stages.l2.trigger: – → \"manual\"",
    ),
    ("first: false", "first: true", "stages.l2.first: – → true"),
    ("done: 10", "done: 20", "stages.l2.keep.done: 10 → 20"),
    (
        "allow_failed: 1",
        "allow_failed: 5%",
        "stages.end.allow_failed: 1 → \"5%\"",
    ),
];

const HARD: [Change; 19] = [
    ("name: p", "name: p2", "name: \"p\" → \"p2\""),
    ("graph: a,", "graph: b,", "set.graph: \"a\" → \"b\""),
    ("size: 4", "size: 5", "set.size: 4 → 5"),
    ("name: end", "name: last", "stages.end: {"),
    (
        "name: l2\n    queue: q",
        "name: l2\n    queue: r",
        "stages.l2.queue: \"q\" → \"r\"",
    ),
    ("x: 8", "x: 9", "stages.l2.items.range: "),
    ("[2, 6]", "[3, 6]", "stages.l2.items.range: "),
    (
        "'{{ x }}-{{ y }}'\n",
        "'{{ x }}_{{ y }}'\n",
        "stages.l2.id: ",
    ),
    ("shuffle: 1", "shuffle: 2", "stages.l2.shuffle: 1 → 2"),
    ("shuffle: 1", "shuffle: true", "stages.l2.shuffle: 1 → "),
    ("input: in", "input: on", "stages.l2.input: \"in\" → \"on\""),
    (
        "'{{ graph }}'",
        "'{{ graph }}2'",
        "stages.l2.fields.graph: \"{{ graph }}\" → \"{{ graph }}2\"",
    ),
    (
        "'{{ graph }}'}",
        "'{{ graph }}', more: x}",
        "stages.l2.fields.more: – → \"x\"",
    ),
    ("out/", "in/", "stages.l2.expect: "),
    ("min_size: 1", "min_size: 2", "stages.l2.expect: "),
    (
        "on_failure: wait",
        "on_failure: go_on",
        "stages.l2.on_failure: – → \"go_on\"",
    ),
    ("group: {x: 2}", "group: {x: 4}", "stages.l3.after: "),
    ("[a, b]", "[a, c]", "stages.end.items.list: "),
    ("stage: l3, all", "stage: l2, all", "stages.end.after: "),
];

/// The plan with a change, and how it differs from the one without.
fn changed(old: &str, new: &str) -> (Resolved, Vec<Difference>) {
    assert!(PLAN.contains(old), "{old}");
    let changed = resolve(&PLAN.replacen(old, new, 1));
    let differences = diff(&resolve(PLAN), &changed).unwrap();
    (changed, differences)
}

#[test]
fn the_rest_may_change() {
    let digest = resolve(PLAN).digest();
    for (old, new, line) in SOFT {
        let (changed, differences) = changed(old, new);
        assert_eq!(changed.digest(), digest, "{new}");
        assert!(
            differences.iter().all(|difference| !difference.hard),
            "{new}"
        );
        assert_eq!(differences[0].to_string(), line);
    }
}

#[test]
fn what_is_done_may_not() {
    let digest = resolve(PLAN).digest();
    for (old, new, line) in HARD {
        let (changed, differences) = changed(old, new);
        assert_ne!(changed.digest(), digest, "{new}");
        let hard = differences.iter().filter(|difference| difference.hard);
        let lines: Vec<_> = hard.map(ToString::to_string).collect();
        assert!(
            lines.iter().any(|found| found.starts_with(line)),
            "{new}: {lines:?}"
        );
    }
}

#[test]
fn another_order_of_stages_is_another_plan() {
    let two = |first: &str, second: &str| {
        let stage = |name: &str| format!("  - {{name: {name}, queue: q, items: {{list: [a]}}}}\n");
        resolve(&format!(
            "plan: 1\nname: p\nstages:\n{}{}",
            stage(first),
            stage(second)
        ))
    };
    let differences = diff(&two("a", "b"), &two("b", "a")).unwrap();
    assert_eq!(differences.len(), 1);
    assert_eq!(
        differences[0].to_string(),
        r#"stages: ["a","b"] → ["b","a"]"#
    );
    assert!(differences[0].hard);
    assert_eq!(diff(&two("a", "b"), &two("a", "b")), Ok(vec![]));
}

#[test]
fn the_writing_of_a_plan_is_not_the_plan() {
    let json = r#"{"stages": [{"queue": "q", "name": "a", "items": {"range": {"x": 4}}, "fields": {"b": "1", "a": 2}}],
                   "name": "p", "plan": 1}"#;
    let yaml = "plan: 1\nname: p\nstages:\n  - {name: a, queue: q, items: {range: {x: [0, 4]}}, fields: {a: '2', b: 1}, limit: {queue: 10000}}\n";
    assert_eq!(resolve(json), resolve(yaml));
    assert_eq!(
        resolve(json).digest().unwrap(),
        "a3e6f2ead869f80cc1e21bd168f78c19474a223a94bcdf01b111f1b51ac86444",
        "batches that run know their plan by this"
    );
}

proptest! {
    #[test]
    fn numbers_come_back(number in any::<f64>().prop_filter("JSON has them", |number| number.is_finite())) {
        let plan = resolve(&PLAN.replacen("size: 4", &format!("size: {number:e}"), 1));
        let back = Resolved::from_json(&plan.to_json().unwrap()).unwrap();
        prop_assert_eq!(back.digest(), plan.digest());
    }

    /// Any of the changes together: the stored form comes back, and the digest knows the hard ones.
    #[test]
    fn changes_add_up(soft in prop::collection::vec(any::<bool>(), SOFT.len()), hard in prop::option::of(0..HARD.len())) {
        let mut text = PLAN.to_owned();
        for ((old, new, _), _) in SOFT.iter().zip(soft).filter(|(_, wanted)| *wanted) {
            text = text.replacen(old, new, 1);
        }
        if let Some((old, new, _)) = hard.map(|index| HARD[index]) {
            prop_assert!(text.contains(old));
            text = text.replacen(old, new, 1);
        }
        let plan = resolve(&text);
        prop_assert_eq!(plan.digest() == resolve(PLAN).digest(), hard.is_none());
        let json = plan.to_json().unwrap();
        let back = Resolved::from_json(&json).unwrap();
        prop_assert_eq!(&back, &plan);
        prop_assert_eq!(back.to_json().unwrap(), json);
        prop_assert_eq!(diff(&plan, &back), Ok(vec![]));
    }
}
