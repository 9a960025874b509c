//! What is done on pages, against the commands that do the same: each page shows its command, and a shell runs it on a Redis
//! that has the same in it.

use std::collections::BTreeMap;
use std::process::Command;

use super::{empty, encoded, furnish};
use crate::peers::browser::{Answer, Browser, Dashboard};
use crate::peers::cluster::Cluster;
use crate::peers::redis::Redis;

/// Two that have the same in them: a page acts on the one, commands on the other.
pub(super) struct Twins {
    pub(super) page: Cluster,
    pub(super) shell: Cluster,
    pub(super) browser: Browser,
    _dashboard: Dashboard,
}

impl Twins {
    /// With jobs in every place of a queue.
    pub(super) async fn new() -> Self {
        let (page, shell) = (empty().await, empty().await);
        furnish(&page.redis);
        furnish(&shell.redis);
        let dashboard = Dashboard::start(&page, &[]);
        Self {
            browser: dashboard.browser(),
            _dashboard: dashboard,
            page,
            shell,
        }
    }

    /// Does it on both, and compares what there is then. Gives the page that asks, and the one that says what was done.
    pub(super) fn act(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        inputs: &[(&str, &str)],
    ) -> (Answer, Answer) {
        let before = self.page.redis.dump();
        let asked = self.browser.post(path, fields);
        assert_eq!(asked.status, 200, "{path}: {}", asked.body);
        assert_eq!(
            self.page.redis.dump(),
            before,
            "{path} has changed something unasked"
        );
        let all = [fields, inputs, &[("confirmed", "yes")]].concat();
        let done = self.browser.post(path, &all);
        assert_eq!(done.status, 200, "{path}: {}", done.body);
        assert_ne!(self.page.redis.dump(), before, "{path} has changed nothing");
        let mut command = asked.command();
        if let Some((_, to)) = inputs.iter().find(|(name, _)| *name == "to") {
            command = command.replace("OTHER", to);
        }
        if inputs.iter().any(|(name, _)| *name == "force") {
            command += " --force";
        }
        self.run(&command);
        assert_eq!(
            state(&self.page.redis),
            state(&self.shell.redis),
            "{path}: {command}"
        );
        (asked, done)
    }

    fn run(&self, command: &str) {
        let binary = env!("CARGO_BIN_EXE_redis-consumer");
        let script = format!("redis-consumer() {{ {binary} \"$@\"; }}; {command}");
        let output = Command::new("bash")
            .args(["-c", &script])
            .env("REDIS_HOST", "127.0.0.1")
            .env("REDIS_PORT", self.shell.redis.port().to_string())
            .env("USER", "dashboard")
            .output()
            .expect("bash runs");
        let status = output.status.code();
        assert!(
            status == Some(0) || status == Some(4),
            "{command}: {output:?}"
        );
    }
}

/// All that a Redis holds, without the times at which it was written.
pub(super) fn state(redis: &Redis) -> BTreeMap<String, String> {
    let keys = redis.keys("*").into_iter();
    keys.map(|key| {
        let kind: String = redis.ask(&["TYPE", &key]);
        let held = match kind.as_str() {
            "hash" => {
                let mut fields: BTreeMap<String, String> = redis.ask(&["HGETALL", &key]);
                fields.retain(|name, _| !name.ends_with("_at"));
                format!("{fields:?}")
            }
            "list" => format!("{:?}", redis.list(&key)),
            "zset" => format!(
                "{:?}",
                redis.ask::<Vec<String>>(&["ZRANGE", &key, "0", "-1"])
            ),
            "set" => {
                let mut members: Vec<String> = redis.ask(&["SMEMBERS", &key]);
                members.sort();
                format!("{members:?}")
            }
            "stream" => {
                let records: Vec<(String, Vec<String>)> = redis.ask(&["XRANGE", &key, "-", "+"]);
                let records = records.into_iter().map(|(_, mut it)| it.split_off(2));
                format!("{:?}", records.collect::<Vec<_>>())
            }
            _ => {
                let bytes: Vec<u8> = redis.ask(&["GET", &key]);
                String::from_utf8(bytes).unwrap_or_else(|error| format!("{:?}", error.as_bytes()))
            }
        };
        (without_times(&key), without_times(&held))
    })
    .collect()
}

/// A text with `#` for moments, in milliseconds, in seconds and by the clock.
fn without_times(text: &str) -> String {
    let millis = regex::Regex::new(r"\d{13,}|\b\d{10}\b").expect("a pattern");
    let stamps = regex::Regex::new(r"\d{4}-\d\d-\d\dT[\d:.+]+").expect("a pattern");
    stamps
        .replace_all(&millis.replace_all(text, "#"), "#")
        .into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_requeued_as_the_command_does_it() {
    let twins = Twins::new().await;
    let [one, gone] =
        ["segmentation:bad:1", "segmentation:gone:1"].map(|key| encoded(key.as_bytes()));
    let three = [
        ("queue", "segmentation"),
        ("why", "StorageError: … is not there"),
        ("limit", "3"),
    ];
    let (asked, done) = twins.act("/act/requeue", &three, &[]);
    assert!(
        asked.body.contains("Have 3 jobs worked once more?"),
        "{}",
        asked.body
    );
    assert!(done.body.contains("3 requeued"), "{}", done.body);
    let (_, done) = twins.act("/act/requeue", &[("job", &one), ("job", &gone)], &[]);
    assert!(
        done.body.contains("0 of 2 requeued, 2 not"),
        "{}",
        done.body
    );
    assert!(
        done.body.contains("it has vanished") && done.body.contains("it has not failed"),
        "{}",
        done.body
    );
    let all = [("why", "ValueError")];
    let (asked, _) = twins.act("/act/requeue", &all, &[]);
    assert!(
        asked.command().contains("--all-queues"),
        "{}",
        asked.command()
    );
    // Again it finds nothing, and says so.
    let done = twins.browser.post(
        "/act/requeue",
        &[("why", "ValueError"), ("confirmed", "yes")],
    );
    assert!(done.body.contains("0 requeued"), "{}", done.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_forgotten_and_jobs_cancelled_as_the_commands_do_it() {
    let twins = Twins::new().await;
    let cause = [
        ("queue", "segmentation"),
        ("why", "ValueError: the image has # channels"),
    ];
    let (_, done) = twins.act("/act/forget", &cause, &[]);
    assert!(done.body.contains("3 forgotten"), "{}", done.body);
    let jobs = ["wait:1", "late:1", "run:1", "bad:1"]
        .map(|key| encoded(format!("segmentation:{key}").as_bytes()));
    let jobs: Vec<_> = jobs.iter().map(|job| ("job", job.as_str())).collect();
    let (_, done) = twins.act("/act/cancel", &jobs, &[]);
    assert!(
        done.body.contains("3 of 4 cancelled, 1 not"),
        "{}",
        done.body
    );
    let last = encoded(b"segmentation:wait:3");
    let (_, done) = twins.act("/act/bump", &[("job", &last)], &[]);
    assert!(done.body.contains("the next one"), "{}", done.body);
    let next: Vec<String> = twins
        .page
        .redis
        .ask(&["LRANGE", "segmentation", "-1", "-1"]);
    assert_eq!(next, ["segmentation:wait:3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_changed_as_the_commands_do_it() {
    let twins = Twins::new().await;
    let queue = |action: &str| format!("/queues/segmentation/{action}");
    twins.act(&queue("pause"), &[], &[]);
    twins.act(&queue("resume"), &[], &[]);
    let name = [("name", "segmentation")];
    let (asked, done) = twins.act(&queue("purge"), &[], &name);
    assert!(
        asked
            .body
            .contains("Take 3 waiting jobs out of segmentation?"),
        "{}",
        asked.body
    );
    assert!(done.body.contains("3 jobs taken out"), "{}", done.body);
    let page = twins.browser.get("/queues").body;
    assert!(
        page.contains("3 jobs of") && page.contains("Put back"),
        "{page}"
    );
    let (_, done) = twins.act(&queue("untrash"), &[], &[]);
    assert!(
        done.body.contains("3 jobs are back in segmentation"),
        "{}",
        done.body
    );
    twins.act(&queue("move"), &[], &[("to", "tracking")]);
    assert_eq!(twins.page.redis.list("tracking").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_confirmed_rightly_is_not_done() {
    let twins = Twins::new().await;
    let before = twins.page.redis.dump();
    for (path, fields, status) in [
        ("/queues/segmentation/purge", &[][..], 400),
        (
            "/queues/segmentation/purge",
            &[("name", "segmentatio")],
            400,
        ),
        ("/queues/segmentation/move", &[], 400),
        ("/queues/segmentation/move", &[("to", "segmentation")], 400),
        ("/queues/segmentation/pause", &[("for", "soon")], 400),
        ("/queues/none/pause", &[], 404),
        ("/act/requeue", &[], 400),
        ("/act/requeue", &[("job", "!")], 400),
        ("/act/cancel", &[("why", "Error")], 400),
        ("/batches/none/pause", &[], 400),
    ] {
        let fields = [fields, &[("confirmed", "yes")]].concat();
        let answer = twins.browser.post(path, &fields);
        assert_eq!(answer.status, status, "{path} {fields:?}: {}", answer.body);
    }
    assert_eq!(twins.page.redis.dump(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_by_itself_if_that_is_wanted() {
    let twins = Twins::new().await;
    let fields = [
        ("confirmed", "yes"),
        ("for", "2h"),
        ("reason", "<b>new</b> model"),
    ];
    let answer = twins.browser.post("/queues/segmentation/pause", &fields);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let left: i64 = twins.page.redis.ask(&["TTL", "rc:paused:segmentation"]);
    assert!((7000..=7200).contains(&left), "{left}");
    let page = twins.browser.get("/queues/segmentation").body;
    assert!(page.contains("&#60;b&#62;new&#60;/b&#62; model"), "{page}");
}
