//! Inputs and results: objects in and out of a bucket or a folder, as a whole or piece by piece.
//!
//! Everything that talks to S3, Google Cloud Storage, Azure Blob Storage or a local folder is in here. A transfer survives
//! transient errors for as long as the settings say, and ends at once when its future is dropped.

pub mod archive;

mod client;
mod content_type;
mod error;
mod files;
mod listing;
mod metrics;
mod models;
mod multipart;
mod object;
mod passage;
mod provider;
mod reader;
mod retry;
mod settings;
mod transport;
mod unknown_size;
mod urls;
mod writer;

pub use self::client::Storage;
pub(crate) use self::content_type::content_type;
pub use self::error::{Direction, Error};
pub(crate) use self::listing::{Listed, hexadecimal};
pub use self::provider::Bucket;
pub use self::reader::RangeReader;
pub use self::settings::StorageSettings;
pub use self::writer::ObjectWriter;
