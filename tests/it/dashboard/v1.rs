//! `/api/v1`: what pages show and do, for scripts, against the commands that do the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::actions::{Twins, state};
use super::batches::with_batch;
use super::pages::visitor;
use super::schema::Description;
use super::{empty, encoded};
use crate::peers::browser::Browser;
use crate::peers::cluster::{Cluster, IMAGE};
use crate::peers::kiosk_client::{KioskClient, Reply};

const TOKEN: &str = "0123456789-operator-token";
const VIEW: &str = "0123456789-viewers-token";

/// A client of the API.
pub(super) struct Script {
    client: KioskClient,
    pub(super) description: Description,
}

impl Script {
    pub(super) fn of(browser: &Browser) -> Self {
        Self {
            client: KioskClient::new(browser.port),
            description: Description::read(),
        }
    }

    /// What is answered, which is as the description says.
    pub(super) fn get(&self, path: &str) -> Value {
        self.checked("GET", path, &self.client.get(&at(path)))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.checked(
            "POST",
            path,
            &self.client.post(&at(path), &body.to_string()),
        )
    }

    fn checked(&self, method: &str, path: &str, reply: &Reply) -> Value {
        let value = reply.json();
        assert_eq!(reply.status, 200, "{method} {path}: {value}");
        let calls = self.description.calls();
        let call = calls.iter().find(|(it, described)| {
            it == method && fits(described, path.split('?').next().unwrap_or_default())
        });
        let (_, described) = call.unwrap_or_else(|| panic!("{path} is not described"));
        let schema = self.description.answer(method, described);
        let found = self.description.check(schema, &value, path);
        found.unwrap_or_else(|fault| panic!("{method} {path}: {fault}"));
        value
    }

    /// Why something is refused.
    pub(super) fn refused(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let reply = self.client.send(method, &at(path), &[], body);
        let schema = self.description.schema("Error");
        let found = self.description.check(schema, &reply.json(), path);
        found.unwrap_or_else(|fault| panic!("{method} {path}: {fault}"));
        reply.error()
    }
}

fn at(path: &str) -> String {
    format!("/api/v1{path}")
}

/// Whether a path is one of those that are described so.
fn fits(described: &str, path: &str) -> bool {
    let (described, path) = (described.split('/'), path.split('/'));
    let parts: Vec<_> = described.zip(path.clone()).collect();
    parts.len() == path.count()
        && parts
            .iter()
            .all(|(one, other)| one.starts_with('{') || one == other)
}

/// The objects that a command prints, one a line.
fn told(cluster: &Cluster, arguments: &[&str]) -> Vec<Value> {
    let all = [arguments, &["--json"]].concat();
    let output = cluster.run(&all, &[("USER", "dashboard")]);
    let status = output.status.code();
    assert!(
        status == Some(0) || status == Some(4),
        "{all:?}: {output:?}"
    );
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("JSON lines")
}

/// The same without what time changes.
pub(super) fn still(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            for name in ["at", "next", "silent_s", "oldest_s", "rate_5m", "began"] {
                members.remove(name);
            }
            let values = members.values_mut();
            values.for_each(|member| *member = still(member.take()));
        }
        Value::Array(all) => all.iter_mut().for_each(|it| *it = still(it.take())),
        _ => {}
    }
    value
}

#[test]
fn every_call_is_described_and_every_description_is_of_a_call() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/api/v1/mod.rs");
    let routes = fs::read_to_string(file).expect("the routes");
    let found = routes.split(".route(").skip(1).map(|route| {
        let (path, rest) = route
            .split_once('"')
            .expect("a path")
            .1
            .split_once('"')
            .expect("its end");
        let method = rest
            .trim_start_matches(", ")
            .split('(')
            .next()
            .expect("a method");
        (method.to_uppercase(), path.to_owned())
    });
    let found: BTreeSet<_> = found.collect();
    assert!(found.len() >= 24, "{found:?}");
    let description = Description::read();
    assert_eq!(found, description.calls());
    // Examples are as they say themselves.
    let mut count = 0;
    let mut left = vec![&description.0];
    while let Some(value) = left.pop() {
        if let (Some(example), Some(schema)) = (value.get("example"), value.get("schema")) {
            let found = description.check(schema, example, "the example");
            found.unwrap_or_else(|fault| panic!("{fault}"));
            count += 1;
        }
        left.extend(value.as_object().into_iter().flat_map(|it| it.values()));
        left.extend(value.as_array().into_iter().flatten());
    }
    assert!(count >= 10, "{count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_is_what_commands_print() {
    let twins = with_batch().await;
    let (script, cluster) = (Script::of(&twins.browser), &twins.page);
    let before = cluster.redis.dump();
    let same = |path: &str, member: &str, arguments: &[&str]| {
        let mut answer = script.get(path);
        let answer = match member {
            "" => json!([answer]),
            member => answer[member].take(),
        };
        let printed = told(cluster, arguments);
        assert!(!printed.is_empty(), "{arguments:?} prints nothing");
        assert_eq!(still(answer), still(printed.into()), "{path}");
    };
    same("/queues", "", &["status"]);
    let all = script.get("/queues");
    let names = all["queues"].as_array().into_iter().flatten();
    for queue in names {
        let name = queue["queue"].as_str().expect("a name");
        let one = script.get(&format!("/queues/{name}"));
        assert_eq!(still(one), still(queue.clone()));
    }
    for state in ["waiting", "running", "delayed", "parked", "failed"] {
        let path = format!("/jobs?queue=segmentation&state={state}");
        let list = ["job", "list", "--queue", "segmentation", "--state", state];
        same(&path, "jobs", &list);
    }
    for job in ["wait:1", "bad:1", "late:1", "parent:1", "run:1"] {
        let key = format!("segmentation:{job}");
        let path = format!("/jobs/{}", encoded(key.as_bytes()));
        same(&path, "", &["job", "show", &key]);
    }
    same("/failed", "failed", &["failed"]);
    same("/failed?group=true", "causes", &["failed", "--group"]);
    let path = "/failed?queue=segmentation&class=invalid_input&why=channels&since=3000d&field=input_file_name=b%5B24%5D";
    let of_cause = [
        &[
            "failed",
            "--queue",
            "segmentation",
            "--class",
            "invalid_input",
        ][..],
        &[
            "--why",
            "channels",
            "--since",
            "3000d",
            "--field",
            "input_file_name=b[24]",
        ],
    ];
    same(path, "failed", &of_cause.concat());
    assert_eq!(script.get(path)["failed"].as_array().map(Vec::len), Some(2));
    same("/workers", "workers", &["workers"]);
    let path = "/workers?queue=segmentation";
    same(path, "workers", &["workers", "segmentation"]);
    same("/batches", "batches", &["batch", "list"]);
    same("/batches/night", "", &["batch", "show", "night"]);
    script.get("/openapi.json");
    assert_eq!(
        cluster.redis.dump(),
        before,
        "looking has changed something"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_what_commands_do() {
    let twins = with_batch().await;
    let script = Script::of(&twins.browser);
    let same = |path: &str, body: Value, arguments: &[&str]| {
        let before = twins.page.redis.dump();
        let answer = script.post(path, &body);
        let output = twins.shell.run(arguments, &[("USER", "dashboard")]);
        let status = output.status.code();
        assert!(
            status == Some(0) || status == Some(4),
            "{arguments:?}: {output:?}"
        );
        assert_ne!(
            twins.page.redis.dump(),
            before,
            "{path} has changed nothing"
        );
        let [page, shell] = [&twins.page, &twins.shell].map(|it| state(&it.redis));
        assert_eq!(page, shell, "{path} {body}: {arguments:?}");
        answer
    };
    let queue = |action: &str| format!("/queues/segmentation/{action}");
    let answer = same(
        &queue("pause"),
        json!({ "why": "<new>" }),
        &["queue", "pause", "segmentation", "--why", "<new>"],
    );
    assert_eq!(answer["paused"]["why"], "<new>");
    assert_eq!(answer["result"], "segmentation is paused");
    let resume = ["queue", "resume", "segmentation"];
    assert_eq!(
        same(&queue("resume"), json!({}), &resume)["paused"],
        Value::Null
    );
    let one = json!({ "to": "tracking", "field": { "input_file_name": "w2" } });
    let arguments = [
        "queue",
        "move",
        "segmentation",
        "tracking",
        "--field",
        "input_file_name=w2",
        "--yes",
    ];
    assert_eq!(same(&queue("move"), one, &arguments)["waiting"], 2);
    let purge = ["queue", "purge", "segmentation", "--yes"];
    assert_eq!(same(&queue("purge"), json!({}), &purge)["waiting"], 0);
    let untrash = ["queue", "untrash", "segmentation"];
    assert_eq!(same(&queue("untrash"), json!({}), &untrash)["waiting"], 2);
    let batch = |action: &str| format!("/batches/night/{action}");
    let pause = ["batch", "pause", "night", "--now"];
    let answer = same(&batch("pause"), json!({ "now": true }), &pause);
    assert_eq!(answer["state"], "paused");
    same(&batch("resume"), json!({}), &["batch", "resume", "night"]);
    let stage = json!({ "stage": "first" });
    same(
        &batch("pause"),
        stage.clone(),
        &["batch", "pause", "night", "--stage", "first"],
    );
    same(
        &batch("resume"),
        stage.clone(),
        &["batch", "resume", "night", "--stage", "first"],
    );
    same(
        &batch("cancel"),
        json!({}),
        &["batch", "cancel", "night", "--yes"],
    );
    same(&batch("resume"), json!({}), &["batch", "resume", "night"]);
    let start = json!({ "stage": "second", "force": true });
    same(
        &batch("start"),
        start,
        &["batch", "start", "night", "--stage", "second", "--force"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_changed_as_commands_do_it_and_the_report_is_the_same() {
    let twins = Twins::new().await;
    let script = Script::of(&twins.browser);
    let same = |path: &str, body: Value, arguments: &[&str]| {
        let answer = script.post(path, &body);
        let mut printed = told(&twins.shell, arguments);
        let mut ended = printed.pop().expect("a report");
        ended["exceptions"] = printed.into();
        ended["exceptions_left_out"] = 0.into();
        assert_eq!(answer, ended, "{path} {body}");
        let [page, shell] = [&twins.page, &twins.shell].map(|it| state(&it.redis));
        assert_eq!(page, shell, "{path} {body}: {arguments:?}");
        answer
    };
    let before = twins.page.redis.dump();
    let dry = json!({ "queue": "segmentation", "dry_run": true });
    let arguments = ["requeue", "--queue", "segmentation", "--dry-run"];
    assert_eq!(same("/requeue", dry.clone(), &arguments)["changed"], 7);
    let arguments = ["cancel", "--queue", "segmentation", "--dry-run"];
    same("/cancel", dry, &arguments);
    assert_eq!(
        twins.page.redis.dump(),
        before,
        "a dry run has changed something"
    );
    let two = json!({ "queue": "segmentation", "why": 1, "limit": 2, "front": true });
    let arguments = [
        &["requeue", "--queue", "segmentation", "--why", "1"][..],
        &["--limit", "2", "--front", "--yes"],
    ];
    assert_eq!(same("/requeue", two, &arguments.concat())["changed"], 2);
    let named =
        json!({ "jobs": ["segmentation:bad:2", "segmentation:gone:1", "segmentation:wait:1"] });
    let arguments = [
        "requeue",
        "segmentation:bad:2",
        "segmentation:gone:1",
        "segmentation:wait:1",
        "--queue",
        "segmentation",
        "--yes",
    ];
    let mut with_queue = named.clone();
    with_queue["queue"] = "segmentation".into();
    let answer = same("/requeue", with_queue, &arguments);
    assert_eq!(
        (&answer["changed"], &answer["failed"]),
        (&json!(1), &json!(2))
    );
    let all = json!({ "all_queues": true, "because": "enough" });
    let arguments = ["cancel", "--all-queues", "--because", "enough", "--yes"];
    same("/cancel", all, &arguments);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_parts() {
    let twins = Twins::new().await;
    let script = Script::of(&twins.browser);
    for (path, member, count) in [
        ("/failed?queue=segmentation", "failed", 7),
        ("/jobs?queue=segmentation", "jobs", 3),
        ("/queues?", "queues", 2),
        ("/workers?", "workers", 2),
    ] {
        let whole = script.get(path);
        assert_eq!(whole["next"], Value::Null, "{path}");
        let whole = whole[member].as_array().expect("a list").clone();
        assert_eq!(whole.len(), count, "{path}");
        let (mut parts, mut from) = (Vec::new(), Some(0));
        while let Some(at) = from {
            let part = script.get(&format!("{path}&limit=2&from={at}"));
            parts.extend(part[member].as_array().expect("a list").clone());
            from = part["next"].as_u64();
        }
        assert_eq!(still(parts.into()), still(whole.into()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_json_that_says_what_to_do() {
    let twins = Twins::new().await;
    let script = Script::of(&twins.browser);
    let before = twins.page.redis.dump();
    let long = format!("{{\"queue\": \"{}\"}}", "x".repeat((1 << 20) + 100));
    for (method, path, body, status, part) in [
        ("GET", "/nothing", "", 404, "no such call"),
        ("GET", "/", "", 404, "no such call"),
        ("DELETE", "/queues", "", 405, "another method"),
        ("POST", "/queues", "{}", 405, "another method"),
        ("GET", "/requeue", "", 405, "another method"),
        ("GET", "/queues/none", "", 404, "no queue `none`"),
        ("GET", "/queues/%ff", "", 400, "UTF-8"),
        ("GET", "/batches/none", "", 404, "no batch `none`"),
        ("GET", "/jobs/!", "", 404, "Base64"),
        ("GET", "/jobs/AAAA", "", 404, "there is no job"),
        ("GET", "/jobs/AAAA/result", "", 404, "there is no job"),
        ("GET", "/jobs/AAAA/cells.csv", "", 404, "no job"),
        ("GET", "/jobs?state=odd", "", 400, "`state`"),
        ("GET", "/jobs?quue=a", "", 400, "quue"),
        ("GET", "/jobs?jobs=a", "", 400, "jobs/K"),
        ("GET", "/jobs?why=a", "", 400, "--why"),
        ("GET", "/failed?limit=0", "", 400, "`limit`"),
        ("GET", "/failed?from=10001", "", 400, "`from`"),
        ("GET", "/failed?field=a", "", 400, "NAME=REGEX"),
        ("GET", "/failed?why=99", "", 400, "no cause 99"),
        ("GET", "/failed?batch=none", "", 400, "no batch `none`"),
        ("POST", "/requeue", "", 400, "say which jobs"),
        ("POST", "/requeue", "{}", 400, "say which jobs"),
        (
            "POST",
            "/requeue",
            "{\"why\": \"a\"}",
            400,
            "say which jobs",
        ),
        ("POST", "/requeue", "[]", 400, "JSON object"),
        ("POST", "/requeue", "{", 400, "not JSON"),
        ("POST", "/requeue", &long, 413, "longer than"),
        (
            "POST",
            "/requeue",
            "{\"queue\": \"a\", \"odd\": 1}",
            400,
            "odd",
        ),
        (
            "POST",
            "/requeue",
            "{\"queue\": \"a\", \"reason\": \"(\"}",
            400,
            "`reason`",
        ),
        (
            "POST",
            "/requeue",
            "{\"queue\": \"a\", \"item\": [\"b\"]}",
            400,
            "`stage`",
        ),
        ("POST", "/cancel", "{\"jobs\": [1]}", 400, "no key"),
        (
            "POST",
            "/cancel",
            "{\"queue\": \"a\", \"why\": \"b\"}",
            400,
            "--why",
        ),
        ("POST", "/queues/none/pause", "{}", 404, "no queue `none`"),
        ("POST", "/queues/none/purge", "{}", 404, "no queue `none`"),
        (
            "POST",
            "/queues/segmentation/pause",
            "{\"for\": \"soon\"}",
            400,
            "soon",
        ),
        (
            "POST",
            "/queues/segmentation/purge",
            "{\"yes\": true}",
            400,
            "yes",
        ),
        ("POST", "/queues/segmentation/move", "{}", 400, "`to`"),
        (
            "POST",
            "/queues/segmentation/move",
            "{\"to\": \"segmentation\"}",
            400,
            "another queue",
        ),
        ("POST", "/batches/none/pause", "{}", 404, "no batch `none`"),
        ("POST", "/batches/none/repair", "{}", 404, "no batch `none`"),
    ] {
        let shown = &body[..body.len().min(80)];
        let (found, error) = script.refused(method, path, body.as_bytes());
        assert_eq!(found, status, "{method} {path} {shown}: {error}");
        assert!(error.contains(part), "{method} {path} {shown}: {error}");
    }
    assert_eq!(twins.page.redis.dump(), before);
}

/// Every call that is described, filled in, with a body that would do it.
fn calls() -> Vec<(String, String, String)> {
    let job = encoded(b"segmentation:wait:1");
    let body = json!({ "queue": "segmentation" });
    let all = Description::read()
        .calls()
        .into_iter()
        .map(|(method, path)| {
            let body = match path.rsplit('/').next() {
                Some("requeue" | "cancel") if !path.contains("batch") => body.to_string(),
                Some("move") => json!({ "to": "tracking" }).to_string(),
                Some("start") => json!({ "stage": "second" }).to_string(),
                _ => "{}".to_owned(),
            };
            let path = path
                .replace("{queue}", "segmentation")
                .replace("{batch}", "none");
            (method, at(&path.replace("{job}", &job)), body)
        });
    all.collect()
}

/// Tries every call, and gives their statuses. Streams, which have no end, are not told what they are to follow.
fn try_all(client: &KioskClient, method: &str) -> BTreeSet<u16> {
    let all = calls().into_iter().filter(|(it, _, _)| it == method);
    let statuses = all.map(|(method, path, body)| {
        let reply = client.send(&method, &path, &[], body.as_bytes());
        if reply.status >= 400 {
            reply.error();
        }
        reply.status
    });
    statuses.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_so_and_changes_nothing() {
    let cluster = empty().await;
    let settings = [
        ("DASHBOARD_AUTH", "token"),
        ("DASHBOARD_TOKEN", TOKEN),
        ("DASHBOARD_VIEW_TOKEN", VIEW),
        // Opens what a Kiosk has, and no more than that.
        ("DASHBOARD_API", "open"),
    ];
    let (_dashboard, browser) = visitor(&cluster, &settings);
    let nobody = KioskClient::new(browser.port);
    let bearer = |token: &str| {
        nobody
            .clone()
            .with("authorization", &format!("Bearer {token}"))
    };
    let operator = browser.clone().log_in(TOKEN);
    let form_token = operator.form_token();
    let session = |browser: &Browser, token: &str, site: &str| {
        let cookie = &browser.headers["cookie"];
        let client = nobody
            .clone()
            .with("cookie", cookie)
            .with("sec-fetch-site", site);
        client.with("x-csrf-token", token)
    };
    let viewer = browser.clone().log_in(VIEW);
    let before = cluster.redis.dump();
    for (who, client, looks, changes) in [
        ("nobody", nobody.clone(), 401, 401),
        ("a viewer", bearer(VIEW), 200, 403),
        (
            "a viewer's session",
            session(&viewer, &form_token, "same-origin"),
            200,
            403,
        ),
        (
            "no form token",
            session(&operator, "", "same-origin"),
            200,
            403,
        ),
        (
            "a wrong form token",
            session(&operator, "00", "same-origin"),
            200,
            403,
        ),
        (
            "another site",
            session(&operator, &form_token, "cross-site"),
            200,
            403,
        ),
        (
            "a site beside",
            session(&operator, &form_token, "same-site"),
            200,
            403,
        ),
    ] {
        let may_look = try_all(&client, "GET");
        match looks {
            200 => assert_eq!(may_look, [200, 400, 404].into(), "{who}"),
            status => assert_eq!(may_look, [status].into(), "{who}"),
        }
        assert_eq!(try_all(&client, "POST"), [changes].into(), "{who}");
        assert_eq!(cluster.redis.dump(), before, "{who}");
    }
    for client in [
        bearer(TOKEN),
        session(&operator, &form_token, "same-origin"),
    ] {
        let statuses = try_all(&client, "POST");
        // Nothing was uploaded that could be submitted.
        assert_eq!(statuses, [200, 400, 404].into());
        assert_ne!(cluster.redis.dump(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_where_that_is_not_wanted() {
    let cluster = empty().await;
    let (_dashboard, browser) = visitor(&cluster, &[("DASHBOARD_READ_ONLY", "true")]);
    let before = cluster.redis.dump();
    let client = KioskClient::new(browser.port);
    assert_eq!(try_all(&client, "POST"), [403].into());
    assert_eq!(try_all(&client, "GET"), [200, 400, 404].into());
    let (_dashboard, browser) = visitor(&cluster, &[("DASHBOARD_API", "off")]);
    let before_off = cluster.redis.dump();
    let client = KioskClient::new(browser.port);
    assert_eq!(try_all(&client, "POST"), [404].into());
    assert_eq!(try_all(&client, "GET"), [404].into());
    assert_eq!(cluster.redis.dump(), before_off);
    // A browser may be had to send requests by any page, without a login.
    let (_dashboard, browser) = visitor(&cluster, &[]);
    let client = KioskClient::new(browser.port);
    let foreign = client.clone().with("origin", "https://evil.example");
    assert_eq!(try_all(&foreign, "POST"), [403].into());
    assert_eq!(try_all(&client, "POST"), [200, 400, 404].into());
    assert_ne!(cluster.redis.dump(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_and_keys_of_strangers_are_fetched_as_they_are() {
    let twins = Twins::new().await;
    let (script, redis) = (Script::of(&twins.browser), &twins.page.redis);
    twins.page.put("output/a b.zip", b"0123456789");
    let hostile: [&[u8]; 4] = [
        b"a\xff/../b",
        b"<img onerror=1>\"'",
        "\u{202e}gpj.tif".as_bytes(),
        &[b'k'; 3000],
    ];
    for key in hostile {
        let fields = [
            &b"status"[..],
            b"done",
            b"output_file_name",
            b"output/a b.zip",
        ];
        let _: i64 = redis.ask_bytes("HSET", &[&[key][..], &fields[..]].concat());
        let path = format!("/jobs/{}", encoded(key));
        let job = script.get(&format!("{path}?queue=segmentation"));
        let expected = match std::str::from_utf8(key) {
            Ok(text) => json!(text),
            Err(_) => json!({ "base64": "Yf8vLi4vYg==" }),
        };
        assert_eq!(job["key"], expected);
        let reply = script.client.get(&at(&format!("{path}/result")));
        assert_eq!((reply.status, &reply.body[..]), (200, &b"0123456789"[..]));
        let part = [("Range", "bytes=2-4")];
        let reply = script
            .client
            .send("GET", &at(&format!("{path}/result")), &part, b"");
        assert_eq!((reply.status, &reply.body[..]), (206, &b"234"[..]));
    }
    let path = format!("/jobs/{}/result", encoded(b"segmentation:wait:1"));
    let (status, error) = script.refused("GET", &path, b"");
    assert_eq!(status, 404);
    assert!(error.contains("no result: it is new"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_submits_what_it_has_uploaded() {
    let cluster = empty().await;
    let settings = [
        ("DASHBOARD_AUTH", "token"),
        ("DASHBOARD_TOKEN", TOKEN),
        ("JOB_TYPES", "segmentation"),
    ];
    let (_dashboard, nobody) = visitor(&cluster, &settings);
    let mut script = Script::of(&nobody);
    script.client = script
        .client
        .with("authorization", &format!("Bearer {TOKEN}"));
    let put = |path: &str| script.client.send("PUT", path, &[], IMAGE).status;
    let others = cluster.redis.list("segmentation").len();
    let waiting = || cluster.redis.list("segmentation").len() - others;
    assert_eq!(put("/upload/one/a.png"), 200);
    let wanted = |more: Value| {
        let mut body = json!({ "upload": "one", "type": "segmentation", "channels": [0] });
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };

    let looked = script.post("/submit", &wanted(json!({ "dry_run": true })));
    assert_eq!(
        (&looked["event"], &looked["files"]),
        (&json!("checked"), &json!(1))
    );
    let command = looked["command"].as_str().expect("a command");
    assert!(command.starts_with("redis-consumer submit"), "{command}");
    assert!(command.contains("--channels '0,'"), "{command}");
    assert_eq!(waiting(), 0);
    assert_eq!(
        script
            .client
            .send("PUT", "/upload/bad/x.tif", &[], b"no image")
            .status,
        200
    );
    let bad = json!({ "upload": "bad", "type": "segmentation" }).to_string();
    let (status, why) = script.refused("POST", "/submit", bad.as_bytes());
    assert_eq!(status, 409, "{why}");
    assert!(
        why.starts_with("nothing was queued: ") && why.contains("x.tif"),
        "{why}"
    );
    assert_eq!(waiting(), 0);

    let body = wanted(json!({ "scale": 0.5 }));
    let queued = script.post("/submit", &body);
    assert_eq!(queued["known"], json!(false));
    let key = queued["key"].as_str().expect("a key");
    let hash = cluster.redis.hash(key);
    assert_eq!(
        (hash["channels"].as_str(), hash["scale"].as_str()),
        ("0,", "0.5")
    );
    assert_eq!(script.post("/submit", &body)["known"], json!(true));
    assert_eq!(waiting(), 1);

    assert_eq!(put("/upload/one/b.png"), 200);
    let batch = script.post("/submit", &body);
    assert_eq!(
        (&batch["batch"], &batch["items"]),
        (&json!("one"), &json!(2))
    );
}
