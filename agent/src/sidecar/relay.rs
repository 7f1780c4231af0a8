//! The data plane of the relay: the master of the local minions, as far as they can see.
//!
//! It ends ZeroMQ on the minions' side, as PUB and as ROUTER on loopback, and carries what is in it to and from the master that
//! policy elected. Payloads pass unread: they are encrypted between minion and master. It decides nothing and answers nothing.

mod counts;
mod route;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

pub use self::counts::{Dropped, Port, Publications, Requests, Seen};
pub use self::route::{Manner, Route};
use super::facts::MasterIndex;

/// How to reach a master's request port.
#[derive(Debug, Clone)]
pub struct Way {
    /// What the configuration calls it; for logs.
    pub name: String,
    /// Where the master has proved to be genuine, last; none as long as it has not.
    pub genuine_at: watch::Receiver<Option<SocketAddr>>,
}

/// A publication that has been verified: HMAC, signature, serial.
#[derive(Debug, Clone)]
pub struct Carried {
    /// Whose it is.
    pub master: MasterIndex,
    /// As they came, the payload last.
    pub frames: Arc<Vec<Vec<u8>>>,
}
