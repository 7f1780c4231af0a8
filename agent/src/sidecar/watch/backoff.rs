//! How long to wait before a try to connect.

use std::time::Duration;

use rand::RngExt as _;

/// Before the second try; before each further one twice as long,
const FIRST: Duration = Duration::from_millis(100);
/// up to this.
const LONGEST: Duration = Duration::from_secs(2);

/// Pauses before tries: none at first, short then, as most faults are, and never so long that a recovery goes unseen.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The pause before the next try, jittered by half, so that all sidecars of a master do not come back at once.
    pub(super) fn pause(&mut self) -> Duration {
        let tries = self.tries;
        self.tries = tries.saturating_add(1);
        let Some(before) = tries.checked_sub(1) else {
            return Duration::ZERO;
        };
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(before)).min(LONGEST);
        pause.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// A connection has ended that lived for so long. One that did not outlive a pause is no better than a failed try:
    /// a peer that takes connections and drops them must not keep us busy.
    pub(super) fn lasted(&mut self, life: Duration) {
        if life > LONGEST {
            self.begin_anew();
        }
    }

    /// The next try may come at once.
    pub(super) fn begin_anew(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_try_comes_at_once_and_pauses_grow_to_two_seconds() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pause(), Duration::ZERO);
        let pauses: Vec<Duration> = (0..100).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= FIRST && pauses[0] >= FIRST / 2);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses[5..].iter().all(|pause| *pause >= LONGEST / 2));
    }

    #[test]
    fn only_a_connection_that_lasted_lets_them_begin_anew() {
        let mut backoff = Backoff::default();
        backoff.pause();
        backoff.lasted(LONGEST / 2);
        assert!(backoff.pause() > Duration::ZERO);
        backoff.lasted(LONGEST * 2);
        assert_eq!(backoff.pause(), Duration::ZERO);
    }
}
