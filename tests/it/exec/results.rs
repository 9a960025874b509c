//! What a command is given, says and leaves.

use super::{cluster, end, exec, shell, submit};
use crate::peers::cluster::{Cluster, eventually};
use crate::peers::results::unzipped;

/// The script of the tutorial: twenty lines, no library.
pub(crate) const BRIGHT: &str = include_str!("../../../examples/exec/python/bright.py");

/// A file with a script, and the command that runs it.
pub(crate) fn script(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("script.py");
    std::fs::write(&path, text).expect("a file");
    let command = format!("python3 {}", path.display());
    (folder, command)
}

fn entries(cluster: &Cluster, key: &str) -> Vec<(String, String)> {
    let hash = cluster.wait_done(key);
    let entries = unzipped(cluster.object(&hash["output_file_name"]));
    let text = |(name, bytes): (String, Vec<u8>)| (name, String::from_utf8(bytes).expect("text"));
    entries.into_iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_of_twenty_lines_is_a_consumer_once_or_warm() {
    let cluster = cluster().await;
    cluster.put("uploads/bright.bin", &[255; 300]);
    cluster.put("uploads/empty.bin", b"");
    let (_folder, command) = script(BRIGHT);
    for mode in ["once", "persistent"] {
        let pod = exec(&cluster, &command).set("EXEC_MODE", mode).start();
        let key = cluster.submit("uploads/bright.bin", &[]);
        let found = entries(&cluster, &key);
        let expected = (
            "bright.csv".to_owned(),
            "name,bright\nbright.bin,300\n".to_owned(),
        );
        assert_eq!(found, [expected], "{mode}");
        let empty = cluster.submit("uploads/empty.bin", &[]);
        let reason = cluster.wait_failed(&empty);
        assert!(reason.ends_with("empty.bin is empty"), "{mode}: {reason}");
        drop(pod);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_told_its_job_in_words_variables_and_json() {
    let cluster = cluster().await;
    let command = r#"sh -c 'env | sort > "$2/env"; cp "$3" "$2/job.json"; printf "%s|" "$@" > "$2/words"' sh {input} {output} {job} {stem} x{field:scale}"#;
    let _pod = exec(&cluster, command)
        .set("EXEC_ENV", "MODEL")
        .set("MODEL", "cyto")
        .set("REDIS_USERNAME", "default")
        .set("CONCURRENCY", "1")
        .start();
    let key = cluster.submit("uploads/a b.txt", &[("scale", "$(id) 1")]);
    let found: std::collections::BTreeMap<_, _> = entries(&cluster, &key).into_iter().collect();
    assert!(
        found["words"].ends_with("|a b|x$(id) 1|"),
        "{}",
        found["words"]
    );
    let job: serde_json::Value = serde_json::from_str(&found["job.json"]).expect("JSON");
    assert_eq!(job["key"], key.as_str());
    assert_eq!(job["inputs"][0]["name"], "a b.txt");
    assert_eq!(job["inputs"][0]["size"], 11);
    assert_eq!(job["fields"]["scale"], "$(id) 1");
    assert_eq!(job["attempt"], 1);
    assert!(job["fields"].get("status").is_none() && job["fields"].get("rc_token").is_none());
    let env = &found["env"];
    for line in [
        "MODEL=cyto\n",
        "RC_MODE=once\n",
        "RC_FIELD_SCALE=$(id) 1\n",
        "PYTHONUNBUFFERED=1\n",
    ] {
        assert!(env.contains(line), "{line} in {env}");
    }
    let id = job["id"].as_str().expect("an id");
    assert!(env.contains(&format!("RC_ID={id}\n")));
    for secret in ["REDIS", "STORAGE", "HOSTNAME"] {
        assert!(!env.contains(secret), "{secret} in {env}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_notes_fields_and_logs_reach_the_job() {
    let cluster = cluster().await;
    let script = r#"
        echo "noise ::progress $RC_ID 40 loading  weights"
        printf 'tqdm:  55%%|###\rtqdm:  70%%|####\r'
        while [ ! -e "$HOME/go" ]; do sleep 0.05; done
        printf 'escape \033[2J\n' >&2
        echo x > "$RC_OUTPUT/x.csv"
        echo '{"fields": {"cells": "43", "load_time": 2}, "quality": {"score": 0.5}}' > "$RC_OUTPUT/result.json"
    "#;
    let home = tempfile::tempdir().expect("a folder");
    let _pod = shell(&cluster, script)
        .set("HOME", home.path().to_str().expect("a path"))
        .set("EXEC_PROGRESS", r"(\d+)%\|")
        .set("EXEC_LOG", "all")
        .start();
    let key = submit(&cluster, "");
    eventually("progress and note are there", || {
        let hash = cluster.redis.hash(&key);
        hash.get("progress")
            .is_some_and(|progress| progress == "70")
            && hash
                .get("rc_note")
                .is_some_and(|note| note == "loading  weights")
    });
    assert_eq!(cluster.redis.hash(&key)["status"], "predicting");
    std::fs::write(home.path().join("go"), "").expect("a file");
    let found = entries(&cluster, &key);
    assert_eq!(found, [("x.csv".to_owned(), "x\n".to_owned())]);
    let hash = cluster.redis.hash(&key);
    assert_eq!(
        (hash["x_cells"].as_str(), hash["x_load_time"].as_str()),
        ("43", "2")
    );
    assert_eq!(hash["rc_quality"], r#"{"score":0.5}"#);
    assert!(hash["rc_log"].contains("escape \\x1b[2J"), "{hash:?}");
    let log = String::from_utf8(cluster.object(&hash["log_file_name"])).expect("text");
    assert!(
        log.contains(" out noise ::progress ") && log.contains(" err escape "),
        "{log}"
    );
    let shown = crate::operators::run(&cluster, 0, &["job", "log", &key]);
    assert_eq!(shown, log);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_inputs_patterns_of_outputs_and_a_result_that_is_one_file() {
    let cluster = cluster().await;
    cluster.put("uploads/other/a b.txt", b"another\n");
    let pod = shell(
        &cluster,
        r#"cat input/* > "$RC_OUTPUT/all.tar.txt"; ls input"#,
    )
    .set("EXEC_INPUTS", "input_file_name,more")
    .set("EXEC_OUTPUTS", "*.txt")
    .set("EXEC_RESULT", "file")
    .start();
    let more = "uploads/other/a b.txt\nuploads/other/a b.txt";
    let key = cluster.submit("uploads/a b.txt", &[("more", more)]);
    let hash = cluster.wait_done(&key);
    assert!(hash["output_file_name"].ends_with(".tar.txt"), "{hash:?}");
    let text = String::from_utf8(cluster.object(&hash["output_file_name"])).expect("text");
    assert_eq!(text.matches("another").count(), 2);
    assert!(hash["rc_log"].contains("3-a b.txt"), "{hash:?}");
    drop(pod);
    let _pod = shell(&cluster, r#"touch "$RC_OUTPUT/a.csv""#)
        .set("EXEC_OUTPUTS", "*.csv,labels/*.tif")
        .start();
    let reason = cluster.wait_failed(&submit(&cluster, ""));
    assert!(reason.contains("`labels/*.tif`"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_of_noise_take_no_memory() {
    let cluster = cluster().await;
    let script = r#"
        yes 'a line of some length, again and again' | head -c 60000000
        head -c 40000000 /dev/zero
        echo end >&2
        echo x > "$RC_OUTPUT/x"
    "#;
    let pod = shell(&cluster, script).set("LOG_LEVEL", "INFO").start();
    let key = submit(&cluster, "");
    let hash = cluster.wait_done(&key);
    assert!(hash["rc_log"].contains("end"), "{hash:?}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", pod.id())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: u64 = peak
        .and_then(|text| text.trim().split(' ').next()?.parse().ok())
        .expect("a number");
    assert!(peak < 100_000, "{peak} kB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_job_may_be_read_after_much_was_said() {
    let cluster = cluster().await;
    let script = r#"
        yes 'a line of some length, again and again' | head -c 1000000
        wc -c > "$RC_OUTPUT/length"
    "#;
    let pod = shell(&cluster, script).start();
    let long = "x".repeat(300_000);
    let entries = entries(&cluster, &submit(&cluster, &long));
    let length: usize = entries[0].1.trim().parse().expect("a number");
    assert!(length > long.len(), "{length}");
    drop(pod);
    // One that is too long for a word fails alone.
    let _pod = exec(&cluster, "cp {input} {output}/{field:do}").start();
    let hash = cluster.wait(&submit(&cluster, &long));
    let (status, class, reason) = end(&hash);
    assert_eq!((status, class), ("failed", "too_large"), "{reason}");
    assert!(reason.contains("standard input"), "{reason}");
    cluster.wait_done(&submit(&cluster, "x"));
}
