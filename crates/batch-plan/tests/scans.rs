//! Scans through the roles of a session, from task files.

use std::io;
use std::sync::Arc;

use batch_plan::{
    CheckOptions, Entries, Entry, Expected, ListError, Lists, Overrides, Plan, PlanError, Renderer,
    Resolved, Supply, Up, check, parse_values,
};

const TASK: &str = include_str!("plans/north-b7.yaml");

/// A bucket with scans.
struct Bucket(&'static [&'static str]);

impl Supply for Bucket {
    fn objects(&mut self, prefix: &str) -> io::Result<Entries<'_>> {
        assert_eq!(prefix, "scans/2026-11-20-am/");
        let entry = move |name: &&str| {
            let name = format!("scans/2026-11-20-am/{name}");
            Ok(Entry {
                name,
                size: 3_000_000,
            })
        };
        Ok(Box::new(self.0.iter().map(entry)))
    }
}

const ALL: Bucket = Bucket(&[
    "",
    "22179658_13-01.zip",
    "22179658_13-05.zip",
    "22179658_13-09.zip",
    "22179658_13-17.zip",
    "old/22179658_13-01.zip",
]);

fn resolve(task: &str) -> Result<Resolved, PlanError> {
    let plan = Plan::parse(include_bytes!("plans/scans.yaml"))?;
    assert_eq!(plan.with(), Some("tasks/*.yaml"));
    plan.resolve(&Overrides {
        with: parse_values(task.as_bytes())?,
        ..Overrides::default()
    })
}

fn read(mut bucket: Bucket) -> Result<(Arc<Resolved>, Lists), ListError> {
    let mut plan = resolve(TASK).expect("the plan fits together");
    let lists = plan.read_lists(&mut bucket)?;
    Ok((Arc::new(plan), lists))
}

#[test]
fn each_role_has_its_scans() {
    let (plan, lists) = read(ALL).unwrap();
    assert_eq!(plan.name(), "2026-11-20-am");
    let totals: Vec<_> = (0..5).map(|k| plan.total(k)).collect();
    assert_eq!(totals, [Some(1), Some(2), Some(2), Some(2), Some(1)]);
    assert_eq!(plan.rows_of(3), Some(1), "the scans are listed once");
    assert_eq!((plan.barriers(1), plan.barriers(4)), (&[0][..], &[3][..]));
    let report = check(&plan, &lists, CheckOptions::default()).unwrap();
    assert_eq!(report.problems, []);
}

#[test]
fn a_scan_goes_from_role_to_role() {
    let (plan, lists) = read(ALL).unwrap();
    let row = lists.get(1).unwrap().row(1).unwrap();
    let preproc = Renderer::new(plan.clone(), 1)
        .unwrap()
        .job(1, Some(&row))
        .unwrap();
    assert_eq!(preproc.id, "scans/2026-11-20-am/22179658_13-17.zip");
    assert_eq!(preproc.input, preproc.id);
    assert_eq!(
        preproc.ups,
        [Up {
            stage: 2,
            parent: 1,
            children: 1
        }]
    );
    let renderer = Renderer::new(plan.clone(), 2).unwrap();
    let detect = renderer.job(1, Some(&row)).unwrap();
    assert_eq!(
        detect.input,
        "north/b7/2026-11-20-am/preproc/22179658_13-17.zip"
    );
    assert_eq!(detect.fields, [("model".to_owned(), "det-v4".to_owned())]);
    assert_eq!(detect.attempts, Some(9));
    assert_ne!(detect.key, preproc.key);
    let key = "north/b7/2026-11-20-am/detection/22179658_13-17.json".to_owned();
    assert_eq!(
        renderer.expected(1, Some(&row)).unwrap(),
        [Expected::Key { key, min_size: 2 }]
    );
    let listing = &renderer.listings()[0];
    assert_eq!(
        listing.prefix.as_deref(),
        Some("north/b7/2026-11-20-am/detection/")
    );
    assert!(!listing.constant);
}

#[test]
fn scans_that_are_not_there_are_named() {
    let error = read(Bucket(&["22179658_13-01.zip", "22179658_13-09.zip"])).unwrap_err();
    let text = error.to_string();
    assert_eq!(
        text,
        "stage preproc: only_stems names what is not there: 22179658_13-17"
    );
}

#[test]
fn values_are_needed_once() {
    let error = resolve("session: s\nfarm: f\n").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`scans` is not defined") || text.contains("`block`"),
        "{text}"
    );
    let error = resolve("farm: f\n").unwrap_err().to_string();
    assert!(
        error.starts_with("line 2, column 7: name: `session` is not defined"),
        "{error}"
    );
}

#[test]
fn lists_of_the_plan_need_no_bucket() {
    let (plan, lists) = read(ALL).unwrap();
    let inline = plan.inline_lists().unwrap();
    assert_eq!(inline.iter().map(|(k, _)| k).collect::<Vec<_>>(), [0, 4]);
    assert_eq!(inline.get(0).unwrap().row(0), lists.get(0).unwrap().row(0));
}
