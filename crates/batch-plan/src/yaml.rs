//! YAML to values that know where they stand.
//!
//! JSON is read by the same parser, since it is YAML. What a file may cost is bounded before anything is built: the parser's
//! budget counts the nodes and texts that aliases repeat, too, so that a small file cannot become a large plan.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::problem::{Place, Problem};

/// Bytes of a file that is read as YAML.
pub(crate) const MAX_BYTES: usize = 4 << 20;
const MAX_NODES: usize = 400_000;
const MAX_DEPTH: usize = 32;

/// A value of YAML.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Int(i128),
    /// With the text that it was written as.
    Float(f64, String),
    Text(String),
    List(Vec<Spot>),
    Map(Vec<(Key, Spot)>),
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub(crate) node: Node,
    pub(crate) at: Place,
}

/// The name of a member of a map, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) at: Place,
}

/// Reads one document.
pub(crate) fn parse(bytes: &[u8]) -> Result<Spot, Problem> {
    if bytes.len() > MAX_BYTES {
        let message = format!("the file has more than {} MiB", MAX_BYTES >> 20);
        return Err(Problem::new("", message));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|_| Problem::new("", "the file is not UTF-8 text"))?;
    let mut root: Spanned<Raw> =
        serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
            let at = error.location().map(place);
            Problem {
                at,
                path: String::new(),
                message: message(&error),
            }
        })?;
    spell(&mut root, text);
    Ok(spot(root))
}

/// Values of a file whose names are the user's own, such as those of `with`.
///
/// # Errors
///
/// The file is no YAML, larger than 4 MiB, or not a map.
pub fn parse_values(bytes: &[u8]) -> Result<BTreeMap<String, Value>, Problem> {
    let root = parse(bytes)?;
    match root.node {
        Node::Map(members) => Ok(members
            .into_iter()
            .map(|(key, spot)| (key.name, spot.node.into_json()))
            .collect()),
        _ => Err(Problem {
            at: Some(root.at),
            path: String::new(),
            message: "expected names with values".to_owned(),
        }),
    }
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
        // `y` is an axis, `007` and `13_01` are names of scans.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

/// The first line of the parser's message; the place is told beside it.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.render();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    match line.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest.to_owned(),
        _ => line.to_owned(),
    }
}

fn place(location: serde_saphyr::Location) -> Place {
    Place {
        line: location.line(),
        column: location.column(),
    }
}

/// What the parser gives, before places and spellings have been taken from it.
enum Raw {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64, String),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

/// Gives numbers with fractions their spelling back: `1.10` as a field of a job is not `1.1`.
fn spell(spot: &mut Spanned<Raw>, source: &str) {
    let span = spot.defined.span();
    match &mut spot.value {
        Raw::Float(number, text) => {
            let written = span
                .byte_offset()
                .zip(span.byte_len())
                .and_then(|(at, len)| {
                    let at = usize::try_from(at).ok()?;
                    let end = at.checked_add(usize::try_from(len).ok()?)?;
                    Some(source.get(at..end)?.trim())
                });
            // Tags and anchors belong to some spans; what is not the number is not taken for it.
            *text = match written {
                Some(written) if written.parse::<f64>() == Ok(*number) => written.to_owned(),
                _ => Value::from(*number).to_string(),
            };
        }
        Raw::List(items) => items.iter_mut().for_each(|item| spell(item, source)),
        Raw::Map(members) => members
            .iter_mut()
            .for_each(|(_, value)| spell(value, source)),
        _ => {}
    }
}

fn spot(raw: Spanned<Raw>) -> Spot {
    let at = place(raw.referenced);
    let node = match raw.value {
        Raw::Null => Node::Null,
        Raw::Bool(truth) => Node::Bool(truth),
        Raw::Int(number) => Node::Int(number),
        Raw::Float(number, text) => Node::Float(number, text),
        Raw::Text(text) => Node::Text(text),
        Raw::List(items) => Node::List(items.into_iter().map(spot).collect()),
        Raw::Map(members) => Node::Map(
            members
                .into_iter()
                .map(|(key, value)| {
                    let at = place(key.referenced);
                    let key = Key {
                        name: key.value,
                        at,
                    };
                    (key, spot(value))
                })
                .collect(),
        ),
    };
    Spot { node, at }
}

impl Node {
    /// What a message calls it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Float(..) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "names with values",
        }
    }

    pub(crate) fn into_json(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => truth.into(),
            Self::Int(number) => match (u64::try_from(number), i64::try_from(number)) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                _ => number.to_string().into(),
            },
            Self::Float(number, _) => number.into(),
            Self::Text(text) => text.into(),
            Self::List(items) => items
                .into_iter()
                .map(|item| item.node.into_json())
                .collect(),
            Self::Map(members) => members
                .into_iter()
                .map(|(key, spot)| (key.name, spot.node.into_json()))
                .collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Int(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Int(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Float(number, String::new()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Raw::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        parse(text.as_bytes()).unwrap().node.into_json()
    }

    #[test]
    fn words_of_yaml_1_1_are_texts() {
        assert_eq!(
            json("y: [no, 007, 13_01, 22179658_13-01, 1.5, true, ~]"),
            serde_json::json!({"y": ["no", "007", "13_01", "22179658_13-01", 1.5, true, null]})
        );
    }

    #[test]
    fn values_and_names_know_their_places() {
        let Node::Map(members) = parse(b"a: 1\nbc:\n  - x\n").unwrap().node else {
            panic!("a map")
        };
        let (key, list) = &members[1];
        assert_eq!((key.at.line, key.at.column), (2, 1));
        let Node::List(items) = &list.node else {
            panic!("a list")
        };
        assert_eq!((items[0].at.line, items[0].at.column), (3, 5));
    }

    #[test]
    fn fractions_keep_their_spelling() {
        let Node::Map(members) = parse(b"a: 1.10\nb: {c: 2.0 }").unwrap().node else {
            panic!("a map")
        };
        assert!(matches!(&members[0].1.node, Node::Float(_, text) if text == "1.10"));
    }

    #[test]
    fn json_is_yaml() {
        assert_eq!(
            json("{\n\t\"a\": [1, \"\\u00b5\", null],\n\t\"b\": {}\n}"),
            serde_json::json!({"a": [1, "µ", null], "b": {}})
        );
    }

    #[test]
    fn mistakes_have_a_place() {
        let error = parse(b"a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.at.is_some_and(|at| at.line >= 2), "{error}");
        let error = parse(b"a: 1\na: 2\n").unwrap_err();
        assert_eq!(error.at.map(|at| at.line), Some(2), "{error}");
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
        assert!(parse(&b"- ".repeat(100_000)).is_err());
        assert!(parse(&vec![b' '; MAX_BYTES + 1]).is_err());
        assert!(parse(b"\xff").is_err());
    }
}
