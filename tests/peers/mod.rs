//! The peers of a consumer under test: a real Redis, a real S3 server, a model server, and the program itself.

#![allow(dead_code, reason = "each test binary uses some of the peers")]

pub(crate) mod boxq;
pub(crate) mod canned;
pub(crate) mod graph_models;
pub(crate) mod kiosk;
pub(crate) mod lab;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod s3;
pub(crate) mod scenes;
pub(crate) mod spot_model;
