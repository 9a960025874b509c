//! Holds the sources to their layers: no circle between files, no circle between rooms, no arrow up, and what must not know
//! each other does not.
//!
//! A room is a module at the top of `src`, a file or a folder. `cargo test … --test it layers:: -- --nocapture` prints a
//! summary, and with it every arrow between rooms.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use imports::Sources;

/// The rooms by floors, from the ground up. A room may name rooms of the floors below it only, so two rooms of one floor do
/// not know each other.
const FLOORS: &[&[&str]] = &[
    &["untrusted"],
    &[
        "backoff",
        "cause",
        "compute",
        "descriptors",
        "error_class",
        "exit_code",
        "metrics",
        "process",
        "refusal",
        "settings",
        "shared_cache",
        "wire",
    ],
    &["figures", "memory", "model_store", "traces"],
    &["logging", "queue", "serving", "storage"],
    &["applications", "batch", "job", "kubernetes"],
    &["consumer", "error_report", "selection"],
    &["consumers", "testing", "worker"],
    &["http", "submission"],
    &["configuration"],
    &["checkup", "daemon"],
    &["dashboard", "ops"],
    &["cli"],
    &["lib"],
    &["main"],
];

/// What the floors would allow and is not wanted: a room, and those that it does not name. What another room hands on under its
/// own name it may use.
const APART: &[(&str, &[&str])] = &[
    ("applications", &["queue", "storage"]),
    ("consumer", &["queue"]),
    ("consumers", &["queue"]),
    ("queue", &["compute"]),
    ("worker", &["applications", "storage"]),
];

type Arrows<'s> = BTreeSet<(&'s str, &'s str)>;

#[test]
fn sources_keep_their_layers() {
    let sources = Sources::read(&project().join("src"), "redis_consumer");
    let arrows = sources.arrows();
    summary(&sources, &arrows);
    let mut faults = wrong_rooms(&sources);
    faults.extend(unwanted_acquaintances(&sources));
    faults.extend(broken_rules(&arrows));
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn files_of_the_other_crates_form_no_circles() {
    let mut faults = Vec::new();
    for folder in other_crates() {
        let name = folder
            .file_name()
            .expect("a folder has a name")
            .to_string_lossy();
        let sources = Sources::read(&folder.join("src"), &name.replace('-', "_"));
        let arrows = sources.arrows();
        let (files, circles) = (sources.paths().len(), circles(&arrows));
        println!("{name}: {files} files, {} circles", circles.len());
        let found = circles_of_files(&arrows).into_iter();
        faults.extend(found.map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn libraries_know_no_runtime() {
    for folder in other_crates() {
        // The demo is a program.
        if folder.ends_with("demo") {
            continue;
        }
        for file in imports::rust_files(&folder.join("src")) {
            let text = fs::read_to_string(&file).expect("sources are text");
            for word in ["tokio", "async fn", "async move", "std::env", "std::net"] {
                assert!(!text.contains(word), "{}: `{word}`", file.display());
            }
        }
    }
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The crates beside the one in `src`.
fn other_crates() -> Vec<PathBuf> {
    let entries = fs::read_dir(project().join("crates")).expect("the folder can be read");
    let folders = entries.map(|entry| entry.expect("an entry of the folder").path());
    folders.filter(|path| path.join("src").is_dir()).collect()
}

/// `queue/mod.rs` belongs to `queue`, `daemon.rs` to `daemon`.
fn room(file: &str) -> &str {
    let top = file.split('/').next().unwrap_or(file);
    top.trim_end_matches(".rs")
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

/// Rooms that the table does not have, and rooms of the table that are not there.
fn wrong_rooms(sources: &Sources) -> Vec<String> {
    let there: BTreeSet<&str> = sources.paths().into_iter().map(room).collect();
    let mut faults = Vec::new();
    for room in &there {
        if floor(room).is_none() {
            faults.push(format!(
                "`{room}` has no floor: say in FLOORS where it stands"
            ));
        }
    }
    for room in FLOORS.concat() {
        if !there.contains(room) {
            faults.push(format!("`{room}` is in FLOORS, and is not there"));
        }
    }
    faults
}

/// Rooms that name what they are to be kept apart from.
fn unwanted_acquaintances(sources: &Sources) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, named) in sources.named_rooms() {
        let here = room(file);
        let apart = APART.iter().find(|(room, _)| *room == here);
        if apart.is_some_and(|(_, strangers)| strangers.contains(&named.as_str())) {
            faults.push(format!("{file}: `{here}` must not name `{named}`"));
        }
    }
    faults
}

fn circles_of_files(arrows: &Arrows<'_>) -> Vec<String> {
    let circles = circles(arrows).into_iter();
    let lines = circles.map(|circle| format!("a circle of files: {}", circle.join(", ")));
    lines.collect()
}

/// One line for each circle and each arrow up.
fn broken_rules(arrows: &Arrows<'_>) -> Vec<String> {
    let mut faults = circles_of_files(arrows);
    for (from, to) in arrows {
        let (here, there) = (room(from), room(to));
        if here != there && floor(there) >= floor(here) {
            faults.push(format!(
                "{from} -> {to}: `{there}` does not stand below `{here}`"
            ));
        }
    }
    faults
}

/// Groups of nodes each of which leads to all others of its group, by way of as many as it takes.
fn circles<'s>(arrows: &Arrows<'s>) -> Vec<Vec<&'s str>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in arrows {
        next.entry(from).or_default().push(to);
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = next
        .keys()
        .map(|node| (*node, reachable(node, &next)))
        .collect();
    let mut groups = BTreeSet::new();
    for (node, beyond) in &reached {
        if beyond.contains(node) {
            let back = |other: &&&str| reached.get(**other).is_some_and(|far| far.contains(node));
            groups.insert(beyond.iter().filter(back).copied().collect::<Vec<_>>());
        }
    }
    groups.into_iter().collect()
}

fn reachable<'s>(start: &str, next: &BTreeMap<&'s str, Vec<&'s str>>) -> BTreeSet<&'s str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = next.get(start).cloned().unwrap_or_default();
    while let Some(node) = open.pop() {
        if found.insert(node) {
            open.extend(next.get(node).into_iter().flatten());
        }
    }
    found
}

fn summary(sources: &Sources, arrows: &Arrows<'_>) {
    let rooms: BTreeSet<&str> = sources.paths().into_iter().map(room).collect();
    let between = arrows.iter().map(|(from, to)| (room(from), room(to)));
    let between: Arrows<'_> = between.filter(|(from, to)| from != to).collect();
    let up: Vec<_> = between
        .iter()
        .filter(|(from, to)| floor(to) >= floor(from))
        .collect();
    let (file_circles, room_circles) = (circles(arrows), circles(&between));
    println!(
        "layers: {} rooms on {} floors, {} arrows between rooms, {} up, {} circles of rooms; {} files, {} arrows, {} circles \
         with {} files in them",
        rooms.len(),
        FLOORS.len(),
        between.len(),
        up.len(),
        room_circles.len(),
        sources.paths().len(),
        arrows.len(),
        file_circles.len(),
        file_circles.concat().len(),
    );
    for room in rooms {
        let below: Vec<_> = between
            .iter()
            .filter(|(from, _)| *from == room)
            .map(|(_, to)| *to)
            .collect();
        println!("  {room} -> {}", below.join(", "));
    }
}
