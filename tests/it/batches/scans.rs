//! Plan (b) of the documents: sessions of scans, by task files, through roles whose outputs get lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::Site;
use crate::peers::cluster::{PATIENCE, Pod, eventually};

const PLAN: &str = r#"
plan: 1
name: "{{ session }}"
with: tasks/*.yaml
stages:
  - name: rvm
    queue: rvm
    items: {list: ["{{ session }}"]}
    fields: {role: rvm, leaves: rvm.csv, farm: "{{ farm }}"}
    expect: ["{{ farm }}/{{ session }}/rvm.csv"]
  - name: preproc
    queue: preproc
    after: {stage: rvm, all: true}
    items: {objects: {prefix: "scans/{{ session }}/", match: "*.zip", only_stems: "{{ scans }}", except_stems: "{{ exclude }}"}}
    fields: {role: preproc, leaves: "{{ stem }}.zip"}
    attempts: 9
    expect: ["{{ farm }}/{{ session }}/preproc/{{ stem }}.zip"]
  - name: detect
    queue: detection
    after: preproc
    input: "{{ farm }}/{{ session }}/preproc/{{ stem }}.zip"
    fields: {role: detect, leaves: "{{ stem }}.json", model: "{{ models.detect }}"}
    expect: [{key: "{{ farm }}/{{ session }}/detection/{{ stem }}.json", min_size: 2}]
  - name: process
    queue: process
    after: detect
    input: "{{ farm }}/{{ session }}/detection/{{ stem }}.json"
    fields: {role: process, leaves: "{{ stem }}.csv"}
    expect: ["{{ farm }}/{{ session }}/process/{{ stem }}.csv"]
  - name: postprocess
    queue: postprocess
    after: {stage: process, all: true}
    allow_failed: 1
    items: {list: ["{{ session }}"]}
    fields: {role: postprocess, leaves: summary.csv}
    expect: ["{{ farm }}/{{ session }}/summary.csv"]
"#;

/// What works an item: it leaves what its role does, of an input that has to be there. Nothing can
/// be detected in the scan `blank`, and the scan `odd` cannot be processed.
const ROLE: &str = r#"
    case "$RC_FIELD_ROLE" in detect|process) test -s "$RC_INPUT" || exit 65 ;; esac
    echo "$RC_FIELD_ROLE $RC_FIELD_LEAVES" >> "$HOME/worked"
    case "$RC_FIELD_ROLE $RC_FIELD_LEAVES" in "detect blank.json"|"process odd.csv") exit 65 ;; esac
    echo "$RC_FIELD_ROLE" > "$RC_OUTPUT/$RC_FIELD_LEAVES"
"#;

/// What each stage leaves of each of its items, in the order of the stages.
fn outputs(session: &str, scans: &[&str]) -> Vec<String> {
    let each = |folder: &str, suffix: &str| {
        let key = |scan: &&str| format!("acme/{session}/{folder}/{scan}.{suffix}");
        scans.iter().map(key).collect::<Vec<_>>()
    };
    let mut all = vec![format!("acme/{session}/rvm.csv")];
    all.extend(each("preproc", "zip"));
    all.extend(each("detection", "json"));
    all.extend(each("process", "csv"));
    all.push(format!("acme/{session}/summary.csv"));
    all
}

/// A task file, and the scans that it is about among others.
fn put_session(site: &Site, session: &str, scans: &[&str]) {
    let tasks = site.home.path().join("plans/tasks");
    fs::create_dir_all(&tasks).expect("a folder");
    let text = format!(
        "session: {session}\nfarm: acme\nmodels: {{detect: det-v4}}\nscans: [{}, spoiled]\nexclude: [spoiled]\n",
        scans.join(", ")
    );
    fs::write(tasks.join(format!("{session}.yaml")), text).expect("a file");
    for scan in scans.iter().chain(&["spoiled", "unasked"]) {
        let key = format!("scans/{session}/{scan}.zip");
        site.cluster.put(&key, b"a scan");
    }
}

impl Site {
    /// Submits the plans of a folder.
    fn submit_folder(&self) -> String {
        let folder = self.home.path().join("plans");
        fs::write(folder.join("scans.yaml"), PLAN).expect("a file");
        self.run(0, &["submit", "--plan", folder.to_str().expect("a path")])
    }

    /// A consumer of all roles.
    fn start_roles(&self, name: &str) -> Pod {
        let pod = self.pod(name).unset("QUEUE").set("EXEC_COMMAND", ROLE);
        let queues = "postprocess,process,detection,preproc,rvm";
        let pod = pod.set("EXEC_RESULT", "keys");
        pod.start_with(&["consume", "--queues", queues])
    }

    /// Repairs a batch as often as it takes, and gives how often that was.
    fn repair(&self, batch: &str) -> usize {
        let started = std::time::Instant::now();
        for round in 0.. {
            assert!(started.elapsed() < PATIENCE, "{batch} is not repaired");
            let look = self.cluster.run(&["repair", "--batch", batch], &[]);
            match look.status.code() {
                Some(0) => return round,
                Some(4) => drop(self.run(0, &["repair", "--batch", batch, "--apply"])),
                _ => panic!("{look:?}"),
            }
            self.wait_finished(batch);
        }
        unreachable!("it has returned")
    }

    /// How often each output was made, by role and name.
    fn worked(&self) -> BTreeMap<String, usize> {
        let text = fs::read_to_string(self.home.path().join("worked")).expect("a log");
        let mut worked = BTreeMap::new();
        for line in text.lines() {
            *worked.entry(line.to_owned()).or_default() += 1;
        }
        worked
    }
}

/// The role that leaves an output, and its name.
fn work_of(key: &str) -> String {
    let name = key.rsplit('/').next().expect("a name");
    let role = match key {
        _ if name == "rvm.csv" => "rvm",
        _ if name == "summary.csv" => "postprocess",
        _ if key.contains("/preproc/") => "preproc",
        _ if key.contains("/detection/") => "detect",
        _ => "process",
    };
    format!("{role} {name}")
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_scans_are_worked_and_what_is_lost_of_them_is_made_again() {
    let site = Site::open().await;
    let north = ["n1", "n2", "n3", "n4", "n5"];
    put_session(&site, "north", &north);
    put_session(&site, "south", &["s1", "s2"]);
    let said = site.submit_folder();
    assert!(
        said.contains("batch north: 17 items in 5 stages")
            && said.contains("batch south: 8 items in 5 stages"),
        "{said}"
    );
    let _pods = [site.start_roles("pod-1"), site.start_roles("pod-2")];
    for session in ["north", "south"] {
        site.wait_finished(session);
    }
    let all = outputs("north", &north);
    let missing = || -> Vec<_> { all.iter().filter(|key| !site.cluster.has(key)).collect() };
    assert_eq!(missing(), [""; 0]);
    assert!(!site.cluster.has("acme/north/preproc/spoiled.zip"));
    assert!(!site.cluster.has("acme/north/preproc/unasked.zip"));
    let before = site.worked();
    assert_eq!(before.values().sum::<usize>(), 17 + 8, "{before:?}");
    // Any of them.
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let lost: BTreeSet<_> = all.iter().filter(|_| random.u8(..3) == 0).collect();
    lost.iter().for_each(|key| site.cluster.remove(key));
    let rounds = site.repair("north");
    assert_eq!(missing(), [""; 0], "seed {seed}, {rounds} rounds");
    // Nothing else was worked again, and the other session not at all.
    let mut expected = before;
    for key in lost {
        *expected.get_mut(&work_of(key)).expect("it was worked") += 1;
    }
    assert_eq!(site.worked(), expected, "seed {seed}");
    assert_eq!(site.repair("south"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_summed_up_though_a_scan_has_failed_at_last() {
    let site = Site::open().await;
    put_session(&site, "east", &["e1", "odd", "e3"]);
    site.submit_folder();
    let _pod = site.start_roles("pod-1");
    site.wait_finished("east");
    assert!(site.is(
        "east",
        &[("3:failed", "1"), ("3:done", "2"), ("4:done", "1")]
    ));
    assert!(site.cluster.has("acme/east/summary.csv"));
    // It is known to have failed, and nothing else is missing.
    assert_eq!(site.repair("east"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_waits_for_a_scan_that_failed_early_until_its_output_is_there() {
    let site = Site::open().await;
    put_session(&site, "west", &["w1", "blank", "w3"]);
    site.submit_folder();
    let _pod = site.start_roles("pod-1");
    eventually("the rest is processed", || {
        site.is("west", &[("2:failed", "1"), ("3:done", "2")])
    });
    let status = site.status("west");
    assert_eq!(status["stages"][3]["new"], 1, "{status}");
    assert!(!site.cluster.has("acme/west/summary.csv"));
    // Somebody makes it by hand, and it counts.
    let by_hand = "acme/west/detection/blank.json";
    site.cluster.put(by_hand, b"by hand");
    site.run(0, &["repair", "--batch", "west", "--adopt", "--apply"]);
    site.wait_finished("west");
    assert!(site.cluster.has("acme/west/summary.csv"));
    assert_eq!(site.cluster.object(by_hand), b"by hand");
}

#[tokio::test(flavor = "multi_thread")]
async fn task_files_that_come_later_are_started_and_others_go_on() {
    let site = Site::open().await;
    put_session(&site, "north", &["n1"]);
    site.submit_folder();
    put_session(&site, "south", &["s1"]);
    let said = site.submit_folder();
    assert!(
        said.contains("north  running") && said.contains("batch south: 5 items in 5 stages"),
        "{said}"
    );
    let _pod = site.start_roles("pod-1");
    for session in ["north", "south"] {
        site.wait_finished(session);
    }
    let worked = site.worked();
    assert_eq!(worked["preproc n1.zip"], 1);
}
