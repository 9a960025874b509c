//! `submit`, `watch`, `job fetch`, completions and the manual.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::peers::cluster::{Cluster, IMAGE, NUCLEI, eventually};
use crate::peers::desk::Desk;
use crate::peers::faults::Fault;
use crate::peers::folders::files_below;
use crate::peers::outcome::{outcome, text};
use crate::peers::terminal;

/// The objects that a command has printed; it has to have ended like this.
fn objects(output: &Output, status: i32) -> Vec<Value> {
    super::objects(&outcome(output, status).0)
}

fn ended(objects: &[Value]) -> &Value {
    let last = objects.last().expect("a last line");
    assert_eq!(last["event"], "ended", "{last}");
    last
}

#[test]
fn files_are_uploaded_once_and_queued_once() {
    let desk = Desk::open();
    for number in 0..30 {
        let content = format!("image {number}").repeat(1000);
        desk.write(&format!("images/t{number:03}.tif"), content.as_bytes());
    }
    desk.write("images/.hidden", b"not meant");
    desk.write("images/stack.zip", b"an archive");
    // In parts.
    desk.write("images/large.tif", &vec![7; 9 << 20]);
    let arguments = [
        "submit",
        "--queue",
        "Seg",
        "images",
        "--channels",
        "0,",
        "--scale",
        "2",
        "--field",
        "x_who=ana",
        "--json",
        "--quiet",
    ];
    let all = objects(&desk.run(&arguments), 0);
    let end = ended(&all);
    assert_eq!(
        (&end["queued"], &end["uploaded"]),
        (&32.into(), &32.into()),
        "{end}"
    );
    let queue = desk.redis.list("seg");
    assert_eq!((queue.len(), desk.redis.list("seg-zip").len()), (31, 1));
    assert!(
        desk.redis
            .ask::<bool>(&["SISMEMBER", "rc:queues", "seg-zip"])
    );

    // The next one to be served is the first by name.
    let first = desk.redis.hash(queue.last().expect("a job"));
    assert_eq!(first["original_name"], "images/large.tif");
    let expected = [
        ("status", "new"),
        ("channels", "0,"),
        ("scale", "2"),
        ("x_who", "ana"),
        ("cuts", "0"),
        ("dimension_order", ""),
        ("model_name", ""),
    ];
    for (name, value) in expected {
        assert_eq!(first[name], value, "{name}");
    }
    assert_eq!(desk.bucket.object(&first["input_file_name"]).len(), 9 << 20);
    assert!(
        first["url"].ends_with(&first["input_file_name"]),
        "{first:?}"
    );

    let (before, puts) = (desk.redis.dump(), desk.puts());
    let all = objects(&desk.run(&arguments), 0);
    assert_eq!(
        (&ended(&all)["queued"], &ended(&all)["known"]),
        (&0.into(), &32.into())
    );
    assert_eq!(all[0]["status"], "new");
    assert_eq!((desk.redis.dump(), desk.puts()), (before, puts));

    // Other wishes are other jobs, of the same objects.
    let other = desk.run(&["submit", "--queue", "seg", "images", "--channels", "1,"]);
    assert!(
        text(&other.stdout)
            .contains("31 queued on seg, 1 queued on seg-zip, 32 in the bucket already"),
        "{other:?}"
    );
    assert!(
        text(&other.stderr).contains("left out: 1 hidden ("),
        "{other:?}"
    );
    assert_eq!(desk.puts(), puts);
}

#[test]
fn a_command_that_was_broken_off_goes_on() {
    let desk = Desk::open();
    for number in 0..60 {
        desk.write(
            &format!("images/{number:02}.tif"),
            format!("image {number}").as_bytes(),
        );
    }
    let mut left = 25;
    desk.bucket.faults.fail_if(Fault::HangUp, move |seen| {
        left -= i32::from(seen.is("PUT", "uploads/"));
        left < 0
    });
    let arguments = ["submit", "--queue", "q", "images", "--json", "--quiet"];
    let broken = desk.run(&arguments);
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
    assert!(
        text(&broken.stderr).contains("broken off; the same command goes on"),
        "{broken:?}"
    );
    let stored = files_below(&desk.bucket.folder().join("uploads")).len();
    assert!((1..60).contains(&stored), "{stored}");

    desk.bucket.faults.heal();
    let end = objects(&desk.run(&arguments), 0);
    let end = ended(&end);
    assert_eq!(end["uploaded"], 60 - stored, "{end}");
    let mut queue = desk.redis.list("q");
    assert_eq!(queue.len(), 60);
    queue.sort();
    queue.dedup();
    assert_eq!(queue.len(), 60);
    // What was stored has not been sent again: those that were sent twice were cut off the first time.
    let mut sent = BTreeMap::<String, usize>::new();
    for seen in desk.bucket.faults.requests() {
        if seen.is("PUT", "uploads/") {
            *sent.entry(seen.target).or_default() += 1;
        }
    }
    let once = sent.values().filter(|count| **count == 1).count();
    assert!(
        sent.len() == 60 && once >= stored,
        "{stored} stored, {sent:?}"
    );
}

#[test]
fn a_folder_as_a_bucket_compares_contents() {
    let desk = Desk::open();
    desk.write("a.tif", b"an image");
    let bucket = tempfile::tempdir().expect("a bucket");
    let url = format!("file://{}", bucket.path().display());
    let submit = |arguments: &[&str]| {
        let output = desk
            .command(
                &[
                    &["submit", "a.tif", "--queue", "q", "--json", "--quiet"],
                    arguments,
                ]
                .concat(),
            )
            .env("STORAGE_BUCKET", &url)
            .output();
        objects(&output.expect("the program starts"), 0)
    };
    assert_eq!(ended(&submit(&[]))["uploaded"], 1);
    // One file is a new job each time.
    let again = submit(&[]);
    assert_eq!(
        (&ended(&again)["uploaded"], &ended(&again)["queued"]),
        (&0.into(), &1.into())
    );
    let key = desk.redis.list("q").remove(0);
    let object = bucket
        .path()
        .join(&desk.redis.hash(&key)["input_file_name"]);
    fs::write(&object, b"an IMAGE").expect("it is there");
    assert_eq!(ended(&submit(&[]))["uploaded"], 1);
    assert_eq!(fs::read(&object).expect("it is there"), b"an image");

    let by_content = ["--id", "content"];
    assert_eq!(ended(&submit(&by_content))["queued"], 1);
    fs::create_dir(desk.path("more")).expect("a folder");
    fs::rename(desk.path("a.tif"), desk.path("more/b.tif")).expect("it is there");
    std::os::unix::fs::symlink("more/b.tif", desk.path("a.tif")).expect("a link");
    assert_eq!(ended(&submit(&by_content))["known"], 1);
}

#[test]
fn objects_are_found_by_key_and_by_prefix_page_after_page() {
    let desk = Desk::open();
    for number in 0..5000 {
        desk.bucket.put(&format!("scans/a{number:04}.tif"), b"x");
    }
    desk.bucket.put("scans/a.txt", b"x");
    desk.bucket.put("scans/b.tif", b"x");
    let by_prefix = [
        "submit", "--queue", "q", "--prefix", "scans/a", "--match", "a*.tif",
    ];
    let output = desk.run(&by_prefix);
    assert!(
        text(&output.stdout).starts_with("5000 queued on q\n"),
        "{output:?}"
    );
    assert_eq!(desk.redis.ask::<u64>(&["LLEN", "q"]), 5000);
    let next: String = desk.redis.ask(&["LINDEX", "q", "-1"]);
    assert_eq!(desk.redis.hash(&next)["input_file_name"], "scans/a0000.tif");
    assert!(desk.bucket.faults.count("GET", "list-type=2") >= 5);
    let output = desk.run(&by_prefix);
    assert!(
        text(&output.stdout).starts_with("5000 known already (5000 new)"),
        "{output:?}"
    );

    let output = desk.run(&[
        "submit", "--queue", "r", "--prefix", "scans/", "--limit", "7",
    ]);
    assert!(
        text(&output.stdout).starts_with("7 queued on r\n"),
        "{output:?}"
    );
    let keys = [
        "submit",
        "--queue",
        "s",
        "--key",
        "scans/b.tif",
        "scans/a.zip",
    ];
    let output = desk.run(&keys);
    assert!(
        text(&output.stdout).starts_with("1 queued on s, 1 queued on s-zip\n"),
        "{output:?}"
    );
    let fields = [
        "submit",
        "--queue",
        "t",
        "--field",
        "input_file_name=scans/b.tif",
        "--field",
        "label=1",
    ];
    assert_eq!(desk.run(&fields).status.code(), Some(0));
    let job = desk.redis.hash(&desk.redis.list("t")[0]);
    assert_eq!(
        (job["input_file_name"].as_str(), job["label"].as_str()),
        ("scans/b.tif", "1")
    );
}

#[test]
fn a_dry_run_changes_nothing() {
    let desk = Desk::open();
    desk.write("images/a.tif", b"a");
    desk.write("images/b.tif", b"b");
    desk.bucket.put("scans/a.tif", b"a");
    let _: u64 = desk.redis.ask(&["SADD", "rc:queues", "q"]);
    assert_eq!(
        desk.run(&[
            "submit",
            "--queue",
            "q",
            "--key",
            "scans/a.tif",
            "--id",
            "name"
        ])
        .status
        .code(),
        Some(0)
    );
    let before = desk.redis.dump();
    for arguments in [
        &["images"][..],
        &["images", "--archive"],
        &["--prefix", "scans/"],
        &["--key", "scans/a.tif", "scans/b.tif"],
        &["--field", "input_file_name=scans/a.tif"],
    ] {
        let arguments = [&["submit", "--queue", "q", "--dry-run"], arguments].concat();
        let output = desk.run(&arguments);
        assert!(text(&output.stdout).starts_with("would be: "), "{output:?}");
        assert_eq!(desk.redis.dump(), before, "{arguments:?}");
    }
    assert_eq!(desk.puts(), 0);
    let output = desk.run(&["submit", "--queue", "q", "--dry-run", "--prefix", "scans/"]);
    assert_eq!(text(&output.stdout), "would be: 1 known already (1 new)\n");
}

#[test]
fn a_queue_that_is_too_long_is_waited_for() {
    let desk = Desk::open();
    let _: u64 = desk.redis.ask(&["LPUSH", "q", "1", "2", "3"]);
    let monitor = &mut desk.redis.monitor();
    let arguments = [
        "submit",
        "--queue",
        "q",
        "--key",
        "a.tif",
        "--max-queue",
        "2",
        "--quiet",
    ];
    let child = desk.command(&arguments).stdout(Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    for _ in 0..2 {
        monitor.until(|line| line.contains("\"LLEN\" \"q\""));
    }
    assert_eq!(desk.redis.list("q"), ["3", "2", "1"]);
    let _: String = desk.redis.ask(&["RPOP", "q"]);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(text(&output.stdout), "1 queued on q\n");
    assert_eq!(desk.redis.list("q").len(), 3);
}

#[test]
fn files_become_one_archive() {
    let desk = Desk::open();
    desk.write("images/a.tif", &[1; 100_000]);
    desk.write("images/deep/b.tif", &[2; 1000]);
    let output = desk.run(&["submit", "--queue", "q", "--archive", "images"]);
    assert!(
        text(&output.stdout).starts_with("1 queued on q-zip, 1 uploaded ("),
        "{output:?}"
    );
    let job = desk.redis.hash(&desk.redis.list("q-zip")[0]);
    assert_eq!(job["original_name"], "images.zip");
    let archive = std::io::Cursor::new(desk.bucket.object(&job["input_file_name"]));
    let mut archive = zip::ZipArchive::new(archive).expect("an archive");
    let mut content = Vec::new();
    let mut entry = archive.by_name("images/deep/b.tif").expect("an entry");
    entry.read_to_end(&mut content).expect("its content");
    assert_eq!(content, [2; 1000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn submitted_images_are_worked_followed_and_unpacked() {
    let cluster = Cluster::open().await;
    let files = tempfile::tempdir().expect("a folder");
    for name in ["one.png", "two.png", "more/one.png"] {
        let path = files.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, IMAGE).expect("a file");
    }
    let mut pod = cluster.pod("pod-1").start();
    let results = files.path().join("results");
    let (from, to) = (
        files.path().display().to_string(),
        results.display().to_string(),
    );
    let (one, two, more) = (
        format!("{from}/one.png"),
        format!("{from}/two.png"),
        format!("{from}/more"),
    );
    let arguments = [
        "submit",
        "--queue",
        "segmentation",
        &one,
        &two,
        &more,
        "--channels",
        "0,",
        "--dimension-order",
        "XYC",
        "--scale",
        "1",
        "--download",
        &to,
        "--wait",
        "--timeout",
        "60s",
    ];
    let output = cluster.run(&arguments, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stdout).contains("done 3  failed 0  running 0  waiting 0"),
        "{output:?}"
    );
    let labels = |folder: &str| {
        let mut found = files_below(&results.join(folder));
        found.retain(|path| path.extension().is_some_and(|extension| extension == "tif"));
        assert_eq!(found.len(), 1, "{folder}");
        fs::read(found.remove(0)).expect("it is there")
    };
    assert_eq!(labels("one"), labels("two"));
    assert_eq!(labels("one"), labels("more/one"));
    assert!(crate::peers::results::cell_count(&labels("one")) > 10);

    // A job that fails, and one that nobody works.
    cluster.put(NUCLEI, b"no image");
    let key = format!("input_file_name={NUCLEI}");
    let submit = |more: &[&str]| {
        let own = [
            "submit",
            "--queue",
            "segmentation",
            "--field",
            &key,
            "--wait",
        ];
        cluster.run(&[&own, more].concat(), &[])
    };
    let failed = submit(&["--json"]);
    let all = objects(&failed, 4);
    assert_eq!(ended(&all)["failed"], 1);
    let key_of_failed = all[0]["key"].as_str().expect("a key").to_owned();
    let watched = cluster.run(&["watch", &key_of_failed], &[]);
    assert_eq!(watched.status.code(), Some(4), "{watched:?}");
    let fetched = cluster.run(&["job", "fetch", &key_of_failed, &to], &[]);
    assert_eq!(fetched.status.code(), Some(4), "{fetched:?}");
    pod.kill();
    let late = submit(&["--timeout", "1s"]);
    assert_eq!(late.status.code(), Some(124), "{late:?}");
    assert!(
        text(&late.stderr).contains("1 go on without this command"),
        "{late:?}"
    );
    let waiting = cluster.redis.list("segmentation").remove(0);
    let fetched = cluster.run(&["job", "fetch", &waiting, &to], &[]);
    assert_eq!(fetched.status.code(), Some(75), "{fetched:?}");
    assert_eq!(
        cluster.run(&["watch", "nothing"], &[]).status.code(),
        Some(64)
    );
}

#[test]
fn watch_tells_each_change_and_never_scans() {
    let desk = Desk::open();
    let _: u64 = desk.redis.ask(&["HSET", "q:a:1", "status", "new"]);
    let monitor = desk.redis.monitor();
    let child = desk
        .command(&["watch", "q:a:1", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let looks = || {
        let stats: String = desk.redis.ask(&["INFO", "commandstats"]);
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_hmget:calls="));
        line.map_or(0, |line| {
            line.split(',')
                .next()
                .expect("a number")
                .parse::<u64>()
                .expect("a number")
        })
    };
    for (status, progress) in [
        ("started", "0"),
        ("predicting", "12"),
        ("predicting", "13"),
        ("predicting", "40"),
        ("done", "100"),
    ] {
        let before = looks();
        eventually("it is looked at", || looks() > before + 1);
        let _: u64 = desk
            .redis
            .ask(&["HSET", "q:a:1", "status", status, "progress", progress]);
    }
    let output = child.wait_with_output().expect("it ends");
    let all = objects(&output, 0);
    let told: Vec<_> = all
        .iter()
        .filter(|object| object["event"] == "status")
        .map(|object| {
            (
                object["status"].as_str().expect("a status"),
                object["progress"].as_u64(),
            )
        })
        .collect();
    let expected = [
        ("started", Some(0)),
        ("predicting", Some(12)),
        ("predicting", Some(40)),
        ("done", Some(100)),
    ];
    assert_eq!(told, expected);
    let lines = monitor.lines(&desk.redis);
    let forbidden = ["\"SCAN\"", "\"KEYS\"", "\"HGETALL\"", "\"LRANGE\""];
    assert!(
        !lines
            .iter()
            .any(|line| forbidden.iter().any(|word| line.contains(word))),
        "{lines:#?}"
    );
}

#[test]
fn wrong_command_lines_are_refused() {
    let desk = Desk::open();
    desk.write("a.tif", b"a");
    for arguments in [
        &["submit"][..],
        &["submit", "nothing.tif"],
        &["submit", "a.tif", "--field", "status=done"],
        &["submit", "a.tif", "--field", "input_file_name=b"],
        &["submit", "a.tif", "--key", "b"],
        &["submit", "--key", "b", "--id", "content"],
        &["submit", "a.tif", "--timeout", "1s"],
        &["submit", "a.tif", "--queue", "a:b"],
        &["submit", "a.tif", "--model", "Nuclear"],
        // Whoever wants only a look is not to find the file queued.
        &["submit", "a.tif", "--verify-only"],
        &["submit", "a.tif", "--sample", "3"],
        &["submit", "--key", "b", "--set", "a=b"],
        &["repair"],
        &["repair", "--batch", "a", "--plan", "b.yaml"],
    ] {
        let output = desk.run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(desk.redis.keys("*"), [""; 0]);
}

#[test]
fn a_terminal_gets_a_bar_and_a_log_gets_lines() {
    let desk = Desk::open();
    for number in 0..20 {
        desk.write(&format!("images/{number}.tif"), &[number; 100_000]);
    }
    let arguments = ["submit", "--queue", "q", "images"];
    let plain = text(&desk.run(&arguments).stderr);
    let lines: Vec<_> = plain.lines().collect();
    assert!(lines[0].ends_with("Z uploads 0/20 0B"), "{plain}");
    assert!(
        lines
            .last()
            .expect("a last one")
            .contains("Z uploads 20/20 2.0MB"),
        "{plain}"
    );
    assert!(!plain.contains(['\r', '\x1b']), "{plain:?}");

    let screen = on_a_terminal(&desk, &arguments, "xterm");
    assert!(
        screen.contains("20/20 2.0MB") && screen.contains('\x1b'),
        "{screen:?}"
    );
    let dumb = on_a_terminal(&desk, &arguments, "dumb");
    assert!(
        dumb.contains("Z uploads 20/20") && !dumb.contains('\x1b'),
        "{dumb:?}"
    );
    let json = on_a_terminal(&desk, &[&arguments[..], &["--json"]].concat(), "xterm");
    assert!(!json.contains('\x1b'), "{json:?}");
}

/// What a terminal of this kind shows of a command.
fn on_a_terminal(desk: &Desk, arguments: &[&str], kind: &str) -> String {
    let (status, shown) = terminal::show(desk.command(arguments), kind);
    assert!(status.success());
    shown
}

#[test]
fn shells_and_man_know_all_commands() {
    let desk = Desk::open();
    let help = text(&desk.run(&["--help"]).stdout);
    let commands: Vec<_> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(
        commands.contains(&"submit") && commands.len() > 15,
        "{commands:?}"
    );
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&desk.run(&["completions", shell]).stdout);
        for command in &commands {
            assert!(script.contains(command), "{command} for {shell}");
        }
    }
    let manual = text(&desk.run(&["man"]).stdout);
    assert!(manual.contains(".TH redis-consumer 1"), "{manual}");
    for command in &commands {
        let name = format!("redis-consumer-{command}");
        assert!(
            manual.contains(&name.replace('-', "\\-")) || manual.contains(&name),
            "{name}"
        );
    }
}
