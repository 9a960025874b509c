//! The peers of a consumer under test: a real Redis, a real S3 server, a model server, and the program itself.

#![allow(dead_code, reason = "each test binary uses some of the peers")]

pub mod boxq;
pub mod lab;
pub mod redis;
pub mod s3;
