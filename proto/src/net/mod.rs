//! The only I/O of this crate: ZMTP over TCP, with a deadline on every wait.
//!
//! [`Channel`] is one connection, [`Requester`] and [`Subscriber`] are what a minion makes of it on
//! ports 4506 and 4505. There are no background tasks: a connection does something while one of its
//! methods is awaited, and nothing else. Nothing reconnects by itself; who gets a [`NetError`] drops
//! the connection and decides.
//!
//! A deadline is the end of a wait, not of what has arrived: a call whose deadline has passed still
//! hands out what is there, and reads from the socket at most once without waiting.

mod channel;
mod connect;
mod error;
mod host;
mod options;
mod requester;
mod subscriber;
#[cfg(test)]
mod tests;

pub use channel::Channel;
pub use connect::{Dialled, Resolved, accept, connect, dial, knock, resolve};
pub use error::NetError;
pub use host::{Host, HostError};
pub use options::Options;
pub use requester::{Heard, Requester};
pub use subscriber::Subscriber;
