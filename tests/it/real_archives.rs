//! Archives that other programs have written, sound and hostile, through the consumer of archives.
//!
//! The `expected.json` of a folder alone says which archives there are and what a reference reader sees in them; none is
//! known here by name. Some lie in `tests/fixtures/archives`, all in `DATA_DIR`, else `../shared/data` beside the project.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use sha2::Digest;

use crate::peers::cluster::{Cluster, eventually};
use crate::peers::python_kiosk::PythonConsumer;
use crate::peers::real_data::folders;
use crate::peers::redis::Redis;
use crate::peers::results::hex;

/// Compression methods that are read; others are told by the name of the entry.
const METHODS: [u64; 3] = [0, 8, 12];

/// More than any of these archives unpacks to, and less than some of them claim.
const MOST_MEMORY_KIB: u64 = 256 << 10;

/// What the consumer makes of an archive.
enum Outcome {
    /// The paths and digests of what it has uploaded, in its order.
    Expanded(Vec<(String, String)>),
    /// The reason it gives.
    Refused(String),
}

#[tokio::test(flavor = "multi_thread")]
async fn real_archives_become_their_images_or_fail_for_a_reason() {
    let cluster = Cluster::with(Redis::start_in_memory(), Vec::new()).await;
    let mut zip = cluster
        .pod("pod-zip")
        .set("CONSUMER_TYPE", "zip")
        .set("LEASE_TIME", "2")
        .start();
    let (mut waiting, mut failures) = (Vec::new(), Vec::new());
    let mut classes = BTreeMap::<String, [usize; 2]>::new();
    for (name, expected, archive) in archives() {
        let key = format!("segmentation-zip:{name}:1");
        cluster.put(&format!("uploads/{name}"), &archive);
        cluster.write_job(&key, &format!("uploads/{name}"), &[]);
        let children_before = cluster.redis.keys("segmentation:*").len();
        let _: u32 = cluster.redis.ask(&["LPUSH", "segmentation-zip", &key]);
        let outcome = outcome(&cluster, &key);
        let class = classes
            .entry(
                expected["expectation"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            )
            .or_default();
        let children = match &outcome {
            Outcome::Refused(reason) => {
                println!("refused {name}: {reason}");
                class[1] += 1;
                0
            }
            Outcome::Expanded(children) => {
                class[0] += 1;
                waiting.push((key, children.len()));
                children.len()
            }
        };
        assert_eq!(
            cluster.redis.keys("segmentation:*").len(),
            children_before + children,
            "{name} leaves no child behind"
        );
        if let Err(problem) = verdict(&expected, &outcome) {
            failures.push(format!("{name}: {problem}"));
        }
    }
    for (expectation, [expanded, refused]) in &classes {
        println!("real-archives {expectation}: {expanded} expanded, {refused} refused");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(
        classes["list_matches"].iter().all(|count| *count > 0),
        "some are expanded and some are refused"
    );

    // Whatever the names, the archive ends with its last child.
    cluster.put("output/python.zip", b"a result");
    let python = PythonConsumer::start(
        cluster.redis.connection(),
        "segmentation",
        "pod-py",
        Duration::ZERO,
    );
    for (key, children) in waiting {
        let hash = cluster.wait_done(&key);
        assert_eq!(
            (hash["total_jobs"].parse(), hash["failures"].as_str()),
            (Ok(children), ""),
            "{key}"
        );
    }
    drop(python);
    assert!(zip.is_running(), "none of them ends the consumer");
    let status = fs::read_to_string(format!("/proc/{}/status", zip.id())).expect("it runs");
    let peak = status.lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    });
    assert!(
        peak.is_some_and(|peak: u64| peak < MOST_MEMORY_KIB),
        "it took {peak:?} KiB"
    );
}

/// Name, expectation and content of every archive.
fn archives() -> Vec<(String, Value, Vec<u8>)> {
    let mut archives = Vec::new();
    for folder in folders(&["archives"]) {
        for (name, expected, content) in folder.files() {
            if expected["kind"] == "zip" {
                let unique = format!("{}-{}", archives.len(), name.replace('/', "-"));
                archives.push((unique, expected.clone(), content));
            }
        }
    }
    archives
}

/// Waits until the archive has children or has failed.
fn outcome(cluster: &Cluster, key: &str) -> Outcome {
    let mut hash = cluster.redis.hash(key);
    eventually(&format!("{key} is expanded or refused"), || {
        hash = cluster.redis.hash(key);
        matches!(hash["status"].as_str(), "waiting" | "failed")
    });
    if hash["status"] == "failed" {
        return Outcome::Refused(hash["reason"].lines().last().unwrap_or_default().to_owned());
    }
    let mut folder = None;
    let children = hash["children"].split(',').map(|child| {
        let child = cluster.redis.hash(child);
        let (path, object) = (&child["original_name"], &child["input_file_name"]);
        let under = object
            .strip_suffix(path)
            .unwrap_or_else(|| panic!("{object} for {path}"));
        let run = under
            .strip_prefix("output/")
            .and_then(|under| under.strip_suffix('/'))
            .unwrap_or_default();
        assert!(
            run.len() == 32 && run.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{object}"
        );
        assert_eq!(
            folder.get_or_insert(under.to_owned()),
            under,
            "one folder for an archive"
        );
        assert_eq!(child["status"], "new");
        (
            path.clone(),
            hex(&sha2::Sha256::digest(cluster.object(object))),
        )
    });
    Outcome::Expanded(children.collect())
}

/// Whether that is what the reference reader's view demands.
fn verdict(expected: &Value, outcome: &Outcome) -> Result<(), String> {
    let entries = expected["entries"].as_array().into_iter().flatten();
    let images: Vec<&Value> = entries.filter(|entry| is_image(entry)).collect();
    let must_match = expected["expectation"] == "list_matches";
    let cause = cause_of_refusal(expected, &images);
    match (outcome, cause) {
        (Outcome::Refused(reason), _) if !reason.starts_with("ValueError: ") => {
            Err(format!("`{reason}` is no reason"))
        }
        // What is damaged may be refused before an entry is looked at.
        (Outcome::Refused(_), _) if !must_match => Ok(()),
        (Outcome::Refused(reason), Some(cause)) if reason.contains(&cause) => Ok(()),
        (Outcome::Refused(reason), cause) => {
            Err(format!("refused for `{reason}`, wanted is {cause:?}"))
        }
        (Outcome::Expanded(_), Some(cause)) => Err(format!("expanded in spite of `{cause}`")),
        (Outcome::Expanded(children), None) => agrees(&images, children),
    }
}

/// A file with a suffix that is no resource fork of macOS.
fn is_image(entry: &Value) -> bool {
    let name = entry["name"].as_str().unwrap_or_default();
    let base = name
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or_default()
        .trim_start_matches('.');
    let is_file = entry["is_dir"] != true && entry["symlink"] != true;
    is_file && base.contains('.') && !name.contains("__MACOSX")
}

/// Words that the reason must have, if the reference reader could not have read all images either.
fn cause_of_refusal(expected: &Value, images: &[&Value]) -> Option<String> {
    if expected["reference_ok"] == false {
        return Some("File is not a zip file".to_owned());
    }
    if images.is_empty() {
        return Some("holds no images".to_owned());
    }
    let unreadable = images.iter().find(|image| {
        let is_read = image["method"]
            .as_u64()
            .is_some_and(|method| METHODS.contains(&method));
        image["encrypted"] == true || image.get("content_error").is_some() || !is_read
    })?;
    let name = unreadable["name"].as_str().unwrap_or_default();
    let rest = if unreadable["encrypted"] == true {
        "is encrypted"
    } else {
        "cannot be unpacked"
    };
    Some(format!("`{name}` in the archive {rest}"))
}

fn agrees(images: &[&Value], children: &[(String, String)]) -> Result<(), String> {
    if images.len() != children.len() {
        return Err(format!(
            "{} children for {} images",
            children.len(),
            images.len()
        ));
    }
    for (image, (path, digest)) in images.iter().zip(children) {
        let name = image["name"].as_str().unwrap_or_default();
        let parts = name
            .split(['/', '\\'])
            .filter(|part| !matches!(*part, "" | "." | ".."));
        let wanted = parts.collect::<Vec<_>>().join("/");
        // Readers do not agree on names that are neither ASCII nor marked as UTF-8.
        if *path != wanted && (name.is_ascii() || image["utf8_flag"] == true) {
            return Err(format!("`{path}` instead of `{wanted}`"));
        }
        let may_have_halves = !name.is_ascii() && image["utf8_flag"] != true;
        if path.starts_with('/')
            || path.contains('\0')
            || path.contains('\\') && !may_have_halves
            || path.split('/').any(|part| part == "..")
        {
            return Err(format!("`{path}` leaves its folder"));
        }
        if image
            .get("content_sha256")
            .is_some_and(|wanted| wanted != digest)
        {
            return Err(format!("`{path}` has other bytes"));
        }
    }
    Ok(())
}
