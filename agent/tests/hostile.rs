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

#[path = "hostile/acceptance.rs"]
mod acceptance;
#[path = "hostile/beside.rs"]
mod beside;
#[path = "hostile/case.rs"]
mod case;
#[path = "hostile/client.rs"]
mod client;
#[path = "hostile/clock.rs"]
mod clock;
#[path = "hostile/fake_master.rs"]
mod fake_master;
#[path = "hostile/liars.rs"]
mod liars;
#[path = "hostile/non_replies.rs"]
mod non_replies;
#[path = "hostile/output.rs"]
mod output;
#[path = "hostile/patience.rs"]
mod patience;
#[path = "hostile/peer.rs"]
mod peer;
#[path = "hostile/requests.rs"]
mod requests;
#[path = "hostile/saltfo.rs"]
mod saltfo;
#[path = "hostile/sign_in.rs"]
mod sign_in;
#[path = "hostile/strangers.rs"]
mod strangers;
#[path = "hostile/usage.rs"]
mod usage;
