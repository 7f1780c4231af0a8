//! How long to wait between two looks for a return.

use std::time::Duration;

/// Before the first look. A minion takes some tens of milliseconds.
const FIRST: Duration = Duration::from_millis(10);
/// Each pause is longer than the one before by this factor,
const GROWTH: f64 = 1.4;
/// up to this.
const LONGEST: Duration = Duration::from_millis(500);

/// Pauses that begin short and grow: an answer is seen soon, and a slow minion costs its master little.
#[derive(Debug, Clone)]
pub struct Pauses(Duration);

impl Pauses {
    /// Begins with the shortest.
    #[must_use]
    pub fn new() -> Self {
        Self(FIRST)
    }

    /// The next pause.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, so an Option would be in the way"
    )]
    pub fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = pause.mul_f64(GROWTH).min(LONGEST);
        pause
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Self::new()
    }
}
