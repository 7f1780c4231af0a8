//! How the saltfo processes of one host share a master: small requests together, a publish alone.
//!
//! A salt-master deals requests to its workers in turn, without looking whether a worker is busy. The
//! worker that serves a `minion_pub` calls its own master and waits for *another* worker. If enough other
//! requests come between the two, its own call is dealt to itself: it waits for 15 to 90 s, and with it
//! every request that is dealt to it. As many of these as there are workers, and the whole master stands
//! still. So, over all processes of a host: at most one publish is under way per master, nothing else is
//! asked of that master meanwhile, and the next publish waits until the first one's return is in.
//!
//! Two lock files per master for this, named after its address. A publish takes both for itself. A small request
//! passes through the gate, then shares the road: so a waiting publish stops new requests, and begins when
//! those under way have ended. It is `flock(2)`: a process that dies lets go.
//!
//! Those who wait to publish are many when a crowd begins, and each turn is short: who only wants to look for a return would come too
//! late. So whoever waits with a small request says so by a third file, and publishes let it go first, for a while.
//!
//! A queue of publishes can be long, and a sidecar that moves its minion has to know at once whether it hears. So its round trip goes
//! first: by a lock of its own, which those who want to publish honour for a while.
//!
//! A runner is another matter: it takes a worker for half a second of computing and more, and as many at once as there
//! are workers keep the master from its minions, whose returns get lost then. A fourth lock lets one run at a time.
//!
//! And sign-ins go one after the other, by a fifth: a master makes the session key of an id when it first meets it, and two workers
//! that do so at the same moment hold different keys, for a day (`session_key` of `salt/channel/server.py`).
//!
//! A process may end while its publish is under way, because the other master was faster. So a publish
//! leaves its time in the gate's file until the reply is in; who finds a fresh one waits until the call
//! behind it has been dealt.

mod lock_file;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use self::lock_file::LockFile;
pub(crate) use self::lock_file::{Held, NotInTime, folders};

/// A publish that has no reply for so long is stuck: its call was dealt long ago, so others may go on.
const STUCK: Duration = Duration::from_secs(1);
/// For how long a small request waits for a publish whose process did not stay for the reply: until its call
/// has been dealt, most likely. The next publish waits until it can only be stuck.
const LEFT_BEHIND: Duration = Duration::from_millis(250);
/// For how long a sign-in waits for the one before it. A master that hangs is not to be queued for, and one that has answered has
/// made the key.
const SIGN_IN: Duration = Duration::from_secs(1);
/// For how long a publish lets small requests go first.
const COURTESY: Duration = Duration::from_secs(1);
/// For how long a publish lets a round trip of the sidecar go first.
const AFTER_FIRST: Duration = Duration::from_secs(2);

/// The traffic of this host to one master.
#[derive(Debug, Clone)]
pub(crate) struct Traffic(Option<Arc<Locks>>);

#[derive(Debug)]
struct Locks {
    gate: LockFile,
    road: LockFile,
    /// Shared by the small requests that wait.
    waiting: LockFile,
    runner: LockFile,
    sign_in: LockFile,
    /// Shared by those who go first.
    first: LockFile,
}

/// A publish under way; dropping it lets others go: first the small requests on the road, then who waits at the gate.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    locks: Option<Arc<Locks>>,
    _road: Held,
    _gate: Held,
}

impl Traffic {
    /// Opens the lock files of a master.
    ///
    /// Where none can be had (a read-only container), goes on without and says so in the log: an answer is
    /// worth more than order among processes that cannot be there.
    pub(crate) fn to(master: SocketAddr) -> Self {
        for folder in folders() {
            match Locks::open(&folder, master) {
                Ok(locks) => return Self(Some(Arc::new(locks))),
                Err(error) => tracing::debug!(folder = %folder.display(), %error, "no lock files here"),
            }
        }
        tracing::warn!("no folder for lock files: publishing without a lock");
        Self(None)
    }

    /// For a small request: waits until no publish is under way, or until the one that is can only be stuck.
    pub(crate) async fn pass(&self, deadline: Instant) -> Held {
        let Some(locks) = &self.0 else {
            return Held::default();
        };
        // Somebody looks for a moment whether anybody waits. In vain until the deadline: then nothing comes of the request either.
        let _waiting = locks.waiting.shared(deadline).await;
        let stuck = || locks.publish_age().is_some_and(|age| age > STUCK);
        let Ok(_gate) = locks.gate.shared_unless(deadline, stuck).await else {
            return Held::default();
        };
        locks.wait_for_left_behind(LEFT_BEHIND, deadline).await;
        locks.road.shared(deadline).await.unwrap_or_default()
    }

    /// Waits until no other process of this host has a runner under way.
    pub(crate) async fn runner_turn(&self, deadline: Instant) -> Result<Held, NotInTime> {
        match &self.0 {
            Some(locks) => locks.runner.alone(deadline).await,
            None => Ok(Held::default()),
        }
    }

    /// Waits until no other process of this host signs in, or until the one that does can only be at a master that hangs.
    pub(crate) async fn sign_in_turn(&self, deadline: Instant) -> Held {
        let Some(locks) = &self.0 else {
            return Held::default();
        };
        let deadline = deadline.min(Instant::now() + SIGN_IN);
        locks.sign_in.alone(deadline).await.unwrap_or_default()
    }

    /// From here on those who want to publish let us go first, until what is returned is dropped.
    pub(crate) async fn go_first(&self, deadline: Instant) -> Held {
        let Some(locks) = &self.0 else {
            return Held::default();
        };
        // Those who want to publish have it for a moment, to see whether anybody goes first.
        locks.first.shared(deadline).await.unwrap_or_default()
    }

    /// Waits for our turn to publish.
    pub(crate) async fn turn(&self, deadline: Instant) -> Result<Turn, NotInTime> {
        let Some(locks) = &self.0 else {
            return Ok(Turn::default());
        };
        let gate = locks.gate_courteously(deadline).await?;
        Turn::behind(gate, locks, deadline).await
    }

    /// The same for who goes first, by [`Self::go_first`].
    pub(crate) async fn first_turn(&self, _first: &Held, deadline: Instant) -> Result<Turn, NotInTime> {
        let Some(locks) = &self.0 else {
            return Ok(Turn::default());
        };
        let gate = locks.gate.alone(deadline).await?;
        Turn::behind(gate, locks, deadline).await
    }
}

impl Turn {
    /// With the gate in hand: waits until the road is free.
    async fn behind(gate: Held, locks: &Arc<Locks>, deadline: Instant) -> Result<Self, NotInTime> {
        let road = locks.road.alone(deadline).await?;
        locks.wait_for_left_behind(STUCK, deadline).await;
        Ok(Self {
            locks: Some(Arc::clone(locks)),
            _road: road,
            _gate: gate,
        })
    }

    /// The publish goes out now.
    pub(crate) fn begin(&self) {
        if let Some(locks) = &self.locks
            && let Err(error) = locks.gate.file().write_all_at(&now().to_be_bytes(), 0)
        {
            tracing::debug!(%error, "cannot leave a mark in the lock file of another user");
        }
    }

    /// The reply is in.
    pub(crate) fn end(&self) {
        if let Some(locks) = &self.locks
            && let Err(error) = locks.gate.file().set_len(0)
        {
            tracing::debug!(%error, "cannot take back the mark in the lock file of another user");
        }
    }
}

impl Locks {
    fn open(folder: &Path, master: SocketAddr) -> io::Result<Self> {
        let open = |what| {
            let name = format!("saltfo-{what}-{}-{}.lock", master.ip(), master.port());
            LockFile::open(folder, &name)
        };
        Ok(Self {
            gate: open("gate")?,
            road: open("road")?,
            waiting: open("waiting")?,
            runner: open("runner")?,
            sign_in: open("sign-in")?,
            first: open("first")?,
        })
    }

    /// Takes the gate, but lets those go first who say that they do, and those who say that they wait.
    async fn gate_courteously(&self, deadline: Instant) -> Result<Held, NotInTime> {
        let (mut first_until, mut waiting_until) = (None, None);
        let others_go = || {
            let now = Instant::now();
            if !self.first.is_held() {
                first_until = None;
            } else if now < *first_until.get_or_insert(now + AFTER_FIRST) {
                return true;
            }
            now < *waiting_until.get_or_insert(now + COURTESY) && self.waiting.is_held()
        };
        self.gate.alone_if(deadline, others_go).await
    }

    /// How long ago a publish began that has no reply.
    fn publish_age(&self) -> Option<Duration> {
        let mut mark = [0; 8];
        self.gate.file().read_exact_at(&mut mark, 0).ok()?;
        // A mark from the future says nothing: the clock has been set.
        now()
            .checked_sub(u64::from_be_bytes(mark))
            .map(Duration::from_millis)
    }

    /// With the gate in hand: whoever began a publish is gone, and its call may not have been dealt yet.
    async fn wait_for_left_behind(&self, longest: Duration, deadline: Instant) {
        if let Some(left) = self.publish_age().and_then(|age| longest.checked_sub(age)) {
            tokio::time::sleep_until(deadline.min(Instant::now() + left)).await;
        }
    }
}

/// Milliseconds since 1970, for marks of a second.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
