//! What is declared: variables and their owners.

/// One declared variable.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name of the field: that of the variable in lower case.
    pub name: &'static str,
    /// Unit and effect: the doc comment of the field.
    pub text: &'static str,
    /// The default, as tables show it.
    pub default: fn() -> String,
    /// The default in words, where a value would mislead: "number of cores, at most 4".
    pub default_in_words: Option<&'static str>,
}

impl Field {
    /// Name of the variable.
    pub fn variable(&self) -> String {
        self.name.to_ascii_uppercase()
    }

    /// The doc comment as one line.
    pub fn line(&self) -> &'static str {
        self.text.trim()
    }
}

/// An owner of settings: what they are about, and its variables.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// The doc comment of the struct.
    pub about: &'static str,
    /// The variables.
    pub fields: &'static [Field],
}
