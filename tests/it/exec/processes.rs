//! Processes that are left, and daemons that are killed.

use super::{cluster, end, processes_with, shell, submit};
use crate::operators::run;
use crate::peers::cluster::eventually;

/// A number that no other test sleeps for, so that processes are found by it.
fn number() -> String {
    format!("{}", 100_000_000 + fastrand::u32(..100_000_000))
}

/// Starts children that get away: in the background, in a session of their own, as orphans.
fn fork(seconds: &str) -> String {
    format!(
        "trap '' TERM
         sleep {seconds} &
         (setsid sleep {seconds} &)
         (nohup sh -c 'sleep {seconds} & sleep {seconds}' > /dev/null 2>&1 &)
         sleep 0.2"
    )
}

/// The same, and without their environment.
fn flee(seconds: &str) -> String {
    format!("(env -i setsid sh -c 'sleep {seconds} & sleep {seconds}' > /dev/null 2>&1 &)")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_command_is_left_however_it_ends() {
    let cluster = cluster().await;
    let seconds = number();
    let script = format!(
        "{}
         {}
         case \"$RC_FIELD_DO\" in
           wait) sleep {seconds} ;;
           *) echo x > \"$RC_OUTPUT/x\" ;;
         esac",
        fork(&seconds),
        flee(&seconds)
    );
    let _pod = shell(&cluster, &script).set("EXEC_TIMEOUT", "2").start();
    cluster.wait_done(&submit(&cluster, "end"));
    assert_eq!(processes_with(&seconds), [0_i32; 0]);
    let hash = cluster.wait(&submit(&cluster, "wait"));
    assert_eq!(end(&hash).1, "deadline", "{hash:?}");
    eventually("all have ended", || processes_with(&seconds).is_empty());
    let zombies = std::fs::read_dir("/proc")
        .expect("linux")
        .flatten()
        .filter(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            stat.contains("(sleep) Z")
        });
    assert_eq!(zombies.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_takes_its_commands_with_it_and_the_job_ends_once() {
    let cluster = cluster().await;
    let seconds = number();
    let script = format!(
        "{}
         if [ \"$(cat \"$RC_INPUT\")\" = stop ]; then sleep {seconds}; fi
         echo x > \"$RC_OUTPUT/x\"",
        fork(&seconds)
    );
    cluster.put("uploads/stop.txt", b"stop");
    let mut pod = shell(&cluster, &script).start();
    let key = cluster.submit("uploads/stop.txt", &[]);
    eventually("the command and all its children run", || {
        processes_with(&seconds).len() >= 6
    });
    cluster.put("uploads/stop.txt", b"go");
    pod.kill();
    eventually("all have ended", || processes_with(&seconds).is_empty());
    let _next = shell(&cluster, &script).set("HOSTNAME", "pod-2").start();
    let hash = cluster.wait_done(&key);
    assert_eq!(hash["rc_crashes"], "1");
    assert_eq!(processes_with(&seconds), [0_i32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_are_cancelled_lost_or_stopped_end_their_command() {
    let cluster = cluster().await;
    let seconds = number();
    let script = format!("sleep {seconds}");
    let mut pod = shell(&cluster, &script)
        .set("SHUTDOWN_GRACE", "0.3")
        .start();
    let runs = || processes_with(&seconds).len() >= 2;

    let cancelled = submit(&cluster, "");
    eventually("the command runs", runs);
    run(&cluster, 0, &["cancel", &cancelled, "--wait"]);
    assert_eq!(end(&cluster.redis.hash(&cancelled)).1, "cancelled");
    eventually("the command has ended", || {
        processes_with(&seconds).is_empty()
    });

    let lost = submit(&cluster, "");
    eventually("the command runs", runs);
    let _: u32 = cluster.redis.ask(&["DEL", &lost]);
    eventually("the command has ended", || {
        processes_with(&seconds).is_empty()
    });

    let stopped = submit(&cluster, "");
    eventually("the command runs", runs);
    pod.terminate();
    eventually("the daemon has ended", || !pod.is_running());
    eventually("the command has ended", || {
        processes_with(&seconds).is_empty()
    });
    let hash = cluster.redis.hash(&stopped);
    assert!(
        !hash.contains_key("rc_token") && !hash.contains_key("rc_crashes"),
        "{hash:?}"
    );
    assert_eq!(cluster.redis.list("segmentation"), [stopped]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_must_not_be_worked_twice_fails_if_it_is_stopped_midway() {
    let cluster = cluster().await;
    let seconds = number();
    let mut pod = shell(&cluster, &format!("sleep {seconds}"))
        .set("SHUTDOWN_GRACE", "0.3")
        .start();
    let once = cluster.submit("uploads/a b.txt", &[("rc_crashes_max", "1")]);
    eventually("the command runs", || processes_with(&seconds).len() >= 2);
    pod.terminate();
    eventually("the daemon has ended", || !pod.is_running());
    let hash = cluster.redis.hash(&once);
    let (status, class, reason) = end(&hash);
    assert_eq!((status, class), ("failed", "crash"), "{hash:?}");
    assert!(reason.contains("must not be worked twice"), "{reason}");
    assert_eq!(cluster.redis.list("segmentation"), [""; 0]);
}
