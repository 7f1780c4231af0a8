//! Which master has the minion now: all are asked at once, the first verified answer wins.
//!
//! Asking a master means: sign in, publish `test.ping` for that one id, look for the return. A return is
//! the proof: it came from the minion through this master, under keys that were verified. Nothing waits
//! for a slow, hung or lying master; each of them is reported with the reason why it is not the answer.

mod board;
mod head_start;
mod last_seen;
mod looks;
mod pauses;
mod precedence;
mod question;
mod round_trip;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::message::{Jid, Mark, MinionId, Value};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

pub use looks::Signs;
pub use pauses::Pauses;
pub use question::Question;

use crate::config::Config;
use crate::master::Connection;
use crate::state::Verdict;
use board::{Board, Stage};
use last_seen::LastSeen;
use precedence::Precedence;

/// A publish whose reply nobody waits for holds up the next lookup of this host for longer than this. Its reply is
/// as good as there when another master's minion has answered; a master that hangs does not get this far.
const LINGER: Duration = Duration::from_millis(40);
/// A process that stays anyway sees to it for longer.
const LINGER_BESIDE: Duration = Duration::from_secs(1);

/// What a lookup found.
#[derive(Debug)]
pub struct Located {
    /// One for each minion that was asked for, in that order.
    pub answers: Vec<Answer>,
    /// One for each master, in the order of the configuration.
    pub masters: Vec<Asked>,
    /// How long it took.
    pub took: Duration,
}

/// What is known of one minion.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The minion.
    pub minion: MinionId,
    /// The round trip that proves where it is; none if it answered through no master.
    pub found: Option<Found>,
    /// The masters, by index, that have no accepted key of it.
    pub unknown_to: Vec<usize>,
}

/// A proven round trip.
#[derive(Debug, Clone)]
pub struct Found {
    /// Index of the master.
    pub master: usize,
    /// The job.
    pub jid: Jid,
    /// From the publish request until the return was read.
    pub rtt: Duration,
    /// What the minion returned.
    pub ret: Value,
}

/// What is known of one master.
#[derive(Debug, Clone)]
pub struct Asked {
    /// [`State::Reachable`](crate::state::State::Reachable) stands for every verified master here; which of them is active depends on the minion.
    pub verdict: Verdict,
    /// From the start of the connect until the sign-in was verified.
    pub latency: Option<Duration>,
    /// It was not asked for the minions, or only just, as other processes of this host were publishing there.
    pub crowded: bool,
    /// A job was published there.
    pub published: bool,
    /// It signed us in and then did not answer any more: it hangs, or its workers wait for each other, which passes after half a
    /// minute.
    pub stalled: bool,
}

/// What the task of one master reports while it works.
enum Event {
    Stage(Stage),
    /// Other processes of this host do, or do no longer, keep us from asking.
    HeldUp(bool),
    SignedIn(Duration),
    Unknown(MinionId),
    /// All minions have answered here: the connection that asked them, with its turn.
    Open(Box<Connection>),
    Answered {
        minion: MinionId,
        jid: Jid,
        rtt: Duration,
        ret: Value,
    },
    Ended(Verdict),
}

type Report = Arc<dyn Fn(Event) + Send + Sync>;

/// Asks all masters for the minions. Takes no longer than `timeout`.
pub async fn locate(config: &Arc<Config>, minions: &[MinionId], timeout: Duration) -> Located {
    let masters: Vec<usize> = (0..config.masters.len()).collect();
    let located = ask(config, &masters, &Question::ping(), minions, timeout).await;
    located.note(&LastSeen::of_this_user(config));
    located
}

/// Asks the minions a question through these masters, by index: through which a minion answers, and what. Takes no
/// longer than `timeout`.
pub async fn ask(
    config: &Arc<Config>,
    masters: &[usize],
    question: &Question,
    minions: &[MinionId],
    timeout: Duration,
) -> Located {
    let mut lookup = Lookup::begin(config, masters, question, minions, timeout, None);
    lookup.until_settled().await;
    let took = lookup.start.elapsed();
    lookup.linger(LINGER).await;
    lookup.conclude(config, took)
}

/// What a lookup found that a job follows.
pub(crate) struct ForJob {
    pub(crate) located: Located,
    /// The connections, by index of the master, through which all minions were asked and all have answered: they are signed in, and
    /// hold the turn to publish. So the job follows its lookup at once, and nobody else's publish comes between.
    pub(crate) connections: BTreeMap<usize, Connection>,
    /// Sees to publishes at other masters whose replies are under way.
    rest: JoinHandle<()>,
}

impl ForJob {
    /// Waits as [`locate`] does before it ends: for a process that has nothing else to do.
    pub(crate) async fn linger(self) {
        drop(self.connections);
        let _ = timeout(LINGER, self.rest).await;
    }
}

/// Asks all masters for minions that are to get a job right afterwards, the master through which they answered last a moment before
/// the others. `job`: its mark, if it is published next.
pub(crate) async fn locate_for_job(
    config: &Arc<Config>,
    minions: &[MinionId],
    job: Option<&Mark>,
    timeout: Duration,
) -> ForJob {
    let masters: Vec<usize> = (0..config.masters.len()).collect();
    let last_seen = LastSeen::of_this_user(config);
    let precedence = Arc::new(Precedence::new(last_seen, minions, masters.len()));
    let question = Question::ping().announcing(job);
    let mut lookup = Lookup::begin(config, &masters, &question, minions, timeout, Some(&precedence));
    lookup.until_settled().await;
    let took = lookup.start.elapsed();
    let connections = std::mem::take(&mut lookup.board.connections);
    let located = lookup.conclude(config, took);
    located.note(precedence.last_seen());
    // The job need not wait for another master's reply to a publish.
    let rest = tokio::spawn(async move { lookup.linger(LINGER_BESIDE).await });
    ForJob {
        located,
        connections,
        rest,
    }
}

impl Located {
    fn note(&self, last_seen: &LastSeen) {
        for answer in &self.answers {
            if let Some(found) = &answer.found {
                last_seen.note(&answer.minion, found.master);
            }
        }
    }
}

/// A lookup under way. Dropped, nobody is asked any more.
struct Lookup {
    start: Instant,
    deadline: Instant,
    /// What the masters' tasks report.
    events: mpsc::UnboundedReceiver<(usize, Event)>,
    board: Board,
    _tasks: JoinSet<()>,
}

impl Lookup {
    /// Begins to ask. With `precedence`, a job follows, through the connections that the minions have answered on.
    fn begin(
        config: &Arc<Config>,
        masters: &[usize],
        question: &Question,
        minions: &[MinionId],
        timeout: Duration,
        precedence: Option<&Arc<Precedence>>,
    ) -> Self {
        let start = Instant::now();
        let deadline = start + timeout;
        let (reports, events) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let mut board = Board::new(config.masters.len(), minions);
        for index in 0..config.masters.len() {
            if !masters.contains(&index) {
                board.leave_out(index);
                continue;
            }
            let (config, minions, reports) = (Arc::clone(config), minions.to_vec(), reports.clone());
            let (question, precedence) = (question.clone(), precedence.map(Arc::clone));
            let among = precedence.clone();
            let report: Report = Arc::new(move |event| {
                if let Some(among) = &among {
                    among.note(index, &event);
                }
                // The one who listens may have its answer already.
                let _ = reports.send((index, event));
            });
            tasks.spawn(async move {
                let precedence = precedence.as_deref();
                if let Some(start) = precedence.and_then(|among| among.ahead_of(index)) {
                    report(Event::Stage(Stage::NotBegun));
                    start.is_over().await;
                    report(Event::Stage(Stage::Dialling));
                }
                let asked =
                    round_trip::ask(&config, index, &question, minions, deadline, precedence, &report);
                let verdict = asked.await;
                report(Event::Ended(verdict));
            });
        }
        Self {
            start,
            deadline,
            events,
            board,
            _tasks: tasks,
        }
    }

    async fn until_settled(&mut self) {
        while !self.board.is_settled() {
            match timeout_at(self.deadline, self.events.recv()).await {
                Ok(Some((index, event))) => self.board.note(index, event),
                Ok(None) | Err(_) => break,
            }
        }
    }

    /// Sees the replies of publishes come in that are under way: see [`LINGER`].
    async fn linger(&mut self, longest: Duration) {
        let deadline = self.deadline.min(Instant::now() + longest);
        while self.board.is_publishing() {
            match timeout_at(deadline, self.events.recv()).await {
                Ok(Some((index, event))) => self.board.note(index, event),
                Ok(None) | Err(_) => break,
            }
        }
    }

    fn conclude(&self, config: &Config, took: Duration) -> Located {
        self.board.conclude(config, took, Instant::now() >= self.deadline)
    }
}
