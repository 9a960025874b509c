//! YAML to values. What a file may cost is bounded before anything is built: aliases count as what they repeat.

use serde_json::Value;

/// Bytes of a description.
pub(crate) const MAX_BYTES: usize = 4 << 20;
const MAX_NODES: usize = 400_000;
const MAX_DEPTH: usize = 64;

/// Reads one document; the error says what is wrong and in which line.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("the file has more than {} MiB", MAX_BYTES >> 20));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text".to_owned())?;
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| message(&error))
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 4 * MAX_NODES,
            max_nodes: MAX_NODES,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_aliases: 1000,
            max_anchors: 1000,
            max_recorded_anchor_events: MAX_NODES,
            max_recorded_anchor_bytes: 2 * MAX_BYTES,
            max_total_scalar_bytes: 2 * MAX_BYTES,
            max_merge_keys: 1000,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
            max_replay_stack_depth: MAX_DEPTH,
        },
        // `y` is an axis.
        strict_booleans: true,
        with_snippet: false,
        // Ranges of tensors are often infinite, and nobody looks at them; where a number is needed, a text is refused.
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
    }
}

/// The first line of the parser's message, with a place.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.render();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let what = match line.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest,
        _ => line,
    };
    match error.location().filter(|_| !what.contains(" line ")) {
        Some(at) => format!("{what} (line {})", at.line()),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_yaml_1_1_are_texts_and_keys_of_any_kind_are_names() {
        let value =
            parse(b"{id: y, no: n, 1: 2, 1e-06: 1e-06, v: 0.5.12, on: ~, true: x}").unwrap();
        let expected = serde_json::json!(
            {"id": "y", "no": "n", "1": 2, "1e-06": 1e-6, "v": "0.5.12", "on": null, "true": "x"}
        );
        assert_eq!(value, expected);
    }

    #[test]
    fn numbers_that_json_does_not_have_do_not_spoil_the_rest() {
        let value = parse(
            b"{range: [-.inf, .inf, .nan], a: 340282366920938463463374607431768211456, b: 1}",
        );
        assert_eq!(value.unwrap()["b"], 1);
    }

    #[test]
    fn mistakes_have_a_line() {
        assert!(
            parse(b"a: 1\nb: [1, 2\nc: 3\n")
                .unwrap_err()
                .contains("line")
        );
    }

    #[test]
    fn bombs_are_refused() {
        let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{},", level - 1).repeat(10);
            laughs += &format!("a{level}: &a{level} [{alias}]\n");
        }
        assert!(parse(laughs.as_bytes()).is_err());
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(parse("a: ".repeat(100_000).as_bytes()).is_err());
        assert!(parse(&vec![b' '; MAX_BYTES + 1]).is_err());
        assert!(parse(b"\xff").is_err());
    }
}
