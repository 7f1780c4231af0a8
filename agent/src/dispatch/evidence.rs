//! What is known of a job that has not returned, and when it is enough to stop waiting. Nothing here waits or asks.

use std::time::Duration;

use proto::message::MinionId;
use tokio::time::Instant;

use super::inquiry::Kept;
use super::outcome::Return;

/// A minion must have said so twice: between the end of a job and its return there is a moment in which neither is
/// to be seen.
const SIGHTINGS: u32 = 2;
/// A return that is under way arrives within this if minion and master can reach each other all the time.
const STEADY: Duration = Duration::from_secs(5);
/// If they could not, the minion tries again after at most 10 s (`return_retry_timer_max`).
const AFTER_A_GAP: Duration = Duration::from_secs(20);
/// How long a master that is down is waited for when it is the only one that may have the return.
const DOWN: Duration = Duration::from_secs(60);
/// What a minion keeps it keeps before it sends the return.
const KEPT_NOTHING: Duration = Duration::from_secs(1);

/// What is known.
#[derive(Debug)]
pub(super) struct Evidence {
    minions: Vec<Line>,
    masters: Vec<Place>,
}

#[derive(Debug)]
struct Line {
    minion: MinionId,
    idle: Option<Idle>,
    /// The return is there, without a retcode.
    here: Option<Return>,
}

/// A minion that does not run the job.
#[derive(Debug)]
struct Idle {
    since: Instant,
    sightings: u32,
    through: usize,
    kept: Kept,
}

/// A master at which the return is looked for.
#[derive(Debug)]
struct Place {
    master: usize,
    up_since: Option<Instant>,
    had_gap: bool,
    knows: Option<bool>,
}

impl Evidence {
    pub(super) fn new(minions: &[MinionId], masters: &[usize]) -> Self {
        let line = |minion: &MinionId| Line {
            minion: minion.clone(),
            idle: None,
            here: None,
        };
        let place = |&master: &usize| Place {
            master,
            up_since: None,
            had_gap: false,
            knows: None,
        };
        Self {
            minions: minions.iter().map(line).collect(),
            masters: masters.iter().map(place).collect(),
        }
    }

    /// The minions without a return, or without its retcode.
    pub(super) fn waiting(&self) -> Vec<MinionId> {
        self.minions.iter().map(|line| line.minion.clone()).collect()
    }

    /// The minions without a return.
    pub(super) fn missing(&self) -> Vec<MinionId> {
        let missing = self.minions.iter().filter(|line| line.here.is_none());
        missing.map(|line| line.minion.clone()).collect()
    }

    /// The return is there; its retcode may follow.
    pub(super) fn is_here(&mut self, minion: &MinionId, ret: &Return) {
        for line in self.minions.iter_mut().filter(|line| line.minion == *minion) {
            line.here = Some(ret.clone());
        }
    }

    /// The return of a minion whose retcode did not follow.
    pub(super) fn take_here(&mut self, minion: &MinionId) -> Option<Return> {
        self.minions
            .iter_mut()
            .find(|line| line.minion == *minion)
            .and_then(|line| line.here.take())
    }

    /// This one is done with; tells whether it was waited for.
    pub(super) fn is_done(&mut self, minion: &MinionId) -> bool {
        let before = self.minions.len();
        self.minions.retain(|line| line.minion != *minion);
        self.minions.len() < before
    }

    pub(super) fn is_running(&mut self, minion: &MinionId) {
        for line in self.minions.iter_mut().filter(|line| line.minion == *minion) {
            line.idle = None;
        }
    }

    pub(super) fn is_idle(&mut self, minion: &MinionId, through: usize, kept: Kept, now: Instant) {
        for line in self.minions.iter_mut().filter(|line| line.minion == *minion) {
            let idle = line.idle.get_or_insert(Idle {
                since: now,
                sightings: 0,
                through,
                kept,
            });
            idle.sightings = idle.sightings.saturating_add(1);
            (idle.through, idle.kept) = (through, kept);
        }
    }

    pub(super) fn any_idle(&self) -> bool {
        self.minions
            .iter()
            .any(|line| line.idle.is_some() && line.here.is_none())
    }

    /// A master answered. Once one of them knows the job, the others are of no more interest.
    pub(super) fn is_up(&mut self, master: usize, knows: bool, now: Instant) {
        if knows {
            self.masters.retain(|place| place.master == master);
        }
        for place in self.masters.iter_mut().filter(|place| place.master == master) {
            place.up_since.get_or_insert(now);
            // One that has known it does not forget: the empty answer says that it failed inside.
            place.knows = Some(knows || place.knows == Some(true));
        }
    }

    /// A master did not answer; tells whether that is news.
    pub(super) fn is_down(&mut self, master: usize) -> bool {
        let mut news = false;
        for place in self.masters.iter_mut().filter(|place| place.master == master) {
            news |= !place.had_gap || place.up_since.is_some();
            (place.up_since, place.had_gap) = (None, true);
        }
        news
    }

    /// The masters that are looked at and answer.
    pub(super) fn up(&self) -> Vec<usize> {
        self.masters
            .iter()
            .filter(|place| place.up_since.is_some())
            .map(|place| place.master)
            .collect()
    }

    /// The masters whose `pub_ret` gives all that they have.
    pub(super) fn telling(&self) -> Vec<usize> {
        self.masters
            .iter()
            .filter(|place| place.up_since.is_some() && place.knows == Some(true))
            .map(|place| place.master)
            .collect()
    }

    /// The minions that are not worth waiting for any longer, with why.
    pub(super) fn hopeless(&self, now: Instant) -> Vec<(MinionId, String)> {
        let missing = self.minions.iter().filter(|line| line.here.is_none());
        let hopeless = missing.filter_map(|line| {
            let idle = line.idle.as_ref()?;
            let why = self.why_hopeless(idle, now)?;
            Some((line.minion.clone(), why))
        });
        hopeless.collect()
    }

    fn why_hopeless(&self, idle: &Idle, now: Instant) -> Option<String> {
        if idle.sightings < SIGHTINGS {
            return None;
        }
        let waited = |since: Instant, patience| now.saturating_duration_since(since) >= patience;
        let it = "the minion does not run the job and has returned nothing";
        if idle.kept == Kept::Nothing && waited(idle.since, KEPT_NOTHING) {
            return Some(format!(
                "{it}, nor has it kept a result: it never heard of the job, or the job died"
            ));
        }
        if self.masters.iter().any(|place| place.up_since.is_none()) {
            return waited(idle.since, DOWN)
                .then(|| format!("{it} that can be found, and the master that may have it is down"));
        }
        let up_since = self.masters.iter().filter_map(|place| place.up_since).max();
        let had_gap = self
            .masters
            .iter()
            .any(|place| place.had_gap || (place.knows == Some(true) && place.master != idle.through));
        let since = up_since.map_or(idle.since, |up| up.max(idle.since));
        let patience = if had_gap { AFTER_A_GAP } else { STEADY };
        waited(since, patience)
            .then(|| format!("{it}: it never heard of the job, or the job died, or its return got lost"))
    }
}

#[cfg(test)]
mod tests {
    use proto::message::{Jid, Value};

    use super::*;

    const HOME: usize = 0;

    struct Trial {
        evidence: Evidence,
        start: Instant,
    }

    impl Trial {
        /// A job at a master that answers.
        fn new() -> Self {
            let start = Instant::now();
            let mut evidence = Evidence::new(&[minion()], &[HOME]);
            evidence.is_up(HOME, true, start);
            Self { evidence, start }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn idle(&mut self, seconds: u64, through: usize, kept: Kept) {
            let at = self.at(seconds);
            self.evidence.is_idle(&minion(), through, kept, at);
        }

        /// The whole second in which it is given up.
        fn hopeless(&self) -> Option<u64> {
            (0..300).find(|second| !self.evidence.hopeless(self.at(*second)).is_empty())
        }
    }

    fn minion() -> MinionId {
        MinionId::parse("minion01").unwrap()
    }

    #[test]
    fn a_minion_that_runs_the_job_or_says_nothing_is_waited_for() {
        let mut trial = Trial::new();
        assert_eq!(trial.hopeless(), None);
        trial.idle(3, HOME, Kept::Unknown);
        // Once: the return may be on its way.
        assert_eq!(trial.hopeless(), None);
        trial.idle(4, HOME, Kept::Unknown);
        trial.evidence.is_running(&minion());
        assert_eq!(trial.hopeless(), None);
    }

    #[test]
    fn a_return_that_should_be_there_is_not_waited_for_long() {
        let mut trial = Trial::new();
        trial.idle(3, HOME, Kept::Unknown);
        trial.idle(4, HOME, Kept::Unknown);
        assert_eq!(trial.hopeless(), Some(3 + STEADY.as_secs()));
    }

    #[test]
    fn a_minion_that_would_have_kept_the_result_is_believed_at_once() {
        let mut trial = Trial::new();
        trial.idle(3, HOME, Kept::Nothing);
        trial.idle(4, HOME, Kept::Nothing);
        assert_eq!(trial.hopeless(), Some(4));
    }

    #[test]
    fn after_a_gap_the_minion_may_try_again() {
        let mut trial = Trial::new();
        assert!(trial.evidence.is_down(HOME));
        assert!(!trial.evidence.is_down(HOME));
        trial.idle(3, 1, Kept::Unknown);
        trial.idle(4, 1, Kept::Unknown);
        let at = trial.at(10);
        trial.evidence.is_up(HOME, true, at);
        assert_eq!(trial.hopeless(), Some(10 + AFTER_A_GAP.as_secs()));
    }

    #[test]
    fn a_minion_that_hangs_on_another_master_now_may_still_deliver() {
        let mut trial = Trial::new();
        trial.idle(3, 1, Kept::Unknown);
        trial.idle(4, 1, Kept::Unknown);
        assert_eq!(trial.hopeless(), Some(3 + AFTER_A_GAP.as_secs()));
    }

    #[test]
    fn a_master_that_may_have_the_return_is_waited_for() {
        let mut trial = Trial::new();
        trial.evidence.is_down(HOME);
        trial.idle(3, 1, Kept::Unknown);
        trial.idle(4, 1, Kept::Unknown);
        assert_eq!(trial.hopeless(), Some(3 + DOWN.as_secs()));
    }

    #[test]
    fn the_master_that_knows_the_job_is_the_one_to_ask() {
        let mut evidence = Evidence::new(&[minion()], &[0, 1]);
        let now = Instant::now();
        evidence.is_up(0, false, now);
        evidence.is_up(1, true, now);
        assert_eq!((evidence.up(), evidence.telling()), (vec![1], vec![1]));
        // It fails inside: it does not forget.
        evidence.is_up(1, false, now);
        assert_eq!(evidence.telling(), [1]);
    }

    #[test]
    fn a_return_that_waits_for_its_retcode_is_not_hopeless() {
        let mut trial = Trial::new();
        trial.idle(3, HOME, Kept::Nothing);
        trial.idle(4, HOME, Kept::Nothing);
        let ret = Return {
            jid: Jid::parse("20261120184009763862").unwrap(),
            function: None,
            ret: Value::Nil,
            outputter: None,
            retcode: None,
        };
        trial.evidence.is_here(&minion(), &ret);
        assert_eq!(trial.hopeless(), None);
        assert!(trial.evidence.missing().is_empty());
        assert_eq!(trial.evidence.take_here(&minion()), Some(ret));
    }

    #[test]
    fn who_has_returned_is_done_with() {
        let mut trial = Trial::new();
        assert!(trial.evidence.is_done(&minion()));
        assert!(!trial.evidence.is_done(&minion()));
        assert!(trial.evidence.waiting().is_empty());
    }
}
