//! Holds the words that the Lua scripts quote against `src/wire`: every field of a job's hash, every status and every name of
//! a key has to stand there too, or one side could rename it alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Words that scripts and their callers exchange, and words of Lua and Redis. Commands, options and answers in capitals are
/// known by that, texts for people by their blanks.
const OTHER_WORDS: &[&str] = &[
    // Types of Redis and Lua.
    "hash",
    "list",
    "ok",
    "set",
    "string",
    "table",
    "zset",
    // Arguments: when a job comes back, what is to be repaired, and what is requeued or moved where.
    "adopt",
    "again",
    "all",
    "any",
    "at",
    "delayed",
    "first",
    "front",
    "in",
    "member",
    "replace",
    // The class of an error that a script gives.
    "cancelled",
    // Answers: what has become of an entry, and why it was requeued.
    "dropped",
    "kept",
    "lease",
    "moved",
    "requeued",
    "restart",
    "other",
    "unsettled",
    "worker",
    // Ends of ranges.
    "+inf",
    // The type of an array of counters.
    "u",
    // Parts of names and patterns.
    "slot",
];

#[test]
fn scripts_quote_words_of_the_wire_only() {
    let known = quoted(&wire(), '"', "//");
    let mut unknown = BTreeMap::<String, Vec<String>>::new();
    let mut met = BTreeSet::new();
    for (script, word) in words_of_scripts() {
        met.insert(word.clone());
        if !is_known(&known, &word) && !OTHER_WORDS.contains(&word.as_str()) {
            unknown.entry(word).or_default().push(script);
        }
    }
    assert!(unknown.is_empty(), "not in src/wire: {unknown:#?}");
    for word in OTHER_WORDS {
        assert!(met.contains(*word), "no script quotes `{word}` any more");
    }
    assert!(met.len() > 40, "only {} words were found", met.len());
}

/// The sources of all words that programs exchange by Redis.
pub(crate) fn wire() -> String {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let entries = fs::read_dir(sources.join("wire")).expect("the folder of words");
    let files = entries.map(|entry| entry.expect("an entry of the folder").path());
    let files = files.chain([sources.join("wire.rs")]);
    files
        .map(|file| fs::read_to_string(file).expect("sources are text"))
        .collect()
}

/// `rc:pending:` is known as such, or by `pending` if the wire puts it together.
fn is_known(known: &BTreeSet<String>, word: &str) -> bool {
    let of_ours = word
        .strip_prefix("rc:")
        .and_then(|rest| rest.strip_suffix(':'));
    // `:done` belongs to one stage of a batch, and `rc:batch:` has more behind it.
    let of_stage = word
        .strip_prefix(':')
        .map(|rest| rest.trim_end_matches(':'));
    let is_end = word.starts_with(':') && known.iter().any(|known| known.ends_with(word));
    let is_begin = word.ends_with(':') && known.iter().any(|known| known.starts_with(word));
    known.contains(word)
        || of_ours.is_some_and(|what| known.contains(what))
        || of_stage.is_some_and(|what| known.contains(what))
        || is_begin
        || is_end
}

/// Script and word, for every quoted string that is neither in capitals nor a text for people nor without a letter.
fn words_of_scripts() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/queue/scripts");
    let mut words = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of scripts") {
        let path = entry.expect("an entry of the folder").path();
        let name = path
            .file_name()
            .expect("a file has a name")
            .to_string_lossy();
        let text = fs::read_to_string(&path).expect("scripts are text");
        for word in quoted(&text, '\'', "--") {
            let is_lower = word.chars().any(|c| c.is_ascii_lowercase());
            // `-inf` is a bound of scores.
            let is_pattern = word.contains('%');
            if is_lower && !word.contains(' ') && !is_pattern && word != "-inf" {
                words.push((name.clone().into_owned(), word));
            }
        }
    }
    words
}

/// The strings of a source in these quotes, outside comments. Neither language's escapes occur in the words that are sought.
fn quoted(text: &str, quote: char, comment: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let mut rest = line;
        while let Some(start) = rest.find(quote) {
            if rest[..start].contains(comment) {
                break;
            }
            let Some(length) = rest[start + 1..].find(quote) else {
                break;
            };
            found.insert(rest[start + 1..][..length].to_owned());
            rest = &rest[start + length + 2..];
        }
    }
    found
}

#[test]
fn words_are_found_outside_comments_and_whatever_stands_inside_them() {
    let lua = "local a = redis.call('HGET', KEYS[1], 'rc_token') -- 'status'\n-- don't\nreturn 'a--b' .. ''";
    let expected = ["HGET", "rc_token", "a--b", ""].map(str::to_owned);
    assert_eq!(quoted(lua, '\'', "--"), BTreeSet::from(expected));
}
