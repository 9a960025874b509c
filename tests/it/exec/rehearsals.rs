//! `exec-test`: a command tried without a queue.

use std::path::Path;
use std::process::{Command, Output};

use super::results::script;

/// What `exec-test` prints, and its exit status.
pub(super) fn rehearse(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_redis-consumer"))
        .arg("exec-test")
        .args(arguments)
        .env_clear()
        .env("PATH", option_env!("PATH").unwrap_or("/usr/bin:/bin"))
        .env("HOSTNAME", format!("rehearsal-{}", fastrand::u64(..)))
        .current_dir(folder)
        .output()
        .expect("it runs");
    let text = [stdout, stderr].concat();
    let text = String::from_utf8(text).expect("text");
    (status.code().expect("it ended by itself"), text)
}

/// Copies its input, or refuses it.
const SCRIPT: &str = r#"
import json, os, shutil, sys
for line in sys.stdin:
    job = json.loads(line)
    if job["fields"].get("do") == "refuse":
        print(f"::fail {job['id']} invalid_input no\x1b[31m cells", flush=True)
        continue
    print(f"::progress {job['id']} 50 half", flush=True)
    for file in job["inputs"]:
        shutil.copy(file["path"], os.path.join(job["output"], f"{os.getpid()}-{file['name']}"))
    print(f"::done {job['id']}", flush=True)
"#;

#[test]
fn a_command_is_tried_on_files_and_each_step_is_shown() {
    let (folder, command) = script(SCRIPT);
    let folder = folder.path();
    std::fs::write(folder.join("a b.txt"), "some input").expect("a file");
    let with = |more: &[&str]| {
        rehearse(
            folder,
            &[&["--command", &command, "a b.txt"], more].concat(),
        )
    };

    let (status, text) = with(&["--keep", "results"]);
    assert_eq!(status, 0, "{text}");
    let starts: Vec<_> = text.lines().map(|line| line.split(' ').next()).collect();
    let expected = ["command", "job", "log", "progress", "log", "output", "done"];
    assert_eq!(starts, expected.map(Some), "{text}");
    let mut kept = std::fs::read_dir(folder.join("results")).expect("a folder");
    let kept = kept.next().expect("a result").expect("a result").path();
    assert_eq!(std::fs::read(kept).expect("a result"), b"some input");

    let (status, text) = with(&["--field", "do=refuse"]);
    assert_eq!(status, 4, "{text}");
    assert!(
        text.contains(": invalid_input: no") && !text.contains('\x1b'),
        "{text}"
    );

    let (status, text) = with(&["--persistent", "--repeat", "3"]);
    assert_eq!(status, 0, "{text}");
    let outputs = text.lines().filter(|line| line.starts_with("output"));
    let mut outputs: Vec<_> = outputs.collect();
    assert_eq!(outputs.len(), 3, "{text}");
    outputs.dedup();
    assert_eq!(outputs.len(), 1, "one process has worked all: {text}");
}

#[test]
fn what_cannot_be_tried_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["a.txt"], 64, "--command"),
        (&["--command", "true", "a.txt"], 1, "a.txt cannot be read"),
        (&["--command", "true", "--field", "x"], 64, "NAME=VALUE"),
        (&["--command", "true", "--repeat", "0"], 64, "--repeat"),
        (&["--command", "cat {inpt}"], 64, "{input}"),
        (&["--command", "no-such-program"], 4, "cannot be run"),
    ];
    for (arguments, expected, text) in cases {
        let (status, said) = rehearse(folder, arguments);
        assert_eq!(status, expected, "{arguments:?}: {said}");
        assert!(said.contains(text), "{arguments:?}: {said}");
    }
}
