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

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngExt as _;
use tokio::time::Instant;

/// Between two tries to get a lock.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// It grows up to this. A publish takes some tens of milliseconds.
const LONGEST_PAUSE: Duration = Duration::from_millis(16);
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

/// Who goes first of those who wait to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Urgency {
    /// Whoever comes at the right moment.
    #[default]
    Usual,
    /// Whoever has said that he goes first.
    First,
}

/// The traffic of this host to one master.
#[derive(Debug, Clone)]
pub(crate) struct Traffic(Option<Arc<Locks>>);

#[derive(Debug)]
struct Locks {
    gate: File,
    road: File,
    /// Shared by the small requests that wait.
    waiting: File,
    runner: File,
    sign_in: File,
    first: File,
}

/// A small request under way; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Pass(Option<Arc<Locks>>);

/// A publish under way; dropping it lets others go.
#[derive(Debug)]
pub(crate) struct Turn(Option<Arc<Locks>>);

/// A runner under way; dropping it lets the next one run.
#[derive(Debug)]
pub(crate) struct RunnerTurn(Option<Arc<Locks>>);

/// A sign-in under way; dropping it lets the next one go.
#[derive(Debug)]
pub(crate) struct SignInTurn(Option<Arc<Locks>>);

/// Others let us go first; dropping it ends that.
#[derive(Debug)]
pub(crate) struct GoingFirst(Option<Arc<Locks>>);

/// The turn did not come before the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotInTime;

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

    /// Waits until no publish is under way, or until the one that is can only be stuck.
    pub(crate) async fn pass(&self, deadline: Instant) -> Pass {
        let Some(locks) = &self.0 else { return Pass(None) };
        let _waiting = Waiting::begin(locks, deadline).await;
        let stuck = || locks.publish_age().is_some_and(|age| age > STUCK);
        if lock(deadline, stuck, || locks.gate.try_lock_shared())
            .await
            .is_err()
        {
            return Pass(None);
        }
        locks.wait_for_left_behind(LEFT_BEHIND, deadline).await;
        let passed = lock(deadline, || false, || locks.road.try_lock_shared()).await;
        release(&locks.gate);
        Pass(passed.is_ok().then(|| Arc::clone(locks)))
    }

    /// Waits until no other process of this host has a runner under way.
    pub(crate) async fn runner_turn(&self, deadline: Instant) -> Result<RunnerTurn, NotInTime> {
        let Some(locks) = &self.0 else {
            return Ok(RunnerTurn(None));
        };
        lock(deadline, || false, || locks.runner.try_lock()).await?;
        Ok(RunnerTurn(Some(Arc::clone(locks))))
    }

    /// Waits until no other process of this host signs in, or until the one that does can only be at a master that hangs.
    pub(crate) async fn sign_in_turn(&self, deadline: Instant) -> SignInTurn {
        let Some(locks) = &self.0 else {
            return SignInTurn(None);
        };
        let deadline = deadline.min(Instant::now() + SIGN_IN);
        let taken = lock(deadline, || false, || locks.sign_in.try_lock()).await;
        SignInTurn(taken.is_ok().then(|| Arc::clone(locks)))
    }

    /// From here on those who want to publish let us go first. Where somebody goes first already, we do not.
    pub(crate) fn go_first(&self) -> GoingFirst {
        let locks = self.0.as_ref().filter(|locks| locks.first.try_lock().is_ok());
        GoingFirst(locks.map(Arc::clone))
    }

    /// Waits for our turn to publish.
    pub(crate) async fn turn(&self, urgency: Urgency, deadline: Instant) -> Result<Turn, NotInTime> {
        let Some(locks) = &self.0 else {
            return Ok(Turn(None));
        };
        match urgency {
            Urgency::Usual => locks.take_gate_courteously(deadline).await?,
            Urgency::First => lock(deadline, || false, || locks.gate.try_lock()).await?,
        }
        // From here on the drop of the turn opens the gate.
        let turn = Turn(Some(Arc::clone(locks)));
        lock(deadline, || false, || locks.road.try_lock()).await?;
        locks.wait_for_left_behind(STUCK, deadline).await;
        Ok(turn)
    }
}

impl Turn {
    /// The publish goes out now.
    pub(crate) fn begin(&self) {
        if let Some(locks) = &self.0 {
            let mark = |locks: &Locks| locks.gate.write_all_at(&now().to_be_bytes(), 0);
            if let Err(error) = mark(locks) {
                tracing::debug!(%error, "cannot leave a mark in the lock file of another user");
            }
        }
    }

    /// The reply is in.
    pub(crate) fn end(&self) {
        if let Some(locks) = &self.0
            && let Err(error) = locks.gate.set_len(0)
        {
            tracing::debug!(%error, "cannot take back the mark in the lock file of another user");
        }
    }
}

/// A small request that waits; dropping it ends the wait.
struct Waiting<'a>(&'a Locks);

impl<'a> Waiting<'a> {
    async fn begin(locks: &'a Locks, deadline: Instant) -> Self {
        // Somebody looks for a moment whether anybody waits. In vain until the deadline: then nothing comes of the request either.
        let _ = lock(deadline, || false, || locks.waiting.try_lock_shared()).await;
        Self(locks)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        release(&self.0.waiting);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(locks) = &self.0 {
            release(&locks.road);
        }
    }
}

impl Drop for RunnerTurn {
    fn drop(&mut self) {
        if let Some(locks) = &self.0 {
            release(&locks.runner);
        }
    }
}

impl Drop for GoingFirst {
    fn drop(&mut self) {
        if let Some(locks) = &self.0 {
            release(&locks.first);
        }
    }
}

impl Drop for SignInTurn {
    fn drop(&mut self) {
        if let Some(locks) = &self.0 {
            release(&locks.sign_in);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(locks) = &self.0 {
            release(&locks.road);
            release(&locks.gate);
        }
    }
}

/// Where the saltfo processes of a host, whoever runs them, find each other's files: `/run/lock` is world-writable and cleared at boot on
/// Debian and most others; else the folder for temporary files.
pub(crate) fn folders() -> [PathBuf; 2] {
    ["/run/lock".into(), std::env::temp_dir()]
}

/// Tries until it works or is given up; the waiting of `flock` itself could not be ended.
async fn lock(
    deadline: Instant,
    give_up: impl Fn() -> bool,
    mut attempt: impl FnMut() -> Result<(), TryLockError>,
) -> Result<(), NotInTime> {
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, "cannot lock: going on without");
                return Ok(());
            }
        }
        if Instant::now() >= deadline || give_up() {
            return Err(NotInTime);
        }
        // Jittered, so that those who wait do not all come back at once.
        let jitter = rand::rng().random_range(0.5..1.5);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn release(file: &File) {
    if let Err(error) = file.unlock() {
        tracing::debug!(%error, "cannot unlock");
    }
}

impl Locks {
    fn open(folder: &Path, master: SocketAddr) -> io::Result<Self> {
        let open = |what| {
            open_in(
                folder,
                &format!("saltfo-{what}-{}-{}.lock", master.ip(), master.port()),
            )
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

    /// Takes the gate, but lets those go first who say that they wait.
    async fn take_gate_courteously(&self, deadline: Instant) -> Result<(), NotInTime> {
        let (mut courteous_until, mut first_until) = (None, None);
        let attempt = || {
            match self.first.try_lock_shared() {
                Err(TryLockError::WouldBlock) => {
                    let until = *first_until.get_or_insert_with(|| Instant::now() + AFTER_FIRST);
                    if Instant::now() < until {
                        return Err(TryLockError::WouldBlock);
                    }
                }
                Err(_) => {}
                Ok(()) => {
                    first_until = None;
                    release(&self.first);
                }
            }
            self.gate.try_lock()?;
            let until = *courteous_until.get_or_insert_with(|| Instant::now() + COURTESY);
            match self.waiting.try_lock() {
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    release(&self.gate);
                    Err(TryLockError::WouldBlock)
                }
                Ok(()) => {
                    release(&self.waiting);
                    Ok(())
                }
                Err(_) => Ok(()),
            }
        };
        lock(deadline, || false, attempt).await
    }

    /// How long ago a publish began that has no reply.
    fn publish_age(&self) -> Option<Duration> {
        let mut mark = [0; 8];
        self.gate.read_exact_at(&mut mark, 0).ok()?;
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

/// Opens the file, or makes it for everybody. One that may only be read will do: `flock` asks for no more.
///
/// The folder is everybody's: links are not followed, a pipe does not hold us up, and what is no plain
/// file is refused.
fn open_in(folder: &Path, name: &str) -> io::Result<File> {
    let path = folder.join(name);
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let open = || {
        let writable = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(&path);
        match writable {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                OpenOptions::new().read(true).custom_flags(flags).open(&path)
            }
            opened => opened,
        }
    };
    let make = || -> io::Result<File> {
        let mut options = OpenOptions::new();
        let made = options
            .read(true)
            .write(true)
            .create_new(true)
            .custom_flags(flags)
            .open(&path)?;
        // Whatever the umask says: pipelines run as different users.
        made.set_permissions(std::fs::Permissions::from_mode(0o666))?;
        Ok(made)
    };
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match make() {
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open()?,
            made => made?,
        },
        opened => opened?,
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::from(io::ErrorKind::InvalidInput))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(folder: &Path, port: u16) -> Traffic {
        let master = SocketAddr::from(([127, 0, 0, 1], port));
        Traffic(Some(Arc::new(Locks::open(folder, master).unwrap())))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[tokio::test(start_paused = true)]
    async fn one_publish_at_a_time_per_master() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
        let held = one.turn(Urgency::Usual, soon()).await.unwrap();
        assert_eq!(two.turn(Urgency::Usual, soon()).await.unwrap_err(), NotInTime);
        assert!(
            traffic(folder.path(), 2)
                .turn(Urgency::Usual, soon())
                .await
                .is_ok()
        );
        drop(held);
        assert!(two.turn(Urgency::Usual, soon()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_runner_at_a_time_beside_small_requests() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
        let held = one.runner_turn(soon()).await.unwrap();
        assert_eq!(two.runner_turn(soon()).await.unwrap_err(), NotInTime);
        assert!(two.pass(soon()).await.0.is_some());
        drop(held);
        assert!(two.runner_turn(soon()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn sign_ins_go_one_after_the_other_but_do_not_queue_for_one_that_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
        let later = Instant::now() + Duration::from_secs(60);
        let held = one.sign_in_turn(later).await;
        assert!(held.0.is_some());
        let start = Instant::now();
        assert!(two.sign_in_turn(later).await.0.is_none());
        assert!((SIGN_IN..SIGN_IN * 2).contains(&start.elapsed()));
        assert!(two.sign_in_turn(soon()).await.0.is_none());
        assert!(start.elapsed() < SIGN_IN * 2);
        assert!(two.pass(soon()).await.0.is_some());
        drop(held);
        assert!(two.sign_in_turn(later).await.0.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn small_requests_share_the_road_and_a_publish_waits_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two, three) = (
            traffic(folder.path(), 1),
            traffic(folder.path(), 1),
            traffic(folder.path(), 1),
        );
        let (pass, other) = (one.pass(soon()).await, two.pass(soon()).await);
        assert!(pass.0.is_some() && other.0.is_some());
        assert_eq!(three.turn(Urgency::Usual, soon()).await.unwrap_err(), NotInTime);
        drop((pass, other));
        assert!(three.turn(Urgency::Usual, soon()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_publish_lets_no_new_request_pass_it() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two, three) = (
            traffic(folder.path(), 1),
            traffic(folder.path(), 1),
            traffic(folder.path(), 1),
        );
        let pass = one.pass(soon()).await;
        let later = Instant::now() + Duration::from_secs(60);
        let waiting = tokio::spawn(async move { two.turn(Urgency::Usual, later).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        let stopped = tokio::time::timeout(Duration::from_millis(500), three.pass(later)).await;
        assert!(stopped.is_err());
        drop(pass);
        assert!(waiting.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_request_that_waits_comes_before_all_publishes_that_wait() {
        let folder = tempfile::tempdir().unwrap();
        let later = Instant::now() + Duration::from_secs(60);
        let held = traffic(folder.path(), 1)
            .turn(Urgency::Usual, later)
            .await
            .unwrap();
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..5 {
            let (traffic, told) = (traffic(folder.path(), 1), told.clone());
            tokio::spawn(async move {
                let _turn = traffic.turn(Urgency::Usual, later).await.unwrap();
                told.send("publish").unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let small = traffic(folder.path(), 1);
        tokio::spawn(async move {
            let _pass = small.pass(later).await;
            told.send("small").unwrap();
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(held);
        let mut seen = Vec::new();
        while let Some(who) = order.recv().await {
            seen.push(who);
        }
        assert_eq!(seen.first(), Some(&"small"), "{seen:?}");
        assert_eq!(seen.len(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_first_comes_before_all_publishes_that_wait() {
        let folder = tempfile::tempdir().unwrap();
        let later = Instant::now() + Duration::from_secs(60);
        let held = traffic(folder.path(), 1)
            .turn(Urgency::Usual, later)
            .await
            .unwrap();
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        for urgency in [Urgency::Usual, Urgency::Usual, Urgency::First, Urgency::Usual] {
            let (traffic, told) = (traffic(folder.path(), 1), told.clone());
            tokio::spawn(async move {
                let _first = (urgency == Urgency::First).then(|| traffic.go_first());
                let _turn = traffic.turn(urgency, later).await.unwrap();
                told.send(urgency).unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            });
        }
        drop(told);
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(held);
        let mut seen = Vec::new();
        while let Some(who) = order.recv().await {
            seen.push(who);
        }
        assert_eq!(seen.first(), Some(&Urgency::First), "{seen:?}");
        assert_eq!(seen.len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_who_goes_first_and_does_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
        let later = Instant::now() + Duration::from_secs(60);
        let first = one.go_first();
        assert!(first.0.is_some() && two.go_first().0.is_none());
        let start = Instant::now();
        assert!(two.pass(later).await.0.is_some());
        assert!(start.elapsed() < AFTER_FIRST);
        drop(two.turn(Urgency::Usual, later).await.unwrap());
        assert!((AFTER_FIRST..AFTER_FIRST * 2).contains(&start.elapsed()));
        drop(first);
        assert!(two.go_first().0.is_some());
    }

    #[tokio::test]
    async fn a_small_request_waits_for_a_publish_but_not_for_a_stuck_one() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
        let turn = one.turn(Urgency::Usual, soon()).await.unwrap();
        let later = Instant::now() + Duration::from_secs(60);
        // Between the reply and the return, however long that takes.
        assert!(tokio::time::timeout(STUCK * 2, two.pass(later)).await.is_err());
        turn.begin();
        let start = Instant::now();
        assert!(two.pass(later).await.0.is_none());
        assert!(start.elapsed() >= STUCK);
    }

    #[tokio::test]
    async fn a_publish_that_was_left_behind_is_waited_for_and_an_answered_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let later = || Instant::now() + Duration::from_secs(60);
        let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
        let turn = one.turn(Urgency::Usual, later()).await.unwrap();
        turn.begin();
        turn.end();
        drop(turn);
        let age = || two.0.as_ref().unwrap().publish_age();
        assert_eq!(age(), None);
        let turn = one.turn(Urgency::Usual, later()).await.unwrap();
        turn.begin();
        drop(turn);
        assert!(age().is_some());
        drop(two.turn(Urgency::Usual, later()).await.unwrap());
        assert!(age().unwrap() >= STUCK);
    }

    #[test]
    fn links_and_folders_are_no_lock_files() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(open_in(folder.path(), "link").is_err());
        assert!(open_in(folder.path(), "folder").is_err());
        assert!(open_in(folder.path(), "file").is_ok());
    }
}
