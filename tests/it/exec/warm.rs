//! Commands that are kept warm.

use std::collections::BTreeMap;

use super::results::script;
use super::{cluster, end, exec, submit};
use crate::peers::cluster::Cluster;
use crate::peers::results::unzipped;

/// Says which process has worked a job, and does what the job says.
const SCRIPT: &str = r#"
import json, os, sys
count = 0
print("::ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    count += 1
    what = job["fields"].get("do", "")
    if what == "die":
        os._exit(3)
    if what == "leave":
        sys.exit(0)
    open(os.path.join(job["output"], "pid"), "w").write(f"{os.getpid()} {count}")
    print(f"::done {job['id']}", flush=True)
    if what == "last":
        sys.exit(0)
"#;

fn pid_and_count(cluster: &Cluster, key: &str) -> (u32, u32) {
    let hash = cluster.wait_done(key);
    let entries = unzipped(cluster.object(&hash["output_file_name"]));
    let text = String::from_utf8(entries[0].1.clone()).expect("text");
    let (pid, count) = text.split_once(' ').expect("two numbers");
    (
        pid.parse().expect("a number"),
        count.parse().expect("a number"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_works_a_thousand_jobs_and_a_crash_costs_one_of_them_an_attempt() {
    let cluster = cluster().await;
    let (_folder, command) = script(SCRIPT);
    let keys: Vec<_> = (0..1000)
        .map(|number| submit(&cluster, if number == 500 { "die" } else { "" }))
        .collect();
    let _pod = exec(&cluster, &command)
        .set("EXEC_MODE", "persistent")
        .set("MAX_CRASHES", "2")
        .start();
    let mut processes = BTreeMap::<u32, u32>::new();
    for (number, key) in keys.iter().enumerate() {
        if number == 500 {
            let hash = cluster.wait(key);
            assert_eq!(end(&hash).1, "crash", "{hash:?}");
            assert!(end(&hash).2.contains("without an answer"), "{hash:?}");
            continue;
        }
        let (pid, _) = pid_and_count(&cluster, key);
        *processes.entry(pid).or_default() += 1;
    }
    // It died twice with that job.
    assert!((2..=3).contains(&processes.len()), "{processes:?}");
    assert!(
        processes.values().any(|&count| count >= 490),
        "{processes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_replaced_after_so_many_jobs_or_when_they_end_by_themselves() {
    let cluster = cluster().await;
    let (_folder, command) = script(SCRIPT);
    let pod = exec(&cluster, &command)
        .set("EXEC_MODE", "persistent")
        .set("EXEC_MAX_JOBS", "3")
        .start();
    let counts: Vec<_> = (0..7)
        .map(|_| pid_and_count(&cluster, &submit(&cluster, "")).1)
        .collect();
    assert_eq!(counts, [1, 2, 3, 1, 2, 3, 1]);
    drop(pod);
    // One that ends after its answer costs no job anything.
    let _pod = exec(&cluster, &command)
        .set("EXEC_MODE", "persistent")
        .start();
    let first = pid_and_count(&cluster, &submit(&cluster, "last"));
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let key = submit(&cluster, "");
    let second = pid_and_count(&cluster, &key);
    assert_eq!((first.1, second.1), (1, 1));
    assert!(!cluster.redis.hash(&key).contains_key("rc_crashes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_ends_and_one_that_never_works_stops_the_claims() {
    let cluster = cluster().await;
    let (_folder, command) = script(SCRIPT);
    let pod = exec(&cluster, &command)
        .set("EXEC_MODE", "persistent")
        .set("EXEC_IDLE", "0.3")
        .start();
    let (pid, _) = pid_and_count(&cluster, &submit(&cluster, ""));
    crate::peers::cluster::eventually("the idle process has ended", || {
        !std::path::Path::new(&format!("/proc/{pid}")).exists()
    });
    assert_eq!(pid_and_count(&cluster, &submit(&cluster, "")).1, 1);
    drop(pod);
    let broken = exec(&cluster, "python3 -c 'raise SystemExit(1)'")
        .set("EXEC_MODE", "persistent")
        .set("MAX_CRASHES", "100");
    let _pod = broken.start();
    let keys: Vec<_> = (0..10).map(|_| submit(&cluster, "")).collect();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let crashes: u32 = keys
        .iter()
        .map(|key| {
            cluster
                .redis
                .hash(key)
                .get("rc_crashes")
                .map_or(0, |count| count.parse().expect("a number"))
        })
        .sum();
    assert!(
        crashes <= 5,
        "{crashes} attempts were spent on a command that cannot work"
    );
}
