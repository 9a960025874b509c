//! Texts and comments of Rust sources, without a parser: enough for sources that compile.

/// What stands between quotation marks, escapes and continued lines resolved.
pub(super) fn literals(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '/', '\'', 'r']) {
        rest = &rest[at..];
        let before = text[..text.len() - rest.len()].chars().next_back();
        if let Some(after) = rest.strip_prefix('"') {
            let (literal, after) = plain(after);
            found.push(literal);
            rest = after;
        } else if let Some((literal, after)) = raw(rest, before) {
            found.push(literal.to_owned());
            rest = after;
        } else {
            rest = skipped(rest);
        }
    }
    found
}

/// Comments with their lines, counted from 1.
pub(super) fn comments(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().zip(1..);
    let comments = lines.filter_map(|(line, number)| Some((number, comment(line)?.to_owned())));
    comments.collect()
}

fn comment(line: &str) -> Option<&str> {
    let at = line.find("//")?;
    let before = &line[..at];
    // Addresses have slashes, too.
    (!before.ends_with(':')).then_some(&line[at..])
}

/// A text whose first quotation mark has been read, and what follows it.
fn plain(text: &str) -> (String, &str) {
    let mut literal = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (literal, &text[at + 1..]),
            '\\' => match letters.next().map(|(_, escaped)| escaped) {
                Some('n') => literal.push('\n'),
                Some('\n') => {
                    let rest = letters.as_str();
                    let blanks = rest.len() - rest.trim_start().len();
                    let count = rest[..blanks].chars().count();
                    letters.by_ref().take(count).for_each(drop);
                }
                Some(other) => literal.push(other),
                None => {}
            },
            other => literal.push(other),
        }
    }
    (literal, "")
}

/// A raw text, `r"…"` or `r#"…"#`, and what follows it.
fn raw(text: &str, before: Option<char>) -> Option<(&str, &str)> {
    if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
        return None;
    }
    let rest = text.strip_prefix('r')?;
    let marks = rest.len() - rest.trim_start_matches('#').len();
    let rest = rest[marks..].strip_prefix('"')?;
    rest.split_once(&format!("\"{}", "#".repeat(marks)))
}

/// What follows a comment, a letter between quotation marks, or else one letter.
fn skipped(text: &str) -> &str {
    if text.starts_with("//") {
        return text.find('\n').map_or("", |end| &text[end..]);
    }
    if let Some(rest) = text.strip_prefix("'\\") {
        // An escaped letter, which may be a quotation mark.
        let end = rest
            .char_indices()
            .skip(1)
            .find(|(_, letter)| *letter == '\'');
        return end.map_or("", |(at, _)| &rest[at + 1..]);
    }
    let mut letters = text.chars();
    if letters.next() == Some('\'') && letters.next().is_some() && letters.next() == Some('\'') {
        return letters.as_str();
    }
    &text[1..]
}

#[test]
fn texts_are_found_between_comments_and_letters() {
    let source =
        "// \"no\"\nlet a = '\"'; f('\\'', \"one \\\n    two\", r#\"three\"#, 'x', &'a str)";
    assert_eq!(literals(source), ["one two", "three"]);
}
