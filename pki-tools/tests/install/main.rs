//! `pki-tools install`, the real program: the files of a host, and everything that may be in their way.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

#[path = "../common/mod.rs"]
mod common;
mod files;
mod host;
mod hostile;
mod refused;
mod replaced;
mod settings;
