//! What could not be rendered.

/// What could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stage {stage}{}, {field}: {message}", .item.map(|item| format!(", item {item}")).unwrap_or_default())]
pub struct RenderError {
    /// Name of the stage.
    pub stage: String,
    /// Number of the item; nothing if it is wrong for all.
    pub item: Option<u64>,
    /// What of it, such as `fields.graph`.
    pub field: String,
    /// Why.
    pub message: String,
}
