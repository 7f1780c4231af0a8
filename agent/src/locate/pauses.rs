//! How long to wait between two looks for a return.

use std::time::Duration;

/// Before the first look. A minion forks for each job: its return was never there earlier, and looks cost the processor that it may share
/// with the master.
const FIRST: Duration = Duration::from_millis(45);
/// Before the second one.
const SECOND: Duration = Duration::from_millis(8);
/// Each pause is longer than the one before by this factor, if nothing else is said,
const GROWTH: f64 = 1.2;
/// up to this.
const LONGEST: Duration = Duration::from_millis(500);
/// Before the first look of one who is given a sign when there may be something to see.
const FIRST_BESIDE_SIGNS: Duration = Duration::from_millis(200);

/// Pauses that are short when most answers come, and grow then: an answer is seen soon, and a slow minion costs its master little.
#[derive(Debug, Clone)]
pub struct Pauses {
    next: Duration,
    grown: Duration,
    growth: f64,
    longest: Duration,
}

impl Pauses {
    /// Begins with the time that every minion takes.
    #[must_use]
    pub fn new() -> Self {
        Self::growing(GROWTH, LONGEST)
    }

    /// The same, growing by this factor, up to this.
    #[must_use]
    pub fn growing(growth: f64, longest: Duration) -> Self {
        Self {
            next: FIRST.min(longest),
            grown: SECOND.min(longest),
            growth,
            longest,
        }
    }

    /// For one who looks when there is a sign, and now and then without one.
    #[must_use]
    pub fn beside_signs() -> Self {
        Self {
            next: FIRST_BESIDE_SIGNS,
            grown: FIRST_BESIDE_SIGNS,
            growth: GROWTH,
            longest: LONGEST,
        }
    }

    /// The next pause.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, so an Option would be in the way"
    )]
    pub fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = self.grown;
        self.grown = self.grown.mul_f64(self.growth).min(self.longest);
        pause
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Self::new()
    }
}
