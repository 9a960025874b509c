//! What is wrong with a description, and where.

use std::fmt::{self, Display};

/// Problems that are told.
const TOLD: usize = 100;

/// One thing of a description that is wrong or cannot be done here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `inputs[0].preprocessing[2]`; empty for the whole.
    pub path: String,
    /// What, and what to do about it.
    pub message: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything of a description that is wrong or cannot be done here, a line each; at least one thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct DescriptionError {
    /// In the order in which they were found.
    pub problems: Vec<Problem>,
}

impl DescriptionError {
    /// A description with one problem.
    pub(crate) fn one(path: &str, message: impl Into<String>) -> Self {
        let mut problems = Problems::default();
        problems.add(path, message);
        Self {
            problems: problems.found,
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// What has been found so far.
#[derive(Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn add(&mut self, path: &str, message: impl Into<String>) {
        if self.found.len() < TOLD {
            self.found.push(Problem {
                path: path.to_owned(),
                message: message.into(),
            });
        }
    }

    /// The value if it is there and nothing was found.
    pub(crate) fn end<T>(mut self, value: Option<T>) -> Result<T, DescriptionError> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => {
                if self.found.is_empty() {
                    self.add("", "the description cannot be read");
                }
                Err(DescriptionError {
                    problems: self.found,
                })
            }
        }
    }
}

/// A text for a message: one short line.
pub(crate) fn shown(text: &str) -> String {
    let mut line: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_lines_with_their_places() {
        let mut problems = Problems::default();
        problems.add("inputs[0]", "no axes");
        problems.add("", "no weights");
        let error = problems.end::<()>(None).unwrap_err();
        assert_eq!(error.to_string(), "inputs[0]: no axes\nno weights");
    }

    #[test]
    fn no_description_makes_endless_messages() {
        let mut problems = Problems::default();
        (0..1000).for_each(|_| problems.add("a", "b"));
        assert_eq!(problems.end(Some(())).unwrap_err().problems.len(), TOLD);
        assert!(shown(&"\n".repeat(1000)).len() < 200);
    }
}
