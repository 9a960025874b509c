//! Quantities as people write them: `90s`, `2Gi`, `10%`, `1..60`.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a text should have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct UnitError {
    text: String,
    expected: &'static str,
}

impl UnitError {
    fn new(text: &str, expected: &'static str) -> Self {
        // Texts come out of templates: what is shown of them is short.
        let text = text.chars().take(60).collect();
        Self { text, expected }
    }
}

/// The seconds of `90s`, `15m`, `2h` or `7d`. Zero is refused, since no duration of a plan may be that short.
pub fn seconds(text: &str) -> Result<u64, UnitError> {
    let error = || {
        UnitError::new(
            text,
            "a duration of a second or more, such as 90s, 15m, 2h or 7d",
        )
    };
    let text = text.trim();
    let unit = text.chars().last().ok_or_else(error)?;
    let factor: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(error()),
    };
    digits(&text[..text.len() - 1])
        .and_then(|number| number.checked_mul(factor))
        .filter(|&seconds| seconds > 0)
        .ok_or_else(error)
}

/// The bytes of `4096`, `1M` (10⁶) or `2Gi` (2³¹).
pub fn bytes(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError::new(text, "a number of bytes, such as 4096, 500k, 1M or 2Gi");
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let factor: u64 = match &text[end..] {
        "" => 1,
        "k" | "K" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(error()),
    };
    digits(&text[..end])
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(error)
}

/// A count of one or more, as attempts and crashes are.
pub fn count(text: &str) -> Result<u32, UnitError> {
    digits(text.trim())
        .and_then(|number| u32::try_from(number).ok())
        .filter(|&number| number > 0)
        .ok_or_else(|| UnitError::new(text, "a whole number of 1 or more"))
}

/// `parse` of the library takes a sign, too.
fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// So many, or such a share: `5` or `10%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", into = "serde_json::Value")]
pub enum Amount {
    /// So many.
    Count(u64),
    /// Parts per million of all.
    Share(u32),
}

impl Amount {
    /// How many of a total that is, rounded down.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            Self::Share(parts) => {
                let share = u128::from(total) * u128::from(parts) / 1_000_000;
                u64::try_from(share).unwrap_or(u64::MAX)
            }
        }
    }
}

impl Default for Amount {
    fn default() -> Self {
        Self::Count(0)
    }
}

impl FromStr for Amount {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError::new(text, "a number, or a share such as 10%");
        let Some(percent) = text.trim().strip_suffix('%') else {
            return digits(text.trim()).map(Self::Count).ok_or_else(error);
        };
        // Parts per million are kept, so that a share is the same text again after it was stored.
        let (whole, fraction) = percent.split_once('.').unwrap_or((percent, "0"));
        let parts = digits(whole)
            .filter(|&whole| whole <= 100 && fraction.len() <= 4)
            .and_then(|whole| Some(whole * 10_000 + digits(&format!("{fraction:0<4}"))?))
            .filter(|&parts| parts <= 1_000_000)
            .and_then(|parts| u32::try_from(parts).ok())
            .ok_or_else(error)?;
        Ok(Self::Share(parts))
    }
}

impl Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Share(parts) => {
                let fraction = format!("{:04}", parts % 10_000);
                match fraction.trim_end_matches('0') {
                    "" => write!(f, "{}%", parts / 10_000),
                    fraction => write!(f, "{}.{fraction}%", parts / 10_000),
                }
            }
        }
    }
}

impl From<Amount> for serde_json::Value {
    fn from(amount: Amount) -> Self {
        match amount {
            Amount::Count(count) => count.into(),
            Amount::Share(_) => amount.to_string().into(),
        }
    }
}

impl TryFrom<serde_json::Value> for Amount {
    type Error = UnitError;

    fn try_from(value: serde_json::Value) -> Result<Self, UnitError> {
        match value.as_str() {
            Some(text) => text.parse(),
            None => value.to_string().parse(),
        }
    }
}

/// Numbers from one to another, both among them: `3`, `1..`, `..60`, `1..5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interval {
    /// The least.
    pub min: Option<u64>,
    /// The greatest.
    pub max: Option<u64>,
}

impl Interval {
    /// Whether a number lies between the two.
    pub fn contains(self, number: u64) -> bool {
        self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
    }
}

impl FromStr for Interval {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError::new(text, "a range such as 3, 1.., ..60 or 1..5");
        let bound = |text: &str| match text {
            "" => Ok(None),
            text => digits(text).map(Some).ok_or_else(error),
        };
        let text = text.trim();
        let (min, max) = match text.split_once("..") {
            Some((min, max)) => (bound(min)?, bound(max)?),
            None => (bound(text)?, bound(text)?),
        };
        if (min.is_none() && max.is_none()) || min.zip(max).is_some_and(|(min, max)| min > max) {
            return Err(error());
        }
        Ok(Self { min, max })
    }
}

impl TryFrom<String> for Interval {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> Self {
        let text = |bound: Option<u64>| bound.map_or_else(Self::new, |number| number.to_string());
        format!("{}..{}", text(interval.min), text(interval.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_and_have_a_unit() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds(" 15m "), Ok(900));
        assert_eq!(seconds("2h"), Ok(7200));
        assert_eq!(seconds("7d"), Ok(604_800));
        for wrong in [
            "",
            "90",
            "m",
            "0s",
            "-1s",
            "1.5h",
            "1h30m",
            "9m²",
            "99999999999999999999d",
        ] {
            let error = seconds(wrong).unwrap_err();
            assert!(error.to_string().contains("such as 90s"), "{error}");
        }
    }

    #[test]
    fn bytes_know_both_systems() {
        assert_eq!(bytes("2Gi"), Ok(2 << 30));
        assert_eq!(bytes("1M"), Ok(1_000_000));
        assert_eq!(bytes("0"), Ok(0));
        assert!(bytes("2GB").is_err() && bytes("Gi").is_err() && bytes("99999999999Ti").is_err());
    }

    #[test]
    fn amounts_are_counts_or_shares() {
        assert_eq!("5".parse(), Ok(Amount::Count(5)));
        assert_eq!("10%".parse(), Ok(Amount::Share(100_000)));
        assert_eq!("0.5%".parse::<Amount>().unwrap().of(1000), 5);
        assert_eq!("100%".parse::<Amount>().unwrap().of(u64::MAX), u64::MAX);
        assert_eq!("0.5%".parse::<Amount>().unwrap().to_string(), "0.5%");
        assert_eq!("10%".parse::<Amount>().unwrap().to_string(), "10%");
        assert!("101%".parse::<Amount>().is_err() && "-1".parse::<Amount>().is_err());
        assert!("100.1%".parse::<Amount>().is_err() && "%".parse::<Amount>().is_err());
    }

    #[test]
    fn intervals_hold_both_ends() {
        let interval: Interval = "1..5".parse().unwrap();
        assert!(interval.contains(1) && interval.contains(5) && !interval.contains(6));
        assert!("..60".parse::<Interval>().unwrap().contains(0));
        assert!("3".parse::<Interval>().unwrap().contains(3));
        assert!("..".parse::<Interval>().is_err() && "5..1".parse::<Interval>().is_err());
        assert_eq!(String::from("1..".parse::<Interval>().unwrap()), "1..");
    }
}
