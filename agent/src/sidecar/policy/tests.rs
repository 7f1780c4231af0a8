//! The rules one by one, each on a history of a few facts.

mod elections;
mod masters;
mod readiness;
mod restarts;

use std::time::Duration;

use proto::message::Jid;
use tokio::time::Instant;

use super::simulator::down;
use super::{Decision, Policy, Standing};
use crate::sidecar::facts::Line::{Publish, Request};
use crate::sidecar::facts::{Evidence, Fact, Line, Local, MasterIndex, RoundTrip, What};
use crate::sidecar::settings::{Mode, Settings};
use crate::state::State;

const ONE: MasterIndex = MasterIndex(0);
const TWO: MasterIndex = MasterIndex(1);

/// A policy over two masters and the time, in milliseconds.
struct Course {
    policy: Policy,
    start: Instant,
    now: u64,
    told: Vec<(u64, Decision)>,
}

impl Course {
    fn new(settings: Settings) -> Self {
        let start = Instant::now();
        let names = vec!["salt1".to_owned(), "salt2".to_owned()];
        let policy = Policy::new(settings, names, start, 7);
        let told = Vec::new();
        Self {
            policy,
            start,
            now: 0,
            told,
        }
    }

    /// Both masters are up, and the minion answers through the first.
    fn ready(mode: Mode) -> Self {
        let mut course = Self::new(Settings {
            mode,
            ..Settings::default()
        });
        course.becomes_ready();
        course
    }

    fn becomes_ready(&mut self) {
        for master in [ONE, TWO] {
            self.stands(master);
            self.verified(master);
        }
        self.tied(&[ONE]);
        self.pass(2_000);
        self.answered(ONE);
        assert!(self.policy.readiness().is_ready());
        self.told.clear();
    }

    fn at(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    /// Nothing is learned for so long.
    fn pass(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while let Some(due) = self.policy.next_tick() {
            let due = u64::try_from((due - self.start).as_micros().div_ceil(1_000)).unwrap();
            if due > end {
                break;
            }
            self.now = due;
            let decisions = self.policy.tick(self.at());
            self.tell(decisions);
        }
        self.now = end;
    }

    /// Both masters do well for so long, but for the connections that are left out.
    fn well(&mut self, milliseconds: u64, silent: &[MasterIndex]) {
        let end = self.now + milliseconds;
        let masters = [ONE, TWO];
        while self.now < end {
            self.pass(250);
            for master in masters.iter().filter(|master| !silent.contains(master)) {
                for line in [Request, Publish] {
                    self.note(*master, pong(line));
                }
                if self.now.is_multiple_of(1_000) {
                    self.verified(*master);
                }
            }
        }
    }

    fn learn(&mut self, what: What) {
        let fact = Fact { at: self.at(), what };
        let decisions = self.policy.note(&fact);
        self.tell(decisions);
    }

    fn tell(&mut self, decisions: Vec<Decision>) {
        let now = self.now;
        self.told
            .extend(decisions.into_iter().map(|decision| (now, decision)));
    }

    fn note(&mut self, master: MasterIndex, evidence: Evidence) {
        self.learn(What::Master(master, evidence));
    }

    fn stands(&mut self, master: MasterIndex) {
        for line in [Request, Publish] {
            let peer = "10.0.0.1:4505".parse().unwrap();
            self.note(master, Evidence::Connected { line, peer });
        }
    }

    fn verified(&mut self, master: MasterIndex) {
        let after = Duration::from_millis(3);
        self.note(
            master,
            Evidence::Verified {
                after,
                signed_in: false,
            },
        );
    }

    fn misses(&mut self, master: MasterIndex, lines: &[Line], times: u32) {
        for _ in 0..times {
            self.pass(250);
            for line in lines {
                self.note(master, Evidence::Missed { line: *line });
            }
        }
    }

    fn dies(&mut self, master: MasterIndex) {
        self.note(master, down(Request, State::Unreachable));
        self.note(master, down(Publish, State::Unreachable));
    }

    fn tied(&mut self, masters: &[MasterIndex]) {
        self.learn(What::Minion(local(masters)));
    }

    fn answered(&mut self, master: MasterIndex) {
        let jid = Jid::parse("20261121190000000000").unwrap();
        let after = Duration::from_millis(70);
        self.learn(What::RoundTrip(master, RoundTrip::Answered { jid, after }));
    }

    fn standing(&self) -> Standing {
        self.policy.standing(ONE)
    }

    fn changes(&self) -> Vec<(u64, Standing)> {
        let change = |(at, decision): &(u64, Decision)| match decision {
            Decision::Changed(change) => Some((*at, change.to)),
            _ => None,
        };
        self.told.iter().filter_map(change).collect()
    }

    fn round_trips(&self) -> Vec<(u64, MasterIndex)> {
        let asked = |(at, decision): &(u64, Decision)| match decision {
            Decision::RoundTrip(master) => Some((*at, *master)),
            _ => None,
        };
        self.told.iter().filter_map(asked).collect()
    }

    fn restarts(&self) -> Vec<u64> {
        let restart = |(at, decision): &(u64, Decision)| match decision {
            Decision::RestartMinion { .. } => Some(*at),
            _ => None,
        };
        self.told.iter().filter_map(restart).collect()
    }
}

fn local(masters: &[MasterIndex]) -> Local {
    Local {
        processes: vec![10, 11],
        tied_to: masters.to_vec(),
        ..Local::default()
    }
}

fn pong(line: Line) -> Evidence {
    let after = Duration::from_micros(80);
    Evidence::Pong { line, after }
}
