//! The peers of a consumer under test: a real Redis, a real S3 server, a model server, and the program itself.

#![allow(dead_code, reason = "every program uses some of the peers")]

pub(crate) mod azurite;
pub(crate) mod browser;
pub(crate) mod chromium;
pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod desk;
pub(crate) mod exact_models;
pub(crate) mod faults;
pub(crate) mod folders;
pub(crate) mod graph_models;
pub(crate) mod hostile_files;
pub(crate) mod kiosk_client;
pub(crate) mod listening;
pub(crate) mod objects;
pub(crate) mod outcome;
pub(crate) mod proxy;
pub(crate) mod python_kiosk;
pub(crate) mod real_data;
pub(crate) mod redis;
pub(crate) mod results;
pub(crate) mod s3;
pub(crate) mod scripted_http;
pub(crate) mod spot_model;
pub(crate) mod synthetic_images;
pub(crate) mod terminal;
