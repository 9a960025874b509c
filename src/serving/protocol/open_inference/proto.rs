//! The messages of the Open Inference Protocol, made from `proto/` by the build script.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::doc_markdown,
    clippy::use_self,
    clippy::str_to_string
)]

tonic::include_proto!("inference");
