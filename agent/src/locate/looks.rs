//! When to look for a return: at a sign that it may be there, or after a pause.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Pauses;

/// Looks because of signs. Where there are more signs than that, they are somebody else's.
const LOOKS_BY_SIGNS: u32 = 8;

/// Signs that a return may be with the master now: each of them is a reason to look, and most looks without one are in vain.
#[derive(Debug, Clone)]
pub struct Signs(watch::Receiver<u64>);

impl Signs {
    /// Every change of this number is one.
    #[must_use]
    pub const fn of(number: watch::Receiver<u64>) -> Self {
        Self(number)
    }

    /// Waits for the next one. Dropping the future loses none.
    async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // There will be none.
            std::future::pending::<()>().await;
        }
    }
}

/// The looks for the returns of one publication.
pub(super) struct Looks {
    pauses: Pauses,
    signs: Option<Signs>,
    by_signs: u32,
}

impl Looks {
    /// Before the publication: signs from before mean nothing.
    pub(super) fn begin(signs: Option<Signs>) -> Self {
        let signs = signs.map(|mut signs| {
            signs.0.mark_unchanged();
            signs
        });
        Self {
            pauses: if signs.is_some() {
                Pauses::beside_signs()
            } else {
                Pauses::new()
            },
            signs,
            by_signs: 0,
        }
    }

    /// Waits until it is time for the next one, not past the deadline.
    pub(super) async fn next(&mut self, deadline: Instant) {
        let due = (Instant::now() + self.pauses.next()).min(deadline);
        let Some(signs) = &mut self.signs else {
            return sleep_until(due).await;
        };
        if timeout_at(due, signs.next()).await.is_ok() {
            self.by_signs = self.by_signs.saturating_add(1);
            if self.by_signs == LOOKS_BY_SIGNS {
                *self = Self::begin(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The time until the next look.
    async fn waited(looks: &mut Looks) -> Duration {
        let start = Instant::now();
        looks.next(start + Duration::from_secs(60)).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_is_a_look_at_once_and_one_from_before_is_none() {
        let (gives, signs) = watch::channel(0_u64);
        gives.send_replace(1);
        let mut looks = Looks::begin(Some(Signs::of(signs)));
        assert_ne!(waited(&mut looks).await, Duration::ZERO);
        gives.send_replace(2);
        assert_eq!(waited(&mut looks).await, Duration::ZERO);
        assert_ne!(waited(&mut looks).await, Duration::ZERO);
        drop(gives);
        assert_ne!(waited(&mut looks).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_others_cost_few_looks_and_then_it_is_as_without_any() {
        let (gives, signs) = watch::channel(0_u64);
        let mut looks = Looks::begin(Some(Signs::of(signs)));
        let (mut at_once, mut usual) = (0, Looks::begin(None));
        for number in 1..=20 {
            gives.send_replace(number);
            let waited_beside = waited(&mut looks).await;
            if waited_beside.is_zero() {
                at_once += 1;
            } else {
                assert_eq!(waited_beside, waited(&mut usual).await);
            }
        }
        assert_eq!(at_once, LOOKS_BY_SIGNS);
    }

    #[tokio::test(start_paused = true)]
    async fn no_look_waits_past_the_deadline() {
        for signs in [None, Some(Signs::of(watch::channel(0).1))] {
            let mut looks = Looks::begin(signs);
            let soon = Instant::now() + Duration::from_millis(5);
            looks.next(soon).await;
            assert_eq!(Instant::now(), soon);
        }
    }
}
