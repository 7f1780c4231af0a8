//! The wire protocol of Salt, spoken in the role of a minion.
//!
//! Bytes come in, verified facts come out. Everything but [`net`] is free of sockets, clocks and
//! randomness of its own: they are arguments. What each module relies on is told in its own page;
//! the map of the whole is `ARCHITECTURE.md`.

pub mod auth;
pub mod crypto;
pub mod identity;
pub mod message;
pub mod net;
pub mod publication;
pub mod session;
pub mod zmtp;

#[cfg(test)]
mod vectors;
