//! Storage against a real S3 server, a stand-in for Google's, and a folder: a table of contents.

/// Keys, references and URLs.
mod addresses;

/// Credentials, signatures, access lists and content types.
mod access;

/// Objects of every size, and those that are too large.
mod sizes;

/// Objects of which the store does not tell the size, or tells another.
mod unknown_size;

/// What is asked again and what is given up.
mod failures;

/// Objects that are read piece by piece.
mod ranges;

/// Objects that are written piece by piece.
mod uploads_in_parts;

/// A stand-in for Google's store.
mod google;

/// A folder as a bucket.
mod folders;
