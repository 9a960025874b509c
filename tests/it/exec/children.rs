//! Jobs that commands ask for and wait for, and items that they gather.

use super::{cluster, end, exec, shell};
use crate::exec::results::script;
use crate::peers::cluster::Cluster;

/// Has each line of its input worked by a job of its own, twice over, and joins what they have left.
const SPLIT: &str = r#"
import json, os, sys
job = json.loads(sys.stdin.readline())
out = job["output"]
found = {child["name"]: child for child in job["children"]}
assert not os.listdir(out), "left over"
def ask(parts, queue, fast=False):
    children = []
    for name, text in parts:
        os.makedirs(os.path.join(out, "parts"), exist_ok=True)
        with open(os.path.join(out, "parts", name), "w") as part:
            part.write(text)
        children.append({"queue": queue, "name": name, "input": "parts/" + name, "fields": {"scale": 2}})
    with open(os.path.join(out, "result.json"), "w") as about:
        json.dump({"children": children, "fail_fast": fast}, about)
if job["phase"] == "work":
    assert os.environ["RC_PHASE"] == "work"
    lines = open(job["inputs"][0]["path"]).read().split("\n")
    ask([(f"line-{n}", line) for n, line in enumerate(lines) if line], "parts")
elif "line-0" in found and job["fields"].get("rounds") == "2" and len(found) > 1:
    text = "".join(open(child["results"][0]).read() for child in job["children"])
    ask([("line-0", text)], "parts")
elif job["fields"].get("rounds") == "endless":
    ask([("again", "x")], "parts")
else:
    with open(os.path.join(out, "all.txt"), "w") as result:
        for child in job["children"]:
            if child["state"] == "done":
                result.write(open(child["results"][0]).read())
            else:
                result.write(f"{child['name']}: {child['reason']}\n")
"#;

/// A consumer for what the command asks for: it doubles, and fails on what is bad.
fn parts(cluster: &Cluster) -> crate::peers::cluster::PodSettings {
    let script = r#"
        test "$RC_FIELD_SCALE" = 2 || exit 3
        if grep -q bad "$RC_INPUT"; then echo "a bad line" >&2; exit 65; fi
        cat "$RC_INPUT" "$RC_INPUT" > "$RC_OUTPUT/doubled.txt"
    "#;
    shell(cluster, script)
        .set("HOSTNAME", "parts-1")
        .set("QUEUE", "parts")
}

fn text(cluster: &Cluster, key: &str) -> String {
    let result = cluster.result(&cluster.wait_done(key)).remove(0);
    assert_eq!(result.0, "all.txt");
    String::from_utf8(result.1).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_others_work_and_collects_what_they_have_left() {
    let cluster = cluster().await;
    cluster.put("uploads/lines.txt", b"ab\ncd\nbad\nef\n");
    let (_folder, command) = script(SPLIT);
    let _pods = (exec(&cluster, &command).start(), parts(&cluster).start());
    let key = cluster.submit("uploads/lines.txt", &[]);
    let hash = cluster.wait_done(&key);
    assert_eq!(hash["children_total"], "4");
    assert_eq!(hash["children_failed"], "1");
    assert_eq!(
        text(&cluster, &key),
        "ababcdcdline-2: ValueError: exit status 65: a bad line\nefef"
    );
    // Twice: what the parts of the first round have left becomes the one part of the second.
    cluster.put("uploads/good.txt", b"ab\ncd\n");
    let key = cluster.submit("uploads/good.txt", &[("rounds", "2")]);
    assert_eq!(text(&cluster, &key), "ababcdcdababcdcd");
    let key = cluster.submit("uploads/good.txt", &[("rounds", "endless")]);
    let hash = cluster.wait(&key);
    let (status, class, reason) = end(&hash);
    assert_eq!((status, class), ("failed", "invalid_input"), "{reason}");
    assert!(reason.contains("10 times"), "{reason}");
    assert!(cluster.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_cannot_be_are_refused_by_name() {
    let cluster = cluster().await;
    let script = r#"printf '%s' "$RC_FIELD_DO" > "$RC_OUTPUT/result.json""#;
    let _pod = shell(&cluster, script).start();
    for (children, why) in [
        (r#"{"queue": "a:b", "name": "x"}"#, "must not contain `:`"),
        (r#"{"queue": "a", "name": ""}"#, "1 to 200 bytes"),
        (
            r#"{"queue": "a", "name": "x", "input": "no.tif"}"#,
            "no file `no.tif`",
        ),
        (
            r#"{"queue": "a", "name": "x", "fields": {"rc_token": 1}}"#,
            "`rc_token`",
        ),
        (
            r#"{"queue": "a", "name": "x"}, {"queue": "a", "name": "x"}"#,
            "are called `x`",
        ),
        (r#"{"queue": "a", "nmae": "x"}"#, "nmae"),
    ] {
        let about = format!(r#"{{"children": [{children}]}}"#);
        let hash = cluster.wait(&super::submit(&cluster, &about));
        let (_, class, reason) = end(&hash);
        assert_eq!(class, "invalid_input", "{reason}");
        assert!(reason.contains(why), "{reason}");
    }
    assert_eq!(cluster.redis.keys("a:*"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_items_of_a_manifest_come_in_order_with_their_results() {
    let cluster = cluster().await;
    for frame in ["t1", "t2"] {
        cluster.put(&format!("uploads/m/{frame}.tif"), frame.as_bytes());
    }
    cluster.put("output/labels.csv", b"labels of t1");
    let manifest = r#"{"manifest": 1, "items": [
        {"id": "m/t2", "input": "uploads/m/t2.tif", "state": "failed"},
        {"id": "m/t1", "input": "uploads/m/t1.tif", "result": "output/labels.csv", "state": "done"}]}"#;
    cluster.put("plans/b/track/m/1.json", manifest.as_bytes());
    let command = r#"sh -c 'ls input > "$1/names"; cat "$2" > "$1/job.json"; cat results/*/* > "$1/labels"' sh {output} {job}"#;
    let _pod = exec(&cluster, command).start();
    let key = cluster.submit("plans/b/track/m/1.json", &[]);
    let result = cluster.result(&cluster.wait_done(&key));
    let entry = |name: &str| {
        let found = result.iter().find(|(other, _)| other == name);
        String::from_utf8(found.expect(name).1.clone()).expect("text")
    };
    assert_eq!(entry("names"), "000001-t2.tif\n000002-t1.tif\n");
    assert_eq!(entry("labels"), "labels of t1");
    let job: serde_json::Value = serde_json::from_str(&entry("job.json")).expect("JSON");
    assert_eq!(job["inputs"][0]["item"], "m/t2");
    assert_eq!(job["inputs"][0]["state"], "failed");
    let labels = job["inputs"][1]["results"][0].as_str().expect("a path");
    assert!(
        labels.ends_with("/results/000002-t1.tif/labels.csv"),
        "{labels}"
    );
    cluster.put("plans/b/track/m/2.json", b"{}");
    let reason = cluster.wait_failed(&cluster.submit("plans/b/track/m/2.json", &[]));
    assert!(reason.contains("the manifest `plans/b/"), "{reason}");
}
