//! The types that settings can have. What is lenient about texts lives here; `serde` and `envy` do the rest.

use std::fmt::{self, Debug, Display};
use std::net::IpAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::de::value::StringDeserializer;
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer as _};
use serde::{Deserialize, Deserializer, Serialize};

/// How a setting that is absent is shown.
pub(crate) const NOT_SET: &str = "(not set)";

/// A type that a setting can have: `serde` reads it from text, and tables show it.
pub trait Value: DeserializeOwned {
    /// Whether the text must never be shown.
    const IS_SECRET: bool = false;

    /// The value as tables show it.
    fn shown(&self) -> String;

    /// What a text has to be, for messages; nothing if the error of the type itself says so.
    fn expected() -> Option<&'static str> {
        None
    }

    /// What a variable means that is set but empty; nothing if that is the same as not set.
    fn when_empty() -> Option<Self> {
        None
    }
}

/// A value from the text of one variable, and otherwise what would be right.
pub(super) fn from_text<T: Value>(text: &str) -> Result<T, String> {
    /// `envy` reads structs; alone in one, a value has mistakes of its own.
    #[derive(Deserialize)]
    struct Only<T> {
        value: T,
    }

    match envy::from_iter::<_, Only<T>>([("value".to_owned(), text.to_owned())]) {
        Ok(Only { value }) => Ok(value),
        Err(error) => Err(match T::expected() {
            Some(expected) => format!("expected {expected}"),
            None => error.to_string(),
        }),
    }
}

macro_rules! plain_values {
    ($($kind:ty: $expected:literal,)+) => {$(
        impl Value for $kind {
            fn shown(&self) -> String {
                self.to_string()
            }

            fn expected() -> Option<&'static str> {
                Some($expected)
            }
        }
    )+};
}

plain_values! {
    String: "text",
    u16: "a whole number from 0 to 65535",
    u32: "a whole number from 0 to 4294967295",
    u64: "a whole number, 0 or more",
    usize: "a whole number, 0 or more",
    i64: "a whole number",
    NonZeroU64: "a whole number, 1 or more",
    NonZeroUsize: "a whole number, 1 or more",
    f32: "a number",
    f64: "a number",
    IpAddr: "an IP address such as 0.0.0.0",
}

impl<T: Value> Value for Option<T> {
    const IS_SECRET: bool = T::IS_SECRET;

    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| NOT_SET.to_owned(), T::shown)
    }

    fn expected() -> Option<&'static str> {
        T::expected()
    }

    fn when_empty() -> Option<Self> {
        T::when_empty().map(Some)
    }
}

/// A list of texts with commas between them; blanks around them and empty ones do not count.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<String>")]
pub struct List(pub Vec<String>);

impl From<Vec<String>> for List {
    fn from(items: Vec<String>) -> Self {
        Self(
            items
                .iter()
                .map(|item| item.trim())
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }
}

impl Value for List {
    fn shown(&self) -> String {
        self.0.join(",")
    }
}

/// A switch: `1 yes y true t on` and `0 no n false f off` in any case; set but empty is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Switch(pub bool);

impl TryFrom<String> for Switch {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "yes" | "y" | "true" | "t" | "on" => Ok(Self(true)),
            "0" | "no" | "n" | "false" | "f" | "off" => Ok(Self(false)),
            _ => Err("expected true or false"),
        }
    }
}

impl Value for Switch {
    fn shown(&self) -> String {
        self.0.to_string()
    }

    fn when_empty() -> Option<Self> {
        Some(Self(false))
    }
}

/// A time in seconds; fractions are welcome, zero is legal, negative is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Seconds(pub Duration);

impl Seconds {
    /// A whole number of seconds.
    pub const fn new(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The time as a limit, where 0 means that there is none.
    pub fn limit(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl TryFrom<String> for Seconds {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const LONGEST: f64 = 1e9;
        match text.parse::<f64>() {
            Err(_) => Err("expected a number of seconds"),
            Ok(seconds) if seconds < 0.0 => Err("expected 0 seconds or more"),
            Ok(seconds) if seconds <= LONGEST => Ok(Self(Duration::from_secs_f64(seconds))),
            Ok(_) => Err("expected at most 1000000000 seconds"),
        }
    }
}

impl Value for Seconds {
    fn shown(&self) -> String {
        self.0.as_secs_f64().to_string()
    }
}

/// A size in bytes: a number with an optional `K`, `M`, `G` (powers of 1000) or `Ki`, `Mi`, `Gi` (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bytes(pub u64);

impl TryFrom<String> for Bytes {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str = "expected bytes such as 1048576, 500M or 2Gi";
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
            _ => return Err(EXPECTED),
        };
        let number = number.parse::<u64>().map_err(|_| EXPECTED)?;
        number.checked_mul(factor).map(Self).ok_or(EXPECTED)
    }
}

impl Value for Bytes {
    fn shown(&self) -> String {
        self.0.to_string()
    }
}

/// A text that must never be shown.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
pub struct Secret(pub SecretString);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl Value for Secret {
    const IS_SECRET: bool = true;

    fn shown(&self) -> String {
        "********".to_owned()
    }
}

/// Anything with a text form of its own, such as a `name:version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed<T>(pub T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

impl<T: FromStr<Err: Display> + Display> Value for Parsed<T> {
    fn shown(&self) -> String {
        self.0.to_string()
    }
}

/// One of the words of an enum without fields, in any case.
///
/// `serde` gives the words, which are in lower case: `#[serde(rename_all = "lowercase")]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?.to_lowercase();
        let word: StringDeserializer<D::Error> = word.into_deserializer();
        T::deserialize(word).map(Self)
    }
}

impl<T: Serialize> Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}

impl<T: DeserializeOwned + Serialize> Value for Word<T> {
    fn shown(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Tea {
        Green,
        Black,
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
        ] {
            assert_eq!(from_text(text), Ok(Switch(expected)), "{text:?}");
        }
        assert_eq!(Switch::when_empty(), Some(Switch(false)));
        assert_eq!(
            from_text::<Switch>("perhaps"),
            Err("expected true or false".to_owned())
        );
    }

    #[test]
    fn sizes_take_units() {
        assert_eq!(from_text("12"), Ok(Bytes(12)));
        assert_eq!(from_text("2Gi"), Ok(Bytes(2 << 30)));
        assert_eq!(from_text("500M"), Ok(Bytes(500_000_000)));
        assert!(from_text::<Bytes>("12 apples").is_err());
        assert!(from_text::<Bytes>("99999999999Gi").is_err());
    }

    #[test]
    fn seconds_take_fractions_and_are_neither_negative_nor_endless() {
        assert_eq!(from_text("0.5"), Ok(Seconds(Duration::from_millis(500))));
        assert_eq!(Seconds(Duration::from_millis(500)).shown(), "0.5");
        assert_eq!(Seconds::new(30).shown(), "30");
        for text in ["-1", "inf", "nan", "1e10", "soon"] {
            assert!(from_text::<Seconds>(text).is_err(), "{text}");
        }
        assert_eq!(from_text::<Seconds>("0").map(Seconds::limit), Ok(None));
    }

    #[test]
    fn a_wrong_number_is_told_what_would_be_right() {
        let message = |result: Result<u16, String>| result.expect_err("not a port");
        for text in ["70000", "-1", "many", "1.5"] {
            assert_eq!(
                message(from_text(text)),
                "expected a whole number from 0 to 65535",
                "{text}"
            );
        }
        assert!(from_text::<NonZeroUsize>("0").is_err());
        assert!(from_text::<Option<f64>>("1,5").is_err());
    }

    #[test]
    fn words_of_an_enum_go_in_any_case_and_a_wrong_one_is_told_the_right_ones() {
        assert_eq!(from_text("GREEN"), Ok(Word(Tea::Green)));
        assert_eq!(Word(Tea::Black).shown(), "black");
        let message = from_text::<Word<Tea>>("white").expect_err("no such tea");
        assert!(
            message.contains("`green`") && message.contains("`black`"),
            "{message}"
        );
    }

    #[test]
    fn lists_have_commas() {
        let list: List = from_text("a, b,,c,").expect("any text is a list");
        assert_eq!(list.shown(), "a,b,c");
    }
}
