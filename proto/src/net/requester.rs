//! A REQ connection: one request, one reply, in lockstep.

use std::time::Duration;

use tokio::time::Instant;

use super::{Channel, NetError, Options, connect};
use crate::zmtp::{Limits, Message, SocketType};

/// A connection to port 4506.
///
/// It takes the next request only after the last one was answered. Once a request failed, ran into its
/// deadline or its future was dropped, the connection is of no more use: a late reply must never
/// be taken for the reply to another request.
#[derive(Debug)]
pub struct Requester {
    channel: Channel,
    abandoned: bool,
}

impl Requester {
    /// Connects to `host:port`, which must be a ROUTER or REP.
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
        connect(host, port, SocketType::Req, limits, options, deadline)
            .await
            .map(Self::new)
    }

    /// Takes over a REQ connection on which nothing has been sent yet.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self {
            channel,
            abandoned: false,
        }
    }

    /// Sends a payload behind an empty delimiter and waits for the payload of the reply.
    ///
    /// # Errors
    /// [`NetError::NotAReply`] if the peer sent a message before it was asked, or one of another shape;
    /// [`NetError::Abandoned`] after any earlier failure; otherwise as [`Channel::send`] and [`Channel::recv`].
    pub async fn request(&mut self, payload: Vec<u8>, deadline: Instant) -> Result<Vec<u8>, NetError> {
        self.request_patiently(payload, Duration::MAX, deadline).await
    }

    /// As [`request`](Self::request), but gives up already when nothing at all has arrived for `quiet`.
    ///
    /// A long reply over a slow line is under way, however long it takes: asking again would only make it longer.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn request_patiently(
        &mut self,
        payload: Vec<u8>,
        quiet: Duration,
        deadline: Instant,
    ) -> Result<Vec<u8>, NetError> {
        if std::mem::replace(&mut self.abandoned, true) {
            return Err(NetError::Abandoned {
                peer: self.channel.name().to_owned(),
            });
        }
        self.channel.send(&Message::delimited(payload), deadline).await?;
        // Read before the last of the request was written: it can't be the reply.
        if self.channel.has_message() {
            return Err(NetError::NotAReply {
                peer: self.channel.name().to_owned(),
            });
        }
        let reply = self.reply(quiet, deadline).await?;
        let payload = reply.into_payload().map_err(|_| NetError::NotAReply {
            peer: self.channel.name().to_owned(),
        })?;
        self.abandoned = false;
        Ok(payload)
    }

    async fn reply(&mut self, quiet: Duration, deadline: Instant) -> Result<Message, NetError> {
        loop {
            let received = self.channel.received();
            let until = Instant::now()
                .checked_add(quiet)
                .map_or(deadline, |until| until.min(deadline));
            match self.channel.recv(until).await {
                // What has arrived of it is kept.
                Err(NetError::ReplyTimeout { .. })
                    if until < deadline && self.channel.received() > received => {}
                other => return other,
            }
        }
    }

    /// As [`Channel::ping`], between two requests.
    ///
    /// # Errors
    /// As [`Channel::ping`].
    pub async fn ping(&mut self, context: &[u8], deadline: Instant) -> Result<Duration, NetError> {
        self.channel.ping(context, deadline).await
    }

    /// Bytes that the system has taken for this connection in all. A request that failed, and for which this number
    /// did not grow, has certainly not been seen by anybody.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.channel.sent()
    }

    /// Whether a further [`request`](Self::request) has no chance.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// As [`Channel::set_message_limit`]: small before the peer has proven who it is, large afterwards.
    pub fn set_message_limit(&mut self, bytes: usize) {
        self.channel.set_message_limit(bytes);
    }

    /// The connection itself.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }
}
