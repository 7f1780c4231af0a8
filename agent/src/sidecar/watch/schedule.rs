//! When the next verification is due.

use std::time::Duration;

use super::{Intervals, Pace};

/// The longest pause between two tries at a master that does not take us or is not the one that we trust. Each costs
/// it a private-key operation, a line in its log and an event on its bus.
const LONGEST: Duration = Duration::from_secs(30);

/// So many verdicts against a master in a row make a new connection no reason to ask at once: whoever sits on the path
/// could close them as fast as they are made, and have us sign in each time.
const NO_NEWS_AFTER: u32 = 3;

/// How a verification ended, as far as the next one is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Verified,
    Unanswered,
    Contrary,
}

/// Counts what came last.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    unanswered: u32,
    contrary: u32,
}

impl Schedule {
    /// Notes an end.
    pub(super) fn note(&mut self, ended: Ended) {
        let count = |so_far: u32, is: bool| if is { so_far.saturating_add(1) } else { 0 };
        self.unanswered = count(self.unanswered, ended == Ended::Unanswered);
        self.contrary = count(self.contrary, ended == Ended::Contrary);
    }

    /// Whether the last request went unanswered.
    pub(super) fn went_unanswered(&self) -> bool {
        self.unanswered > 0
    }

    /// Whether a connection that nobody of us asked for is a reason to ask at once.
    pub(super) fn heeds_connections(&self) -> bool {
        self.contrary < NO_NEWS_AFTER
    }

    /// From the last end until the next verification, before jitter.
    pub(super) fn pause(&self, intervals: &Intervals, pace: Pace) -> Duration {
        let steady = match pace {
            Pace::Steady => intervals.verify,
            Pace::Quick => intervals.heartbeat.saturating_mul(2).min(intervals.verify),
        };
        match (self.unanswered, self.contrary) {
            // A worker that is busy says little: the next one may be idle. If all hang, this tells soon.
            (1, _) => Duration::ZERO,
            (_, 0) => steady,
            (_, tries) => intervals
                .verify
                .saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)))
                .min(LONGEST.max(intervals.verify)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intervals() -> Intervals {
        Intervals {
            heartbeat: Duration::from_millis(250),
            heartbeat_misses: 3,
            verify: Duration::from_secs(5),
            verify_timeout: Duration::from_secs(3),
        }
    }

    fn pauses(ends: &[Ended], pace: Pace) -> Vec<u64> {
        let mut schedule = Schedule::default();
        let pause = |end: &Ended| {
            schedule.note(*end);
            u64::try_from(schedule.pause(&intervals(), pace).as_millis()).unwrap()
        };
        ends.iter().map(pause).collect()
    }

    #[test]
    fn the_first_silence_is_followed_up_at_once_and_the_others_are_not() {
        use Ended::{Unanswered, Verified};
        let ends = [Verified, Unanswered, Unanswered, Unanswered, Verified, Unanswered];
        assert_eq!(pauses(&ends, Pace::Steady), [5000, 0, 5000, 5000, 5000, 0]);
        assert_eq!(pauses(&ends, Pace::Quick), [500, 0, 500, 500, 500, 0]);
    }

    #[test]
    fn new_connections_to_a_master_that_does_not_take_us_are_soon_no_news() {
        let mut schedule = Schedule::default();
        let heeds = [Ended::Contrary; 4].map(|end| {
            schedule.note(end);
            schedule.heeds_connections()
        });
        assert_eq!(heeds, [true, true, false, false]);
        schedule.note(Ended::Verified);
        assert!(schedule.heeds_connections());
    }

    #[test]
    fn a_master_that_does_not_take_us_is_asked_ever_more_rarely_whatever_the_pace() {
        for pace in [Pace::Steady, Pace::Quick] {
            assert_eq!(
                pauses(&[Ended::Contrary; 5], pace),
                [5000, 10_000, 20_000, 30_000, 30_000]
            );
        }
    }
}
