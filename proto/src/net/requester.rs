//! A REQ connection: one request, one reply, in lockstep; heartbeats at any time.

use std::time::Duration;

use tokio::time::Instant;

use super::{Channel, NetError, Options, connect};
use crate::zmtp::{Event, Limits, Message, SocketType};

/// A connection to port 4506.
///
/// It takes the next request only after the last one was answered. Once a request failed, ran into its
/// deadline or its future was dropped, the connection is of no more use: a late reply must never
/// be taken for the reply to another request.
///
/// [`request`](Self::request) does both halves of one exchange. Who has heartbeats to mind meanwhile uses
/// [`send`](Self::send) and [`next`](Self::next).
#[derive(Debug)]
pub struct Requester {
    channel: Channel,
    abandoned: bool,
    /// A request that was sent by [`Self::send`] has no reply yet.
    awaiting: bool,
}

/// What comes over a REQ connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The payload of the reply to the request under way.
    Reply(Vec<u8>),
    /// The answer to a PING with this context.
    Pong(Vec<u8>),
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
            awaiting: false,
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
        self.transmit(payload, deadline).await?;
        let reply = self.reply(quiet, deadline).await?;
        let payload = self.payload(reply)?;
        self.abandoned = false;
        Ok(payload)
    }

    /// Sends a payload behind an empty delimiter; [`next`](Self::next) has the reply.
    ///
    /// # Errors
    /// As [`request`](Self::request), but for what concerns the reply; [`NetError::Abandoned`] also while an
    /// earlier request has no reply.
    pub async fn send(&mut self, payload: Vec<u8>, deadline: Instant) -> Result<(), NetError> {
        self.transmit(payload, deadline).await?;
        (self.abandoned, self.awaiting) = (false, true);
        Ok(())
    }

    /// The reply to what was [sent](Self::send), or the answer to a PING. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`NetError::NotAReply`] for a message that nobody asked for, or one of another shape;
    /// [`NetError::ReplyTimeout`] if nothing came until the deadline, after which the wait may go on.
    pub async fn next(&mut self, deadline: Instant) -> Result<Heard, NetError> {
        loop {
            match self.channel.next_event(deadline).await? {
                Event::Pong { context } => return Ok(Heard::Pong(context)),
                Event::Message(message) => {
                    if !std::mem::take(&mut self.awaiting) {
                        self.abandoned = true;
                        return Err(self.not_a_reply());
                    }
                    let payload = self.payload(message);
                    self.abandoned = payload.is_err();
                    return payload.map(Heard::Reply);
                }
                Event::Ready(_) | Event::Subscribe(_) | Event::Cancel(_) => {}
            }
        }
    }

    /// As [`Channel::send_ping`], also while a request is under way: [`next`](Self::next) has the answer.
    ///
    /// # Errors
    /// As [`Channel::send_ping`].
    pub async fn send_ping(&mut self, context: &[u8], deadline: Instant) -> Result<(), NetError> {
        self.channel.send_ping(context, deadline).await
    }

    /// Sends; abandoned from its first byte on, until the caller knows better.
    async fn transmit(&mut self, payload: Vec<u8>, deadline: Instant) -> Result<(), NetError> {
        if self.awaiting || std::mem::replace(&mut self.abandoned, true) {
            return Err(self.is_of_no_use());
        }
        self.channel.send(&Message::delimited(payload), deadline).await?;
        // Read before the last of the request was written: it can't be the reply.
        if self.channel.has_message() {
            return Err(self.not_a_reply());
        }
        Ok(())
    }

    fn payload(&self, reply: Message) -> Result<Vec<u8>, NetError> {
        reply.into_payload().map_err(|_| self.not_a_reply())
    }

    fn not_a_reply(&self) -> NetError {
        NetError::NotAReply {
            peer: self.channel.name().to_owned(),
        }
    }

    fn is_of_no_use(&self) -> NetError {
        NetError::Abandoned {
            peer: self.channel.name().to_owned(),
        }
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
