//! Which master the relay carries the minion's messages to. The rules stand in [`super`].

mod orders;

use std::collections::BTreeSet;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom as _;
use tokio::time::Instant;

use super::Decision;
use super::led::Led;
use super::master::Master;
use super::minion::{ActiveProof, Minion, Readiness};
use super::standing::Standing;
use crate::sidecar::facts::{Errand, MasterIndex};
use crate::sidecar::settings::{self, Mode, Settings};

pub use orders::{MoveError, Moved};

/// How long the first election waits for masters of which nothing is known yet.
const FIRST: Duration = Duration::from_secs(2);
/// How long a master that is preferred must have been up without a break before it gets the minion back.
const HOLD_DOWN: Duration = Duration::from_secs(60);
/// After a move that was taken back, nothing moves by itself for so long.
const REST: Duration = Duration::from_secs(300);
/// How long the minion may take to answer through the master that it was moved to.
const PROOF: Duration = Duration::from_secs(12);

/// The elected master, and how it came to be.
#[derive(Debug)]
pub(in crate::sidecar) struct Election {
    /// Nothing: no master has been up yet.
    pub(in crate::sidecar) elected: Option<MasterIndex>,
    pub(in crate::sidecar) since: Instant,
    pub(in crate::sidecar) why: String,
    /// Masters that get no minion as long as another one is up.
    pub(in crate::sidecar) drained: BTreeSet<MasterIndex>,
    pub(in crate::sidecar) switches: u64,
    pub(in crate::sidecar) last: Option<Switch>,
    began: Instant,
    /// The one that a sidecar before this one had elected last.
    remembered: Option<MasterIndex>,
    /// A master that is preferred to the elected one, and since when it has been up.
    preferred: Option<(MasterIndex, Instant)>,
    /// A planned move that is about to be made.
    closing: Option<Closing>,
    /// By the elected master.
    led: Led,
    /// No move of our own before this.
    rests_until: Instant,
    random: StdRng,
}

/// A planned move that is about to be made.
#[derive(Debug)]
struct Closing {
    to: MasterIndex,
    since: Instant,
    why: String,
}

/// A change of the elected master.
#[derive(Debug)]
pub(in crate::sidecar) struct Switch {
    pub(in crate::sidecar) at: Instant,
    pub(in crate::sidecar) from: MasterIndex,
    pub(in crate::sidecar) to: MasterIndex,
    pub(in crate::sidecar) why: String,
    /// The old master was up.
    pub(in crate::sidecar) planned: bool,
    pub(in crate::sidecar) outcome: Outcome,
    /// Jobs reached the minion before.
    was_ready: bool,
    /// Its proof has been told.
    told: bool,
}

/// What a switch has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sidecar) enum Outcome {
    /// It is not known yet.
    Pending,
    /// Jobs reach the minion through the new master, so long after the switch.
    Proven(Duration),
    /// Round trips are not permitted there: that the relay is connected to both is all that is known.
    Connected,
    /// The minion did not answer through the new master, and got the old one back.
    TakenBack(String),
    /// Another switch came first.
    Overtaken,
}

impl Election {
    pub(super) fn new(now: Instant, seed: u64) -> Self {
        Self {
            elected: None,
            since: now,
            why: "no master has been up yet".to_owned(),
            drained: BTreeSet::new(),
            switches: 0,
            last: None,
            began: now,
            remembered: None,
            preferred: None,
            closing: None,
            led: Led::default(),
            rests_until: now,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// A sidecar before this one had elected this master.
    pub(super) fn was_elected(&mut self, master: MasterIndex) {
        self.remembered = Some(master);
    }

    /// Elects, if there is a reason to. `readiness` and `minion` tell what became of the last time.
    pub(super) fn settle(
        &mut self,
        masters: &[Master],
        minion: &Minion,
        readiness: &Readiness,
        settings: &Settings,
        now: Instant,
    ) -> Option<Decision> {
        if settings.mode != Mode::Relay {
            (self.elected, self.closing) = (None, None);
            return None;
        }
        let Some(elected) = self.elected else {
            return self.first(masters, settings, now);
        };
        if let Some(back) = self.judge(masters, minion, readiness, now) {
            return Some(back);
        }
        if masters
            .get(elected.0)
            .is_some_and(|master| master.standing == Standing::Up)
        {
            return self.better(elected, masters, readiness, settings, now);
        }
        self.closing = None;
        let to = self
            .pick(Some(elected), masters, settings)
            .or_else(|| last_resort(elected, masters, settings))?;
        Some(self.switch(elected, to, trouble(masters, elected), false, readiness, now))
    }

    /// The first election waits a little, so that it is not a question of who answers first.
    fn first(&mut self, masters: &[Master], settings: &Settings, now: Instant) -> Option<Decision> {
        let all_known = masters.iter().all(|master| master.standing != Standing::Unknown);
        if !all_known && now < self.began + FIRST {
            return None;
        }
        let stays = settings.policy != settings::Election::Prefer;
        let remembered = self
            .remembered
            .filter(|index| stays && is_usable(masters, *index));
        let (to, why) = match remembered {
            Some(to) => (to, "the minion was there before this sidecar was started"),
            None => (self.pick(None, masters, settings)?, "the first that was elected"),
        };
        self.elected = Some(to);
        self.since = now;
        self.why = why.to_owned();
        Some(Decision::Elected {
            from: None,
            to,
            why: self.why.clone(),
            planned: true,
        })
    }

    /// The elected master is up: whether another one is to have the minion all the same.
    fn better(
        &mut self,
        elected: MasterIndex,
        masters: &[Master],
        readiness: &Readiness,
        settings: &Settings,
        now: Instant,
    ) -> Option<Decision> {
        if self.closing.is_none() {
            let (to, why) = self.reason(elected, masters, settings, now)?;
            self.close(to, why.to_owned(), now);
        }
        let closing = self.closing.take()?;
        if !is_usable(masters, closing.to) {
            self.why = format!("a move was given up: {}", trouble(masters, closing.to));
            return None;
        }
        if now < self.closes_at(&closing) {
            self.closing = Some(closing);
            return None;
        }
        Some(self.switch(elected, closing.to, closing.why, true, readiness, now))
    }

    /// Where the minion is to be instead, and why.
    fn reason(
        &mut self,
        elected: MasterIndex,
        masters: &[Master],
        settings: &Settings,
        now: Instant,
    ) -> Option<(MasterIndex, &'static str)> {
        if now < self.rests_until {
            return None;
        }
        if self.drained.contains(&elected) {
            let to = self.pick(Some(elected), masters, settings)?;
            return (!self.drained.contains(&to)).then_some((to, "it is drained"));
        }
        if settings.policy != settings::Election::Prefer {
            return None;
        }
        let candidate = self
            .pick(None, masters, settings)
            .filter(|candidate| *candidate < elected);
        self.preferred = match (candidate, self.preferred) {
            (Some(candidate), Some(before)) if before.0 == candidate => Some(before),
            (candidate, _) => candidate.map(|candidate| (candidate, now)),
        };
        let (to, _) = self.preferred.filter(|(_, since)| now >= *since + HOLD_DOWN)?;
        Some((to, "the preferred master is up again"))
    }

    /// Whether the relay hands out a publication of this master. While a move is about to be made a lookup is not: nobody is led
    /// to a master that the minion is about to leave. Who asked asks again, and finds it where it is then.
    pub(super) fn hands_out(&mut self, master: MasterIndex, errand: &Errand, now: Instant) -> bool {
        let is_lookup = matches!(errand, Errand::Lookup(_));
        if self.elected != Some(master) || (is_lookup && self.closing.is_some()) {
            return false;
        }
        self.led.handed_out(errand, now);
        true
    }

    fn close(&mut self, to: MasterIndex, why: String, now: Instant) {
        self.closing = Some(Closing { to, since: now, why });
    }

    /// When a move may be made: nobody is on the way to the old master any more.
    fn closes_at(&self, closing: &Closing) -> Instant {
        let through = self.led.are_through();
        through.map_or(closing.since, |through| through.max(closing.since))
    }

    fn switch(
        &mut self,
        from: MasterIndex,
        to: MasterIndex,
        why: String,
        planned: bool,
        readiness: &Readiness,
        now: Instant,
    ) -> Decision {
        if let Some(last) = &mut self.last
            && last.outcome == Outcome::Pending
        {
            last.outcome = Outcome::Overtaken;
        }
        self.elected = Some(to);
        self.since = now;
        self.why.clone_from(&why);
        self.preferred = None;
        self.led = Led::default();
        self.switches = self.switches.saturating_add(1);
        self.last = Some(Switch {
            at: now,
            from,
            to,
            why: why.clone(),
            planned,
            outcome: Outcome::Pending,
            was_ready: readiness.is_ready(),
            told: false,
        });
        Decision::Elected {
            from: Some(from),
            to,
            why,
            planned,
        }
    }

    /// The proof of the last switch, once.
    pub(super) fn proof(&mut self) -> Option<Decision> {
        let last = self.last.as_mut().filter(|last| !last.told)?;
        let Outcome::Proven(after) = last.outcome else {
            return None;
        };
        last.told = true;
        Some(Decision::Proven {
            from: last.from,
            to: last.to,
            after,
        })
    }

    /// What became of the last switch; the way back, if a planned one lost the minion.
    fn judge(
        &mut self,
        masters: &[Master],
        minion: &Minion,
        readiness: &Readiness,
        now: Instant,
    ) -> Option<Decision> {
        let last = self
            .last
            .as_mut()
            .filter(|last| last.outcome == Outcome::Pending)?;
        if let Some(active) = readiness
            .active
            .as_ref()
            .filter(|active| active.master == last.to)
        {
            last.outcome = match active.proof {
                ActiveProof::RoundTrip { .. } => Outcome::Proven(now.saturating_duration_since(last.at)),
                ActiveProof::Connection => Outcome::Connected,
            };
            return None;
        }
        let is_back = |index: MasterIndex| is_usable(masters, index);
        if !last.planned || !last.was_ready || !minion.is_connected() || !is_back(last.from) {
            return None;
        }
        let in_vain = minion.in_vain_since(last.to, last.at);
        if !in_vain && now < last.at + PROOF {
            return None;
        }
        let (from, to) = (last.to, last.from);
        let why = format!("the minion was moved and did not answer there: {}", readiness.why);
        last.outcome = Outcome::TakenBack(readiness.why.clone());
        self.elected = Some(to);
        self.since = now;
        self.why.clone_from(&why);
        self.rests_until = now + REST;
        self.drained.remove(&to);
        Some(Decision::Elected {
            from: Some(from),
            to,
            why,
            planned: true,
        })
    }

    /// Who gets the minion, of those that are up; a drained one only if there is no other.
    fn pick(
        &mut self,
        except: Option<MasterIndex>,
        masters: &[Master],
        settings: &Settings,
    ) -> Option<MasterIndex> {
        let up = || {
            (0..masters.len())
                .map(MasterIndex)
                .filter(|index| Some(*index) != except && is_usable(masters, *index))
        };
        let has_other = up().any(|index| !self.drained.contains(&index));
        let drained = &self.drained;
        let mut candidates = up().filter(|index| !has_other || !drained.contains(index));
        match settings.policy {
            settings::Election::Sticky | settings::Election::Prefer => candidates.next(),
            settings::Election::Random => candidates.choose(&mut self.random),
        }
    }

    /// When something may change although nothing new is learned.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let first = self.elected.is_none().then(|| self.began + FIRST);
        let proof = self.last.as_ref().map(|last| last.at + PROOF);
        [
            first,
            self.closing.as_ref().map(|closing| self.closes_at(closing)),
            self.preferred.map(|(_, since)| since + HOLD_DOWN),
            proof,
            Some(self.rests_until),
        ]
        .into_iter()
        .flatten()
    }

    /// The masters are others now.
    pub(super) fn renumber(&mut self, former: &[Option<MasterIndex>], now: Instant) {
        let new = |old: MasterIndex| {
            former
                .iter()
                .position(|index| *index == Some(old))
                .map(MasterIndex)
        };
        let before = self.elected.take();
        self.elected = before.and_then(new);
        if before.is_some() && self.elected.is_none() {
            (self.since, self.began) = (now, now);
            "the elected master is not in the configuration any more".clone_into(&mut self.why);
        }
        self.drained = std::mem::take(&mut self.drained)
            .into_iter()
            .filter_map(new)
            .collect();
        self.last = self.last.take().and_then(|last| {
            Some(Switch {
                from: new(last.from)?,
                to: new(last.to)?,
                ..last
            })
        });
        self.remembered = self.remembered.and_then(new);
        (self.closing, self.preferred) = (None, None);
        self.led = Led::default();
    }
}

/// With no master up: another one that has proven itself, though it has not been calm for long enough; unless the elected one has, too.
fn last_resort(elected: MasterIndex, masters: &[Master], settings: &Settings) -> Option<MasterIndex> {
    let mut proven = (0..masters.len()).map(MasterIndex).filter(|index| {
        masters
            .get(index.0)
            .is_some_and(|master| master.has_proven_itself(settings))
    });
    let first = proven.next()?;
    let is_elected = first == elected || proven.any(|index| index == elected);
    (!is_elected).then_some(first)
}

fn trouble(masters: &[Master], index: MasterIndex) -> String {
    masters.get(index.0).map_or_else(String::new, Master::trouble)
}

fn is_usable(masters: &[Master], index: MasterIndex) -> bool {
    masters.get(index.0).is_some_and(Master::is_usable)
}
