//! Which master has the minion now: all are asked at once, the first verified answer wins.
//!
//! Asking a master means: sign in, publish `test.ping` for that one id, look for the return. A return is
//! the proof: it came from the minion through this master, under keys that were verified. Nothing waits
//! for a slow, hung or lying master; each of them is reported with the reason why it is not the answer.

mod head_start;
mod last_seen;
mod pauses;
mod question;
mod round_trip;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::message::{Jid, MinionId, Value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

pub use pauses::Pauses;
pub use question::Question;

use crate::config::Config;
use crate::master::Connection;
use crate::state::{State, Verdict};
use head_start::HeadStart;
use last_seen::LastSeen;

/// A minion on a busy host takes so long to answer, at most. One that was not given that long is not nowhere.
const CHANCE: Duration = Duration::from_secs(5);
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
    /// [`State::Reachable`] stands for every verified master here; which of them is active depends on the minion.
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

/// How far a master has come: what it is blamed for when somebody else was faster or time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Another master is asked first: see [`HeadStart`].
    NotBegun,
    Dialling,
    SigningIn,
    AwaitingTurn,
    /// Another master goes first: see [`Elsewhere`].
    Yielding,
    Publishing,
    AwaitingRetry,
    AwaitingReturn,
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
/// Tells of minions that were seen at another master: its start.
type Elsewhere = Box<dyn Fn(&[MinionId]) -> Option<Arc<HeadStart>> + Send + Sync>;

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
    let mut lookup = Lookup::begin(config, masters, question, minions, timeout, Purpose::Answer);
    lookup.until_settled().await;
    let took = lookup.start.elapsed();
    lookup.linger(LINGER).await;
    lookup.conclude(config, took)
}

/// Asks all masters for minions that are to get a job right afterwards. With the answer come the connections, by index
/// of the master, through which all minions were asked and all have answered: they are signed in, and hold the turn
/// to publish. So the job follows its lookup at once, and nobody else's publish comes between.
///
/// The master through which they answered last is asked a moment before the others.
pub(crate) async fn locate_for_job(
    config: &Arc<Config>,
    minions: &[MinionId],
    timeout: Duration,
) -> (Located, BTreeMap<usize, Connection>) {
    let masters: Vec<usize> = (0..config.masters.len()).collect();
    let last_seen = Arc::new(LastSeen::of_this_user(config));
    let purpose = Purpose::Job(Arc::clone(&last_seen));
    let mut lookup = Lookup::begin(config, &masters, &Question::ping(), minions, timeout, purpose);
    lookup.until_settled().await;
    let took = lookup.start.elapsed();
    let connections = std::mem::take(&mut lookup.board.connections);
    let located = lookup.conclude(config, took);
    located.note(&last_seen);
    // The job need not wait for another master's reply to a publish.
    tokio::spawn(async move { lookup.linger(LINGER_BESIDE).await });
    (located, connections)
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

/// What a lookup is for.
enum Purpose {
    /// To know.
    Answer,
    /// A job follows, through the connections that the minions have answered on. Where they were has a head start.
    Job(Arc<LastSeen>),
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
    /// Begins to ask.
    fn begin(
        config: &Arc<Config>,
        masters: &[usize],
        question: &Question,
        minions: &[MinionId],
        timeout: Duration,
        purpose: Purpose,
    ) -> Self {
        let starts: Vec<_> = std::iter::repeat_with(|| Arc::new(HeadStart::new()))
            .take(config.masters.len())
            .collect();
        let last_seen = match purpose {
            Purpose::Answer => None,
            Purpose::Job(last_seen) => Some(last_seen),
        };
        let first = last_seen.as_ref().and_then(|seen| seen.of_all(minions));
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
            let question = question.clone();
            let own = starts.get(index).map(Arc::clone);
            let ahead = first.filter(|first| *first != index);
            let ahead = ahead.and_then(|first| starts.get(first)).map(Arc::clone);
            let job = last_seen.as_ref().map(|seen| {
                let (seen, starts) = (Arc::clone(seen), starts.clone());
                // What others of this host find out meanwhile is as good as what was known before.
                let elsewhere = move |minions: &[MinionId]| {
                    let there = seen
                        .of_all(minions)
                        .filter(|there| first.is_none() && *there != index)?;
                    starts.get(there).map(Arc::clone)
                };
                Box::new(elsewhere) as Elsewhere
            });
            let report: Report = Arc::new(move |event| {
                if let Some(start) = &own {
                    start.note(&event);
                }
                // The one who listens may have its answer already.
                let _ = reports.send((index, event));
            });
            tasks.spawn(async move {
                if let Some(start) = ahead {
                    report(Event::Stage(Stage::NotBegun));
                    start.is_over().await;
                    report(Event::Stage(Stage::Dialling));
                }
                let verdict =
                    round_trip::ask(&config, index, &question, minions, deadline, job, &report).await;
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

/// Collects what the masters' tasks report.
struct Board {
    answers: Vec<Answer>,
    masters: Vec<Line>,
    connections: BTreeMap<usize, Connection>,
}

struct Line {
    stage: Stage,
    published: bool,
    held_up: bool,
    latency: Option<Duration>,
    verdict: Option<Verdict>,
    /// When it was first asked for the minions.
    asked: Option<Instant>,
}

impl Line {
    /// Whether the lookup ended before the minions had a chance to answer here.
    fn is_crowded(&self, late: bool) -> bool {
        match (self.asked, self.stage) {
            (Some(asked), _) => late && asked.elapsed() < CHANCE,
            (None, Stage::AwaitingTurn | Stage::NotBegun | Stage::Yielding) => true,
            (None, Stage::SigningIn) => self.held_up,
            (None, _) => false,
        }
    }

    fn has_stalled(&self, late: bool) -> bool {
        let hung = self.stage == Stage::Publishing
            || self
                .verdict
                .as_ref()
                .is_some_and(|verdict| verdict.state == State::Hung);
        late && self.asked.is_some() && hung
    }
}

impl Board {
    fn new(masters: usize, minions: &[MinionId]) -> Self {
        let answer = |minion: &MinionId| Answer {
            minion: minion.clone(),
            found: None,
            unknown_to: Vec::new(),
        };
        let line = || Line {
            stage: Stage::Dialling,
            asked: None,
            published: false,
            held_up: false,
            latency: None,
            verdict: None,
        };
        Self {
            answers: minions.iter().map(answer).collect(),
            masters: std::iter::repeat_with(line).take(masters).collect(),
            connections: BTreeMap::new(),
        }
    }

    /// A master that is not asked.
    fn leave_out(&mut self, index: usize) {
        let verdict = Verdict::because(State::Reachable, false, "not asked");
        self.note(index, Event::Ended(verdict));
    }

    fn note(&mut self, index: usize, event: Event) {
        let Some(line) = self.masters.get_mut(index) else {
            return;
        };
        match event {
            Event::Stage(stage) => {
                line.stage = stage;
                if stage == Stage::Publishing {
                    line.asked.get_or_insert_with(Instant::now);
                }
                line.published |= stage == Stage::AwaitingReturn;
            }
            Event::HeldUp(is) => line.held_up = is,
            Event::SignedIn(latency) => line.latency = Some(latency),
            Event::Ended(verdict) => line.verdict = Some(verdict),
            Event::Open(connection) => {
                self.connections.insert(index, *connection);
            }
            Event::Unknown(minion) => {
                for answer in self.answers.iter_mut().filter(|answer| answer.minion == minion) {
                    answer.unknown_to.push(index);
                }
            }
            Event::Answered {
                minion,
                jid,
                rtt,
                ret,
            } => {
                for answer in self.answers.iter_mut().filter(|answer| answer.minion == minion) {
                    // The first one wins.
                    answer.found.get_or_insert_with(|| Found {
                        master: index,
                        jid: jid.clone(),
                        rtt,
                        ret: ret.clone(),
                    });
                }
            }
        }
    }

    /// Whether nothing that may still come can change the answer.
    fn is_settled(&self) -> bool {
        let has_ended = |(index, line): (usize, &Line), answer: &Answer| {
            line.verdict.is_some() || answer.unknown_to.contains(&index)
        };
        self.answers.iter().all(|answer| {
            answer.found.is_some()
                || self
                    .masters
                    .iter()
                    .enumerate()
                    .all(|master| has_ended(master, answer))
        })
    }

    /// Whether a publish is under way at a master.
    fn is_publishing(&self) -> bool {
        self.masters
            .iter()
            .any(|line| line.verdict.is_none() && line.stage == Stage::Publishing)
    }

    fn conclude(&self, config: &Config, took: Duration, late: bool) -> Located {
        let winner = self.answers.iter().find_map(|answer| answer.found.as_ref());
        let winner = winner.and_then(|found| config.masters.get(found.master));
        let until = match winner {
            Some(master) if !late => format!("when {} answered after {} ms", master.name, took.as_millis()),
            _ => format!("within {} ms", took.as_millis()),
        };
        let masters = self.masters.iter().map(|line| Asked {
            published: line.published,
            latency: line.latency,
            crowded: line.is_crowded(late),
            stalled: line.has_stalled(late),
            verdict: line
                .verdict
                .clone()
                .unwrap_or_else(|| line.stage.verdict(&until, late, line.held_up)),
        });
        Located {
            masters: masters.collect(),
            answers: self.answers.clone(),
            took,
        }
    }
}

impl Stage {
    /// What a master is that has come this far and no further.
    fn verdict(self, until: &str, late: bool, held_up: bool) -> Verdict {
        match self {
            Self::SigningIn if held_up => Verdict::because(
                State::Reachable,
                false,
                format!(
                    "connected, but not asked, as another saltfo of this host was publishing there {until}"
                ),
            ),
            Self::NotBegun => Verdict::because(
                State::Reachable,
                false,
                format!("not asked {until}: the minion was at another master last time"),
            ),
            Self::Dialling => Verdict::because(State::Unreachable, false, format!("not connected {until}")),
            Self::SigningIn => Verdict::because(
                State::Hung,
                false,
                format!("connected, but no reply to the sign-in {until}"),
            ),
            Self::AwaitingTurn => Verdict::because(
                State::Reachable,
                true,
                format!("another saltfo of this host was still publishing there {until}"),
            ),
            Self::Yielding => Verdict::because(
                State::Reachable,
                true,
                format!("not asked {until}: the minion was seen at another master just before"),
            ),
            Self::Publishing => {
                let state = if late { State::Hung } else { State::Reachable };
                Verdict::because(
                    state,
                    true,
                    format!("signed in, but no reply to the publish request {until}"),
                )
            }
            Self::AwaitingRetry => Verdict::because(
                State::Reachable,
                true,
                format!("signed in, but its handler failed to publish {until}"),
            ),
            Self::AwaitingReturn => Verdict::because(
                State::Reachable,
                true,
                format!("published there, but no return {until}"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minion() -> MinionId {
        MinionId::parse("minion01").unwrap()
    }

    fn answered(jid: &str) -> Event {
        Event::Answered {
            minion: minion(),
            jid: Jid::parse(jid).unwrap(),
            rtt: Duration::from_millis(60),
            ret: Value::Bool(true),
        }
    }

    #[test]
    fn the_first_answer_settles_it_and_stays() {
        let mut board = Board::new(2, &[minion()]);
        assert!(!board.is_settled());
        board.note(1, answered("20261120184009763862"));
        assert!(board.is_settled());
        board.note(0, answered("20261120184009763863"));
        assert_eq!(board.answers[0].found.as_ref().unwrap().master, 1);
    }

    #[test]
    fn it_is_settled_when_all_masters_have_failed() {
        let mut board = Board::new(2, &[minion()]);
        board.note(
            0,
            Event::Ended(Verdict::because(State::Unreachable, false, "refused")),
        );
        assert!(!board.is_settled());
        board.note(
            1,
            Event::Ended(Verdict::because(State::Impostor, false, "another key")),
        );
        assert!(board.is_settled());
    }

    #[test]
    fn an_answer_for_another_minion_settles_nothing() {
        let mut board = Board::new(1, &[minion()]);
        let other = MinionId::parse("minion02").unwrap();
        let jid = Jid::parse("20261120184009763862").unwrap();
        board.note(
            0,
            Event::Answered {
                minion: other,
                jid,
                rtt: Duration::ZERO,
                ret: Value::Bool(true),
            },
        );
        assert!(!board.is_settled());
    }

    #[test]
    fn a_minion_that_no_master_knows_is_not_waited_for() {
        let mut board = Board::new(2, &[minion()]);
        board.note(0, Event::Unknown(minion()));
        assert!(!board.is_settled());
        board.note(1, Event::Unknown(minion()));
        assert!(board.is_settled());
    }

    #[test]
    fn a_master_is_blamed_for_the_step_that_it_did_not_make() {
        let verdict = |stage: Stage, late| stage.verdict("in time", late, false);
        assert_eq!(verdict(Stage::Dialling, false).state, State::Unreachable);
        assert_eq!(verdict(Stage::SigningIn, false).state, State::Hung);
        assert!(!verdict(Stage::SigningIn, false).verified);
        assert_eq!(
            Stage::SigningIn.verdict("in time", false, true).state,
            State::Reachable
        );
        assert_eq!(verdict(Stage::Publishing, true).state, State::Hung);
        assert_eq!(verdict(Stage::Publishing, false).state, State::Reachable);
        assert_eq!(verdict(Stage::AwaitingRetry, true).state, State::Reachable);
        assert_eq!(verdict(Stage::AwaitingReturn, true).state, State::Reachable);
    }
}
