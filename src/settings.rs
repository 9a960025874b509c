//! What the operator has set: the only reader of the process environment.
//!
//! Each owner of settings has a struct and a `load` of its own that pulls its variables out of a `Reader`. The reader
//! knows the rules all of them share (placeholders mean "unset", lenient booleans, pauses in seconds, sizes with units)
//! and remembers every value with its origin and every mistake, so that one start shows them all.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

/// Words that deployments use for "not set" (contract section 2).
const PLACEHOLDERS: [&str; 6] = [
    "na",
    "specify_me",
    "change_me",
    "overwrite_this",
    "invalid_value",
    "default-bucket",
];

/// A snapshot of environment variables.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// The environment of this process. Bytes that are no UTF-8 show up as `�`.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that may read it"
    )]
    pub fn from_process() -> Self {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self(
            std::env::vars_os()
                .map(|(name, value)| (lossy(name), lossy(value)))
                .collect(),
        )
    }

    /// The value of a variable, unless it is empty or a placeholder such as `NA`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.trim();
        let placeholder = PLACEHOLDERS
            .iter()
            .any(|word| value.eq_ignore_ascii_case(word));
        (!value.is_empty() && !placeholder).then_some(value)
    }

    /// Whether a variable is there at all, whatever it holds.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// Where a value in force came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The variable of this name.
    Variable(String),
    /// Nothing was set.
    Default,
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "{name}"),
            Self::Default => write!(f, "default"),
        }
    }
}

/// One setting in force, as `redis-consumer settings` shows it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The variable that sets it.
    pub name: &'static str,
    /// The value, masked if it is a secret.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
    /// Unit and effect, for the reader of the table.
    pub doc: &'static str,
}

/// One variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct Problem {
    /// The variable (or the variables) at fault.
    pub name: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Everything that is wrong with the environment.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self
            .0
            .iter()
            .map(|problem| format!("  {problem}"))
            .collect();
        write!(f, "wrong settings:\n{}", lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Reads settings out of an [`Env`] and keeps account of values, warnings and mistakes.
pub struct Reader<'e> {
    env: &'e Env,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl<'e> Reader<'e> {
    /// A reader of this environment.
    pub fn new(env: &'e Env) -> Self {
        Self {
            env,
            entries: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The environment itself, for rules that span several variables.
    pub fn env(&self) -> &'e Env {
        self.env
    }

    /// A text.
    pub fn text(&mut self, name: &'static str, default: &str, doc: &'static str) -> String {
        let value = self.env.get(name).map(str::to_owned);
        self.keep(name, value.as_ref(), default.to_owned(), doc)
    }

    /// A text that may be absent.
    pub fn optional(&mut self, name: &'static str, doc: &'static str) -> Option<String> {
        let value = self.env.get(name).map(str::to_owned);
        let shown = value.as_deref().unwrap_or("(not set)").to_owned();
        self.record(name, shown, value.is_some(), doc);
        value
    }

    /// A text that must never be shown.
    pub fn secret(&mut self, name: &'static str, doc: &'static str) -> Option<SecretString> {
        let value = self.env.get(name).map(SecretString::from);
        let shown = if value.is_some() {
            "********"
        } else {
            "(not set)"
        };
        self.record(name, shown.to_owned(), value.is_some(), doc);
        value
    }

    /// Anything with a text form, such as a number or a `name:version`.
    pub fn parsed<T>(&mut self, name: &'static str, default: T, doc: &'static str) -> T
    where
        T: FromStr + Display + Clone,
        T::Err: Display,
    {
        let parse = |text: &str| text.parse::<T>().map_err(|error| error.to_string());
        let value = self.attempt(name, parse);
        self.keep(name, value.as_ref(), default, doc)
    }

    /// The first of several variables that is set; the first name is the setting's own.
    pub fn first_of<T>(&mut self, names: &[&'static str], default: T, doc: &'static str) -> T
    where
        T: FromStr + Display + Clone,
        T::Err: Display,
    {
        let set = names
            .iter()
            .copied()
            .find(|name| self.env.get(name).is_some());
        let value = set.and_then(|name| {
            self.attempt(name, |text| {
                text.parse::<T>().map_err(|error| error.to_string())
            })
        });
        let origin = set.map_or(Origin::Default, |name| Origin::Variable(name.to_owned()));
        let value = value.unwrap_or(default);
        self.entries.push(Entry {
            name: names[0],
            value: value.to_string(),
            origin,
            doc,
        });
        value
    }

    /// A switch: `1 yes y true t on` and `0 no n false f off` in any case; empty is off.
    pub fn flag(&mut self, name: &'static str, default: bool, doc: &'static str) -> bool {
        let value = if self.env.contains(name) && self.env.get(name).is_none() {
            Some(false)
        } else {
            self.attempt(name, parse_flag)
        };
        self.keep(name, value.as_ref(), default, doc)
    }

    /// A pause or time limit in seconds; fractions are welcome, zero is legal, negative is not.
    pub fn seconds(&mut self, name: &'static str, default: f64, doc: &'static str) -> Duration {
        let value = self.attempt(name, parse_seconds);
        Duration::from_secs_f64(self.keep(name, value.as_ref(), default, doc))
    }

    /// A size in bytes: a number with an optional `K`, `M`, `G` (powers of 1000) or `Ki`, `Mi`, `Gi` (of 1024).
    pub fn bytes(&mut self, name: &'static str, default: u64, doc: &'static str) -> u64 {
        let value = self.attempt(name, parse_bytes);
        self.keep(name, value.as_ref(), default, doc)
    }

    /// Records a value that some rule over several variables has found.
    pub fn derived(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Reports that a variable cannot be used.
    pub fn problem(&mut self, name: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem {
            name: name.into(),
            message: message.into(),
        });
    }

    /// Notes something the operator should know though the program can go on.
    pub fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    /// Every value read and every warning, or every mistake.
    pub fn finish(self) -> Result<(Vec<Entry>, Vec<String>), Problems> {
        if self.problems.is_empty() {
            Ok((self.entries, self.warnings))
        } else {
            Err(Problems(self.problems))
        }
    }

    fn attempt<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.env.get(name)?;
        parse(text)
            .map_err(|message| self.problem(name, format!("`{text}` cannot be used: {message}")))
            .ok()
    }

    fn keep<T: Display + Clone>(
        &mut self,
        name: &'static str,
        value: Option<&T>,
        default: T,
        doc: &'static str,
    ) -> T {
        let is_set = value.is_some();
        let value = value.cloned().unwrap_or(default);
        self.record(name, value.to_string(), is_set, doc);
        value
    }

    fn record(&mut self, name: &'static str, value: String, is_set: bool, doc: &'static str) {
        let origin = if is_set {
            Origin::Variable(name.to_owned())
        } else {
            Origin::Default
        };
        self.entries.push(Entry {
            name,
            value,
            origin,
            doc,
        });
    }
}

fn parse_flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    if !seconds.is_finite() || seconds > 1e9 {
        return Err("expected a finite number of seconds".to_owned());
    }
    if seconds < 0.0 {
        Err("a pause cannot be negative".to_owned())
    } else {
        Ok(seconds)
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let expected = || "expected bytes such as 1048576, 500M or 2Gi".to_owned();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" => 1,
        "K" | "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err(expected()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs.iter().copied().collect()
    }

    #[test]
    fn placeholders_and_empty_values_mean_unset() {
        let env = env(&[
            ("A", "NA"),
            ("B", "specify_me"),
            ("C", ""),
            ("D", "Default-Bucket"),
            ("E", " kept "),
        ]);
        for name in ["A", "B", "C", "D"] {
            assert_eq!(env.get(name), None, "{name}");
        }
        assert_eq!(env.get("E"), Some("kept"));
    }

    #[test]
    fn booleans_are_as_lenient_as_pythons() {
        for (text, expected) in [
            ("1", true),
            ("YES", true),
            ("t", true),
            ("On", true),
            ("0", false),
            ("F", false),
            ("", false),
        ] {
            let env = env(&[("X", text)]);
            assert_eq!(
                Reader::new(&env).flag("X", !expected, ""),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn every_mistake_is_reported_by_name_in_one_go() {
        let env = env(&[("N", "many"), ("S", "-1"), ("B", "perhaps")]);
        let mut reader = Reader::new(&env);
        reader.parsed("N", 3_u32, "");
        reader.seconds("S", 1.0, "");
        reader.flag("B", false, "");
        let problems = reader.finish().expect_err("three variables are wrong");
        let names: Vec<_> = problems
            .0
            .iter()
            .map(|problem| problem.name.as_str())
            .collect();
        assert_eq!(names, ["N", "S", "B"]);
    }

    #[test]
    fn an_alias_gives_its_own_name_as_origin() {
        let env = env(&[("OLD", "2")]);
        let mut reader = Reader::new(&env);
        assert_eq!(reader.first_of(&["NEW", "OLD"], 1_u32, ""), 2);
        let (entries, _) = reader.finish().expect("nothing is wrong");
        assert_eq!(
            (entries[0].name, &entries[0].origin),
            ("NEW", &Origin::Variable("OLD".to_owned()))
        );
    }

    #[test]
    fn secrets_never_reach_the_table() {
        let env = env(&[("KEY", "hunter2")]);
        let mut reader = Reader::new(&env);
        reader.secret("KEY", "");
        let (entries, _) = reader.finish().expect("nothing is wrong");
        assert!(!format!("{entries:?}").contains("hunter2"));
    }

    #[test]
    fn sizes_take_units() {
        assert_eq!(parse_bytes("12"), Ok(12));
        assert_eq!(parse_bytes("2Gi"), Ok(2 << 30));
        assert_eq!(parse_bytes("500M"), Ok(500_000_000));
        assert!(parse_bytes("12 apples").is_err());
        assert!(parse_bytes("99999999999Gi").is_err());
    }
}
