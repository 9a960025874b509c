//! A snapshot of the environment, in which placeholders count as "not set".

use std::collections::BTreeMap;

/// Words that deployments use for "not set"; the charts of a Kiosk do.
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
    /// The environment of this process. Bytes that are not UTF-8 show up as `�`.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that may read it"
    )]
    pub fn from_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| {
                (
                    name.to_string_lossy().into_owned(),
                    value.to_string_lossy().into_owned(),
                )
            })
            .collect()
    }

    /// The value of a variable, unless it is empty or a placeholder such as `NA`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.trim();
        (!value.is_empty() && !is_placeholder(value)).then_some(value)
    }

    /// Sets a variable in this snapshot, in place of what the process has.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// All variables as they are.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a variable is there at all, whatever it holds.
    pub(super) fn contains(&self, name: &str) -> bool {
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

/// Whether a value stands for "not set", in any case.
pub(crate) fn is_placeholder(value: &str) -> bool {
    PLACEHOLDERS
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_and_empty_values_mean_unset() {
        let env: Env = [
            ("A", "NA"),
            ("B", "specify_me"),
            ("C", ""),
            ("D", "Default-Bucket"),
            ("E", " kept "),
        ]
        .into_iter()
        .collect();
        for name in ["A", "B", "C", "D"] {
            assert_eq!(env.get(name), None, "{name}");
        }
        assert_eq!(env.get("E"), Some("kept"));
    }
}
