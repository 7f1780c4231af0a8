//! The I/O towards one master: its two connections, their heartbeats, and verification over a kept session.
//!
//! Two tasks, one for each connection, that know nothing of other masters: a slow or dead one delays nobody. What
//! they learn goes out as facts; they decide nothing but when to connect and when to ask.
//!
//! - Their heartbeats (`heart`, `pulse`): each is pinged in each interval.
//! - The request line (`request_line`, `verifier`) is one connection to port 4506, made anew after a fault. PINGs
//!   pass requests, so that its heart beats on while a worker takes its time.
//! - The publish line (`publish_line`, `judge`) is a subscription to port 4505, at the address at which the request line has
//!   verified the master. What arrives is judged with the keys of the sign-in.
//!
//! The keys of a sign-in are trusted over the connection over which they were had: after a new connection there is a new sign-in,
//! as there is when a master no longer knows them, and when a publication does not open.

mod backoff;
mod bucket;
mod copies;
mod dial;
mod heart;
mod judge;
mod publish_line;
mod pulse;
mod request_line;
mod schedule;
mod teller;
mod verifier;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use proto::session::Session;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use self::publish_line::PublishLine;
use self::request_line::RequestLine;
use self::teller::Teller;
use self::verifier::Verifier;
use super::facts::{Errand, Fact, MasterIndex};
pub use super::policy::Pace;
use super::settings::Settings;
use crate::config::{Config, MasterConfig};

/// How often a master is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// Between two PINGs on a connection.
    pub heartbeat: Duration,
    /// Intervals in a row without an answer that end a connection.
    pub heartbeat_misses: u32,
    /// Between two verifications, jittered by a tenth.
    pub verify: Duration,
    /// How long one request may go unanswered.
    pub verify_timeout: Duration,
}

/// A publication that has been verified: signature, HMAC, serial.
#[derive(Debug, Clone)]
pub struct Genuine {
    /// As it came.
    pub frames: Arc<Vec<Vec<u8>>>,
    /// What it is for.
    pub errand: Errand,
}

/// Where what a watch learns goes to.
#[derive(Debug)]
pub struct Outlets {
    /// Facts that the channel has no room for are dropped, as they come again: it should have room for some dozens. A heartbeat
    /// waits for nobody.
    pub facts: mpsc::Sender<Fact>,
    /// The request port at which the master has proved to be genuine, last.
    pub genuine_at: watch::Sender<Option<SocketAddr>>,
    /// For who hands publications out.
    pub publications: Option<HandOut>,
}

/// Where publications go to.
#[derive(Debug)]
pub struct HandOut {
    /// One that the channel has no room for is lost.
    pub to: mpsc::Sender<Genuine>,
    /// What is to be subscribed to beside our own topics.
    pub topics: watch::Receiver<BTreeSet<Vec<u8>>>,
}

/// The tasks of one master. They end when this is dropped.
#[derive(Debug)]
pub struct Handle {
    tasks: JoinSet<()>,
}

impl From<&Settings> for Intervals {
    fn from(settings: &Settings) -> Self {
        Self {
            heartbeat: settings.heartbeat,
            heartbeat_misses: settings.heartbeat_misses,
            verify: settings.verify,
            verify_timeout: settings.verify_timeout,
        }
    }
}

/// Starts to watch one master. Must be called on a tokio runtime; a master that the configuration does not have is
/// not watched.
#[must_use]
pub fn start(
    config: &Arc<Config>,
    intervals: Intervals,
    index: MasterIndex,
    outlets: Outlets,
    pace: watch::Receiver<Pace>,
) -> Handle {
    let Outlets {
        facts,
        genuine_at,
        publications,
    } = outlets;
    let shared = Arc::new(Shared {
        config: Arc::clone(config),
        intervals,
        index,
        session: watch::Sender::new(None),
        genuine_at,
        sign_in: Notify::new(),
    });
    let (orders, taken) = mpsc::channel(1);
    let connected = watch::Sender::new(Connected::default());
    let teller = || Teller::new(facts.clone(), index);
    let verifier = Verifier::new(Arc::clone(&shared), teller(), orders, connected.subscribe(), pace);
    let requests = RequestLine::new(Arc::clone(&shared), teller(), taken, connected);
    let publish_line = PublishLine::new(shared, teller(), publications);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        tokio::join!(requests.run(), verifier.run());
    });
    tasks.spawn(publish_line.run());
    Handle { tasks }
}

impl Handle {
    /// Whether a task of it has ended, which only a fault of ours could bring about: start it anew. Wakes when one does.
    pub fn poll_failed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.tasks.poll_join_next(context) {
                Poll::Ready(Some(Err(error))) => {
                    tracing::error!(%error, "a task that watches a master has failed");
                    return Poll::Ready(());
                }
                // A master that is not there is not watched.
                Poll::Ready(Some(Ok(()))) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// What the tasks of one master share.
struct Shared {
    config: Arc<Config>,
    intervals: Intervals,
    index: MasterIndex,
    /// The keys of the last sign-in.
    session: watch::Sender<Option<Arc<Session>>>,
    /// Where the master has proved to be genuine, last.
    genuine_at: watch::Sender<Option<SocketAddr>>,
    /// The publish line asks for new keys.
    sign_in: Notify,
}

impl Shared {
    fn master(&self) -> Option<&MasterConfig> {
        self.config.masters.get(self.index.0)
    }
}

/// The connection of the request line, for those who ask over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Connected {
    /// Counts connections.
    generation: u64,
    /// The peer; none while there is no connection.
    peer: Option<SocketAddr>,
}
