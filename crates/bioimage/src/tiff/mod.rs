//! TIFF files, both ways: what others made is read raw, what is written is what tifffile would write.

pub(crate) mod read;
pub(crate) mod write;
