//! Files of a plan: they are uploaded before its batch begins, once.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::peers::cluster::eventually;
use crate::peers::desk::Desk;
use crate::peers::faults::Fault;
use crate::peers::outcome::{objects, outcome, text};

const PLAN: &str = r#"
plan: 1
name: hela
stages:
  - name: seg
    queue: seg
    items: {files: {path: ./hela, match: "*/t*.tif", to: "uploads/{{ batch }}/", capture: '(?P<movie>[^/]+)/t(?P<t>\d+)\.tif$'}}
    fields: {channels: "0,", movie: "{{ movie }}", path_here: "{{ path }}", bytes: "{{ size }}"}
  - name: track
    queue: track
    after: {stage: seg, group: "{{ movie }}"}
"#;

const SUBMIT: [&str; 3] = ["submit", "--plan", "plan.yaml"];

/// Two movies of three frames, and files that are not meant.
fn lab() -> Desk {
    let desk = Desk::open();
    for movie in ["m1", "m2"] {
        for t in [1, 2, 10] {
            let content = format!("{movie} {t}").repeat(1000);
            desk.write(&format!("hela/{movie}/t{t}.tif"), content.as_bytes());
        }
    }
    desk.write("hela/notes.txt", b"not meant");
    desk.write("hela/m1/._t1.tif", b"hidden");
    desk.write("plan.yaml", PLAN.as_bytes());
    desk
}

/// One more frame, which is sent in two parts.
fn add_large(desk: &Desk) {
    desk.write("hela/m2/t11.tif", &vec![7; 9 << 20]);
}

fn delete(desk: &Desk) {
    outcome(&desk.run(&["batch", "cancel", "hela", "--yes"]), 0);
    outcome(&desk.run(&["batch", "delete", "hela", "--yes"]), 0);
}

#[test]
fn files_are_uploaded_before_the_batch_begins() {
    let desk = lab();
    add_large(&desk);
    let (printed, shown) = outcome(&desk.run(&SUBMIT), 0);
    assert!(
        printed.contains("batch hela: 7 files uploaded (9.5MB), 0 in the bucket already")
            && printed.contains("batch hela: 9 items in 2 stages"),
        "{printed}"
    );
    assert!(shown.contains("Z uploads 7/7 9.5MB"), "{shown}");
    assert!(shown.contains("left out: 1 hidden ("), "{shown}");
    assert_eq!(desk.puts(), 8);
    assert_eq!(
        desk.bucket.object("uploads/hela/m1/t10.tif"),
        "m1 10".repeat(1000).as_bytes()
    );
    let keys = desk.redis.list("seg");
    assert_eq!(keys.len(), 7);
    let jobs = keys.iter().map(|key| desk.redis.hash(key));
    for job in jobs {
        let path = &job["path_here"];
        assert_eq!(job["input_file_name"], format!("uploads/hela/{path}"));
        assert_eq!(job["movie"], path[..2]);
        let size = fs::metadata(desk.path("hela").join(path)).expect("a file");
        assert_eq!(job["bytes"], size.len().to_string());
    }
}

#[test]
fn files_that_change_once_their_batch_is_there_are_told() {
    let desk = lab();
    outcome(&desk.run(&SUBMIT), 0);
    let (printed, shown) = outcome(&desk.run(&SUBMIT), 0);
    assert!(printed.contains("hela  running"), "{printed}");
    assert!(!shown.contains("changed"), "{shown}");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    let file = fs::File::options()
        .write(true)
        .open(desk.path("hela/m1/t1.tif"));
    let touched = file.and_then(|file| file.set_modified(later));
    touched.expect("its time can be set");
    let (_, shown) = outcome(&desk.run(&SUBMIT), 0);
    assert!(
        shown.contains("1 file changed since the batch began (./hela/m1/t1.tif)"),
        "{shown}"
    );
    assert_eq!(desk.puts(), 6);
}

#[test]
fn what_is_in_the_bucket_is_sent_again_only_if_it_has_changed() {
    let desk = lab();
    add_large(&desk);
    outcome(&desk.run(&SUBMIT), 0);
    assert_eq!(desk.puts(), 8);
    delete(&desk);
    let (printed, _) = outcome(&desk.run(&SUBMIT), 0);
    assert!(
        printed.contains("0 files uploaded (0B), 7 in the bucket already"),
        "{printed}"
    );
    assert_eq!(desk.puts(), 8);

    delete(&desk);
    // Of the same size.
    desk.write("hela/m1/t1.tif", "m1 X".repeat(1000).as_bytes());
    let output = desk.run(&[&SUBMIT[..], &["--json", "--quiet"]].concat());
    let (printed, _) = outcome(&output, 0);
    let uploaded = objects(&printed).remove(0);
    assert_eq!(
        (&uploaded["uploaded"], &uploaded["already_there"]),
        (&1.into(), &6.into()),
        "{uploaded}"
    );
    assert_eq!(
        desk.bucket.object("uploads/hela/m1/t1.tif"),
        "m1 X".repeat(1000).as_bytes()
    );
}

#[test]
fn looks_upload_nothing_and_samples_only_their_files() {
    let desk = lab();
    for look in [
        &["plan", "check", "plan.yaml"][..],
        &["submit", "--plan", "plan.yaml", "--verify-only"],
        &["submit", "--plan", "plan.yaml", "--dry-run"],
    ] {
        let (printed, _) = outcome(&desk.run(look), 0);
        assert!(printed.contains("seg"), "{printed}");
    }
    assert_eq!(desk.puts(), 0);
    assert_eq!(desk.redis.keys("rc:batch*"), [""; 0]);
    let sample = ["submit", "--plan", "plan.yaml", "--sample-group", "m2"];
    let (printed, _) = outcome(&desk.run(&sample), 0);
    assert!(
        printed.contains("batch hela.sample: 3 files uploaded")
            && printed.contains("batch hela.sample: 4 items"),
        "{printed}"
    );
    let sampled = desk.bucket.folder().join("uploads/hela.sample");
    let movies: Vec<_> = fs::read_dir(sampled)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(movies, ["m2"]);
}

#[test]
fn the_same_command_goes_on_after_a_broken_connection() {
    let desk = lab();
    desk.bucket
        .faults
        .fail_if(Fault::HangUp, |request| request.is("PUT", "m1/t2.tif"));
    let output = desk.run(&[&SUBMIT[..], &["--jobs", "1"]].concat());
    let (_, shown) = outcome(&output, 1);
    assert!(
        shown.contains("broken off; the same command goes on"),
        "{shown}"
    );
    assert_eq!(desk.redis.keys("rc:batch*"), [""; 0]);
    desk.bucket.faults.heal();
    let (printed, _) = outcome(&desk.run(&SUBMIT), 0);
    assert!(
        printed.contains("4 files uploaded") && printed.contains("2 in the bucket already"),
        "{printed}"
    );
}

#[test]
fn an_interrupted_upload_says_what_stands() {
    let desk = lab();
    desk.bucket
        .faults
        .fail_if(Fault::Silence, |request| request.is("PUT", "m2/t1.tif"));
    let child = desk
        .command(&[&SUBMIT[..], &["--jobs", "1"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    eventually("the fourth file is on its way", || {
        desk.bucket.faults.count("PUT", "m2/t1.tif") > 0
    });
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    let (_, shown) = outcome(&output, 130);
    assert!(
        shown.contains("interrupted: 3 of 6 files are in the bucket, and nothing was submitted; the same command goes on"),
        "{shown}"
    );
    assert_eq!(desk.redis.keys("rc:batch*"), [""; 0]);
}

#[test]
fn what_is_left_out_is_told() {
    let desk = lab();
    let folder = desk.path("hela");
    symlink("t1.tif", folder.join("m1/t3.tif")).expect("a link");
    let odd = std::ffi::OsStr::from_bytes(b"m1/t\xff4.tif");
    fs::write(folder.join(odd), "odd").expect("a file");
    let (printed, shown) = outcome(&desk.run(&["plan", "check", "plan.yaml"]), 0);
    assert!(
        shown.contains("1 symbolic links (") && shown.contains("1 not UTF-8 in their names ("),
        "{shown}"
    );
    let row = printed.lines().find(|line| line.starts_with("seg "));
    let cells: Vec<_> = row.unwrap_or_default().split_whitespace().collect();
    assert_eq!(cells, ["seg", "seg", "6"], "{printed}");
}

#[test]
fn folders_that_cannot_be_taken_are_refused() {
    let desk = lab();
    let wrong = |replaced: (&str, &str), expected: &str| {
        desk.write("plan.yaml", PLAN.replace(replaced.0, replaced.1).as_bytes());
        let output = desk.run(&SUBMIT);
        let shown = text(&output.stderr);
        assert!(
            !output.status.success() && shown.contains(expected),
            "{shown}"
        );
        assert_eq!(desk.redis.keys("rc:batch*"), [""; 0]);
    };
    wrong(("./hela", "./nothing"), "stage seg: reading ./nothing");
    wrong(("*/t*.tif", "*.png"), "no file in `./hela` is one");
    wrong(
        (r"/t(?P<t>\d+)", r"/t(?P<t>\d\d)"),
        "`capture` does not match",
    );
    let clash = "  - {name: other, queue: q, items: {files: {path: ., match: plan.yaml, to: \"uploads/{{ batch }}/\"}}}\n  - name: track";
    desk.write(
        "plan.yaml",
        PLAN.replace("  - name: track", clash).as_bytes(),
    );
    let (printed, _) = outcome(&desk.run(&SUBMIT), 4);
    assert!(
        printed.contains("seg uploads files of another folder there"),
        "{printed}"
    );
    assert_eq!(desk.puts(), 0);
}

#[test]
fn a_file_that_cannot_be_read_stops_the_batch_but_not_the_other_files() {
    let desk = lab();
    // A program that runs after the folder was read removes one.
    let list = desk.path("list.sh");
    fs::write(
        &list,
        "#!/bin/sh\nrm hela/m1/t2.tif\necho '{\"id\": \"x\"}'\n",
    )
    .expect("a file");
    let late = "  - {name: late, queue: q, items: {command: [sh, list.sh]}}\n  - name: track";
    desk.write(
        "plan.yaml",
        PLAN.replace("  - name: track", late).as_bytes(),
    );
    let path = option_env!("PATH").unwrap_or("/usr/bin:/bin");
    let output = desk.command(&SUBMIT).env("PATH", path).output();
    let (_, shown) = outcome(&output.expect("the program starts"), 4);
    assert!(
        shown.contains("not uploaded: ./hela/m1/t2.tif: No such file")
            && shown.contains("batch hela: 1 file could not be uploaded, so nothing was submitted"),
        "{shown}"
    );
    assert_eq!(desk.puts(), 5);
    assert_eq!(desk.redis.keys("rc:batch*"), [""; 0]);
}
