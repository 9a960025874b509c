//! What a form or the end of an address says.

use url::form_urlencoded;

/// Names and values, in their order; a name may come several times.
#[derive(Clone, Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl FromIterator<(String, String)> for Form {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl Form {
    /// From the body of a form, or what follows the question mark of an address.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The first value of this name; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// The same; nothing if it is empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// All values of this name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let pairs = self.0.iter().filter(move |(it, _)| it == name);
        pairs.map(|(_, value)| value.as_str())
    }

    /// A number; 0 if there is none.
    pub(super) fn number(&self, name: &str) -> usize {
        self.text(name).parse().unwrap_or(0)
    }

    /// Whether a box is ticked.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// Everything that the form says but for these, to be sent once more.
    pub(super) fn without<'f>(
        &'f self,
        names: &'f [&str],
    ) -> impl Iterator<Item = (&'f str, &'f str)> {
        let pairs = self.0.iter();
        pairs
            .filter(|(name, _)| !names.contains(&name.as_str()))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_may_come_several_times() {
        let form = Form::parse(b"job=a%2Fb&job=c+d&from=50&empty=&x=%ff");
        assert_eq!(form.all("job").collect::<Vec<_>>(), ["a/b", "c d"]);
        assert_eq!((form.number("from"), form.number("job")), (50, 0));
        assert!(!form.has("empty") && !form.has("absent") && form.has("job"));
        assert_eq!(form.without(&["job", "x"]).count(), 2);
    }
}
