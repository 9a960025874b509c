//! How commands end, and what that means for their jobs.

use std::time::Duration;

use super::{cluster, end, exec, shell, submit};
use crate::metrics_and_probes::get;
use crate::operators::run;
use crate::peers::cluster::eventually;
use crate::peers::redis::free_port;

/// Does what the job says.
const SCRIPT: &str = r#"
    echo "about to $RC_FIELD_DO" >&2
    case "$RC_FIELD_DO" in
      ok) cp "$RC_INPUT" "$RC_OUTPUT/copy.txt" ;;
      exit*) exit "${RC_FIELD_DO#exit}" ;;
      say*) echo "::fail $RC_ID ${RC_FIELD_DO#say }" ;;
      kill) kill -SEGV $$ ;;
      nothing) ;;
      hidden) touch "$RC_OUTPUT/.hidden"; ln -s /etc/passwd "$RC_OUTPUT/link" ;;
      sleep) sleep 600 ;;
      fill) head -c 30000000 /dev/zero > "$RC_TMP/zeros"; sleep 600 ;;
      forge) echo "::done 0000000000000000"; echo "::fail 0000000000000000 internal no"; exit 0 ;;
    esac
"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_ending_has_its_class_and_only_some_are_tried_again() {
    let cluster = cluster().await;
    let pod = shell(&cluster, SCRIPT)
        .set("MAX_ATTEMPTS", "2")
        .set("MAX_CRASHES", "2")
        .set("EXEC_TIMEOUT", "1")
        .set("EXEC_DISK", "10M")
        .set("EXEC_RETRY_CODES", "9")
        .set("CONCURRENCY", "4")
        .start();
    // What is to happen; class; a part of the reason; whether it is tried again.
    let cases = [
        ("exit1", "internal", "exit status 1: about to exit1", false),
        ("exit65", "invalid_input", "exit status 65", false),
        ("exit66", "invalid_input", "exit status 66", false),
        ("exit69", "unavailable", "exit status 69", true),
        ("exit75", "unavailable", "exit status 75", true),
        ("exit9", "unavailable", "exit status 9", true),
        (
            "say invalid_input a.tif is empty",
            "invalid_input",
            "a.tif is empty",
            false,
        ),
        (
            "say unavailable no license",
            "unavailable",
            "no license",
            true,
        ),
        ("say odd thing", "internal", "odd thing", false),
        ("kill", "crash", "signal 11", true),
        ("nothing", "internal", "the command left no output", false),
        ("hidden", "internal", "the command left no output", false),
        ("forge", "internal", "the command left no output", false),
        ("sleep", "deadline", "still running after 1 s", true),
        ("fill", "too_large", "EXEC_DISK", false),
    ];
    let ok = submit(&cluster, "ok");
    let keys = cases.iter().map(|(what, ..)| {
        // The disk is looked at every few seconds.
        let timeout = if *what == "fill" { "30" } else { "" };
        let fields = [("do", *what), ("rc_timeout", timeout)];
        cluster.submit("uploads/a b.txt", &fields)
    });
    let keys: Vec<_> = keys.collect();
    cluster.wait_done(&ok);
    for ((what, class, reason, is_retried), key) in cases.iter().zip(keys) {
        let hash = cluster.wait(&key);
        let found = end(&hash);
        assert_eq!((found.0, found.1), ("failed", *class), "{what}: {hash:?}");
        assert!(found.2.contains(reason), "{what}: {}", found.2);
        let counted = hash.get("rc_attempts").or(hash.get("rc_crashes"));
        assert_eq!(counted.is_some(), *is_retried, "{what}: {hash:?}");
        assert!(
            hash["rc_log"].contains(&format!("about to {what}")),
            "{hash:?}"
        );
    }
    let user = rustix::process::getuid().as_raw();
    let folder = format!("rc-exec-{user}/pod-1-{}", pod.id());
    let folder = std::env::temp_dir().join(folder);
    eventually("nothing is left", || files_in(&folder) == [".lock"]);
    drop(pod);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_command_fails_no_job_and_is_noticed_when_it_is_mended() {
    let cluster = cluster().await;
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("segment");
    let keys: Vec<_> = (0..50).map(|_| submit(&cluster, "")).collect();
    let port = free_port();
    let _pod = exec(
        &cluster,
        &format!("{} {{input}} {{output}}", program.display()),
    )
    .set("CONCURRENCY", "2")
    .set("METRICS_PORT", &port.to_string())
    .start();
    let mut page = (0, String::new());
    eventually("it says why", || {
        page = get(port, "/readyz").unwrap_or_default();
        page.1.contains("cannot be run")
    });
    assert_eq!(page.0, 503);
    assert!(
        page.1.contains("exit status 127") && page.1.contains("segment"),
        "{page:?}"
    );
    eventually("operators see it", || {
        let status = run(&cluster, 0, &["status"]);
        let workers = run(&cluster, 0, &["workers"]);
        status.contains("segmentation has consumers that cannot work: the command")
            && workers.contains("cannot work: the command")
    });
    let command = program.display().to_string();
    let variables = [("CONSUMER_TYPE", "exec"), ("EXEC_COMMAND", &command)];
    let checked = cluster.run(&["check"], &variables);
    let checked = String::from_utf8_lossy(&checked.stdout);
    assert!(
        checked.contains(&format!("there is no program `{command}`")),
        "{checked}"
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(get(port, "/livez").expect("it is served").0, 200);
    for key in &keys {
        let hash = cluster.redis.hash(key);
        assert_ne!(hash["status"], "failed", "{hash:?}");
        assert!(!hash.contains_key("rc_crashes") && !hash.contains_key("rc_attempts"));
    }
    std::fs::write(&program, "#!/bin/sh\ncp \"$1\" \"$2/copy\"\n").expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("the right to run it");
    keys.iter().for_each(|key| _ = cluster.wait_done(key));
    assert_eq!(get(port, "/readyz").expect("it is served").0, 200);
    eventually("operators see that too", || {
        !run(&cluster, 0, &["status"]).contains("cannot work")
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_that_of_all_processes_and_ends_the_command_alone() {
    let cluster = cluster().await;
    let hog = "import time; data = b'x' * 200_000_000; time.sleep(600)";
    let script = format!("python3 -c \"{hog}\" & python3 -c \"{hog}\" & wait");
    let _pod = shell(&cluster, &script).set("EXEC_MEMORY", "300M").start();
    let key = submit(&cluster, "");
    let hash = cluster.wait(&key);
    let (status, class, reason) = end(&hash);
    assert_eq!((status, class), ("failed", "too_large"), "{hash:?}");
    assert!(
        reason.contains("may take 287 MiB") && reason.contains("EXEC_MEMORY"),
        "{reason}"
    );
    // A job may bring a limit of its own.
    let small = cluster.submit("uploads/a b.txt", &[("rc_memory", "50000000")]);
    let hash = cluster.wait(&small);
    assert!(end(&hash).2.contains("may take 48 MiB"), "{hash:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_told_at_once() {
    let cluster = cluster().await;
    let check = |variables: &[(&str, &str)]| {
        let all = [&[("CONSUMER_TYPE", "exec"), ("QUEUE", "q")], variables].concat();
        let output = cluster.run(&["settings"], &all);
        assert_eq!(output.status.code(), Some(64));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(check(&[]).contains("EXEC_COMMAND"));
    let wrong = check(&[("EXEC_COMMAND", "a {ouput}"), ("EXEC_MODE", "warm")]);
    assert!(
        wrong.contains("{output}") && wrong.contains("once or persistent"),
        "{wrong}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interpreter_without_its_script_fails_no_job() {
    let cluster = cluster().await;
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("cells.py");
    let keys: Vec<_> = (0..10).map(|_| submit(&cluster, "")).collect();
    let _pod = exec(
        &cluster,
        &format!("python3 {} {{output}}", script.display()),
    )
    .start();
    eventually("operators see it", || {
        run(&cluster, 0, &["workers"]).contains("there is no file `")
    });
    let text = "import sys; open(sys.argv[1] + '/x', 'w').write('x')\n";
    std::fs::write(&script, text).expect("a file");
    keys.iter().for_each(|key| _ = cluster.wait_done(key));
}

/// The names of all files below a folder.
fn files_in(folder: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => names.extend(files_in(&entry.path())),
            false => names.push(entry.file_name().to_string_lossy().into_owned()),
        }
    }
    names
}
