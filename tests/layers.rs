//! Holds the source tree to the import table of `ARCHITECTURE.md`: who may use whom.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module at the top of the tree, and the modules of the crate it may name.
const MAY_USE: &[(&str, &[&str])] = &[
    ("settings", &["settings"]),
    ("logging", &["settings", "traces"]),
    ("failure", &[]),
    ("metrics", &[]),
    ("traces", &["settings"]),
    ("kubernetes", &["settings"]),
    ("compute", &[]),
    ("memory", &["failure", "settings"]),
    ("analysis", &["analysis"]),
    ("tracking", &["tracking", "analysis", "failure"]),
    ("images", &["images"]),
    (
        "storage",
        &["storage", "settings", "images", "metrics", "traces"],
    ),
    ("serving", &["serving", "settings", "metrics", "traces"]),
    ("queue", &["queue", "settings", "job", "metrics", "traces"]),
    ("job", &["queue", "failure", "traces"]),
    (
        "reason",
        &["failure", "images", "job", "serving", "storage"],
    ),
    (
        "applications",
        &[
            "applications",
            "tracking",
            "analysis",
            "serving",
            "compute",
            "failure",
        ],
    ),
    (
        "consumer",
        &[
            "consumer",
            "consumers",
            "job",
            "memory",
            "serving",
            "settings",
            "storage",
        ],
    ),
    (
        "consumers",
        &[
            "consumers",
            "applications",
            "compute",
            "consumer",
            "failure",
            "images",
            "job",
            "memory",
            "serving",
            "settings",
            "storage",
        ],
    ),
    (
        "worker",
        &[
            "queue", "job", "consumer", "reason", "failure", "serving", "memory", "settings",
            "metrics", "traces",
        ],
    ),
    (
        "monitor",
        &[
            "monitor",
            "queue",
            "job",
            "worker",
            "serving",
            "storage",
            "memory",
            "settings",
            "kubernetes",
        ],
    ),
];

/// Modules that wire others together and may use anything.
const ROOTS: [&str; 7] = [
    "lib",
    "main",
    "cli",
    "configuration",
    "daemon",
    "demo",
    "ops",
];

/// Modules that know arrays only.
const PURE: [&str; 3] = ["analysis", "images", "tracking"];

#[test]
fn every_module_uses_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for (module, text, file) in sources() {
        if ROOTS.contains(&module.as_str()) {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            panic!(
                "`{module}` ({}) is not in the table: say here what it may use",
                file.display()
            );
        };
        for used in crate_modules(&text) {
            if !allowed.contains(&used.as_str()) {
                wrong.push(format!(
                    "{}: `{module}` must not use `{used}`",
                    file.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_know_no_runtime() {
    for (module, text, file) in sources()
        .into_iter()
        .filter(|(module, ..)| PURE.contains(&module.as_str()))
    {
        for word in ["tokio", "async fn", "async move", "std::env", "std::net"] {
            assert!(
                !text.contains(word),
                "{}: `{module}` must not contain `{word}`",
                file.display()
            );
        }
    }
}

#[test]
fn words_of_the_wire_stand_in_one_folder() {
    for (_, text, file) in sources() {
        for word in [
            "\"input_file_name\"",
            "\"pre-processing\"",
            "\"saving-results\"",
            "\"updated_at\"",
            "\"output_url\"",
        ] {
            let home = file.parent().is_some_and(|folder| folder.ends_with("job"));
            assert!(
                home || !text.contains(word),
                "{}: {word} belongs to job/",
                file.display()
            );
        }
    }
}

/// Top module, text without its tests, and path of every source file.
fn sources() -> Vec<(String, String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the source folder can be read") {
            let path = entry.expect("an entry of the source folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|suffix| suffix == "rs") {
                let inside = path.strip_prefix(&root).expect("it lies below src");
                let top = inside
                    .iter()
                    .next()
                    .expect("a file has a name")
                    .to_string_lossy();
                let text = fs::read_to_string(&path).expect("sources are text");
                let without_tests = text
                    .split("#[cfg(test)]\nmod tests")
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                found.push((top.trim_end_matches(".rs").to_owned(), without_tests, path));
            }
        }
    }
    assert!(
        found.len() > 20,
        "only {} source files were found",
        found.len()
    );
    found
}

fn crate_modules(text: &str) -> BTreeSet<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut modules = BTreeSet::new();
    for line in code {
        for rest in line.split("crate::").skip(1) {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            modules.insert(name);
        }
    }
    modules
}
