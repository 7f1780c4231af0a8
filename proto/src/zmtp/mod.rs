//! ZMTP 3.1 with the NULL mechanism (RFC 37/ZMTP; RFC 23/ZMTP for peers that greet with 3.0), without I/O.
//!
//! A [`Connection`] is fed with the bytes that arrived and asked for the [`Event`]s in them; what it
//! wants to say is taken from [`Connection::output`]. Both ends of a connection use the same code:
//! with NULL nothing tells the one that connects from the one that accepts.
//!
//! Nothing a peer *announces* costs memory. Buffers grow with the bytes that arrived, at most twofold,
//! and every kind of growth ends at one of the [`Limits`]. No input makes this code panic.
#![deny(clippy::arithmetic_side_effects)]

mod command;
mod connection;
mod frame;
mod greeting;
mod message;
mod outbox;
mod socket_type;
mod violation;

#[cfg(test)]
mod tests;

pub use connection::{Connection, Event, Peer};
pub use greeting::Version;
pub use message::Message;
pub use socket_type::SocketType;
pub use violation::{Misuse, Violation};

/// Longest command that is taken before the handshake has ended, in bytes. A READY of libzmq has about 40.
const HANDSHAKE_COMMAND: usize = 8 * 1024;

/// Longest context of a PING, in bytes (RFC 37, "Connection Heartbeating").
pub const PING_CONTEXT: usize = 16;

/// What one connection may cost. All but `frames` are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest message, over all its frames. It is also what may wait to be written before
    /// [`Connection::send`] takes no further message.
    pub message: usize,
    /// Most frames of a message.
    pub frames: usize,
    /// Longest command after the handshake; before it 8 KiB at most.
    pub command: usize,
    /// Most bytes of answers (PONG) that may wait for a peer that does not read.
    pub output: usize,
}

impl Limits {
    /// For a peer that has not proved who it is: 64 KiB a message. Sign-in replies of Salt have 2 kB.
    #[must_use]
    pub fn unverified() -> Self {
        Self {
            message: 64 * 1024,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 64 * 1024 * 1024,
            frames: 64,
            command: 64 * 1024,
            output: 64 * 1024,
        }
    }
}
