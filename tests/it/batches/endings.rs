//! How often and how long items are worked, and what is left of them.

use std::fs;

use super::Site;
use crate::peers::cluster::eventually;

/// What works an item. One that is bad says so each time, and hangs.
const HANG: &str = r#"
    if [ "$RC_FIELD_X" = "$(cat "$HOME/bad" 2>/dev/null)" ]; then echo "$RC_FIELD_X" >> "$HOME/hung"; sleep 1000; fi
    echo "0 $RC_FIELD_X 0 0" >> "$HOME/log"
"#;

/// A batch of five items, with more lines of its stage.
fn five(more: &str) -> String {
    format!(
        "plan: 1\nname: five\nset: {{tries: 2, seconds: 1}}\nstages:\n  - name: s\n    queue: ingest\n    items: {{range: {{x: 5}}}}\n    fields: {{x: \"{{{{ x }}}}\"}}\n{more}"
    )
}

impl Site {
    /// How often a bad item was begun.
    fn hung(&self) -> usize {
        let text = fs::read_to_string(self.home.path().join("hung"));
        text.map_or(0, |text| text.lines().count())
    }

    /// The job of the one item that has failed.
    fn failed_job(&self) -> std::collections::HashMap<String, String> {
        let kept: Vec<String> =
            self.cluster
                .redis
                .ask(&["LRANGE", "rc:batch:five:0:kept", "0", "-1"]);
        assert_eq!(kept.len(), 1, "{kept:?}");
        self.cluster.redis.hash(&kept[0])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_must_not_be_repeated_fails_when_its_consumer_dies() {
    let site = Site::open().await;
    fs::write(site.bad(), "3").expect("a file");
    site.submit(0, &five("    rerun: never\n"), &[]);
    let mut pod = site.pod("pod-1").set("EXEC_COMMAND", HANG).start();
    eventually("all others are done", || {
        site.hung() == 1 && site.is("five", &[("0:done", "4")])
    });
    pod.kill();
    let _other = site.pod("pod-2").set("EXEC_COMMAND", HANG).start();
    eventually("it has failed", || {
        site.is("five", &[("0:failed", "1"), ("0:done", "4")])
    });
    assert_eq!(site.failed_job()["error_class"], "crash");
    // It was not begun again, but a person may want that.
    assert_eq!(site.hung(), 1);
    fs::remove_file(site.bad()).expect("it was there");
    site.run(0, &["requeue", "--batch", "five", "--yes"]);
    site.wait_finished("five");
    assert!(site.is("five", &[("0:failed", "0"), ("0:done", "5")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_must_not_be_repeated_fails_when_its_consumer_is_stopped() {
    let site = Site::open().await;
    fs::write(site.bad(), "3").expect("a file");
    site.submit(0, &five("    rerun: never\n"), &[]);
    let pod = site.pod("pod-1").set("EXEC_COMMAND", HANG);
    let mut pod = pod.set("SHUTDOWN_GRACE", "0.2").start();
    eventually("all others are done", || {
        site.hung() == 1 && site.is("five", &[("0:done", "4")])
    });
    pod.terminate();
    pod.wait();
    let job = site.failed_job();
    assert_eq!(job["error_class"], "crash", "{job:?}");
    assert!(site.is("five", &[("0:failed", "1"), ("0:out", "0")]));
    assert_eq!(site.hung(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_and_their_time_come_from_the_plan() {
    let site = Site::open().await;
    fs::write(site.bad(), "3").expect("a file");
    let limits = "    timeout: \"{{ seconds }}s\"\n    attempts: \"{{ tries }}\"\n";
    site.submit(0, &five(limits), &[]);
    let pod = site.pod("pod-1").set("EXEC_COMMAND", HANG);
    // The settings say otherwise.
    let pod = pod.set("MAX_ATTEMPTS", "5").set("EXEC_TIMEOUT", "900");
    let _pod = pod.set("RETRY_BACKOFF", "0.1").start();
    eventually("it has failed", || {
        site.is("five", &[("0:failed", "1"), ("0:done", "4")])
    });
    let job = site.failed_job();
    assert_eq!(job["error_class"], "deadline", "{job:?}");
    assert_eq!(site.hung(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_jobs_that_are_done_the_last_ones_are_kept() {
    let site = Site::open().await;
    site.submit(0, &five("    keep: {done: 2}\n"), &[]);
    let _pod = site.pod("pod-1").set("EXEC_COMMAND", HANG).start();
    site.wait_finished("five");
    let redis = &site.cluster.redis;
    let recent: Vec<String> = redis.ask(&["LRANGE", "rc:batch:five:0:recent", "0", "-1"]);
    let mut jobs = redis.keys("ingest:*");
    jobs.sort();
    let mut kept = recent.clone();
    kept.sort();
    assert_eq!(jobs, kept);
    assert_eq!(kept.len(), 2);
    // The others are done all the same.
    assert!(site.is("five", &[("0:done", "5")]));
    let said = site.run(0, &["batch", "item", "five", "s", "0"]);
    assert!(said.contains("done"), "{said}");
    assert_eq!(site.log().len(), 5);
}
