//! What follows from the evidence: the state of each master, whether jobs reach the local minion, and what is to be done.
//! Pure: time comes in with the facts, nothing waits, nothing is asked.
//!
//! # States of a master
//!
//! Each of its two connections *stands* from the handshake on, and is *gone* when it breaks, cannot be made, or
//! `heartbeat_misses` heartbeats in a row went unanswered. The first line that applies tells the state:
//!
//! | state | evidence | told after | left when |
//! | --- | --- | --- | --- |
//! | `impostor` | an answer failed verification, or no salt-master speaks there | at once | `rise` verified answers in a row: for `up`, or for `degraded` as long as it must be calm |
//! | `hung` | both connections are gone, and its system takes new ones | at once | `rise` verified answers in a row: as `impostor` |
//! | `unreachable` | both are gone, and its system takes none, as far as is known | at once | the same |
//! | `hung`, `refused` | `verify_misses` requests in a row went unanswered, or were refused | at once | a verified answer, or the connection is gone |
//! | `key_pending`, `key_rejected`, `key_denied`, `full` | it says so | at once | a verified answer, both connections are gone, or that for requests for 30 s |
//! | `degraded` | one connection is gone, the other stands; or one was lost and is back, but nothing is proven yet | a heartbeat; two while the other one misses heartbeats | |
//! | `up` | both stand, and since the last trouble `rise` verified answers came in a row (one if nothing was known before) | at once | any of the above |
//! | `unknown` | nothing yet; or nothing verified for 4 × `verify` + `verify_misses` × `verify_timeout` + 10 s; or no news for 3 × `heartbeat` + 30 s | | |
//!
//! - Trouble is: a connection lost or back, a request unanswered or refused, an answer that is no genuine one. So heartbeats,
//!   which whoever is on the path can answer, make nothing better; only verified answers do.
//! - A master that is up and loses one connection is in doubt at once: nobody counts on it any more, and it is verified
//!   quickly. The heartbeat's time until `degraded` is told is there for the other connection, which a master
//!   that dies takes along.
//! - Changes among `degraded`, `hung` and `unreachable`, and from the states of trust to them, are told when they have lasted
//!   3 s, except downwards from `degraded`: the connections of a master that starts come back one by one.
//! - A master that falls within 5 minutes after it came up, for the second time and more, must be calm for 2, 4, 8 … at most 60 s
//!   before it is up again. So a path that loses packets makes no noise.
//! - An answer that is late, but in time, is an answer.
//!
//! # The active master and readiness
//!
//! | ready | when |
//! | --- | --- |
//! | yes, by a round trip | the minion is connected to a master that is up and not in doubt, and answered through it since both began |
//! | yes, by the connection | the same, but round trips are not permitted there |
//! | yes, by a round trip | the kernel does not show its connections, and it answered through a master since that came up |
//! | no | everything else; the reason is told |
//!
//! A `degraded` master will not do: without 4505 the minion hears nothing, without 4506 its returns do not arrive. A round trip is due
//! at once when the minion changes masters, within 2 s (spread, as all minions' sidecars ask then) when its master comes up, and
//! every `round_trip`, a fifth more or less; after one that proved nothing, 10, 20, 40, 60 s later. An answer is believed for
//! 3 × `round_trip` + 1 min, and a look at the minion for 30 s.
//!
//! # Restarts (mode `restart`)
//!
//! The minion is restarted when it was connected to dead masters only (`degraded`, `hung`, `unreachable`, `impostor`) that have not proven themselves again, or, a
//! minute after it started, to none, and another master was up and not in doubt, both for `restart_after` without a break. At most
//! once per `restart_backoff`, restarts by a sidecar before this one included; never when its connections are not known, or lead to addresses that are no master's.
//!
//! # Elections (mode `relay`)
//!
//! The relay carries the minion's messages to the elected master, and what is connected to the relay hangs on that master. Only a master
//! that is up and not in doubt is elected, but for the last resort below; a drained one only if there is no other.
//!
//! | reason | when | to |
//! | --- | --- | --- |
//! | the first election | every master is known, or after 2 s | `sticky`, `random`: where a sidecar before this one was; else, and `prefer`: the first of the list; `random`: any |
//! | the elected master is not up any more | at once (in doubt is up) | the same choice of the others; if none is up, one that has proven itself and would be up if it had been calm; if there is none, nothing changes |
//! | an order, or the elected master is drained | when its door is closed | the one that was named, or the same choice |
//! | `prefer`: one before it in the list has been up for 60 s without a break | when its door is closed | that one |
//!
//! Who dispatches is led to a master by a `test.ping` just before. So a planned move waits until 120 ms after the last one of the old master
//! that was handed out, and hands out none meanwhile: nobody is led to a master that the minion leaves, and the job of one who has just been
//! led there still arrives. saltfo says with its `test.ping` which job follows: that one is waited for until it is there, for 2 s at most, and
//! for none after that. Mostly there was none, and it is made at once. A planned move of a minion that jobs reached is taken back if it does not answer through
//! the new master within 12 s, and for 5 minutes after that, as after an order, nothing is moved without an order or a fault.
//! After a fault the round trip through the new master is due within 2 s, spread, as all minions of the old one ask then; jobs do not wait
//! for it.

mod election;
mod led;
mod line;
mod master;
mod minion;
mod restart;
mod standing;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

pub use election::{MoveError, Moved};
pub use minion::{Active, ActiveProof, Readiness};
pub use standing::{Pace, Standing};

pub(super) use election::{Election, Outcome as SwitchOutcome};
pub(super) use line::{Condition, Line};
pub(super) use master::Master;
pub(super) use minion::Minion;
pub(super) use restart::{Outcome, Restarts};

use super::facts::{Errand, Fact, MasterIndex, What};
use super::relay::Seen;
use super::report::Report;
use super::settings::Settings;

/// All that is known, and what follows from it.
#[derive(Debug)]
pub struct Policy {
    pub(super) settings: Settings,
    pub(super) masters: Vec<Master>,
    pub(super) minion: Minion,
    pub(super) restarts: Restarts,
    pub(super) election: Election,
    pub(super) readiness: Readiness,
    pub(super) ready_since: Instant,
    /// The last active master.
    last_active: Option<MasterIndex>,
    pub(super) failovers: u64,
    now: Instant,
}

/// What is to be done or told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A master changed its state.
    Changed(Transition),
    /// The minion became reachable, unreachable, or reachable through another master.
    Ready(Readiness),
    /// It is reachable through another master than before.
    FailedOver {
        /// Through which it was reachable.
        from: MasterIndex,
        /// Through which it is.
        to: MasterIndex,
    },
    /// Ask the minion through this master, now.
    RoundTrip(MasterIndex),
    /// Carry the minion's messages to another master (mode `relay`).
    Elected {
        /// To which they went; nothing at the first election.
        from: Option<MasterIndex>,
        /// To which they go.
        to: MasterIndex,
        /// Why.
        why: String,
        /// The old master is up: what is under way there may end there.
        planned: bool,
    },
    /// The minion answers through the master that was elected last (mode `relay`).
    Proven {
        /// The master before.
        from: MasterIndex,
        /// That master.
        to: MasterIndex,
        /// How long after the switch that was known.
        after: Duration,
    },
    /// Restart the minion.
    RestartMinion {
        /// Why.
        why: String,
    },
}

/// A change of a master's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Which master.
    pub master: MasterIndex,
    /// What it was.
    pub from: Standing,
    /// What it is.
    pub to: Standing,
    /// Why.
    pub why: String,
    /// When that was concluded.
    pub at: Instant,
}

impl Policy {
    /// Nothing is known yet. `names` are the masters' in the order of the configuration; `seed` decides on jitter only.
    #[must_use]
    pub fn new(settings: Settings, names: Vec<String>, now: Instant, seed: u64) -> Self {
        let masters: Vec<Master> = names.into_iter().map(|name| Master::new(name, now)).collect();
        let minion = Minion::new(masters.len(), now, seed);
        let readiness = minion.readiness(&masters, &settings, now);
        Self {
            settings,
            masters,
            minion,
            restarts: Restarts::default(),
            election: Election::new(now, seed),
            readiness,
            ready_since: now,
            last_active: None,
            failovers: 0,
            now,
        }
    }

    /// A sidecar before this one restarted the minion, so long ago: that counts for `restart_backoff`, too.
    pub fn was_restarted(&mut self, ago: Duration) {
        self.restarts.were_before(ago, self.now);
    }

    /// A sidecar before this one had carried the minion's messages to this master: `sticky` and `random` stay there.
    pub fn was_elected(&mut self, master: &str) {
        if let Ok(master) = self.named(master) {
            self.election.was_elected(master);
        }
    }

    /// Whether the minion's configuration leads it to a relay though there is none.
    pub fn minion_waits_for_relay(&mut self, waits: bool) {
        self.minion.waits_for_relay = waits;
    }

    /// Something was learned. A look at the local minion is to be told each time, also if it shows nothing new.
    pub fn note(&mut self, fact: &Fact) -> Vec<Decision> {
        // Facts of several tasks may overtake each other a little; time does not go back.
        let at = self.now.max(fact.at);
        match &fact.what {
            What::Master(index, evidence) => {
                if let Some(master) = self.masters.get_mut(index.0) {
                    master.note(evidence, at, &self.settings);
                }
            }
            What::Minion(local) => self.minion.looked(local, self.election.elected, at),
            What::RoundTrip(index, end) => self.minion.returned(*index, end, at, &self.settings),
            What::Restarted(result) => self.restarts.ended(result),
        }
        self.tick(at)
    }

    /// Time has passed; to be called when [`Self::next_tick`] is due. Earlier does no harm.
    pub fn tick(&mut self, now: Instant) -> Vec<Decision> {
        let now = self.now.max(now);
        self.now = now;
        let mut decisions = Vec::new();
        for (index, master) in self.masters.iter_mut().enumerate() {
            if let Some(change) = master.settle(now, &self.settings) {
                decisions.push(Decision::Changed(Transition {
                    master: MasterIndex(index),
                    from: change.from,
                    to: change.to,
                    why: change.why,
                    at: now,
                }));
            }
        }
        self.minion.usable(&self.masters, now);
        let (masters, minion, settings) = (&self.masters, &self.minion, &self.settings);
        let readiness = minion.readiness(masters, settings, now);
        let elected = self.election.settle(masters, minion, &readiness, settings, now);
        if let Some(Decision::Elected {
            from, to, planned, ..
        }) = &elected
        {
            self.minion.is_carried_to(Some(*to), now);
            if *planned {
                self.minion.prove_at_once(*to);
            } else if from.is_some() {
                // All minions of a master that dies leave it at the same moment.
                self.minion.spread_round_trip(*to, now);
            }
        }
        decisions.extend(elected);
        decisions.extend(self.election.proof());
        self.assess(now, &mut decisions);
        decisions.extend(
            self.minion
                .ask(&self.settings, now)
                .into_iter()
                .map(Decision::RoundTrip),
        );
        let (masters, minion, readiness) = (&self.masters, &self.minion, &self.readiness);
        let restart = self
            .restarts
            .settle(masters, minion, readiness, &self.settings, now);
        decisions.extend(restart.map(|why| Decision::RestartMinion { why }));
        decisions
    }

    fn assess(&mut self, now: Instant, decisions: &mut Vec<Decision>) {
        let readiness = self.minion.readiness(&self.masters, &self.settings, now);
        let before = std::mem::replace(&mut self.readiness, readiness);
        if self.readiness.master() == before.master() {
            return;
        }
        self.ready_since = now;
        decisions.push(Decision::Ready(self.readiness.clone()));
        let Some(to) = self.readiness.master() else { return };
        if let Some(from) = self.last_active.replace(to).filter(|from| *from != to) {
            self.failovers = self.failovers.saturating_add(1);
            decisions.push(Decision::FailedOver { from, to });
        }
    }

    /// When [`Self::tick`] is to be called next, if nothing is learned before: always later than the last call.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        let masters = self
            .masters
            .iter()
            .flat_map(|master| master.deadlines(self.now, &self.settings));
        let minion = self.minion.deadlines(&self.settings, self.now);
        let restarts = self.restarts.deadlines(&self.minion, &self.settings);
        masters
            .chain(minion)
            .chain(restarts)
            .chain(self.election.deadlines())
            .filter(|at| *at > self.now)
            .min()
    }

    /// How eagerly the watch is to verify this master; may change with every [`Self::note`] and [`Self::tick`].
    #[must_use]
    pub fn wants(&self, master: MasterIndex) -> Pace {
        let master = self.masters.get(master.0);
        master.map_or(Pace::Steady, |master| master.pace(self.now, &self.settings))
    }

    /// The state of a master.
    #[must_use]
    pub fn standing(&self, master: MasterIndex) -> Standing {
        self.masters
            .get(master.0)
            .map_or(Standing::Unknown, |master| master.standing)
    }

    /// Whether jobs reach the local minion, and through which master.
    #[must_use]
    pub const fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Whether the relay hands out a publication of this master to the minion, now.
    #[must_use]
    pub fn hands_out(&mut self, master: MasterIndex, errand: &Errand, now: Instant) -> bool {
        self.election.hands_out(master, errand, now)
    }

    /// The operator wants the minion on this master, or on any other than now.
    ///
    /// # Errors
    /// [`MoveError`]; nothing changes then.
    pub fn move_to(&mut self, master: Option<&str>, now: Instant) -> Result<(), MoveError> {
        let to = master.map(|name| self.named(name)).transpose()?;
        self.election
            .order(to, &self.masters, &self.settings, self.now.max(now))
    }

    /// The operator wants no minion on this master as long as another is up; or again as ever.
    ///
    /// # Errors
    /// [`MoveError`]; nothing changes then.
    pub fn drain(&mut self, master: &str, drained: bool) -> Result<(), MoveError> {
        let master = self.named(master)?;
        self.election.drain(master, drained, &self.settings)
    }

    /// What became of an order that was given then.
    #[must_use]
    pub fn moved_since(&self, since: Instant) -> Moved {
        self.election.moved_since(since, &self.masters, self.now)
    }

    fn named(&self, name: &str) -> Result<MasterIndex, MoveError> {
        let index = self.masters.iter().position(|master| master.name == name);
        index
            .map(MasterIndex)
            .ok_or_else(|| MoveError::Unknown(name.to_owned()))
    }

    /// How often the minion became reachable through another master than before.
    #[must_use]
    pub const fn failovers(&self) -> u64 {
        self.failovers
    }

    /// The configuration was read again. `masters`: the name of each, and which it was before if that one is the same (then all
    /// that is known of it stays). Facts with the old numbers must not come in afterwards.
    pub fn reload(
        &mut self,
        settings: Settings,
        masters: Vec<(String, Option<MasterIndex>)>,
        now: Instant,
    ) -> Vec<Decision> {
        let now = self.now.max(now);
        let former: Vec<Option<MasterIndex>> = masters.iter().map(|(_, former)| *former).collect();
        let mut old: Vec<Option<Master>> = self.masters.drain(..).map(Some).collect();
        for (name, former) in masters {
            let kept = former.and_then(|index| old.get_mut(index.0)?.take());
            let mut master = kept.unwrap_or_else(|| Master::new(name.clone(), now));
            master.name = name;
            self.masters.push(master);
        }
        self.minion.renumber(&former, now);
        self.election.renumber(&former, now);
        let new = |old: MasterIndex| {
            former
                .iter()
                .position(|index| *index == Some(old))
                .map(MasterIndex)
        };
        self.last_active = self.last_active.and_then(new);
        self.readiness.active = self.readiness.active.take().and_then(|active| {
            let master = new(active.master)?;
            Some(Active { master, ..active })
        });
        self.minion.reschedule(&settings, now);
        self.settings = settings;
        self.tick(now)
    }

    /// The numbers of all masters.
    pub fn masters(&self) -> impl Iterator<Item = MasterIndex> + use<> {
        (0..self.masters.len()).map(MasterIndex)
    }

    /// The elected master (mode `relay`).
    #[must_use]
    pub const fn elected(&self) -> Option<MasterIndex> {
        self.election.elected
    }

    /// All that is known, for people and programs. `now` and `wall` are the same moment; `carried` is what the relay has done.
    #[must_use]
    pub fn report(&self, carried: Option<Seen>, now: Instant, wall: SystemTime) -> Report {
        Report::new(self, carried, now, wall)
    }
}
