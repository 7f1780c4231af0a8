//! One ZMTP connection as a state machine: greeting, handshake, traffic.

use std::sync::Arc;

use bytes::buf::Limit;

use super::command::{self, Command};
use super::frame::{self, Frame, FrameReader, Header};
use super::greeting::{self, GreetingReader};
use super::outbox::Outbox;
use super::violation::printable;
use super::{HANDSHAKE_COMMAND, Limits, Message, Misuse, PING_CONTEXT, SocketType, Version, Violation};

/// Room for input that is kept when all of it was used, in bytes.
const KEPT: usize = 64 * 1024;

/// Who is at the other end, by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its socket type, one that goes with ours.
    pub socket_type: SocketType,
    /// The version it greeted with. What is spoken is this or 3.1, whichever is lower.
    pub version: Version,
}

/// Something that the peer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The handshake has ended; always the first event, and there is one only.
    Ready(Peer),
    /// A complete message.
    Message(Message),
    /// An answer to one of our PINGs.
    Pong {
        /// The context of the PING, if the peer is honest.
        context: Vec<u8>,
    },
    /// The peer wants what begins with this prefix (PUB and XPUB only). Each one counts, also a repeated one.
    Subscribe(Vec<u8>),
    /// The peer takes one subscription back (PUB and XPUB only).
    Cancel(Vec<u8>),
}

/// One end of a ZMTP connection.
///
/// Input is taken apart by [`next_event`](Self::next_event), not on arrival: who does not ask for events
/// holds the bytes that it put in and no more. Read on from the peer when there is no event left.
#[derive(Debug)]
pub struct Connection {
    socket_type: SocketType,
    limits: Limits,
    phase: Phase,
    input: Vec<u8>,
    /// How many bytes of `input` are used.
    used: usize,
    frames: FrameReader,
    /// The frames so far of a message, and their bytes.
    partial: Vec<Vec<u8>>,
    partial_size: usize,
    outbox: Outbox,
}

#[derive(Debug)]
enum Phase {
    AwaitGreeting(GreetingReader),
    AwaitReady { version: Version },
    Traffic(Peer),
    Failed(Violation),
}

impl Connection {
    /// A fresh connection; our greeting waits in the output.
    #[must_use]
    pub fn new(socket_type: SocketType, limits: Limits) -> Self {
        let mut outbox = Outbox::default();
        outbox.append(|bytes| bytes.extend_from_slice(&greeting::ours()));
        Self {
            socket_type,
            limits,
            phase: Phase::AwaitGreeting(GreetingReader::default()),
            input: Vec::new(),
            used: 0,
            frames: FrameReader::default(),
            partial: Vec::new(),
            partial_size: 0,
            outbox,
        }
    }

    /// Takes bytes that arrived, in pieces of any size.
    pub fn receive(&mut self, bytes: &[u8]) {
        if matches!(self.phase, Phase::Failed(_)) {
            return;
        }
        self.input.drain(..self.used.min(self.input.len()));
        self.used = 0;
        self.input.extend_from_slice(bytes);
    }

    /// Where bytes that arrive now may be put instead, in a long frame that is under way: they need not be moved again then. What is
    /// put there has been received.
    pub fn room(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        if self.used < self.input.len() || !matches!(self.phase, Phase::Traffic(_)) {
            return None;
        }
        self.frames.room()
    }

    /// The next thing that the peer did; `None` when more bytes are needed. PINGs are answered on the way.
    ///
    /// # Errors
    /// [`Violation`] if the peer broke the protocol; the same one again at every later call. The output
    /// may hold a last word to the peer (ERROR), which is to be written before the connection is closed.
    pub fn next_event(&mut self) -> Result<Option<Event>, Violation> {
        match self.advance() {
            Err(violation) => {
                self.phase = Phase::Failed(violation.clone());
                self.input = Vec::new();
                self.used = 0;
                self.frames = FrameReader::default();
                self.partial = Vec::new();
                Err(violation)
            }
            event => event,
        }
    }

    /// What is to be written to the peer next; empty if there is nothing.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        let [first, _] = self.outbox.waiting();
        first
    }

    /// The same, and what may be written along with it.
    #[must_use]
    pub fn outputs(&self) -> [&[u8]; 2] {
        self.outbox.waiting()
    }

    /// Bytes that are to be written to the peer.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.outbox.size()
    }

    /// Says that the first `count` bytes of what is to be written were written.
    pub fn consume(&mut self, count: usize) {
        self.outbox.consume(count);
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`Misuse`]: not ready, a SUB (which can't send messages), or too much is waiting already.
    pub fn send(&mut self, message: &Message) -> Result<(), Misuse> {
        if self.socket_type == SocketType::Sub {
            return Err(Misuse::WrongType(self.socket_type));
        }
        self.ready_to_queue()?;
        self.queue_message(message.frames());
        Ok(())
    }

    /// Queues a message without a copy of its long frames.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_owned(&mut self, message: Message) -> Result<(), Misuse> {
        if self.socket_type == SocketType::Sub {
            return Err(Misuse::WrongType(self.socket_type));
        }
        self.ready_to_queue()?;
        let mut frames = message.into_frames().into_iter().peekable();
        while let Some(body) = frames.next() {
            let more = frames.peek().is_some();
            self.outbox
                .append(|bytes| frame::write_message_header(bytes, more, body.len()));
            self.outbox.append_body(body);
        }
        Ok(())
    }

    /// Queues a message that others send, too: its long frames are not copied.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_shared(&mut self, message: &Arc<Message>) -> Result<(), Misuse> {
        if self.socket_type == SocketType::Sub {
            return Err(Misuse::WrongType(self.socket_type));
        }
        self.ready_to_queue()?;
        let last = message.frames().len().saturating_sub(1);
        for (number, body) in message.frames().iter().enumerate() {
            self.outbox
                .append(|bytes| frame::write_message_header(bytes, number < last, body.len()));
            self.outbox.append_shared(message, number);
        }
        Ok(())
    }

    /// Queues a PING; `ttl` in tenths of a second tells the peer to close if it hears nothing for so long, 0 for never.
    ///
    /// # Errors
    /// [`Misuse`]: not ready, a context of more than [`PING_CONTEXT`] bytes, a peer of ZMTP 3.0, or too
    /// much is waiting already.
    pub fn ping(&mut self, ttl: u16, context: &[u8]) -> Result<(), Misuse> {
        if context.len() > PING_CONTEXT {
            return Err(Misuse::ContextTooLong(context.len()));
        }
        if !self.ready_to_queue()?.version.has_traffic_commands() {
            return Err(Misuse::NoPing);
        }
        self.outbox
            .append(|bytes| frame::write_command(bytes, &command::ping(ttl, context)));
        Ok(())
    }

    /// Queues a subscription: everything that begins with `prefix`, empty for everything.
    ///
    /// # Errors
    /// [`Misuse`]: not ready, neither SUB nor XSUB, or too much is waiting already.
    pub fn subscribe(&mut self, prefix: &[u8]) -> Result<(), Misuse> {
        self.change_subscription(&command::subscribe(prefix), 1, prefix)
    }

    /// Queues the end of one subscription to `prefix`.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn cancel(&mut self, prefix: &[u8]) -> Result<(), Misuse> {
        self.change_subscription(&command::cancel(prefix), 0, prefix)
    }

    /// The peer, once the handshake has ended.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        if let Phase::Traffic(peer) = &self.phase {
            Some(*peer)
        } else {
            None
        }
    }

    /// Our own socket type.
    #[must_use]
    pub fn socket_type(&self) -> SocketType {
        self.socket_type
    }

    /// What this connection may cost.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Changes [`Limits::message`], say once the peer is known to be genuine. It holds from the next frame on.
    pub fn set_message_limit(&mut self, bytes: usize) {
        self.limits.message = bytes;
    }

    /// Bytes that have arrived and were not handed out yet: those of a message that is not complete with all room that is kept for it.
    #[must_use]
    pub fn incoming(&self) -> usize {
        let input = self.input.len().saturating_sub(self.used);
        input
            .saturating_add(self.frames.memory())
            .saturating_add(self.partial_size)
    }

    /// Memory that all buffers hold, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let greeting = if let Phase::AwaitGreeting(reader) = &self.phase {
            reader.memory()
        } else {
            0
        };
        let slots = self.partial.capacity().saturating_mul(size_of::<Vec<u8>>());
        let partial = self.partial.iter().map(Vec::capacity);
        [
            self.input.capacity(),
            greeting,
            self.frames.memory(),
            slots,
            self.outbox.memory(),
        ]
        .into_iter()
        .chain(partial)
        .fold(0, usize::saturating_add)
    }

    fn advance(&mut self) -> Result<Option<Event>, Violation> {
        loop {
            match &mut self.phase {
                Phase::Failed(violation) => return Err(violation.clone()),
                Phase::AwaitGreeting(reader) => {
                    let mut rest = self.input.get(self.used..).unwrap_or_default();
                    let version = reader.read(&mut rest)?;
                    self.used = self.input.len().saturating_sub(rest.len());
                    let Some(version) = version else { break };
                    let ready = command::ready(self.socket_type);
                    self.outbox.append(|bytes| frame::write_command(bytes, &ready));
                    self.phase = Phase::AwaitReady { version };
                }
                Phase::AwaitReady { .. } | Phase::Traffic(_) => {
                    let Some(frame) = self.next_frame()? else { break };
                    let event = if frame.command {
                        self.handle_command(&frame.body)?
                    } else {
                        self.handle_message_frame(frame)
                    };
                    if event.is_some() {
                        return Ok(event);
                    }
                }
            }
        }
        self.input.clear();
        self.input.shrink_to(KEPT);
        self.used = 0;
        Ok(None)
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, Violation> {
        let (limits, size, frames) = (self.limits, self.partial_size, self.partial.len());
        let ready = matches!(self.phase, Phase::Traffic(_));
        let mut rest = self.input.get(self.used..).unwrap_or_default();
        let frame = self
            .frames
            .read(&mut rest, |header| admit(header, limits, ready, size, frames))?;
        self.used = self.input.len().saturating_sub(rest.len());
        Ok(frame)
    }

    fn handle_command(&mut self, body: &[u8]) -> Result<Option<Event>, Violation> {
        let command = Command::parse(body)?;
        if let Command::Error { reason } = command {
            return Err(Violation::Refused { reason });
        }
        if let Phase::AwaitReady { version } = self.phase {
            let Command::Ready { socket_type } = command else {
                return Err(Violation::CommandBeforeReady { name: command.name() });
            };
            let peer = Peer {
                socket_type: self.check_type(socket_type)?,
                version,
            };
            self.phase = Phase::Traffic(peer);
            return Ok(Some(Event::Ready(peer)));
        }
        match command {
            Command::Ready { .. } => Err(Violation::SecondReady),
            Command::Ping { context } => {
                self.outbox.answer(&command::pong(context), self.limits.output)?;
                Ok(None)
            }
            Command::Pong { context } => Ok(Some(Event::Pong {
                context: context.to_vec(),
            })),
            Command::Subscribe(prefix) if self.socket_type.publishes() => {
                Ok(Some(Event::Subscribe(prefix.to_vec())))
            }
            Command::Cancel(prefix) if self.socket_type.publishes() => {
                Ok(Some(Event::Cancel(prefix.to_vec())))
            }
            // The RFC says nothing about commands that mean nothing to a peer; libzmq 4.3.5 drops them
            // (`session_base_t::push_msg`), and so leaves room for later versions.
            _ => Ok(None),
        }
    }

    /// libzmq puts a PONG between two frames of a message at times, so `partial` outlives commands.
    fn handle_message_frame(&mut self, frame: Frame) -> Option<Event> {
        self.partial_size = self.partial_size.saturating_add(frame.body.len());
        self.partial.push(frame.body);
        if frame.more {
            return None;
        }
        self.partial_size = 0;
        let frames = std::mem::take(&mut self.partial);
        if self.socket_type.publishes() {
            // Subscriptions of ZMTP 3.0 (RFC 23); libzmq takes them from peers of every version.
            match frames.first().and_then(|frame| frame.split_first()) {
                Some((1, prefix)) => return Some(Event::Subscribe(prefix.to_vec())),
                Some((0, prefix)) => return Some(Event::Cancel(prefix.to_vec())),
                // Only XPUB receives messages (RFC 29/PUBSUB).
                _ if self.socket_type == SocketType::Pub => return None,
                _ => {}
            }
        }
        Message::from_frames(frames).ok().map(Event::Message)
    }

    /// Tells the peer if its type does not go with ours (RFC 37: "SHOULD handle errors by returning an ERROR command").
    fn check_type(&mut self, name: Option<&[u8]>) -> Result<SocketType, Violation> {
        let name = name.ok_or(Violation::NoSocketType)?;
        if let Some(theirs) = SocketType::from_name(name).filter(|theirs| self.socket_type.accepts(*theirs)) {
            return Ok(theirs);
        }
        self.outbox
            .append(|bytes| frame::write_command(bytes, &command::error("Invalid socket type")));
        Err(Violation::Incompatible {
            ours: self.socket_type,
            theirs: printable(name),
        })
    }

    fn ready_to_queue(&self) -> Result<Peer, Misuse> {
        let peer = self.peer().ok_or(Misuse::NotReady)?;
        let waiting = self.outbox.size();
        if waiting > self.limits.message {
            return Err(Misuse::OutputFull {
                waiting,
                limit: self.limits.message,
            });
        }
        Ok(peer)
    }

    fn change_subscription(&mut self, command: &[u8], kind: u8, prefix: &[u8]) -> Result<(), Misuse> {
        if !self.socket_type.subscribes() {
            return Err(Misuse::WrongType(self.socket_type));
        }
        if self.ready_to_queue()?.version.has_traffic_commands() {
            self.outbox.append(|bytes| frame::write_command(bytes, command));
        } else {
            self.queue_message(&[[&[kind], prefix].concat()]);
        }
        Ok(())
    }

    fn queue_message(&mut self, frames: &[Vec<u8>]) {
        if let Some((last, others)) = frames.split_last() {
            self.outbox.append(|bytes| {
                for frame in others {
                    frame::write_message_frame(bytes, true, frame);
                }
                frame::write_message_frame(bytes, false, last);
            });
        }
    }
}

/// Whether a frame with this header may come now: the length of its body, if so.
fn admit(
    header: &Header,
    limits: Limits,
    ready: bool,
    size: usize,
    frames: usize,
) -> Result<usize, Violation> {
    let announced = header.size;
    let within = |limit: usize| usize::try_from(announced).ok().filter(|length| *length <= limit);
    if header.command {
        let limit = if ready {
            limits.command
        } else {
            limits.command.min(HANDSHAKE_COMMAND)
        };
        return within(limit).ok_or(Violation::CommandTooLong { announced, limit });
    }
    if !ready {
        return Err(Violation::MessageBeforeReady);
    }
    if frames >= limits.frames {
        return Err(Violation::TooManyFrames { limit: limits.frames });
    }
    let limit = limits.message;
    let length = within(limit).ok_or(Violation::FrameTooLong { announced, limit })?;
    if size.saturating_add(length) > limit {
        let before = u64::try_from(size).unwrap_or(u64::MAX);
        return Err(Violation::MessageTooLong {
            announced: before.saturating_add(announced),
            limit,
        });
    }
    Ok(length)
}
