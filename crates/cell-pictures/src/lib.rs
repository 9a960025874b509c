#![doc = include_str!("../README.md")]

mod color;
mod labels;
mod palette;
mod picture;
mod preview;
mod pyramid;
mod render;
mod spots;
mod statistics;
mod window;

pub use color::bright;
pub use labels::{LabelLevel, Layer, label_levels, render_labels};
pub use palette::Palette;
pub use picture::Picture;
pub use preview::{PREVIEW_BYTES, PREVIEW_SIDE, Thumbnail};
pub use pyramid::{halved, levels};
pub use render::{ChannelView, render_channels};
pub use spots::{SpotLayer, render_spots};
pub use statistics::{ChannelStatistics, channel_statistics};
pub use window::Window;
