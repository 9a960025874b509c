//! Items that somebody lists.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::sync::Arc;

use batch_plan::{
    CheckOptions, Choice, Entries, Entry, Lists, Nothing, Overrides, Plan, Renderer, Resolved, Row,
    Supply, check,
};
use proptest::prelude::*;

/// Files and objects in memory; a program prints a file of its name.
#[derive(Default)]
struct Memory {
    files: BTreeMap<&'static str, &'static str>,
    keys: Vec<String>,
}

impl Supply for Memory {
    fn open(&mut self, file: &str) -> io::Result<Box<dyn BufRead + '_>> {
        let text = self.files.get(file).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(text.as_bytes()))
    }

    fn glob(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        let prefix = pattern.trim_end_matches("*.yaml");
        let names = self.files.keys().filter(|name| name.starts_with(prefix));
        Ok(names.map(|&name| name.to_owned()).collect())
    }

    fn objects(&mut self, prefix: &str) -> io::Result<Entries<'_>> {
        let keys = self.keys.iter().filter(move |key| key.starts_with(prefix));
        let prefix = prefix.to_owned();
        let entries: Vec<_> = keys
            .cloned()
            .map(|name| {
                Ok(Entry {
                    name,
                    size: prefix.len() as u64,
                })
            })
            .collect();
        Ok(Box::new(entries.into_iter()))
    }

    fn command(&mut self, words: &[String]) -> io::Result<Box<dyn BufRead + '_>> {
        self.open(&words.join(" "))
    }
}

fn resolve(stages: &str, sample: bool) -> Resolved {
    let text = format!("plan: 1\nname: p\nset: {{graph: g}}\nstages:\n{stages}");
    let plan = Plan::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let overrides = Overrides {
        sample,
        ..Overrides::default()
    };
    plan.resolve(&overrides)
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn read(
    items: &str,
    files: &[(&'static str, &'static str)],
) -> Result<(Arc<Resolved>, Lists), String> {
    let mut plan = resolve(&format!("  - {{name: a, queue: q, {items}}}\n"), false);
    let mut memory = Memory {
        files: files.iter().copied().collect(),
        keys: ["in/a/1.tif", "in/a/2.tif", "in/b/1.tif", "in/c.txt"]
            .map(str::to_owned)
            .to_vec(),
    };
    let lists = plan
        .read_lists(&mut memory)
        .map_err(|error| error.to_string())?;
    Ok((Arc::new(plan), lists))
}

fn ids(items: &str, files: &[(&'static str, &'static str)]) -> Result<Vec<String>, String> {
    let (plan, lists) = read(items, files)?;
    let renderer = Renderer::new(plan, 0).unwrap();
    let list = lists.get(0).unwrap();
    let id = |item| {
        renderer
            .item_id(item, list.row(item).as_ref())
            .map_err(|error| error.to_string())
    };
    (0..list.len()).map(id).collect()
}

#[test]
fn every_source_gives_its_rows() {
    let csv = [("t.csv", "id,size\r\na,1\r\n\"b,c\",2\n")];
    assert_eq!(ids("items: {csv: t.csv}", &csv).unwrap(), ["a", "b,c"]);
    let jsonl = [(
        "t.jsonl",
        "{\"n\":1,\"key\":\"x\"}\n\n{\"n\":2,\"key\":\"y\"}",
    )];
    assert_eq!(ids("items: {jsonl: t.jsonl}", &jsonl).unwrap(), ["x", "y"]);
    assert_eq!(
        ids("items: {jsonl: t.jsonl}, id: '{{ n + 1 }}'", &jsonl).unwrap(),
        ["2", "3"]
    );
    let command = [("./list.sh all", "{\"id\":\"x\"}\n")];
    assert_eq!(
        ids("items: {command: [./list.sh, all]}", &command).unwrap(),
        ["x"]
    );
    let list = "items: {list: [a, 1.50, '{{ graph }}', {id: z, more: 1}]}";
    assert_eq!(ids(list, &[]).unwrap(), ["a", "1.50", "g", "z"]);
    let yaml = [
        (
            "tasks/1.yaml",
            "farm: n\nscans: [s1, s2, s3]\nexcluded: [s2]\n",
        ),
        ("tasks/2.yaml", "farm: s\nscans: [s2]\n"),
    ];
    let items = "items: {yaml: {path: tasks/*.yaml, each: scans, except: excluded}}, id: '{{ farm }}/{{ item }}'";
    assert_eq!(ids(items, &yaml).unwrap(), ["n/s1", "n/s3", "s/s2"]);
    let objects = "items: {objects: {prefix: in/, match: '**/*.tif', except: [b/*], capture: '(?P<folder>[^/]+)/'}}, id: '{{ folder }}_{{ stem }}_{{ size }}'";
    assert_eq!(ids(objects, &[]).unwrap(), ["a_1_3", "a_2_3"]);
}

/// Items, the file `t`, and what is said of them.
const WRONG: [(&str, &str, &str); 14] = [
    (
        "items: {csv: t}",
        "id\na\nb\na\n",
        "rows 1 and 3 have the same id `a`",
    ),
    (
        "items: {csv: t}",
        "id,b\na\n",
        "t, line 2: has 1 columns, and the head has 2",
    ),
    (
        "items: {csv: t}",
        "id,id\na,b\n",
        "two columns have one name",
    ),
    (
        "items: {csv: t}",
        "a b\n1\n",
        "`a b` is no name that templates can use",
    ),
    (
        "items: {csv: t}",
        "graph\n1\n",
        "`graph` is a value of the plan already",
    ),
    (
        "items: {csv: t}",
        "batch\n1\n",
        "`batch` is a variable of every plan",
    ),
    (
        "items: {csv: t}",
        "n\n1\n",
        "the items have no id, key, item",
    ),
    ("items: {csv: t}", "id\n", "there is no item"),
    ("items: {csv: u}", "id\n", "reading u: entity not found"),
    (
        "items: {jsonl: t}",
        "{}\n[1]\n",
        "t, line 2: is no JSON object",
    ),
    (
        "items: {yaml: {path: t, each: scans}}",
        "scan: [a]\n",
        "has no list `scans`; did you mean `scan`?",
    ),
    (
        "items: {yaml: {path: t, each: s, except: x}}",
        "s: [a]\nx: [b]\n",
        "names what is not there: ",
    ),
    (
        "items: {objects: {prefix: in/, except_stems: [a, c, d]}}",
        "",
        "except_stems names what is not there: a, d",
    ),
    (
        "items: {csv: t}, id: '{{ nmae }}'",
        "name\n1\n",
        "did you mean `name`?",
    ),
];

#[test]
fn rows_that_are_wrong_are_named() {
    for (items, file, expected) in WRONG {
        let error = read(items, &[("t", file)]).map(|_| ()).expect_err(items);
        assert!(error.contains(expected), "{items}: {error}");
        assert!(error.starts_with("stage a"), "{error}");
    }
}

#[test]
fn values_do_not_hide_the_parts_of_a_key() {
    let text =
        "plan: 1\nname: p\nset: {stem: s}\nstages: [{name: a, queue: q, items: {objects: {}}}]";
    let plan = Plan::parse(text.as_bytes()).unwrap();
    let mut plan = plan.resolve(&Overrides::default()).unwrap();
    assert!(plan.needs_bucket());
    let mut memory = Memory {
        keys: vec!["a.tif".to_owned()],
        ..Memory::default()
    };
    let error = plan.read_lists(&mut memory).unwrap_err().to_string();
    assert_eq!(
        error,
        "stage a, a.tif: `stem` is a value of the plan already"
    );
}

#[test]
fn outputs_belong_to_one_item() {
    let (plan, lists) = read("items: {list: [a, b]}, expect: ['out/{{ graph }}']", &[]).unwrap();
    let report = check(&plan, &lists, CheckOptions::default()).unwrap();
    let text = report.problems[0].to_string();
    assert_eq!(
        text,
        "stages.a.expect: item 1 expects `out/g`, and so does item 0 of `a`"
    );
}

#[test]
fn ids_of_grids_hold_their_axes() {
    let plan = resolve(
        "  - {name: a, queue: q, items: {range: {x: 200000, y: 2}}, id: '{{ x }}'}\n",
        false,
    );
    let report = check(&Arc::new(plan), &Lists::default(), CheckOptions::default()).unwrap();
    assert_eq!(report.looked_at, [1000]);
    assert!(
        report.problems[0].to_string().contains("`y` is not in it"),
        "{:?}",
        report.problems
    );
}

#[test]
fn a_sample_keeps_its_outputs_apart() {
    let stages = "  - {name: a, queue: q, items: {range: {x: 8}}, expect: ['out/{{ x }}']}\n";
    let mut plan = resolve(stages, true);
    plan.choose(&mut Lists::default(), &Choice::Count(2))
        .unwrap();
    let plan = Arc::new(plan);
    let report = check(&plan, &Lists::default(), CheckOptions::default()).unwrap();
    assert_eq!(report.problems.len(), 1);
    let options = CheckOptions {
        into_real_outputs: true,
        ..CheckOptions::default()
    };
    assert_eq!(
        check(&plan, &Lists::default(), options).unwrap().problems,
        []
    );
    assert!(
        resolve(stages, false)
            .choose(&mut Lists::default(), &Choice::Count(2))
            .is_err()
    );
    assert!(
        resolve(stages, true)
            .choose(&mut Lists::default(), &Choice::Count(10_001))
            .is_err()
    );
}

#[test]
fn a_late_list_is_read_when_its_time_comes() {
    let stages = "  - {name: a, queue: q, items: {list: [x]}}\n  \
                  - {name: b, queue: q, items: {csv: t}, after: {stage: a, all: true}, late: true}\n  \
                  - {name: c, queue: q, after: b}\n";
    let mut plan = resolve(stages, false);
    plan.read_lists(&mut Nothing).unwrap();
    assert_eq!(
        (plan.total(0), plan.total(1), plan.total(2)),
        (Some(1), None, None)
    );
    let digest = plan.digest();
    let mut memory = Memory {
        files: [("t", "id\na\nb\n")].into(),
        ..Memory::default()
    };
    let lists = plan.read_late(1, &mut memory).unwrap();
    assert_eq!((plan.total(1), plan.total(2)), (Some(2), Some(2)));
    assert_eq!(lists.iter().count(), 1);
    assert_eq!(plan.digest(), digest);
    assert_eq!(Resolved::from_json(&plan.to_json().unwrap()).unwrap(), plan);
}

#[test]
fn what_was_read_late_does_not_make_another_plan() {
    let stages = "  - {name: a, queue: q, items: {list: [x]}}\n  \
                  - {name: b, queue: q, items: {csv: t}, after: {stage: a, all: true}, late: true}\n  \
                  - {name: c, queue: q, after: {stage: b, group: '{{ id }}'}}\n";
    let (mut plan, mut same) = (resolve(stages, false), resolve(stages, false));
    plan.read_lists(&mut Nothing).unwrap();
    same.read_lists(&mut Nothing).unwrap();
    let mut memory = Memory {
        files: [("t", "id\na\nb\n")].into(),
        ..Memory::default()
    };
    plan.read_late(1, &mut memory).unwrap();
    assert_eq!((plan.is_late(0), plan.is_late(2)), (false, true));
    assert_eq!(plan.total(2), Some(2));
    assert_eq!(plan.digest(), same.digest());
    assert_eq!(batch_plan::diff(&plan, &same), Ok(vec![]));
    same.keep_late(&plan);
    assert_eq!(same, plan);
}

/// Frames of wells of plates, grouped twice.
const NESTED: &str = "  - {name: a, queue: q, items: {list: '{{ rows }}'}, id: '{{ n }}', shuffle: 3}\n  \
                      - {name: b, queue: q, after: a}\n  \
                      - {name: c, queue: q, after: {stage: b, group: '{{ well }}'}, sort: '{{ n }}'}\n  \
                      - {name: d, queue: q, after: {stage: c, group: '{{ group[0] }}'}, sort: '{{ group }}'}\n";

fn nested(rows: &[(u8, u8)], sample: bool) -> (Resolved, Lists) {
    let rows: Vec<_> = rows
        .iter()
        .enumerate()
        .map(|(n, (plate, well))| format!("{{n: {n}, well: {}{well}}}", char::from(b'a' + plate)))
        .collect();
    let stages = NESTED.replace("'{{ rows }}'", &format!("[{}]", rows.join(", ")));
    let mut plan = resolve(&stages, sample);
    let lists = plan.read_lists(&mut Nothing).unwrap();
    (plan, lists)
}

/// Each item of a stage above has the children that say so, and no others.
fn consistent(plan: &Resolved, lists: &Lists) -> Result<(), TestCaseError> {
    for k in [0, 1, 2] {
        let list = lists.get(plan.rows_of(k).unwrap()).unwrap();
        let mut seen = Children::new();
        let mut wanted = Children::new();
        for item in 0..list.len() {
            let row = Row::from_line(&list.line(item).unwrap()).unwrap();
            for up in plan.ups(k, item, Some(&row)) {
                *seen.entry((up.stage, up.parent)).or_default() += 1;
                wanted.insert((up.stage, up.parent), up.children);
                let parent = lists.get(plan.rows_of(up.stage).unwrap()).unwrap();
                let parent = parent.row(up.parent).unwrap();
                let children = plan.children(up.stage, up.parent, Some(&parent));
                prop_assert_eq!(children[0].0, k);
                prop_assert!(children[0].1.contains(&item));
                prop_assert_eq!(children[0].1.len() as u64, up.children);
                if up.stage == 2 {
                    prop_assert_eq!(&row.vars["well"], &parent.vars["group"]);
                }
            }
        }
        prop_assert_eq!(&seen, &wanted);
        for above in plan.above(k) {
            totals_fit(plan, above, &seen)?;
        }
    }
    frames_are_sorted(lists)
}

/// How many children an item of a stage has.
type Children = BTreeMap<(usize, u64), u64>;

fn totals_fit(plan: &Resolved, stage: usize, seen: &Children) -> Result<(), TestCaseError> {
    let counts = || seen.iter().filter(|((k, _), _)| *k == stage);
    prop_assert_eq!(plan.total(stage), Some(counts().count() as u64));
    let largest = counts().map(|(_, &count)| count).max();
    prop_assert_eq!(plan.largest_group(stage), largest);
    Ok(())
}

/// Members of a well are in their order.
fn frames_are_sorted(lists: &Lists) -> Result<(), TestCaseError> {
    let frames = lists.get(0).unwrap();
    let frame = |item| frames.row(item).unwrap();
    for item in 1..frames.len() {
        let (one, other) = (frame(item - 1), frame(item));
        if one.group == other.group {
            prop_assert!(one.vars["n"].as_u64() < other.vars["n"].as_u64());
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn groups_of_groups_fit(rows in prop::collection::vec((0_u8..3, 0_u8..4), 1..40)) {
        let (plan, lists) = nested(&rows, false);
        consistent(&plan, &lists)?;
        prop_assert_eq!(plan.total(0), Some(rows.len() as u64));
        let inline = plan.inline_lists().unwrap();
        for (k, list) in lists.iter() {
            prop_assert!(list.lines().eq(inline.get(k).unwrap().lines()));
        }
    }

    #[test]
    fn samples_of_lists_fit(rows in prop::collection::vec((0_u8..3, 0_u8..4), 1..40), count in 1_u64..20) {
        let (mut plan, mut lists) = nested(&rows, true);
        plan.choose(&mut lists, &Choice::Count(count)).unwrap();
        consistent(&plan, &lists)?;
        prop_assert_eq!(plan.total(0), Some(count.min(rows.len() as u64)));
        let inline = plan.inline_lists().unwrap();
        for (k, list) in lists.iter() {
            prop_assert!(list.lines().eq(inline.get(k).unwrap().lines()), "{}", k);
        }
    }

    #[test]
    fn samples_of_grids_fit(x in 1_u64..9, y in 1_u64..9, from in 0_u64..5, count in 1_u64..30) {
        let mut plan = resolve(&format!(
            "  - {{name: a, queue: q, items: {{range: {{x: [{from}, {}], y: {y}}}}}, shuffle: true}}\n  \
             - {{repeat: {{n: [1, auto]}}, name: 'b{{{{ n }}}}', queue: q, after: {{stage: previous, group: {{x: 2, y: 2}}}}}}\n  \
             - {{name: c, queue: q, after: previous}}\n", from + x), true);
        plan.choose(&mut Lists::default(), &Choice::Count(count)).unwrap();
        prop_assert_eq!(plan.total(0), Some(count.min(x * y)));
        for k in 0..plan.stages().len() {
            let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
            for position in 0..plan.total(k).unwrap() {
                for up in plan.ups(k, plan.item_at(k, position).unwrap(), None) {
                    *seen.entry(up.parent).or_default() += 1;
                    let children = plan.children(up.stage, up.parent, None);
                    prop_assert_eq!(children[0].1.len() as u64, up.children);
                }
            }
            if let Some(above) = plan.above(k).next() {
                let chosen = plan.stages()[above].chosen.as_ref().unwrap();
                prop_assert!(seen.keys().eq(chosen));
                for (&parent, &count) in &seen {
                    prop_assert_eq!(plan.children(above, parent, None)[0].1.len() as u64, count);
                }
            }
        }
        let last = plan.stages().len() - 1;
        prop_assert_eq!(plan.total(last), Some(1), "the root is reached");
        prop_assert_eq!(Resolved::from_json(&plan.to_json().unwrap()).unwrap(), plan);
    }
}

#[test]
fn the_sample_of_a_grid_is_the_middle_group() {
    let stages = "  - {name: a, queue: q, items: {range: {x: 940, y: 700, z: 16}}}\n  \
                  - {name: b, queue: q, after: {stage: a, group: {x: 2, y: 2, z: 2}}}\n";
    let mut plan = resolve(stages, true);
    plan.choose(&mut Lists::default(), &Choice::Count(8))
        .unwrap();
    assert_eq!((plan.total(0), plan.total(1)), (Some(8), Some(1)));
    let parent = plan.item_at(1, 0).unwrap();
    assert_eq!(plan.grid(1).unwrap().point(parent), [235, 175, 4]);
    let mut plan = resolve(stages, true);
    plan.choose(&mut Lists::default(), &Choice::Group("469_0_7".to_owned()))
        .unwrap();
    assert_eq!(
        plan.grid(0).unwrap().point(plan.item_at(0, 0).unwrap()),
        [938, 0, 14]
    );
    assert_eq!(plan.total(0), Some(8));
}
