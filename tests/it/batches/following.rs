//! Batches that are followed to their end, or until nothing comes of waiting.

use std::fs;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::{CHAIN, LAYERS, Site};
use crate::peers::outcome::{objects, outcome};
use crate::peers::terminal;

/// Three items that leave a file, one of which fails, and one that leaves none.
const WORKS: &str = r#"
plan: 1
name: works
stages:
  - name: make
    queue: ingest
    items: {list: [a/one, a/two, b]}
    fields: {layer: "{{ item }}", x: "0", y: "0", z: "0"}
"#;

impl Site {
    /// Runs a command that has to end with this status, and gives what it printed and what it said beside.
    fn outcome(&self, status: i32, arguments: &[&str]) -> (String, String) {
        outcome(&self.cluster.run(arguments, &[]), status)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_followed_to_its_end() {
    let site = Site::open().await;
    site.submit(0, LAYERS, &[]);
    let _pod = site.start("pod-1");
    let (printed, shown) = site.outcome(0, &["watch", "--batch", "layers"]);
    assert!(site.is("layers", &[("state", "finished")]));
    let numbers = "done 134  failed 0  running 0  waiting 0  ";
    assert!(
        printed.starts_with(numbers) && printed.lines().count() == 1,
        "{printed}"
    );
    let lines: Vec<_> = shown.lines().collect();
    assert!(
        lines[0].contains("Z batch done ") && lines[0].contains(" waiting "),
        "{shown}"
    );
    let last = lines.last().expect("a last line");
    assert!(last.contains("Z batch done 134  failed 0"), "{shown}");
    assert!(!shown.contains(['\r', '\x1b']), "{shown:?}");

    let (printed, _) = site.outcome(0, &["watch", "--batch", "layers", "--json"]);
    let objects = objects(&printed);
    assert_eq!(objects[0]["event"], "progress");
    assert_eq!(objects[0]["stages"][1]["done"], 24);
    let end = objects.last().expect("a last line");
    assert_eq!(
        (&end["event"], &end["done"], &end["state"]),
        (&"ended".into(), &134.into(), &"finished".into())
    );
    site.outcome(64, &["watch", "--batch", "nothing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_one_line() {
    let site = Site::open().await;
    let path = site.write_plan(LAYERS);
    let _pod = site.start("pod-1");
    let arguments = ["submit", "--plan", &path, "--wait"];
    let (status, shown) = terminal::show(site.cluster.command(&arguments, &[]), "xterm");
    assert!(status.success(), "{shown}");
    assert!(
        shown.contains("\x1b[") && shown.contains("batch done 134  failed 0  running 0"),
        "{shown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_needs_a_person_is_not_waited_for() {
    let site = Site::open().await;
    fs::write(site.bad(), "2 3 2 1").expect("a file");
    let path = site.write_plan(LAYERS);
    let _pod = site.start("pod-1");
    let (printed, shown) = site.outcome(4, &["submit", "--plan", &path, "--wait"]);
    assert!(
        printed.contains("done 130  failed 1  running 0  waiting 3"),
        "{printed}"
    );
    for said in [
        "the batch stands still",
        "redis-consumer requeue --batch layers has them worked again",
        "1 failed, 1 cause; redis-consumer failed --batch layers --group",
    ] {
        assert!(shown.contains(said), "{shown}");
    }

    site.run(0, &["batch", "pause", "layers"]);
    let (_, shown) = site.outcome(4, &["watch", "--batch", "layers"]);
    assert!(
        shown.contains("layers is paused; redis-consumer batch resume layers"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_its_breaker_holds_is_not_waited_for() {
    let site = Site::open().await;
    fs::write(site.bad(), "s   ").expect("a file");
    site.submit(0, CHAIN, &[]);
    let _pod = site.start("pod-1");
    let (_, shown) = site.outcome(4, &["watch", "--batch", "chain"]);
    assert!(
        shown.contains("scan is held: 3 items have failed of one cause"),
        "{shown}"
    );
    assert!(
        shown.contains("redis-consumer batch start chain --stage summary"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_on_without_who_follows_it() {
    let site = Site::open().await;
    site.submit(0, LAYERS, &[]);
    let watch = ["watch", "--batch", "layers"];
    let (_, shown) = site.outcome(124, &[&watch[..], &["--timeout", "1s"]].concat());
    let goes_on = "the batch goes on; redis-consumer watch --batch layers";
    assert!(shown.contains(goes_on), "{shown}");

    let mut command = site.cluster.command(&watch, &[]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the program starts");
    let mut first = [0; 1];
    let shown = child.stderr.as_mut().expect("a pipe");
    std::io::Read::read_exact(shown, &mut first).expect("its first line");
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    let (_, shown) = outcome(&output, 130);
    assert!(shown.contains(goes_on), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_unpacked_once_as_they_come() {
    let site = Site::open().await;
    let path = site.write_plan(WORKS);
    let work = r#"
        [ "$RC_FIELD_LAYER" = a/two ] && [ ! -e "$HOME/again" ] && exit 3
        echo "$RC_FIELD_LAYER" > "$RC_OUTPUT/made.txt"
    "#;
    let _pod = site
        .pod("pod-1")
        .set("EXEC_COMMAND", work)
        .unset("EXEC_RESULT")
        .start();
    let folder = site.home.path().join("results");
    let to = folder.to_str().expect("a path");
    let submit = ["submit", "--plan", &path, "--wait", "--download", to];
    let (printed, shown) = site.outcome(4, &submit);
    assert!(printed.contains("\n2 results fetched\n"), "{printed}");
    assert!(shown.contains("  results 2\n"), "{shown}");
    let made = |item: &str| fs::read_to_string(folder.join("make").join(item).join("made.txt"));
    assert_eq!(made("a/one").expect("a file"), "a/one\n");
    assert_eq!(made("b").expect("a file"), "b\n");
    assert!(made("a/two").is_err());

    fs::write(site.home.path().join("again"), "").expect("a file");
    site.run(0, &["requeue", "--batch", "works", "--yes"]);
    // What was only half unpacked is fetched again.
    fs::write(folder.join("make/b/.result.part"), "half").expect("a file");
    let (printed, _) = site.outcome(0, &submit);
    assert!(
        printed.contains("\n2 results fetched, 1 there already\n"),
        "{printed}"
    );
    assert_eq!(made("a/two").expect("a file"), "a/two\n");
    assert!(!folder.join("make/b/.result.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn items_without_results_are_counted() {
    let site = Site::open().await;
    let path = site.write_plan(LAYERS);
    let _pod = site.start("pod-1");
    let folder = site.home.path().join("results");
    let to = folder.to_str().expect("a path");
    let submit = ["submit", "--plan", &path, "--download", to];
    let (printed, _) = site.outcome(0, &submit);
    assert!(
        printed.contains("\n0 results fetched, 134 without a result\n"),
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_stays_while_a_batch_has_something_for_its_queue() {
    let site = Site::open().await;
    // Jobs of the second stage come when those of the first are done, of which nobody has begun.
    let plan = CHAIN
        .replace(
            "name: process\n    queue: ingest",
            "name: process\n    queue: later",
        )
        .replace("trigger: manual", "trigger: auto");
    assert!(plan.contains("queue: later"));
    site.submit(0, &plan, &[]);
    let mut later = site.pod("later-1").set("QUEUE", "later").start_with(&[
        "consume",
        "--exit-when-idle",
        "300ms",
    ]);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(later.is_running(), "{}", later.log());
    let mut first = site
        .pod("pod-1")
        .start_with(&["consume", "--exit-when-idle", "300ms"]);
    assert!(later.wait().success());
    assert!(first.wait().success());
    assert!(
        site.is("chain", &[("state", "finished")]),
        "{:?}",
        site.batch("chain")
    );

    // One that stands still is not waited for.
    fs::write(site.bad(), "2 3 2 1").expect("a file");
    site.submit(0, LAYERS, &[]);
    let mut first = site
        .pod("pod-2")
        .start_with(&["consume", "--exit-when-idle", "300ms"]);
    assert!(first.wait().success());
    assert!(site.is("layers", &[("state", "running"), ("0:failed", "1")]));
}
