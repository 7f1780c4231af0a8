//! What the sidecar learns of masters that hang, vanish, lie and flood: each fault brings its facts, and no other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[allow(dead_code, reason = "the hostile peers use more of it")]
#[path = "../hostile/acceptance.rs"]
mod acceptance;
#[allow(dead_code, reason = "the hostile peers use more of it")]
#[path = "../hostile/client.rs"]
mod client;
mod connections;
mod master;
mod publications;
mod round_trips;
mod verifications;
mod watched;
