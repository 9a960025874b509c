//! Zip archives: results in, the images of an upload out.
//!
//! Synchronous and on bytes alone; what is fetched and stored where is `storage`. Neither an upload nor a collection of
//! results need be in memory as a whole: a [`SparseFile`] stands for the one, a [`ZipMerger`] gives the other away as it
//! grows.

mod contents;
mod error;
mod names;
mod sparse_file;
mod unpack;
mod write;
mod zip_images;
mod zip_list;
mod zip_merger;

pub(crate) use self::contents::{ArchivedFile, files_in};
pub use self::error::ArchiveError;
pub use self::names::clean_path;
pub(crate) use self::names::{split_folder, without_last_suffix};
pub use self::sparse_file::SparseFile;
pub(crate) use self::unpack::{Unpacked, unpack_files};
pub(crate) use self::write::pack_files;
pub use self::write::write_zip;
pub use self::zip_images::{ArchiveLimits, LargestEntry, ZipImages, image_entries};
pub(crate) use self::zip_list::claimed_list_bytes;
pub use self::zip_merger::ZipMerger;
