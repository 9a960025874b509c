//! One thing that a rule has found wrong.

/// What is wrong, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// An input is not there.
    Missing,
    Size,
    Suffix,
    Image,
    Command,
    Model,
    Workers,
    Room,
}

/// One thing that a rule has found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// An input, the identity of an item, or what else it is about.
    pub(super) about: String,
    /// Why; empty if the kind says all.
    pub(super) why: String,
}

impl Fault {
    pub(super) fn new(kind: Kind, about: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            kind,
            about: about.into(),
            why: why.into(),
        }
    }
}

impl Kind {
    /// Whether it is about inputs that have to be there.
    pub(super) fn needs_input(self) -> bool {
        matches!(self, Self::Missing | Self::Size | Self::Image)
    }

    /// Whether each item either is so or is not.
    pub(super) fn is_of_items(self) -> bool {
        self.needs_input() || matches!(self, Self::Suffix | Self::Command)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Size => "size",
            Self::Suffix => "suffix",
            Self::Image => "image",
            Self::Command => "command",
            Self::Model => "model",
            Self::Workers => "workers",
            Self::Room => "room",
        }
    }
}
