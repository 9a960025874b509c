//! Reads typed values out of a description, and collects what is wrong with it rather than the first thing.

use serde_json::Value;

use crate::problem::{Problems, shown};

/// The largest size of an axis.
pub(crate) const MAX_SIZE: usize = 1 << 20;

static NOTHING: Value = Value::Null;

/// A value of a description, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Spot<'v> {
    value: &'v Value,
    path: String,
}

impl<'v> Spot<'v> {
    /// The whole description.
    pub(crate) fn root(value: &'v Value) -> Self {
        Self {
            value,
            path: String::new(),
        }
    }

    /// A member with a value.
    pub(crate) fn get(&self, name: &str) -> Option<Self> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        let path = self.join(name);
        Some(Self { value, path })
    }

    /// A member, or nothing in its place.
    pub(crate) fn get_or_nothing(&self, name: &str) -> Self {
        self.get(name).unwrap_or_else(|| Self {
            value: &NOTHING,
            path: self.join(name),
        })
    }

    /// The members of a list that is a member; none if there is no list.
    pub(crate) fn items(&self, name: &str) -> impl Iterator<Item = Self> {
        let path = self.join(name);
        let items = self.value.get(name).and_then(Value::as_array);
        let items = items.into_iter().flatten().enumerate();
        items.map(move |(index, value)| Self {
            value,
            path: format!("{path}[{index}]"),
        })
    }

    /// Names of all members with a value.
    pub(crate) fn names(&self) -> Vec<&'v str> {
        let members = self.value.as_object().into_iter().flatten();
        members
            .filter(|(_, value)| !value.is_null())
            .map(|(name, _)| name.as_str())
            .collect()
    }

    pub(crate) fn is_map(&self) -> bool {
        self.value.is_object()
    }

    pub(crate) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    pub(crate) fn is_number(&self) -> bool {
        self.value.is_number()
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&'v str> {
        self.value.as_str()
    }

    fn join(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// What a message calls it.
    fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "names with values",
        }
    }
}

/// What has been found wrong so far.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) problems: Problems,
}

impl Reader {
    /// Notes that something cannot be done.
    pub(crate) fn refuse<T>(&mut self, spot: &Spot<'_>, message: impl Into<String>) -> Option<T> {
        self.problems.add(&spot.path, message);
        None
    }

    fn wrong<T>(&mut self, spot: &Spot<'_>, expected: &str) -> Option<T> {
        let found = spot.kind();
        self.refuse(spot, format!("expected {expected}, found {found}"))
    }

    /// A member that has to be there.
    pub(crate) fn need<'v>(&mut self, spot: &Spot<'v>, name: &str) -> Option<Spot<'v>> {
        let member = spot.get(name);
        if member.is_none() {
            self.problems.add(&spot.join(name), "missing");
        }
        member
    }

    pub(crate) fn text(&mut self, spot: &Spot<'_>) -> Option<String> {
        match spot.value {
            Value::String(text) => Some(text.clone()),
            _ => self.wrong(spot, "a text"),
        }
    }

    /// A text, or a number as a text.
    pub(crate) fn scalar(&mut self, spot: &Spot<'_>) -> Option<String> {
        match spot.value {
            Value::Number(number) => Some(number.to_string()),
            _ => self.text(spot),
        }
    }

    pub(crate) fn truth(&mut self, spot: &Spot<'_>) -> Option<bool> {
        match spot.value {
            Value::Bool(truth) => Some(*truth),
            _ => self.wrong(spot, "true or false"),
        }
    }

    /// A finite number.
    pub(crate) fn number(&mut self, spot: &Spot<'_>) -> Option<f64> {
        match spot.value.as_f64().filter(|number| number.is_finite()) {
            Some(number) => Some(number),
            None => self.wrong(spot, "a number"),
        }
    }

    /// A number above zero.
    pub(crate) fn positive(&mut self, spot: &Spot<'_>) -> Option<f64> {
        let number = self.number(spot)?;
        if number > 0.0 {
            return Some(number);
        }
        self.refuse(spot, format!("expected a number above 0, found {number}"))
    }

    pub(crate) fn whole(&mut self, spot: &Spot<'_>) -> Option<i64> {
        match spot.value.as_i64() {
            Some(number) => Some(number),
            None => self.wrong(spot, "a whole number"),
        }
    }

    /// A whole number from 0 to the largest size of an axis.
    pub(crate) fn count(&mut self, spot: &Spot<'_>) -> Option<usize> {
        let number = self.whole(spot)?;
        match usize::try_from(number)
            .ok()
            .filter(|&size| size <= MAX_SIZE)
        {
            Some(size) => Some(size),
            None => self.refuse(spot, format!("expected 0 to {MAX_SIZE}, found {number}")),
        }
    }

    /// A whole number no larger than the largest size of an axis, with either sign.
    pub(crate) fn shift(&mut self, spot: &Spot<'_>) -> Option<i64> {
        let number = self.whole(spot)?;
        if number.unsigned_abs() <= MAX_SIZE as u64 {
            return Some(number);
        }
        self.refuse(
            spot,
            format!("expected -{MAX_SIZE} to {MAX_SIZE}, found {number}"),
        )
    }

    /// A whole number from 1 to the largest size of an axis.
    pub(crate) fn size(&mut self, spot: &Spot<'_>) -> Option<usize> {
        match self.count(spot)? {
            0 => self.refuse(spot, "expected a size of at least 1, found 0"),
            size => Some(size),
        }
    }

    /// The members of a list.
    pub(crate) fn list<'v>(&mut self, spot: &Spot<'v>) -> Option<Vec<Spot<'v>>> {
        let Value::Array(items) = spot.value else {
            return self.wrong(spot, "a list");
        };
        let items = items.iter().enumerate().map(|(index, value)| Spot {
            value,
            path: format!("{}[{index}]", spot.path),
        });
        Some(items.collect())
    }

    /// The members of a list, each read in the same way; nothing if one of them is wrong.
    pub(crate) fn each<T>(
        &mut self,
        spot: &Spot<'_>,
        mut read: impl FnMut(&mut Self, &Spot<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.list(spot)?;
        // All are read, so that all problems are found.
        let read: Vec<_> = items.iter().map(|item| read(self, item)).collect();
        read.into_iter().collect()
    }

    /// One of some words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        spot: &Spot<'_>,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(spot)?;
        if let Some(&(_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(value);
        }
        let names: Vec<_> = words.iter().map(|&(word, _)| word).collect();
        let (text, names) = (shown(&text), names.join(", "));
        self.refuse(spot, format!("`{text}` is none of {names}"))
    }
}

/// A member that may be absent, read; or a default. What is wrong gives nothing.
pub(crate) fn or<'v, T>(
    member: Option<Spot<'v>>,
    default: T,
    read: impl FnOnce(&Spot<'v>) -> Option<T>,
) -> Option<T> {
    match member {
        Some(spot) => read(&spot),
        None => Some(default),
    }
}
