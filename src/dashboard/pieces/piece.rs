//! What all pieces have in common.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use askama::Template;
use tracing::error;

/// What pieces know of the page around them.
#[derive(Clone, Debug)]
pub(in super::super) struct Ground {
    /// The path before all others.
    pub(in super::super) base: String,
}

/// What a page consists of, apart from the values in its pieces: which rows, sections and buttons. When it changes, browsers
/// fetch the page anew, as it is for whoever looks.
#[derive(Template)]
#[template(path = "pieces/shape.html")]
pub(in super::super) struct Shape {
    hash: String,
}

impl Shape {
    /// Of something that is not there any more.
    pub(in super::super) fn gone() -> Self {
        Self {
            hash: "gone".to_owned(),
        }
    }

    pub(super) fn of(what: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        Self {
            hash: format!("{:016x}", hasher.finish()),
        }
    }
}

/// A piece as it is sent.
pub(in super::super) fn html(piece: &impl Template) -> String {
    let text = piece.render();
    text.inspect_err(|error| error!(%error, "a part of a page cannot be written"))
        .unwrap_or_default()
}

/// The same of many.
pub(super) fn all_html<T: Template>(pieces: &[T]) -> impl Iterator<Item = String> {
    pieces.iter().map(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_the_same_for_the_same_and_another_for_others() {
        let shape = |rows: &[&str], is_empty: bool| html(&Shape::of((rows, is_empty)));
        assert_eq!(shape(&["a", "b"], false), shape(&["a", "b"], false));
        assert_ne!(shape(&["a", "b"], false), shape(&["b", "a"], false));
        assert_ne!(shape(&["a"], false), shape(&["a"], true));
        assert!(shape(&[], false).starts_with("<span id=\"shape\" hidden"));
    }
}
