//! Rules of plans, each held and broken, against a real bucket, a model server and live consumers; what is broken writes nothing.

use std::fs;

use ndarray::{Array2, Array3, ArrayD};
use serde_json::Value;

use super::Site;
use crate::peers::cluster::{Cluster, IMAGE, eventually};
use crate::peers::exact_models;
use crate::peers::redis::Redis;
use crate::peers::s3::S3Server;

/// A plan of one stage whose items are objects of `frames/`, with these rules.
fn plan(items: &str, rules: &str) -> String {
    format!(
        "plan: 1\nname: seg\nstages:\n  - name: seg\n    queue: ingest\n    items: {{list: [{items}]}}\n    \
         input: \"frames/{{{{ item }}}}\"\n    verify: [{rules}]\n"
    )
}

fn gray() -> Vec<u8> {
    bioimage::encode_tiff(Array2::<u16>::zeros((32, 32)).view().into_dyn())
}

fn movie(frames: usize) -> Vec<u8> {
    bioimage::encode_tiff(Array3::<u8>::zeros((frames, 32, 32)).view().into_dyn())
}

/// Three channels in front, as nobody says.
fn channels() -> Vec<u8> {
    bioimage::encode_tiff(ArrayD::<u16>::zeros(vec![3, 32, 32]).view().into_dyn())
}

/// The objects of the tests.
fn objects() -> [(&'static str, Vec<u8>); 6] {
    [
        ("gray.tif", gray()),
        ("movie.tif", movie(61)),
        ("three.tif", channels()),
        ("color.png", IMAGE.to_vec()),
        ("text.tif", b"no image".to_vec()),
        ("empty.tif", Vec::new()),
    ]
}

impl Site {
    /// With objects to be looked at, and a model server that has one model.
    async fn with_objects() -> Self {
        let model = exact_models::model("nuclear", "NuclearSegmentation:6", [64, 64]);
        let site = Self {
            cluster: Cluster::with(Redis::start_in_memory(), vec![model]).await,
            home: tempfile::tempdir().expect("a folder"),
        };
        for (name, content) in objects() {
            site.cluster.put(&format!("frames/{name}"), &content);
        }
        site
    }

    /// Submits a plan that must be refused by its rules, and gives what was printed.
    fn refused(&self, plan: &str) -> String {
        let said = self.submit(4, plan, &[]);
        assert!(said.ends_with("; nothing was submitted\n"), "{said}");
        self.assert_nothing_written();
        said
    }

    fn assert_nothing_written(&self) {
        assert_eq!(self.cluster.redis.ask::<u64>(&["DBSIZE"]), 0);
        assert!(!self.cluster.has("plans"), "a list was stored");
    }

    /// Runs a command with these variables as well: its status and what it printed.
    fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let output = self.cluster.run(arguments, variables);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        (output.status.code(), said)
    }
}

/// An item, a rule that holds, one that does not, and what is said then.
const INPUTS: [[&str; 4]; 8] = [
    [
        "gray.tif",
        "{size: {min: 1}}",
        "{size: {min: 1M}}",
        "size  frames/gray.tif: ",
    ],
    [
        "movie.tif",
        "{size: {max: 1M}}",
        "{size: {max: 10}}",
        "bytes, 10 at most wanted",
    ],
    [
        "gray.tif",
        "{suffix: [.TIF]}",
        "{suffix: [.png, .jpg]}",
        "frames/gray.tif: .png or .jpg wanted",
    ],
    [
        "gray.tif",
        "{image: {}}",
        "{image: {axes: [CXY]}}",
        "frames/gray.tif: axes XY, CXY wanted",
    ],
    [
        "three.tif",
        "{image: {axes: [XY, CXY], channels: 3}}",
        "{image: {channels: 1}}",
        "3 channels, 1 wanted",
    ],
    [
        "color.png",
        "{image: {axes: [XYC], channels: 1.., type: [u8]}}",
        "{image: {channels: ..2}}",
        "channels, 2 at most wanted",
    ],
    [
        "gray.tif",
        "{image: {type: [u8, u16]}}",
        "{image: {type: [u8]}}",
        "type u16, u8 wanted",
    ],
    [
        "gray.tif",
        "{image: {frames: ..60}}",
        "{image: {frames: 2..}}",
        "1 frame, 2 or more wanted",
    ],
];

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_inputs_are_held_against_the_bucket() {
    let site = Site::with_objects().await;
    for [item, holds, broken, expected] in INPUTS {
        let said = site.submit(0, &plan(item, holds), &["--verify-only"]);
        assert!(said.contains("seg  1 item"), "{said}");
        let said = site.refused(&plan(item, broken));
        assert!(
            said.contains(expected) && said.contains("1 problem"),
            "{said}"
        );
    }
    for item in ["text.tif", "empty.tif"] {
        let said = site.refused(&plan(item, "{image: {}}"));
        assert!(said.contains(&format!("image  frames/{item}: ")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_axes_are_those_of_the_job() {
    let site = Site::with_objects().await;
    let text = plan("movie.tif", "{image: {axes: [BXY], frames: ..60}}");
    let said = site.refused(&text);
    let expected = "movie.tif: shape [61, 32, 32] does not tell its axes: set dimension_order";
    assert!(said.contains(expected), "{said}");
    let text = format!("{text}    fields: {{dimension_order: BXY}}\n");
    let said = site.refused(&text);
    assert!(
        said.contains("movie.tif: 61 frames, 60 at most wanted"),
        "{said}"
    );
    site.submit(0, &text.replace("..60", "..61"), &["--verify-only"]);
}

/// Frames of movies, which are tracked.
const MOVIES: &str = r#"
plan: 1
name: movies
stages:
  - name: seg
    queue: ingest
    items: {list: [{m: m1, t: 1}, {m: m1, t: 2}, {m: m2, t: 1}, {m: m2, t: 2}, {m: m2, t: 3}]}
    id: "{{ m }}/{{ t }}"
    input: "images/{{ m }}/t{{ t }}.tif"
    verify: [exists, {image: {axes: [XY], channels: 1}}]
  - name: track
    queue: ingest
    after: {stage: seg, group: "{{ m }}"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told_with_what_would_lack_it() {
    let site = Site::with_objects().await;
    for (key, content) in [("m1/t1", gray()), ("m1/t2", gray()), ("m2/t3", channels())] {
        site.cluster.put(&format!("images/{key}.tif"), &content);
    }
    let said = site.refused(MOVIES);
    let expected = "seg    5 items  exists 3  image 2\n  \
         missing  images/m2/t1.tif, images/m2/t2.tif\n  \
         image    images/m2/t3.tif: axes CXY, XY wanted; 3 channels, 1 wanted\n\
         track  2 items  uses m2 (0 of 3)\n\
         3 problems; nothing was submitted\n";
    assert_eq!(said, expected);
    let json = site.submit(4, MOVIES, &["--json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let seg = &json["verified"][0];
    assert_eq!((&seg["items"], &seg["looked_at"]), (&5.into(), &5.into()));
    assert_eq!(
        seg["rules"][0],
        serde_json::json!({"rule": "exists", "holds": 3})
    );
    assert_eq!(seg["problem_count"], 3);
    let missing = serde_json::json!({"kind": "missing", "about": "images/m2/t1.tif", "why": ""});
    assert_eq!(seg["problems"][0], missing);
    assert_eq!(json["verified"][1]["uses"][0], "m2 (0 of 3)");
    site.assert_nothing_written();
    // A sample looks at its own items only.
    site.submit(0, MOVIES, &["--sample-group", "m1", "--verify-only"]);
    site.submit(0, MOVIES, &["--skip-verify"]);
    assert!(!site.batch("movies").is_empty());
    // What runs is not looked at again.
    let said = site.submit(0, MOVIES, &[]);
    assert!(said.contains("movies  running"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_behind_s3_are_listed_once_and_their_headers_read() {
    let site = Site::with_objects().await;
    let bucket = S3Server::start();
    for (name, content) in objects() {
        bucket.put(&format!("frames/{name}"), &content);
    }
    let settings = bucket.environment();
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let rules = "exists, {size: {min: 1}}, {image: {type: [u8, u16]}}";
    let path = site.write_plan(&plan("gray.tif, movie.tif, absent.tif, text.tif", rules));
    let (status, said) = site.run_with(&["submit", "--plan", &path], &settings);
    assert_eq!(status, Some(4), "{said}");
    let expected = "seg  4 items  exists 3  size 3  image 2\n  missing  frames/absent.tif\n";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.contains("image    frames/text.tif: "), "{said}");
    site.assert_nothing_written();
    let path = site.write_plan(&plan("gray.tif, movie.tif, color.png", rules));
    let (status, said) = site.run_with(&["submit", "--plan", &path], &settings);
    assert_eq!(status, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_have_to_be_there() {
    let site = Site::with_objects().await;
    let known = plan("gray.tif", "{model: [NuclearSegmentation:6]}");
    site.submit(0, &known, &["--verify-only"]);
    let said = site.refused(&plan(
        "gray.tif",
        "{model: [NuclearSegmentation:6, Nowhere:3]}",
    ));
    assert!(
        said.contains("model 1") && said.contains("model  Nowhere:3: "),
        "{said}"
    );
    let path = site.write_plan(&known);
    let (status, said) = site.run_with(&["submit", "--plan", &path], &[("TF_PORT", "1")]);
    assert_eq!(status, Some(4), "{said}");
    assert!(said.contains("  model  127.0.0.1:1: "), "{said}");
    let said = site.submit(4, &plan("gray.tif", "{model: [Nowhere]}"), &[]);
    assert!(
        said.contains("stages.seg.verify: model: expected name:version"),
        "{said}"
    );
    site.assert_nothing_written();
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_takes_the_inputs_has_to_work_the_queue() {
    let site = Site::with_objects().await;
    // Consumers of archives have this queue if theirs is called `ingest`.
    let text = plan("gray.tif", "workers").replace("queue: ingest", "queue: ingest-zip");
    let said = site.refused(&text);
    let expected = "workers  ingest-zip: no consumer serves this queue";
    assert!(said.contains(expected), "{said}");
    let is_there = |kind: &str| {
        let said = site.run(0, &["workers", "ingest-zip", "--json"]);
        said.contains(&format!("\"type\":\"{kind}\""))
    };
    let mut zip = site.pod("pod-zip").set("CONSUMER_TYPE", "zip").start();
    eventually("it is there", || is_there("zip"));
    let said = site.submit(4, &text, &[]);
    let expected = "workers  frames/gray.tif: consumers of type zip do not take it";
    assert!(said.contains(expected), "{said}");
    assert!(site.batch("seg").is_empty());
    let _exec = site.pod("pod-exec").set("QUEUE", "ingest-zip").start();
    eventually("both are there", || is_there("exec"));
    let said = site.submit(0, &text, &["--verify-only"]);
    assert!(said.contains("seg  1 item  workers 2"), "{said}");
    zip.kill();
    site.submit(0, &text, &[]);
    site.wait_finished("seg");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_looks_at_each_item() {
    let site = Site::with_objects().await;
    let path = option_env!("PATH").unwrap_or("/usr/bin:/bin");
    let script = site.home.path().join("look.sh");
    // It refuses one item, and sees all of each.
    let text = format!(
        "item=$(cat)\necho \"$item\" >> {}/seen\necho noise >&2\ncase \"$item\" in *'\"b\"'*) echo 'b has no vines' >&2; exit 3;; esac\n",
        site.home.path().display()
    );
    fs::write(&script, text).expect("a file");
    let rule = format!("{{command: [sh, {}]}}", script.display());
    let fields = "    fields: {x: \"{{ item }}\"}\n";
    let plan_of = |items: &str| site.write_plan(&format!("{}{fields}", plan(items, &rule)));
    let submit = |items: &str| {
        let plan = plan_of(items);
        site.run_with(&["submit", "--plan", &plan], &[("PATH", path)])
    };
    let (status, said) = submit("a, b, c");
    assert_eq!(status, Some(4), "{said}");
    let expected =
        "seg  3 items  command 2\n  command  b: b has no vines\n1 problem; nothing was submitted\n";
    assert_eq!(said, expected);
    site.assert_nothing_written();
    let seen = fs::read_to_string(site.home.path().join("seen")).expect("what it saw");
    let first: Value = seen
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|item| item["id"] == "a")
        .expect("the first item");
    assert_eq!(first["input"], "frames/a");
    assert_eq!(first["fields"]["x"], "a");
    assert_eq!(first["vars"]["item"], "a");
    let (status, said) = submit("a, c");
    assert_eq!(status, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_and_the_bucket_need_room() {
    let site = Site::with_objects().await;
    let text = "plan: 1\nname: big\nstages:\n  - name: l2\n    queue: ingest\n    items: {range: {x: 1000000}}\n    verify: [room]\n    \
                expect: [\"out/{{ x }}\"]\n";
    site.submit(0, text, &["--verify-only"]);
    let _: String = site
        .cluster
        .redis
        .ask(&["CONFIG", "SET", "maxmemory", "4mb"]);
    let said = site.refused(text);
    assert!(
        said.contains("no room") && said.contains("room  Redis: the batch takes up to"),
        "{said}"
    );
    let _: String = site.cluster.redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let settings = [
        ("STORAGE_BUCKET", "s3://nowhere"),
        ("AWS_S3_ENDPOINT", "http://127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "SECRET"),
        ("STORAGE_RETRY_TIMEOUT", "0.1"),
    ];
    let path = site.write_plan(text);
    let (status, said) = site.run_with(&["submit", "--plan", &path], &settings);
    assert_eq!(status, Some(4), "{said}");
    assert!(
        said.contains("room  the bucket: cannot be written: ") && !said.contains("SECRET"),
        "{said}"
    );
    site.assert_nothing_written();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_items_a_thousand_are_looked_at_unless_all_are_wanted() {
    let site = Site::with_objects().await;
    let text = "plan: 1\nname: many\nstages:\n  - name: s\n    queue: ingest\n    items: {range: {x: 20000}}\n    \
                input: \"frames/{{ x }}.tif\"\n    verify: [{suffix: [.png]}]\n";
    let said = site.refused(text);
    assert!(
        said.starts_with("s  20,000 items, 1,000 looked at  suffix 0\n"),
        "{said}"
    );
    // Ten of them are named.
    assert_eq!(said.lines().count(), 1 + 10 + 1 + 1, "{said}");
    assert!(
        said.contains("frames/19.tif") || said.contains("frames/20.tif"),
        "{said}"
    );
    assert!(
        said.contains("  suffix  … 990 more\n1,000 problems"),
        "{said}"
    );
    let said = site.refused(&text.replace("[{suffix", "[{all: true}, {suffix"));
    assert!(said.starts_with("s  20,000 items  suffix 0\n"), "{said}");
    assert!(said.contains("\n20,000 problems"), "{said}");
}

/// A stage whose inputs another one makes.
const CHAIN: &str = r#"
plan: 1
name: chain
stages:
  - name: prepare
    queue: ingest
    items: {list: [gray.tif]}
    input: "frames/{{ item }}"
    verify: [exists]
    expect: ["prepared/{{ item }}"]
  - name: detect
    queue: ingest
    after: prepare
    input: "prepared/{{ item }}"
    verify: [exists]
"#;

/// Its line that says which.
const INPUT: &str = "    input: \"prepared/{{ item }}\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_no_bucket_could_keep_are_mistakes() {
    let site = Site::with_objects().await;
    let made = "stages.detect.verify: exists: `prepared/gray.tif` is made by stage `prepare` while the batch runs";
    let prefix = "[{prefix: prepared/, count: 1}]";
    let wrong = |rule: &str| plan("gray.tif", rule);
    let no_input = "stages.detect.verify: exists: its items have no input";
    let no_order = "image: `YX C` is no order of rows X";
    let cases = [
        (CHAIN.to_owned(), made),
        (CHAIN.replace("[\"prepared/{{ item }}\"]", prefix), made),
        (CHAIN.replace(INPUT, ""), no_input),
        (wrong("{image: {axes: [YX C]}}"), no_order),
        (
            wrong("{image: {type: [uint8]}}"),
            "image: `uint8` is no type",
        ),
        (wrong("{command: []}"), "command: it names no program"),
    ];
    for (text, expected) in cases {
        let path = site.write_plan(&text);
        let (status, said) = site.run_with(&["plan", "check", &path], &[]);
        assert_eq!(status, Some(4), "{said}");
        assert!(said.contains(expected), "{said}");
        site.submit(4, &text, &["--skip-verify"]);
    }
    site.assert_nothing_written();
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_check_looks_at_what_the_settings_name() {
    let site = Site::with_objects().await;
    let path = site.write_plan(&plan(
        "gray.tif, absent.tif",
        "exists, workers, {model: [NuclearSegmentation:6]}",
    ));
    let (status, said) = site.run_with(&["plan", "check", &path], &[]);
    assert_eq!(status, Some(4), "{said}");
    assert!(
        said.contains("seg  2 items  exists 1  workers 0  model 1\n"),
        "{said}"
    );
    assert!(said.ends_with("\n2 problems\n"), "{said}");
    let unset = [("REDIS_HOST", ""), ("TF_HOST", "")];
    let (status, said) = site.run_with(&["plan", "check", &path], &unset);
    assert_eq!(status, Some(4), "{said}");
    let expected = "exists 1  workers not looked at: REDIS_HOST is not set  model not looked at: TF_HOST is not set\n";
    assert!(
        said.contains(expected) && said.ends_with("\n1 problem\n"),
        "{said}"
    );
    let (status, said) = site.run_with(&["plan", "check", &path, "--skip-verify"], &unset);
    assert_eq!(status, Some(0), "{said}");
    site.assert_nothing_written();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_looked_at_before_they_are_uploaded() {
    let site = Site::with_objects().await;
    let folder = site.home.path().join("hela");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("t1.tif"), gray()).expect("a file");
    fs::write(folder.join("t2.tif"), channels()).expect("a file");
    let text = format!(
        "plan: 1\nname: hela\nstages:\n  - name: seg\n    queue: ingest\n    items: {{files: {{path: {}, match: \"*.tif\"}}}}\n    \
         verify: [exists, {{size: {{min: 1}}}}, {{image: {{axes: [XY], channels: 1}}}}]\n",
        folder.display()
    );
    let said = site.refused(&text);
    let expected = "seg  2 items  exists 2  size 2  image 1\n  \
         image  uploads/hela/t2.tif: axes CXY, XY wanted; 3 channels, 1 wanted\n\
         1 problem; nothing was submitted\n";
    assert_eq!(said, expected);
    assert!(!site.cluster.has("uploads"), "a file was uploaded");
    fs::write(folder.join("t2.tif"), gray()).expect("a file");
    site.submit(0, &text, &[]);
    site.cluster.object("uploads/hela/t2.tif");
}
