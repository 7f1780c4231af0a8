//! What the masters' tasks have reported, and what follows from it: whether the lookup is over, and what each master is to be blamed for.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::message::MinionId;
use tokio::time::Instant;

use super::{Answer, Asked, Event, Found, Located};
use crate::config::Config;
use crate::master::Connection;
use crate::state::{State, Verdict};

/// A minion on a busy host takes so long to answer, at most. One that was not given that long is not nowhere.
const CHANCE: Duration = Duration::from_secs(5);

/// How far a master has come: what it is blamed for when somebody else was faster or time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Another master is asked first: see [`Precedence::ahead_of`](super::precedence::Precedence::ahead_of).
    NotBegun,
    Dialling,
    SigningIn,
    AwaitingTurn,
    /// Another master goes first: see [`Precedence::elsewhere`](super::precedence::Precedence::elsewhere).
    Yielding,
    Publishing,
    AwaitingRetry,
    AwaitingReturn,
}

/// Collects what the masters' tasks report.
pub(super) struct Board {
    answers: Vec<Answer>,
    masters: Vec<Line>,
    pub(super) connections: BTreeMap<usize, Connection>,
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
    pub(super) fn new(masters: usize, minions: &[MinionId]) -> Self {
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
    pub(super) fn leave_out(&mut self, index: usize) {
        let verdict = Verdict::because(State::Reachable, false, "not asked");
        self.note(index, Event::Ended(verdict));
    }

    pub(super) fn note(&mut self, index: usize, event: Event) {
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
    pub(super) fn is_settled(&self) -> bool {
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
    pub(super) fn is_publishing(&self) -> bool {
        self.masters
            .iter()
            .any(|line| line.verdict.is_none() && line.stage == Stage::Publishing)
    }

    pub(super) fn conclude(&self, config: &Config, took: Duration, late: bool) -> Located {
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
    use proto::message::{Jid, Value};

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
