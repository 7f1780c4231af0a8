//! Connections to the masters' request ports: one for each request under way, and idle ones for the next.
//!
//! A request has a connection of its own because a master of release 3008 gives no reply to one that came through a proxy for several
//! clients, with one more identity in its envelope.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::net::{Channel, NetError, Options, Resolved};
use proto::zmtp::{Event, Limits, Message, SocketType};
use tokio::sync::{Notify, Semaphore, futures::Notified, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Way;
use super::budget::Share;
use super::route::{Routing, until};
use crate::sidecar::facts::MasterIndex;

/// Idle connections to one master.
const IDLE: usize = 8;
/// How long a connection may be idle before it is closed, but for the last one to a master that is kept warm.
const IDLE_FOR: Duration = Duration::from_secs(60);
/// Between two looks after idle connections.
const LOOK: Duration = Duration::from_secs(1);
/// How long one try to connect may take. As long as the watch gives it.
const TRY: Duration = Duration::from_secs(3);
/// Tries to connect to one master that are under way at once.
const TRIES_AT_ONCE: usize = 16;
/// Longer than any request lives.
const FAR: Duration = Duration::from_secs(3600);
/// The longest reply.
const LONGEST: usize = 64 << 20;

/// The masters as those who take requests.
#[derive(Debug)]
pub(super) struct Upstream {
    masters: Vec<Master>,
}

#[derive(Debug)]
struct Master {
    way: Mutex<Arc<Way>>,
    /// The one that was used last is at the back, and used next.
    idle: Mutex<VecDeque<Line>>,
    tries: Semaphore,
    /// A connection was made.
    reached: Notify,
}

/// A request is, or was, under way at a master: until the route leaves it for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) master: MasterIndex,
    /// [`Routing::stint`].
    pub(super) stint: u64,
}

/// A connection to a master.
#[derive(Debug)]
pub(super) struct Line {
    channel: Channel,
    address: SocketAddr,
    stint: u64,
    idle_since: Instant,
    /// It has carried a request, or waited for one, before.
    used: bool,
}

impl Upstream {
    pub(super) fn new(ways: Vec<Way>) -> Self {
        let masters = ways.into_iter().map(|way| Master {
            way: Mutex::new(Arc::new(way)),
            idle: Mutex::default(),
            tries: Semaphore::new(TRIES_AT_ONCE),
            reached: Notify::new(),
        });
        Self {
            masters: masters.collect(),
        }
    }

    /// From now on another master is there. The connections to the one before are those of an earlier [stint](Routing::stint).
    pub(super) fn replace(&self, place: MasterIndex, way: Way) {
        if let Some(master) = self.masters.get(place.0) {
            *master.way.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(way);
        }
    }

    /// For logs.
    pub(super) fn name(&self, master: MasterIndex) -> String {
        self.masters
            .get(master.0)
            .map_or_else(String::new, |master| master.way().name.clone())
    }

    /// An idle connection, or a new one. Waits until it is known where the genuine master is.
    pub(super) async fn line(&self, stop: Stop) -> Result<Line, NetError> {
        let Some(master) = self.masters.get(stop.master.0) else {
            return std::future::pending().await;
        };
        // Not in the condition of a loop: its lock would be held for as long as the body.
        loop {
            let idle = master.idle().pop_back();
            let Some(mut line) = idle else { break };
            if line.fits(stop.stint, &master.way()) && line.is_quiet().await {
                return Ok(line);
            }
        }
        master.connect(stop.stint).await
    }

    /// Keeps a connection, whose request was answered, for the next one.
    pub(super) fn keep_line(&self, master: MasterIndex, mut line: Line) {
        let Some(master) = self.masters.get(master.0) else {
            return;
        };
        line.idle_since = Instant::now();
        line.used = true;
        let mut idle = master.idle();
        idle.push_back(line);
        if idle.len() > IDLE {
            idle.pop_front();
        }
    }

    /// Closes idle connections to masters that have been abandoned.
    pub(super) fn close_abandoned(&self, routing: &Routing) {
        for (index, master) in self.masters.iter().enumerate() {
            let stint = routing.stint(MasterIndex(index));
            master.idle().retain(|line| line.stint == stint);
        }
    }

    /// Will wake when a connection to the master was made after this call, by whomever.
    pub(super) fn reached(&self, master: MasterIndex) -> Option<Notified<'_>> {
        self.masters.get(master.0).map(|master| master.reached.notified())
    }

    /// Looks after the idle connections of one master for ever: closes old and broken ones, and sees to it that there is one as long as
    /// the master is to be kept warm.
    pub(super) async fn look_after(
        &self,
        index: MasterIndex,
        mut routes: watch::Receiver<Routing>,
        mut warm: watch::Receiver<Vec<MasterIndex>>,
    ) -> Infallible {
        let Some(master) = self.masters.get(index.0) else {
            return std::future::pending().await;
        };
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                Ok(()) = routes.changed() => {}
                Ok(()) = warm.changed() => {}
            }
            let stint = routes.borrow().stint(index);
            let is_warm = warm.borrow().contains(&index);
            master.discard(stint, is_warm).await;
            let lacks_one = is_warm && master.idle().is_empty();
            // Where the master is not known nobody waits here: others may be told of next.
            if lacks_one && master.way().genuine_at.borrow().is_some() {
                // Another master may come to this place meanwhile.
                let mut others = routes.clone();
                tokio::select! {
                    connected = master.connect(stint) => match connected {
                        Ok(line) => self.keep_line(index, line),
                        Err(error) => tracing::debug!(master = %master.way().name, %error, "cannot keep it warm"),
                    },
                    () = until(&mut others, |routing| routing.stint(index) != stint) => {}
                }
            }
        }
    }

    /// Idle connections to a master.
    #[cfg(test)]
    pub(super) fn idle_at(&self, master: MasterIndex) -> usize {
        self.masters[master.0].idle().len()
    }
}

impl Master {
    fn idle(&self) -> MutexGuard<'_, VecDeque<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn way(&self) -> Arc<Way> {
        Arc::clone(&self.way.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new connection to where the master is genuine, also if that changes meanwhile.
    async fn connect(&self, stint: u64) -> Result<Line, NetError> {
        let mut genuine_at = self.way().genuine_at.clone();
        loop {
            let known = genuine_at.wait_for(Option::is_some).await.map(|at| *at);
            let Ok(Some(address)) = known else {
                // Nobody will tell any more.
                return std::future::pending().await;
            };
            tokio::select! {
                connected = self.dial(address, stint) => {
                    if connected.is_ok() {
                        self.reached.notify_waiters();
                    }
                    return connected;
                }
                Ok(_) = genuine_at.wait_for(|at| *at != Some(address)) => {}
            }
        }
    }

    async fn dial(&self, address: SocketAddr, stint: u64) -> Result<Line, NetError> {
        let _one_of_few = self.tries.acquire().await;
        let deadline = Instant::now() + TRY;
        let mut channel = Resolved::from(address)
            .dial(&Options::default(), deadline)
            .await?
            .handshake(SocketType::Req, Limits::unverified(), deadline)
            .await?;
        // Replies are encrypted to the minion. What else somebody sends there is bounded by the budget of all replies.
        channel.set_message_limit(LONGEST);
        Ok(Line {
            channel,
            address,
            stint,
            idle_since: Instant::now(),
            used: false,
        })
    }

    /// Closes idle connections that are broken, too old, or to where the master no longer is.
    async fn discard(&self, stint: u64, is_warm: bool) {
        // Each one in turn, from the oldest to the latest, which keep their order; requests may take them meanwhile.
        let count = self.idle().len();
        for _ in 0..count {
            let oldest = self.idle().pop_front();
            let Some(mut line) = oldest else { break };
            let is_last = self.idle().is_empty();
            let is_young = line.idle_since.elapsed() < IDLE_FOR || (is_warm && is_last);
            if is_young && line.fits(stint, &self.way()) && line.is_quiet().await {
                self.idle().push_back(line);
            }
        }
    }
}

impl Line {
    /// Sends a request and waits for the payload of its reply, whose bytes `share` accounts for.
    pub(super) async fn exchange(
        &mut self,
        request: &Message,
        share: &mut Share,
    ) -> Result<Vec<u8>, NetError> {
        self.channel.queue(request)?;
        loop {
            share.covered().await;
            let is_sent = self.channel.unsent() == 0;
            match self.channel.turn(true, Instant::now() + FAR).await? {
                // What came before the request was sent can't be its reply.
                Some(Event::Message(message)) if is_sent => {
                    return message.into_payload().map_err(|_| self.not_a_reply());
                }
                Some(Event::Message(_)) => return Err(self.not_a_reply()),
                Some(_) => {}
                None => share.want(twice(self.channel.unheard())),
            }
        }
    }

    /// Bytes that have arrived in all.
    pub(super) fn received(&self) -> u64 {
        self.channel.received()
    }

    /// Whether it is older than the request that it is about to carry. It may have broken without our notice, then.
    pub(super) fn is_used(&self) -> bool {
        self.used
    }

    fn fits(&self, stint: u64, way: &Way) -> bool {
        self.stint == stint && *way.genuine_at.borrow() == Some(self.address)
    }

    /// Whether it stands, as far as the system knows, and nothing came that nobody asked for.
    async fn is_quiet(&mut self) -> bool {
        loop {
            match self.channel.next_event(Instant::now()).await {
                Err(NetError::ReplyTimeout { .. }) => return self.channel.unheard() == 0,
                Ok(Event::Message(_)) | Err(_) => return false,
                Ok(_) => {}
            }
        }
    }

    fn not_a_reply(&self) -> NetError {
        NetError::NotAReply {
            peer: self.channel.name().to_owned(),
        }
    }
}

/// What a message costs in memory: the buffer in which it arrives may have twice its size, and a request is there once more later, in the
/// buffer from which it leaves.
pub(super) fn twice(bytes: usize) -> usize {
    bytes.saturating_mul(2)
}
