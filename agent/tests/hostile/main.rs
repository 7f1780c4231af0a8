//! The binary against peers that lie, stall, shout or are something else altogether.
//!
//! Whatever they do: the exit code, the state and the reason are right, it ends in time, nothing panics, stdout
//! is one document, and memory stays small until a peer has proved who it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod acceptance;
mod anchors;
mod beside;
mod case;
mod client;
mod clock;
mod dispatching;
mod fake_master;
mod liars;
mod non_replies;
mod output;
mod patience;
mod peer;
mod requests;
mod saltfo;
mod sign_in;
mod strangers;
mod usage;

#[path = "../common/mod.rs"]
mod common;
