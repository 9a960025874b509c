//! Names that a plan may give.

use crate::problem::shown;

/// What the name of a sample's batch ends with.
pub(crate) const SAMPLE_SUFFIX: &str = ".sample";

/// Why a batch cannot be called so.
pub(crate) fn refuse_batch(name: &str) -> Option<String> {
    refuse(name, 64, "._-")
}

/// Why a stage cannot be called so.
pub(crate) fn refuse_stage(name: &str) -> Option<String> {
    if name == "previous" {
        return Some("`previous` means the stage before".to_owned());
    }
    refuse(name, 32, "_-")
}

fn refuse(name: &str, longest: usize, marks: &str) -> Option<String> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let legal = name.len() <= longest
        && name.starts_with(letter)
        && name.chars().all(|c| letter(c) || marks.contains(c));
    (!legal).then(|| {
        format!(
            "`{}` is no name: up to {longest} of a–z, 0–9 and {marks}, the first a letter or digit",
            shown(name)
        )
    })
}

/// Why a queue cannot be called so. Keys are lists of parts with `:` between them, and lists of keys have `,`.
pub(crate) fn refuse_queue(name: &str) -> Option<String> {
    let why = if name.is_empty() || name.len() > 200 {
        "a queue's name has 1 to 200 bytes"
    } else if name.starts_with("processing-") {
        "a queue's name does not begin with `processing-`"
    } else if name
        .chars()
        .any(|c| c == ':' || c == ',' || c.is_whitespace() || c.is_control())
    {
        "a queue's name has no `:`, no `,` and no space"
    } else {
        return None;
    };
    Some(format!("`{}`: {why}", shown(name)))
}

/// Why a plan cannot write a field of a job's hash: consumers keep their books there.
pub(crate) fn refuse_field(name: &str) -> Option<String> {
    // What a submitter may say although it looks like theirs.
    const ALLOWED: [&str; 2] = ["identity_upload", "not_before"];
    const KEPT: [&str; 15] = [
        "created_at",
        "dim_order",
        "error_class",
        "failures",
        "finished_at",
        "log_file_name",
        "output_file_name",
        "output_url",
        "parent",
        "predict_retries",
        "progress",
        "reason",
        "status",
        "total_jobs",
        "updated_at",
    ];
    let why = if ALLOWED.contains(&name) {
        return None;
    } else if name.is_empty() || name.len() > 200 {
        "a field's name has 1 to 200 bytes"
    } else if name == "input_file_name" {
        "`input` writes it"
    } else if KEPT.contains(&name)
        || name == "updated_by"
        || ["rc_", "children", "identity_", "x_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        || name.ends_with("_time")
    {
        "consumers write it"
    } else {
        return None;
    };
    Some(why.to_owned())
}

/// Names that every template has a meaning for.
const RESERVED: [&str; 5] = ["batch", "stage", "sample", "group", "count"];

/// Why a variable cannot have this name.
pub(crate) fn refuse_variable(name: &str) -> Option<&'static str> {
    if RESERVED.contains(&name) {
        Some("is a variable of every plan")
    } else if !is_variable(name) {
        Some("is no name that templates can use: a letter or `_`, then letters, digits, `_`")
    } else {
        None
    }
}

/// Whether templates can call a variable so.
pub(crate) fn is_variable(name: &str) -> bool {
    const WORDS: [&str; 16] = [
        "true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if",
        "else", "for", "loop", "self",
    ];
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !WORDS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case() {
        assert_eq!(refuse_batch("2026-11-20-am"), None);
        assert_eq!(refuse_batch(&"x".repeat(64)), None);
        assert!(refuse_batch(&"x".repeat(65)).is_some() && refuse_batch("").is_some());
        assert!(refuse_batch(".x").is_some() && refuse_batch("A").is_some());
        assert_eq!(refuse_stage("l2"), None);
        assert!(refuse_stage("a.b").is_some() && refuse_stage("previous").is_some());
    }

    #[test]
    fn queues_fit_into_keys() {
        assert_eq!(refuse_queue("ingest-l2"), None);
        for name in ["", "a:b", "a,b", "a b", "processing-a", "a\n"] {
            assert!(refuse_queue(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn books_of_consumers_are_not_written() {
        for name in [
            "rc_batch",
            "status",
            "created_at",
            "updated_at",
            "children_done",
            "upload_time",
            "x_a",
            "input_file_name",
            "",
        ] {
            assert!(refuse_field(name).is_some(), "{name:?}");
        }
        for name in ["graph", "layer", "identity_upload", "time", "x", "timeout"] {
            assert_eq!(refuse_field(name), None, "{name:?}");
        }
    }
}
