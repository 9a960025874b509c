//! Holds the documents to the sources and to each other: quoted messages, commands, fields, scripts and floors exist, links
//! lead somewhere, every page can be found, and the prose keeps to a few rules.
//!
//! A message is quoted in a column of a table whose title begins with `message`, as code, or in a block of code in the language
//! `log`, a line each. `…` stands for anything, as `{…}` does in the sources.

mod literals;
mod markdown;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use literals::{comments, literals};
use markdown::Page;

/// The longest README, in words.
const README_WORDS: usize = 1000;

/// Variables of tests, of tools and of other programs.
const OTHER_VARIABLES: &[&str] = &[
    "BENCH_INPUTS",
    "CHARTS_PATH",
    "CUDA_VISIBLE_DEVICES",
    "DATA_DIR",
    "GOLDEN_DIR",
    "ILASTIK_PROJECT",
    "JAVA_HOME",
    "JAVA_TOOL_OPTIONS",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "MLM_LICENSE_FILE",
    "NVIDIA_",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_SEMCONV_STABILITY_OPT_IN",
    "RAYON_NUM_THREADS",
    // What commands are given.
    "RC_CPUS",
    "RC_DEADLINE",
    "RC_FIELD_",
    "RC_ID",
    "RC_INPUT",
    "RC_JOB",
    "RC_EXPECT",
    "RC_MEMORY",
    "RC_MODE",
    "RC_PHASE",
    "RC_OUTPUT",
    "RC_TMP",
    "REDIS_SERVER",
    "SSL_CERT_FILE",
];

/// Spellings of another English.
const BRITISH: &[&str] = &[
    "analysed",
    "artefact",
    "behaviour",
    "catalogue",
    "centre",
    "colour",
    "favour",
    "grey",
    "honour",
    "labelled",
    "licence",
    "modelled",
    "neighbour",
    "normalis",
    "organise",
    "organisation",
    "recognis",
    "serialis",
    "summaris",
    "synchronis",
];

#[test]
fn every_quoted_message_is_one_of_the_sources() {
    let known = messages_of_the_sources();
    let (mut quoted, mut missing) = (0, Vec::new());
    for page in pages() {
        for (line, message) in page.messages() {
            quoted += 1;
            if !known.iter().any(|known| agree(&message, known)) {
                missing.push(format!("{}:{line}: `{message}`", page.name));
            }
        }
    }
    assert!(quoted > 40, "only {quoted} quoted messages were found");
    assert!(
        missing.is_empty(),
        "no text of the sources says this any more (`…` stands for anything):\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_link_leads_somewhere() {
    let (mut count, mut broken) = (0, Vec::new());
    for page in pages() {
        for (line, link) in page.links() {
            count += 1;
            if let Err(why) = follow(&page, &link) {
                broken.push(format!("{}:{line}: `{link}` {why}", page.name));
            }
        }
    }
    assert!(count > 50, "only {count} links were found");
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_page_can_be_reached_from_the_index() {
    let (mut found, mut next) = (BTreeSet::new(), vec![project().join("docs/README.md")]);
    while let Some(path) = next.pop() {
        if !found.insert(path.clone()) {
            continue;
        }
        let page = Page::read(project(), &path);
        let linked = page.links().into_iter();
        next.extend(linked.filter_map(|(_, link)| linked_page(&page, &link)));
    }
    let lost: Vec<_> = pages()
        .into_iter()
        .filter(|page| page.name.starts_with("docs/") && !found.contains(&page.path))
        .map(|page| page.name)
        .collect();
    assert!(lost.is_empty(), "docs/README.md does not lead to {lost:?}");
}

#[test]
fn the_readme_is_short() {
    let words = read("README.md").split_whitespace().count();
    assert!(
        words <= README_WORDS,
        "{words} words, {README_WORDS} at most: move something to docs/"
    );
}

#[test]
fn every_command_is_in_the_documents() {
    let (cli, documented) = (read("src/cli/mod.rs"), read("docs/cli.md"));
    let commands = cli.split_once("enum Command {").expect("the subcommands").1;
    let commands = commands.split_once("\n}").expect("their end").0;
    let (mut count, mut is_hidden) = (0, false);
    for line in commands
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
    {
        if line == "#[command(hide = true)]" {
            is_hidden = true;
        } else if line.starts_with(char::is_uppercase) {
            let name: String = line
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            let command = kebab_case(&name);
            let is_listed = [" ", "`"]
                .iter()
                .any(|end| documented.contains(&format!("`redis-consumer {command}{end}")));
            assert!(
                is_listed || is_hidden,
                "docs/cli.md does not list `{command}`"
            );
            count += 1;
            is_hidden = false;
        }
    }
    assert!(count >= 8, "only {count} subcommands were found");
}

#[test]
fn settings_and_targets_in_the_documents_exist() {
    let (reference, makefile) = (read("docs/settings.md"), read("Makefile"));
    let mut missing = Vec::new();
    for page in pages() {
        for (line, code) in page.code() {
            for word in code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                let is_variable = word.contains('_')
                    && word.starts_with(|c: char| c.is_ascii_uppercase())
                    && !word.contains(|c: char| c.is_ascii_lowercase());
                if is_variable && !OTHER_VARIABLES.contains(&word) && !reference.contains(word) {
                    missing.push(format!("{}:{line}: {word}", page.name));
                }
            }
            let target = code
                .strip_prefix("make ")
                .and_then(|rest| rest.split(' ').next());
            if target.is_some_and(|target| !makefile.contains(&format!("\n{target}:"))) {
                missing.push(format!("{}:{line}: {code}", page.name));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "neither in docs/settings.md nor in the Makefile:\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_field_and_script_is_in_the_documents() {
    let (wire, hash) = (crate::lua_words::wire(), read("docs/job-hash.md"));
    let fields = wire.lines().filter_map(|line| {
        let constant = line.trim().strip_prefix("pub(crate) const ")?;
        constant.split_once("&str = \"")?.1.strip_suffix("\";")
    });
    let fields: Vec<_> = fields.filter(|field| *field != "processing-").collect();
    assert!(fields.len() > 50, "only {} fields were found", fields.len());
    for field in fields {
        assert!(
            hash.contains(&format!("`{field}`")),
            "docs/job-hash.md does not say what `{field}` is"
        );
    }
    let design = read("docs/design/queue.md");
    let scripts = files(&project().join("src/queue/scripts"), "lua");
    assert!(
        scripts.len() > 5,
        "only {} scripts were found",
        scripts.len()
    );
    for script in scripts {
        let name = script.file_stem().expect("a name").to_string_lossy();
        assert!(
            design.contains(&format!("`{name}`")),
            "docs/design/queue.md does not say what `{name}` does"
        );
    }
}

#[test]
fn the_floors_of_the_architecture_are_those_of_the_test() {
    let test = read("tests/it/layers.rs");
    let floors = test
        .split_once("const FLOORS: &[&[&str]] = &[")
        .expect("the floors")
        .1;
    let floors = floors.split_once("\n];").expect("their end").0;
    let floors = floors.split("],").map(|floor| {
        let names: Vec<_> = floor.split('"').skip(1).step_by(2).collect();
        names.join(", ")
    });
    let mut drawn: Vec<_> = floors.filter(|floor| !floor.is_empty()).collect();
    drawn.reverse();
    let block = format!("```text\n{}\n```", drawn.join("\n"));
    assert!(
        read("ARCHITECTURE.md").contains(&block),
        "ARCHITECTURE.md should have this table of layers:\n{block}"
    );
}

#[test]
fn documents_are_written_in_american_english_and_cite_what_readers_have() {
    let mut found = Vec::new();
    for page in pages() {
        for (line, text) in page.prose() {
            found.extend(
                unwanted(&text)
                    .iter()
                    .map(|word| format!("{}:{line}: {word}", page.name)),
            );
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn comments_are_written_in_american_english_and_cite_what_readers_have() {
    let (mut count, mut found) = (0, Vec::new());
    for path in sources() {
        let text = fs::read_to_string(&path).expect("sources are text");
        for (line, comment) in comments(&text) {
            count += 1;
            let name = path.strip_prefix(project()).unwrap_or(&path).display();
            found.extend(
                unwanted(&comment)
                    .iter()
                    .map(|word| format!("{name}:{line}: {word}")),
            );
        }
    }
    assert!(count > 1000, "only {count} comments were found");
    assert!(found.is_empty(), "{}:\n{}", found.len(), found.join("\n"));
}

#[test]
fn alerts_point_to_headings_that_exist() {
    let rules = read("charts/redis-consumer/templates/prometheusrule.yaml");
    let mut count = 0;
    for hint in rules.split("See \"").skip(1) {
        let (heading, rest) = hint.split_once("\" in ").expect("a page");
        let name: String = rest
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "./-".contains(*c))
            .collect();
        let page = Page::read(project(), &project().join(name.trim_end_matches('.')));
        let anchor = heading.to_lowercase().replace(' ', "-");
        assert!(
            page.anchors().contains(&anchor),
            "{}: no heading \"{heading}\"",
            page.name
        );
        count += 1;
    }
    assert!(count > 4, "only {count} hints were found");
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(project().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The documents of the project; those of test data are not.
fn pages() -> Vec<Page> {
    let folders = ["docs", "benches", "crates", "examples"].map(|folder| project().join(folder));
    let mut paths: Vec<_> = folders
        .iter()
        .flat_map(|folder| files(folder, "md"))
        .collect();
    let top = fs::read_dir(project()).expect("the project can be read");
    let top = top.map(|entry| entry.expect("an entry").path());
    paths.extend(top.filter(|path| path.extension().is_some_and(|suffix| suffix == "md")));
    paths.sort();
    assert!(
        paths.len() > 15,
        "only {} documents were found",
        paths.len()
    );
    paths
        .iter()
        .map(|path| Page::read(project(), path))
        .collect()
}

fn sources() -> Vec<PathBuf> {
    let folders = ["src", "crates", "tests", "benches", "examples", "fuzz"];
    let folders = folders.map(|folder| project().join(folder));
    // This file spells what it looks for.
    let found = folders.iter().flat_map(|folder| files(folder, "rs"));
    found
        .filter(|path| !path.ends_with("tests/it/documents.rs"))
        .collect()
}

/// All files below a folder whose names end in this, without what was built.
fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(files(&path, suffix));
        } else if path.extension().is_some_and(|ending| ending == suffix) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The texts between quotation marks of the program, its libraries and its scripts, without their tests.
fn messages_of_the_sources() -> Vec<String> {
    let folders = ["src", "crates"].map(|folder| project().join(folder));
    let mut found = Vec::new();
    for path in folders.iter().flat_map(|folder| files(folder, "rs")) {
        let text = fs::read_to_string(&path).expect("sources are text");
        let code = text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default();
        found.extend(
            literals(code)
                .into_iter()
                .map(|literal| without_arguments(&literal)),
        );
    }
    assert!(found.len() > 1000, "only {} texts were found", found.len());
    found
}

/// A format string with `…` for each of its arguments.
fn without_arguments(text: &str) -> String {
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let mut parts = text.split('{');
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push('…');
        shown.push_str(part.split_once('}').map_or("", |(_, rest)| rest));
    }
    shown.replace('\u{1}', "{").replace('\u{2}', "}")
}

/// Whether a quotation is this text: `…` in it stands for anything, the arguments of the text included.
fn agree(quotation: &str, text: &str) -> bool {
    let mut parts = quotation.split('…').map(str::trim);
    let (first, last) = (parts.next().unwrap_or_default(), parts.next_back());
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = last else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    // What stands for anything stands for something.
    rest.ends_with(last) && rest.len() > last.len()
}

fn follow(page: &Page, link: &str) -> Result<(), String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(());
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        page.path.clone()
    } else {
        page.beside(file)
    };
    if !target.exists() {
        return Err("does not exist".to_owned());
    }
    if anchor.is_empty() || target.extension().is_none_or(|suffix| suffix != "md") {
        return Ok(());
    }
    let anchors = Page::read(project(), &target).anchors();
    if anchors.iter().any(|known| known == anchor) {
        Ok(())
    } else {
        Err(format!("has no such heading; there are {anchors:?}"))
    }
}

/// The page that a link leads to, if it leads to one.
fn linked_page(page: &Page, link: &str) -> Option<PathBuf> {
    let file = link.split('#').next().unwrap_or_default();
    let is_page = !link.contains("://") && file.ends_with(".md");
    let target = page.beside(file);
    (is_page && target.exists()).then_some(target)
}

/// British spellings, and citations of a paper that readers of the project do not have.
fn unwanted(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    let british = BRITISH.iter().copied();
    let mut found: Vec<_> = british.filter(|word| text.contains(word)).collect();
    let cites =
        |rest: &str| rest.starts_with("section") || rest.starts_with(|c: char| c.is_ascii_digit());
    if text.split("contract ").skip(1).any(cites) {
        found.push("a section of the contract");
    }
    found
}

fn kebab_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

#[test]
fn a_quotation_holds_its_text_word_by_word() {
    assert!(agree(
        "model … is not on the server: …",
        "model `…` is not on the server: …"
    ));
    assert!(agree("claimed a job", "claimed a job"));
    assert!(!agree("claimed a job", "claimed a job again"));
    assert!(!agree("… is not in …", "`…` is not on …"));
    assert_eq!(without_arguments("{key} in {{a}} {n:>3}"), "… in {a} …");
}

/// The layer of dependencies is built from manifests alone, each of which is named.
#[test]
fn the_dockerfile_knows_every_package() {
    let text = fs::read_to_string(project().join("Dockerfile")).expect("a Dockerfile");
    let packages = fs::read_dir(project().join("crates")).expect("packages");
    for package in packages {
        let package = package.expect("a package").path();
        let name = package.file_name().and_then(|name| name.to_str());
        let name = name.expect("a plain name");
        let root = if package.join("src/lib.rs").exists() {
            "lib"
        } else {
            "main"
        };
        for wanted in [
            format!("COPY crates/{name}/Cargo.toml crates/{name}/"),
            format!(" crates/{name}/src"),
            format!("crates/{name}/src/{root}.rs"),
        ] {
            assert!(text.contains(&wanted), "the Dockerfile has no `{wanted}`");
        }
    }
}
