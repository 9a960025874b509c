//! The signature of a failure, by which failures are grouped: what is left of a reason without numbers and names.

/// The longest signature, in characters.
const LONGEST: usize = 120;
/// So many hexadecimal digits are an identifier.
const HEX: usize = 8;

/// The signature of a reason: its last line, in which numbers are `#` and quoted texts, paths and addresses `…`.
pub(crate) fn signature(reason: &str) -> String {
    let line = reason.lines().rev().find(|line| !line.trim().is_empty());
    let line = without_quotes(line.unwrap_or_default());
    let words = line.split_whitespace().map(word);
    let text = words.collect::<Vec<_>>().join(" ");
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// A text with `…` for what stands between quotes. An apostrophe inside a word is none.
fn without_quotes(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let opens = matches!(first, '"' | '`') || (first == '\'' && !before.is_alphanumeric());
        let closes = |at: &usize| {
            let next = after[*at + first.len_utf8()..].chars().next();
            first != '\'' || !next.is_some_and(char::is_alphanumeric)
        };
        let end = opens.then(|| after.match_indices(first).map(|(at, _)| at).find(closes));
        match end.flatten() {
            Some(end) => {
                kept.push('…');
                rest = &after[end + first.len_utf8()..];
            }
            None => {
                kept.push(first);
                rest = after;
            }
        }
        before = first;
    }
    kept
}

/// A word with `#` for its numbers; `…` if it is a path or an address.
fn word(word: &str) -> String {
    let inner = word.trim_matches(|c: char| ",;:.()[]{}".contains(c));
    if inner.contains('/') && inner.len() > 1 {
        return word.replacen(inner, "…", 1);
    }
    let mut kept = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let hex = rest
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len());
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let is_identifier = hex >= HEX && rest[..hex].contains(|c: char| c.is_ascii_digit());
        let taken = if is_identifier { hex } else { digits };
        if taken > 0 {
            kept.push('#');
            rest = &rest[taken..];
        } else {
            kept.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_do_not_tell_failures_apart() {
        let cases = [
            (
                "while started\nValueError: the image has 3 channels, and channels asks for 12",
                "ValueError: the image has # channels, and channels asks for #",
            ),
            (
                "ModelServerError: model `Nuclear:6` did not answer within 30.5 s",
                "ModelServerError: model … did not answer within #.# s",
            ),
            (
                "StorageError: uploads/a b.tif: not found (request 4bbb2eaa2472b618)",
                "StorageError: … b.tif: not found (request #)",
            ),
            (
                "KeyError: 'x' isn't in the file's header\n\n",
                "KeyError: … isn't in the file's header",
            ),
            ("it's 'a\n", "it's 'a"),
            ("", ""),
        ];
        for (reason, expected) in cases {
            assert_eq!(signature(reason), expected, "{reason}");
        }
    }

    #[test]
    fn a_signature_is_short_and_that_of_itself() {
        let long = signature(&"né ".repeat(100));
        assert_eq!(long.chars().count(), LONGEST);
        for text in ["ValueError: … has # of 0xdeadbeef", "a \"b\" '", &long] {
            let once = signature(text);
            assert_eq!(signature(&once), once);
        }
    }
}
