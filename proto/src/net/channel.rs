//! One ZMTP connection over TCP.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::NetError;
use crate::zmtp::{Connection, Event, Limits, Message, Misuse, Peer, SocketType};

/// Bytes that are read from the socket at once.
const READ: usize = 32 * 1024;
/// Events that may wait for the caller before no more is read: libzmq's own high-water mark.
const WAITING: usize = 1000;

/// One connection after its handshake, in the role that its socket type gives it.
///
/// Every future may be dropped at any time without loss of bytes: they move between socket and
/// buffers only in steps that do not wait. What was queued to be sent stays queued and leaves with
/// the next call. PINGs are answered while any method waits.
#[derive(Debug)]
pub struct Channel {
    stream: TcpStream,
    connection: Connection,
    name: String,
    /// Events that arrived while something else was waited for, oldest first.
    inbox: VecDeque<Event>,
    /// Bytes of the messages in `inbox`.
    inbox_size: usize,
    buffer: Box<[u8]>,
    /// Bytes that have arrived.
    received: u64,
    /// Bytes that the system has taken.
    sent: u64,
    #[cfg(test)]
    pub(super) steps: usize,
}

impl Channel {
    /// Completes the handshake on a TCP connection.
    pub(super) async fn open(
        stream: TcpStream,
        name: String,
        socket_type: SocketType,
        limits: Limits,
        deadline: Instant,
    ) -> Result<Self, NetError> {
        let mut channel = Self {
            stream,
            connection: Connection::new(socket_type, limits),
            name,
            inbox: VecDeque::new(),
            inbox_size: 0,
            buffer: vec![0; READ].into_boxed_slice(),
            received: 0,
            sent: 0,
            #[cfg(test)]
            steps: 0,
        };
        let mut late = false;
        loop {
            channel.unpack()?;
            if matches!(channel.inbox.front(), Some(Event::Ready(_))) && channel.connection.unsent() == 0 {
                channel.take();
                return Ok(channel);
            }
            if late || !channel.step(true, deadline).await? {
                return Err(NetError::HandshakeTimeout { peer: channel.name });
            }
            late = Instant::now() >= deadline;
        }
    }

    /// Sends a message: returns when the system has taken all of it.
    ///
    /// # Errors
    /// [`NetError::SendTimeout`] if the peer doesn't read. What is left then stays queued, so
    /// that a later message never lands in the middle of this one.
    pub async fn send(&mut self, message: &Message, deadline: Instant) -> Result<(), NetError> {
        let queued = self.connection.send(message);
        self.queued(queued)?;
        self.flush(deadline).await
    }

    /// The next message. Other events are dropped: use [`next_event`](Self::next_event) where they count.
    ///
    /// # Errors
    /// [`NetError::ReplyTimeout`] if no message was complete at the deadline; what has arrived of one is kept.
    pub async fn recv(&mut self, deadline: Instant) -> Result<Message, NetError> {
        loop {
            let event = self
                .next_of(deadline, |event| matches!(event, Event::Message(_)))
                .await?;
            if let Event::Message(message) = event {
                return Ok(message);
            }
        }
    }

    /// The next thing that the peer did: a message, the answer to a PING, a subscription.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn next_event(&mut self, deadline: Instant) -> Result<Event, NetError> {
        self.next_of(deadline, |_| true).await
    }

    /// Queues a message and does not wait: it leaves with the next call that does.
    ///
    /// # Errors
    /// [`NetError::Misuse`], among others if too much [waits to be sent](Self::unsent) already.
    pub fn queue(&mut self, message: &Message) -> Result<(), NetError> {
        let queued = self.connection.send(message);
        self.queued(queued)
    }

    /// Hands out the next event if there is one, or else moves bytes between buffers and socket once.
    ///
    /// It is for callers with many connections and one bound on the memory of all: between two calls they can count what has
    /// [arrived](Self::unheard). With `reading` false nothing is read or handed out, nor is it noticed if the peer closes; what was
    /// queued still leaves.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event), but none at the deadline.
    pub async fn turn(&mut self, reading: bool, deadline: Instant) -> Result<Option<Event>, NetError> {
        if reading {
            let unpacked = self.unpack();
            if let Some(event) = self.take() {
                return Ok(Some(event));
            }
            unpacked?;
        }
        self.step(reading, deadline).await?;
        Ok(None)
    }

    /// The same without a copy of its long frames.
    ///
    /// # Errors
    /// As [`queue`](Self::queue).
    pub fn queue_owned(&mut self, message: Message) -> Result<(), NetError> {
        let queued = self.connection.send_owned(message);
        self.queued(queued)
    }

    /// The same with a message that others send, too.
    ///
    /// # Errors
    /// As [`queue`](Self::queue).
    pub fn queue_shared(&mut self, message: &Arc<Message>) -> Result<(), NetError> {
        let queued = self.connection.send_shared(message);
        self.queued(queued)
    }

    /// Sends a PING and waits for its PONG: the time between the two.
    ///
    /// The context tells this PING's answer from those to others: never use one twice on a connection. Messages that
    /// arrive meanwhile are kept for [`recv`](Self::recv); PONGs for other PINGs are dropped.
    ///
    /// # Errors
    /// [`NetError::ReplyTimeout`] if the PONG doesn't come, [`NetError::Backlog`] if too many messages
    /// that nobody received are in front of it, [`NetError::Misuse`] if the peer knows no PING.
    pub async fn ping(&mut self, context: &[u8], deadline: Instant) -> Result<Duration, NetError> {
        self.check_backlog()?;
        let queued = self.connection.ping(0, context);
        self.queued(queued)?;
        let began = Instant::now();
        let mut late = false;
        loop {
            self.unpack()?;
            let mut answered = false;
            self.inbox.retain(|event| match event {
                Event::Pong { context: of } => {
                    answered = answered || of == context;
                    false
                }
                _ => true,
            });
            if answered {
                return Ok(began.elapsed());
            }
            self.check_backlog()?;
            if late || !self.step(true, deadline).await? {
                return Err(NetError::ReplyTimeout {
                    peer: self.name.clone(),
                });
            }
            late = Instant::now() >= deadline;
        }
    }

    /// Sends a PING and does not wait: its PONG is an event of [`next_event`](Self::next_event).
    ///
    /// # Errors
    /// As [`send`](Self::send); [`NetError::Misuse`] if the peer knows no PING.
    pub async fn send_ping(&mut self, context: &[u8], deadline: Instant) -> Result<(), NetError> {
        let queued = self.connection.ping(0, context);
        self.queued(queued)?;
        self.flush(deadline).await
    }

    /// Subscribes to everything that begins with `prefix` (SUB and XSUB).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn subscribe(&mut self, prefix: &[u8], deadline: Instant) -> Result<(), NetError> {
        let queued = self.connection.subscribe(prefix);
        self.queued(queued)?;
        self.flush(deadline).await
    }

    /// Takes one subscription to `prefix` back (SUB and XSUB).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn cancel(&mut self, prefix: &[u8], deadline: Instant) -> Result<(), NetError> {
        let queued = self.connection.cancel(prefix);
        self.queued(queued)?;
        self.flush(deadline).await
    }

    /// Changes the longest message that is taken, in bytes, from the next frame on.
    pub fn set_message_limit(&mut self, bytes: usize) {
        self.connection.set_message_limit(bytes);
    }

    /// Who is at the other end, by its own account; `None` once it broke the protocol.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        self.connection.peer()
    }

    /// The peer as `host:port`, as it was asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// [`NetError`] if the connection is gone.
    pub fn peer_addr(&self) -> Result<SocketAddr, NetError> {
        self.stream
            .peer_addr()
            .map_err(|error| NetError::transfer(&self.name, error))
    }

    /// Our own address.
    ///
    /// # Errors
    /// [`NetError`] if the connection is gone.
    pub fn local_addr(&self) -> Result<SocketAddr, NetError> {
        self.stream
            .local_addr()
            .map_err(|error| NetError::transfer(&self.name, error))
    }

    /// How many bytes have arrived in all: whether it grows tells a slow peer from a silent one.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that have arrived and were not handed out yet, by the buffers that they take.
    #[must_use]
    pub fn unheard(&self) -> usize {
        self.inbox_size.saturating_add(self.connection.incoming())
    }

    /// Bytes that were queued and the system has not taken yet.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.connection.unsent()
    }

    /// How many bytes the system has taken in all.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether a message has arrived that nobody received. Does not read from the socket.
    pub(super) fn has_message(&self) -> bool {
        self.inbox.iter().any(|event| matches!(event, Event::Message(_)))
    }

    fn queued(&self, queued: Result<(), Misuse>) -> Result<(), NetError> {
        queued.map_err(|misuse| NetError::misuse(&self.name, misuse))
    }

    /// The next event that is wanted; those before it are dropped.
    async fn next_of(&mut self, deadline: Instant, wanted: fn(&Event) -> bool) -> Result<Event, NetError> {
        let mut late = false;
        loop {
            // What came before a violation is handed out first: how much of it is known here is chance.
            let unpacked = self.unpack();
            while let Some(event) = self.take() {
                if wanted(&event) {
                    return Ok(event);
                }
            }
            unpacked?;
            if late || !self.step(true, deadline).await? {
                return Err(NetError::ReplyTimeout {
                    peer: self.name.clone(),
                });
            }
            late = Instant::now() >= deadline;
        }
    }

    fn check_backlog(&self) -> Result<(), NetError> {
        if self.is_full() {
            return Err(NetError::Backlog {
                peer: self.name.clone(),
                waiting: self.inbox.len(),
            });
        }
        Ok(())
    }

    async fn flush(&mut self, deadline: Instant) -> Result<(), NetError> {
        let mut late = false;
        while self.connection.unsent() > 0 {
            if late || !self.step(true, deadline).await? {
                return Err(NetError::SendTimeout {
                    peer: self.name.clone(),
                });
            }
            late = Instant::now() >= deadline;
            self.unpack()?;
        }
        Ok(())
    }

    /// Waits until the socket is ready and moves what can be moved; `false` when the deadline came first.
    ///
    /// The waits come before anything is moved: dropping this future loses nothing.
    async fn step(&mut self, reading: bool, deadline: Instant) -> Result<bool, NetError> {
        #[cfg(test)]
        {
            self.steps += 1;
        }
        // A peer that never stops talking keeps the socket ready, and with it the thread: others go first.
        tokio::task::yield_now().await;
        let reading = reading && !self.is_full();
        let writing = self.connection.unsent() > 0;
        let interest = match (reading, writing) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (false, true) => Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, false) => {
                sleep_until(deadline).await;
                return Ok(false);
            }
        };
        let Ok(ready) = timeout_at(deadline, self.stream.ready(interest)).await else {
            return Ok(false);
        };
        ready.map_err(|error| NetError::transfer(&self.name, error))?;
        // Reading comes first: what a peer said before it went away is worth more than the failure to write to it.
        let read = if reading { self.read() } else { Ok(false) };
        let written = if writing { self.write() } else { Ok(()) };
        match (read, written) {
            (Ok(true), _) | (Ok(false), Ok(())) => Ok(true),
            (Err(error), _) | (Ok(false), Err(error)) => Err(error),
        }
    }

    /// Whether something was read.
    fn read(&mut self) -> Result<bool, NetError> {
        let read = match self.connection.room() {
            Some(mut room) => self.stream.try_read_buf(&mut room),
            None => {
                let read = self.stream.try_read(&mut self.buffer);
                let arrived = read.as_ref().ok().and_then(|count| self.buffer.get(..*count));
                self.connection.receive(arrived.unwrap_or_default());
                read
            }
        };
        match read {
            Ok(0) => Err(NetError::Closed {
                peer: self.name.clone(),
            }),
            Ok(count) => {
                self.received = self
                    .received
                    .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                Ok(true)
            }
            Err(error) if would_wait(&error) => Ok(false),
            Err(error) => Err(NetError::transfer(&self.name, error)),
        }
    }

    fn write(&mut self) -> Result<(), NetError> {
        let outputs = self.connection.outputs().map(IoSlice::new);
        match self.stream.try_write_vectored(&outputs) {
            Ok(count) => {
                self.sent = self.sent.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                self.connection.consume(count);
                Ok(())
            }
            Err(error) if would_wait(&error) => Ok(()),
            Err(error) => Err(NetError::transfer(&self.name, error)),
        }
    }

    /// Moves events from the connection to the inbox.
    fn unpack(&mut self) -> Result<(), NetError> {
        while !self.is_full() {
            match self.connection.next_event() {
                Ok(Some(event)) => {
                    self.inbox_size = self.inbox_size.saturating_add(size(&event));
                    self.inbox.push_back(event);
                }
                Ok(None) => break,
                Err(violation) => {
                    // The last word, if there is one (ERROR); the connection ends whether it arrives or not.
                    let _ = self.write();
                    return Err(NetError::Violation {
                        peer: self.name.clone(),
                        violation,
                    });
                }
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Option<Event> {
        let event = self.inbox.pop_front()?;
        self.inbox_size = self.inbox_size.saturating_sub(size(&event));
        Some(event)
    }

    fn is_full(&self) -> bool {
        self.inbox.len() >= WAITING || self.inbox_size >= self.connection.limits().message
    }
}

fn size(event: &Event) -> usize {
    match event {
        Event::Message(message) => message.size(),
        Event::Subscribe(prefix) | Event::Cancel(prefix) => prefix.len(),
        Event::Pong { .. } | Event::Ready(_) => 0,
    }
}

fn would_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
