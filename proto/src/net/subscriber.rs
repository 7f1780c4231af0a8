//! A SUB connection: publications as they come.

use std::time::Duration;

use tokio::time::Instant;

use super::{Channel, NetError, Options, connect};
use crate::zmtp::{Limits, SocketType};

/// A connection to port 4505. Subscriptions are the connection's: a new one has none.
#[derive(Debug)]
pub struct Subscriber {
    channel: Channel,
}

impl Subscriber {
    /// Connects to `host:port`, which must be a PUB or XPUB.
    ///
    /// # Errors
    /// As [`connect`](super::connect()).
    pub async fn connect(
        host: &str,
        port: u16,
        limits: Limits,
        options: &Options,
        deadline: Instant,
    ) -> Result<Self, NetError> {
        Ok(Self {
            channel: connect(host, port, SocketType::Sub, limits, options, deadline).await?,
        })
    }

    /// Subscribes to everything that begins with `prefix`; empty means everything.
    ///
    /// The publisher does not confirm it, and what it published before it learned of it is lost. A
    /// [`ping`](Self::ping) that is answered shows that the publisher's host has read the subscription.
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub async fn subscribe(&mut self, prefix: &[u8], deadline: Instant) -> Result<(), NetError> {
        self.channel.subscribe(prefix, deadline).await
    }

    /// The frames of the next publication. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`NetError::ReplyTimeout`] if there was none until the deadline, which is no fault of the publisher's.
    pub async fn next(&mut self, deadline: Instant) -> Result<Vec<Vec<u8>>, NetError> {
        Ok(self.channel.recv(deadline).await?.into_frames())
    }

    /// As [`Channel::ping`]; publications that arrive meanwhile are kept for [`next`](Self::next).
    ///
    /// # Errors
    /// As [`Channel::ping`].
    pub async fn ping(&mut self, context: &[u8], deadline: Instant) -> Result<Duration, NetError> {
        self.channel.ping(context, deadline).await
    }

    /// As [`Channel::set_message_limit`].
    pub fn set_message_limit(&mut self, bytes: usize) {
        self.channel.set_message_limit(bytes);
    }

    /// The connection itself.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The connection itself, to mix heartbeats and publications with [`Channel::send_ping`] and
    /// [`Channel::next_event`].
    #[must_use]
    pub fn channel_mut(&mut self) -> &mut Channel {
        &mut self.channel
    }
}
