//! The local minion: through which master it can be reached, how that is proven, and when a round trip is due.

mod rounds;

use std::time::Duration;

use proto::message::Jid;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use super::master::Master;
use crate::sidecar::facts::{Local, MasterIndex, RoundTrip};
use crate::sidecar::settings::{Mode, Settings};
use rounds::{Found, LOST, Rounds};

/// When a master comes up, or another one falls whose minions are behind relays, the sidecars of all minions ask it to publish; spread
/// over this time they do not take all its workers at once.
const HERD: Duration = Duration::from_secs(2);
/// How old a look at the local minion may be.
const LOOK: Duration = Duration::from_secs(30);

/// The local minion.
#[derive(Debug)]
pub(in crate::sidecar) struct Minion {
    pub(in crate::sidecar) local: Option<Local>,
    /// The same as the kernel shows it: what is tied to our relay is tied to nobody there.
    seen: Option<Local>,
    /// Its configuration leads it to a relay, and there is none.
    pub(super) waits_for_relay: bool,
    /// The master that our relay has.
    elected: Option<MasterIndex>,
    looked_at: Option<Instant>,
    /// Since when it has hung on the masters of [`Local::tied_to`].
    pub(in crate::sidecar) tied_since: Instant,
    /// Since when it has run; a minion that ran before us is as old as we are.
    pub(in crate::sidecar) runs_since: Instant,
    pub(in crate::sidecar) rounds: Vec<Rounds>,
    random: StdRng,
}

/// Whether jobs reach the local minion, and through which master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The active master: verified, up, and the minion is reachable through it. Nothing: not ready.
    pub active: Option<Active>,
    /// Why it is ready or not.
    pub why: String,
}

/// The master through which the minion is reachable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Which.
    pub master: MasterIndex,
    /// How that is known.
    pub proof: ActiveProof,
}

/// How it is known that the minion is reachable through a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActiveProof {
    /// It answered.
    RoundTrip {
        /// The job.
        jid: Jid,
        /// From the publish until the return was seen.
        after: Duration,
        /// When the round trip began.
        asked: Instant,
        /// When it ended.
        at: Instant,
    },
    /// Round trips are not permitted: it is connected there, more is not known.
    Connection,
}

impl Readiness {
    /// Whether jobs reach the local minion.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.active.is_some()
    }

    /// The active master.
    #[must_use]
    pub fn master(&self) -> Option<MasterIndex> {
        self.active.as_ref().map(|active| active.master)
    }

    fn not(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { active: None, why }
    }
}

impl Minion {
    pub(super) fn new(masters: usize, now: Instant, seed: u64) -> Self {
        Self {
            local: None,
            seen: None,
            waits_for_relay: false,
            elected: None,
            looked_at: None,
            tied_since: now,
            runs_since: now,
            rounds: std::iter::repeat_with(Rounds::default).take(masters).collect(),
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// The kernel was asked again. What is connected to our relay hangs on the elected master.
    pub(super) fn looked(&mut self, local: &Local, elected: Option<MasterIndex>, at: Instant) {
        self.looked_at = Some(at);
        self.seen = Some(local.clone());
        self.is_carried_to(elected, at);
    }

    /// The relay has this master, from now on.
    pub(super) fn is_carried_to(&mut self, elected: Option<MasterIndex>, at: Instant) {
        self.elected = elected;
        let Some(mut local) = self.seen.clone() else {
            return;
        };
        if let Some(elected) = elected.filter(|elected| local.relayed && !local.tied_to.contains(elected)) {
            local.tied_to.push(elected);
            local.tied_to.sort_unstable();
        }
        self.hangs_on(&local, at);
    }

    fn hangs_on(&mut self, local: &Local, at: Instant) {
        let before = self.local.replace(local.clone());
        if before.as_ref() == Some(local) {
            return;
        }
        let before = before.unwrap_or_default();
        // Its children come and go with its jobs; another minion shares none of its processes.
        let is_another = !local.processes.iter().any(|pid| before.processes.contains(pid));
        if is_another {
            self.runs_since = at;
        }
        if before.tied_to != local.tied_to || is_another {
            self.tied_since = at;
        }
        for (index, rounds) in self.rounds.iter_mut().enumerate() {
            let tied = local.tied_to.contains(&MasterIndex(index));
            if tied && (is_another || !rounds.tied) {
                rounds.renew(at, at);
            }
            rounds.tied = tied;
        }
    }

    /// A round trip ended.
    pub(super) fn returned(
        &mut self,
        master: MasterIndex,
        end: &RoundTrip,
        at: Instant,
        settings: &Settings,
    ) {
        let periodic = self.spread(settings.round_trip);
        if let Some(rounds) = self.rounds.get_mut(master.0) {
            rounds.returned(end, at, periodic);
        }
    }

    #[cfg(test)]
    pub(super) fn reseed(&mut self, seed: u64) {
        self.random = StdRng::seed_from_u64(seed);
    }

    /// Lets the next round trip through this master begin at some time soon.
    pub(super) fn spread_round_trip(&mut self, master: MasterIndex, now: Instant) {
        let spread = self.random.random_range(Duration::ZERO..=HERD);
        if let Some(rounds) = self.rounds.get_mut(master.0) {
            rounds.due = Some(now + spread);
        }
    }

    /// Lets a round trip through this master begin when it is due, however soon that is after the one before: an operator waits for it.
    pub(super) fn prove_at_once(&mut self, master: MasterIndex) {
        if let Some(rounds) = self.rounds.get_mut(master.0) {
            rounds.started = None;
        }
    }

    /// Whether it runs and is connected to some master.
    pub(super) fn is_connected(&self) -> bool {
        self.local.as_ref().is_some_and(|local| !local.tied_to.is_empty())
    }

    /// Whether a round trip through this master ended without an answer since.
    pub(super) fn in_vain_since(&self, master: MasterIndex, since: Instant) -> bool {
        let last = self.rounds(master).and_then(|rounds| rounds.last.as_ref());
        last.is_some_and(|(at, end)| *at > since && matches!(end, RoundTrip::Silent | RoundTrip::Failed(_)))
    }

    /// Which masters one can work through now: where that has just begun, all has to be proven anew.
    pub(super) fn usable(&mut self, masters: &[Master], now: Instant) {
        for (master, rounds) in masters.iter().zip(&mut self.rounds) {
            let usable = master.is_usable();
            if usable && !rounds.usable {
                let spread = self.random.random_range(Duration::ZERO..=HERD);
                rounds.renew(now, now + spread);
            }
            rounds.usable = usable;
        }
    }

    /// Where to ask now.
    pub(super) fn ask(&mut self, settings: &Settings, now: Instant) -> Vec<MasterIndex> {
        let candidates = self.candidates(settings, now);
        let mut asked = Vec::new();
        for (index, rounds) in self.rounds.iter_mut().enumerate() {
            let master = MasterIndex(index);
            if candidates.contains(&master) && rounds.begins_at().is_some_and(|due| due <= now) {
                rounds.begin(now);
                asked.push(master);
            }
        }
        asked
    }

    /// Through which masters a round trip would tell something: those that it is tied to. If that cannot be seen, the one
    /// through which it answered, or any.
    fn candidates(&self, settings: &Settings, now: Instant) -> Vec<MasterIndex> {
        let Some(local) = self.local.as_ref().filter(|_| self.is_fresh(now)) else {
            return Vec::new();
        };
        let usable = |master: &MasterIndex| self.rounds(*master).is_some_and(|rounds| rounds.usable);
        if local.unknown.is_none() {
            let is_there = !local.processes.is_empty();
            return local
                .tied_to
                .iter()
                .copied()
                .filter(usable)
                .filter(|_| is_there)
                .collect();
        }
        let all: Vec<MasterIndex> = self.anywhere().into_iter().filter(usable).collect();
        match self.newest_answer(&all, settings, now) {
            Some(active) => vec![active.master],
            None => all,
        }
    }

    /// Whether jobs reach it, from all that is known.
    pub(super) fn readiness(&self, masters: &[Master], settings: &Settings, now: Instant) -> Readiness {
        let Some(local) = &self.local else {
            return Readiness::not("the local minion has not been looked for yet");
        };
        if !self.is_fresh(now) {
            return Readiness::not("nothing has been seen of the local minion for too long");
        }
        if let Some(unknown) = &local.unknown {
            return self.unseen(masters, unknown, settings, now);
        }
        if local.processes.is_empty() {
            return Readiness::not("no salt-minion runs here");
        }
        if local.tied_to.is_empty() {
            return Readiness::not(match local.strangers.as_slice() {
                [] if local.relayed => {
                    "the minion is connected to the relay, which has no master yet: none has been up"
                        .to_owned()
                }
                [] if self.waits_for_relay => "the minion is connected to no master: its configuration leads it to the relay, and this sidecar is none: \
                     set `mode: relay`, or lead it back with `saltfo setup direct`"
                    .to_owned(),
                [] if settings.mode == Mode::Relay => {
                    let relay = settings.relay.publish();
                    format!("the minion is not connected to the relay, which waits for it at {relay}")
                }
                [] => "the minion is connected to no master".to_owned(),
                [stranger, ..] => {
                    format!("the minion is connected to {stranger}, which is no address of a master")
                }
            });
        }
        if let Some(active) = self.newest_answer(&local.tied_to, settings, now) {
            return self.answered(active, masters);
        }
        let tied = local.tied_to.iter().filter_map(|master| {
            let rounds = self.rounds(*master)?;
            Some((*master, masters.get(master.0)?, rounds))
        });
        let mut doubts = Vec::new();
        for (index, master, rounds) in tied {
            if !master.is_usable() {
                doubts.push(format!("the minion hangs on {}", master.trouble()));
                continue;
            }
            match (rounds.found(), &rounds.last) {
                (Some(Found::NotPermitted(why)), _) => {
                    return Readiness {
                        active: Some(Active { master: index, proof: ActiveProof::Connection }),
                        why: format!("connected to {name}; more is not known: {name} {why}", name = master.name),
                    };
                }
                (Some(Found::Silent), _) => doubts.push(format!(
                    "the minion is connected to {}, which is up, and hears nothing: a test.ping was not answered",
                    master.name
                )),
                (Some(Found::Answered(..)), _) => doubts.push(format!(
                    "the minion is connected to {}, but has not answered there for too long",
                    master.name
                )),
                (None, Some((_, RoundTrip::Failed(verdict)))) => doubts.push(format!(
                    "the minion is connected to {}; whether it hears is not known: {}",
                    master.name,
                    verdict.error.as_deref().unwrap_or(verdict.state.name())
                )),
                (None, _) => doubts.push(format!(
                    "the minion is connected to {}; whether it hears is being found out",
                    master.name
                )),
            }
        }
        Readiness::not(doubts.join("; "))
    }

    /// What only round trips can tell.
    fn unseen(&self, masters: &[Master], unknown: &str, settings: &Settings, now: Instant) -> Readiness {
        match self.newest_answer(&self.anywhere(), settings, now) {
            Some(active) => self.answered(active, masters),
            None => Readiness::not(format!(
                "the minion answered through no master, and its connections cannot be seen: {unknown}"
            )),
        }
    }

    /// Where a minion may be whose connections cannot be seen: where our relay has it, or anywhere.
    fn anywhere(&self) -> Vec<MasterIndex> {
        match self.elected {
            Some(elected) => vec![elected],
            None => (0..self.rounds.len()).map(MasterIndex).collect(),
        }
    }

    fn answered(&self, active: Active, masters: &[Master]) -> Readiness {
        let name = masters
            .get(active.master.0)
            .map_or("", |master| master.name.as_str());
        let why = format!("the minion answers through {name}");
        Readiness {
            active: Some(active),
            why,
        }
    }

    fn newest_answer(&self, among: &[MasterIndex], settings: &Settings, now: Instant) -> Option<Active> {
        let answered = among.iter().filter_map(|master| {
            let rounds = self.rounds(*master).filter(|rounds| rounds.usable)?;
            let proof = rounds.proof.as_ref()?;
            let Found::Answered(jid, after) = &proof.found else {
                return None;
            };
            let proof = (now < expires(proof.at, settings)).then(|| ActiveProof::RoundTrip {
                jid: jid.clone(),
                after: *after,
                asked: proof.asked,
                at: proof.at,
            })?;
            Some(Active {
                master: *master,
                proof,
            })
        });
        answered.max_by_key(|active| match active.proof {
            ActiveProof::RoundTrip { at, .. } => Some(at),
            ActiveProof::Connection => None,
        })
    }

    fn rounds(&self, master: MasterIndex) -> Option<&Rounds> {
        self.rounds.get(master.0)
    }

    /// Whether the last look is new enough to act on.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.looked_at.is_some_and(|at| now < at + LOOK)
    }

    /// When something may change although nothing new is learned.
    pub(super) fn deadlines(&self, settings: &Settings, now: Instant) -> Vec<Instant> {
        let candidates = self.candidates(settings, now);
        let due = candidates
            .iter()
            .filter_map(|master| self.rounds(*master)?.begins_at());
        let old = self
            .rounds
            .iter()
            .filter_map(|rounds| Some(expires(rounds.proof.as_ref()?.at, settings)));
        due.chain(old).chain(self.looked_at.map(|at| at + LOOK)).collect()
    }

    /// When the next round trip is due, for the report.
    pub(in crate::sidecar) fn next_round_trip(&self, settings: &Settings, now: Instant) -> Option<Instant> {
        let candidates = self.candidates(settings, now);
        let due = |master: &MasterIndex| self.rounds(*master)?.begins_at();
        candidates.iter().filter_map(due).min()
    }

    /// A fifth more or less.
    fn spread(&mut self, duration: Duration) -> Duration {
        duration.mul_f64(self.random.random_range(0.8..1.2))
    }

    /// What is due is due by these settings. Round trips that were under way are not waited for: they were given up.
    pub(super) fn reschedule(&mut self, settings: &Settings, now: Instant) {
        let latest = now + self.spread(settings.round_trip);
        for rounds in &mut self.rounds {
            let given_up = rounds.asked.take().is_some();
            rounds.due = rounds.due.map(|due| if given_up { now } else { due.min(latest) });
        }
    }

    /// The masters are others now: each has the number of its former self, if it had one.
    pub(super) fn renumber(&mut self, former: &[Option<MasterIndex>], now: Instant) {
        let mut old: Vec<Option<Rounds>> = self.rounds.drain(..).map(Some).collect();
        let take = |index: &Option<MasterIndex>| old.get_mut(index.as_ref()?.0)?.take();
        self.rounds = former.iter().map(take).map(Option::unwrap_or_default).collect();
        let new = |old: &MasterIndex| former.iter().position(|index| index.as_ref() == Some(old));
        for local in [&mut self.local, &mut self.seen].into_iter().flatten() {
            let mut tied: Vec<MasterIndex> = local.tied_to.iter().filter_map(new).map(MasterIndex).collect();
            tied.sort_unstable();
            if tied.len() < local.tied_to.len() {
                self.tied_since = now;
            }
            local.tied_to = tied;
        }
        self.elected = self.elected.as_ref().and_then(new).map(MasterIndex);
    }
}

fn expires(at: Instant, settings: &Settings) -> Instant {
    at + settings.round_trip.saturating_mul(3) + LOST
}
