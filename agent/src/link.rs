//! A request connection to one master that outlives a worker that does not answer.
//!
//! A master deals requests to its workers without looking whether they are busy, so a request can wait
//! behind a slow one (a pillar that takes seconds) while other workers are idle. What may be asked twice
//! is asked again, over a new connection: the next worker gets it.

use std::net::SocketAddr;
use std::time::Duration;

use proto::net::{Dialled, NetError, Options, Requester};
use proto::zmtp::{Limits, SocketType, Violation};
use tokio::time::{Instant, timeout};

use crate::config::MasterConfig;
use crate::traffic::{Held, NotInTime, Traffic, Turn};

/// Called with true when other processes of this host hold us up, and with false when they no longer do.
pub type HeldUp = Box<dyn Fn(bool) + Send + Sync>;

/// Why a publish has no answer.
#[derive(Debug)]
pub enum Unanswered<E> {
    /// Not a byte of it has left: nothing has happened, and nothing will.
    Unsent(E),
    /// It may have happened, or may happen yet.
    Lost(E),
}

impl<E> Unanswered<E> {
    /// The error, for whom it does not matter.
    pub(crate) fn into_inner(self) -> E {
        match self {
            Self::Unsent(error) | Self::Lost(error) => error,
        }
    }
}

/// Who goes first of those who wait to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Urgency {
    /// Whoever comes at the right moment.
    #[default]
    Usual,
    /// Whoever has said that he goes first.
    First,
}

/// How a request that may be asked twice is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// How long the first try may go unanswered; twice as long each further time.
    pub(crate) patience: Duration,
    /// How long others of this host may publish nothing because of it.
    pub(crate) blocks: Duration,
}

impl Manner {
    /// A small request: none is under way when a publish begins.
    pub(crate) const SMALL: Self = Self {
        patience: Duration::from_secs(1),
        blocks: Duration::MAX,
    };
    /// A runner. On a busy machine it takes seconds. Asked again, it would only be slower: another worker would load
    /// all of Salt's modules, too. Others wait until it has been dealt to a worker, no longer.
    pub(crate) const RUNNER: Self = Self {
        patience: Duration::from_secs(30),
        blocks: Duration::from_millis(250),
    };
}

/// A request connection, made anew where that helps.
pub(crate) struct Link {
    master: MasterConfig,
    requester: Requester,
    peer: SocketAddr,
    traffic: Traffic,
    /// Told when we begin and end to wait for other processes of this host.
    held_up: HeldUp,
    /// Held from a publish until its return is in or is late.
    turn: Option<Turn>,
    /// Held by a link that goes first.
    first: Option<Held>,
    /// Something that came over this connection was verified.
    is_proven: bool,
}

/// Opens a TCP connection to the master's request port. Its name is resolved now.
pub(crate) async fn dial(master: &MasterConfig, deadline: Instant) -> Result<Dialled, NetError> {
    proto::net::dial(
        master.address.as_str(),
        master.master_port,
        &Options::default(),
        deadline,
    )
    .await
}

impl Link {
    /// Shakes hands over a connection that has just been dialled.
    pub(crate) async fn open(
        master: MasterConfig,
        dialled: Dialled,
        urgency: Urgency,
        held_up: HeldUp,
        deadline: Instant,
    ) -> Result<Self, NetError> {
        let channel = dialled
            .handshake(SocketType::Req, Limits::unverified(), deadline)
            .await?;
        let peer = channel.peer_addr()?;
        let requester = Requester::new(channel);
        let traffic = Traffic::to(peer);
        let first = match urgency {
            Urgency::Usual => None,
            Urgency::First => Some(traffic.go_first(deadline).await),
        };
        Ok(Self {
            master,
            requester,
            peer,
            traffic,
            held_up,
            turn: None,
            first,
            is_proven: false,
        })
    }

    /// From here on nobody is told that we wait.
    pub(crate) fn wait_silently(&mut self) {
        self.held_up = Box::new(|_| {});
    }

    /// The peer of this connection has proved who it is: it may send what masters send.
    pub(crate) fn trust(&mut self) {
        if !std::mem::replace(&mut self.is_proven, true) {
            self.requester.set_message_limit(Limits::default().message);
        }
    }

    /// Whether this may be the genuine master over a connection on which it has not proved itself: then its reply may be longer than
    /// a stranger's may be.
    pub(crate) fn is_too_long_for_a_stranger(&self, error: &NetError) -> bool {
        let is_too_long = matches!(
            error,
            NetError::Violation {
                violation: Violation::FrameTooLong { .. } | Violation::MessageTooLong { .. },
                ..
            }
        );
        is_too_long && !self.is_proven
    }

    /// Waits for our turn to publish. It is kept until [`Self::end_turn`], or this link is dropped.
    pub(crate) async fn take_turn(&mut self, deadline: Instant) -> Result<(), NotInTime> {
        // The locks are this process's, not the turn's: an old one must not let go of the new one's.
        self.turn = None;
        self.turn = Some(match &self.first {
            Some(first) => self.traffic.first_turn(first, deadline).await?,
            None => self.traffic.turn(deadline).await?,
        });
        Ok(())
    }

    /// Whether it is our turn to publish.
    pub(crate) fn has_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// Waits until a runner may be called.
    pub(crate) async fn runner_turn(&self, deadline: Instant) -> Result<Held, NotInTime> {
        self.traffic.runner_turn(deadline).await
    }

    /// Waits until we may sign in.
    pub(crate) async fn sign_in_turn(&self, deadline: Instant) -> Held {
        self.traffic.sign_in_turn(deadline).await
    }

    /// Lets others publish.
    pub(crate) fn end_turn(&mut self) {
        self.turn = None;
    }

    /// Sends a publish, once, in our turn.
    pub(crate) async fn publish(
        &mut self,
        request: Vec<u8>,
        deadline: Instant,
    ) -> Result<Vec<u8>, Unanswered<NetError>> {
        if let Some(turn) = &self.turn {
            turn.begin();
        }
        let sent = self.requester.sent();
        let reply = match self.requester.request(request, deadline).await {
            Ok(reply) => Ok(reply),
            Err(error) if self.requester.sent() == sent => Err(Unanswered::Unsent(error)),
            Err(error) => return Err(Unanswered::Lost(error)),
        };
        if let Some(turn) = &self.turn {
            turn.end();
        }
        reply
    }

    /// Sends a request that does no harm when it is asked twice; `request` makes a fresh one for each try.
    pub(crate) async fn ask<A, E: From<NetError>>(
        &mut self,
        mut request: impl FnMut() -> Result<(A, Vec<u8>), E>,
        manner: Manner,
        deadline: Instant,
    ) -> Result<(A, Vec<u8>), E> {
        let mut patience = manner.patience;
        let mut was_cut = false;
        if self.requester.is_abandoned() {
            self.reconnect(deadline).await?;
        }
        loop {
            let pass = match self.turn {
                Some(_) => None,
                None => {
                    (self.held_up)(true);
                    let pass = self.traffic.pass(deadline).await;
                    (self.held_up)(false);
                    Some(pass)
                }
            };
            let (awaited, payload) = request()?;
            let reply = {
                let reply = self.requester.request_patiently(payload, patience, deadline);
                tokio::pin!(reply);
                match timeout(manner.blocks, &mut reply).await {
                    Ok(reply) => reply,
                    Err(_) => {
                        drop(pass);
                        reply.await
                    }
                }
            };
            match reply {
                Ok(reply) => return Ok((awaited, reply)),
                Err(NetError::ReplyTimeout { .. }) if Instant::now() < deadline => {}
                // Once: connections that were idle may have been forgotten by something on the way.
                Err(NetError::Closed { .. } | NetError::Reset { .. }) if !was_cut => was_cut = true,
                Err(error) => return Err(error.into()),
            }
            tracing::debug!(master = %self.master.name, "no answer: asking again over a new connection");
            patience *= 2;
            self.reconnect(deadline).await?;
        }
    }

    async fn reconnect(&mut self, deadline: Instant) -> Result<(), NetError> {
        let channel = dial(&self.master, deadline)
            .await?
            .handshake(SocketType::Req, Limits::unverified(), deadline)
            .await?;
        let peer = channel.peer_addr()?;
        if peer != self.peer {
            // The name has another address now, and the turn was for the old one.
            (self.peer, self.traffic, self.turn) = (peer, Traffic::to(peer), None);
            if self.first.is_some() {
                self.first = Some(self.traffic.go_first(deadline).await);
            }
        }
        self.requester = Requester::new(channel);
        self.is_proven = false;
        Ok(())
    }
}
