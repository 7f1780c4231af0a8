//! How facts leave: at once, or not at all. A heartbeat waits for nobody.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use crate::sidecar::facts::{Evidence, Fact, Line, MasterIndex, What};
use crate::state::Verdict;

/// Tells what is learned of one master.
///
/// The way to the daemon is bounded. When it is full, most facts are dropped, as they come again as long as they
/// hold: PONGs and misses with each beat, a failed connect with each try, a verification with the next. What is told
/// once is kept until there is room: that a connection stands, or broke.
#[derive(Debug)]
pub(super) struct Teller {
    facts: mpsc::Sender<Fact>,
    master: MasterIndex,
    /// The last word on its connection that did not get through.
    owed: Option<Fact>,
}

impl Teller {
    pub(super) fn new(facts: mpsc::Sender<Fact>, master: MasterIndex) -> Self {
        Self {
            facts,
            master,
            owed: None,
        }
    }

    /// Tells something, now.
    pub(super) fn tell(&mut self, evidence: Evidence) {
        let lasting = matches!(evidence, Evidence::Connected { .. } | Evidence::Down { .. });
        let fact = Fact {
            at: Instant::now(),
            what: What::Master(self.master, evidence),
        };
        if let Some(owed) = self.owed.take() {
            match self.facts.try_send(owed) {
                Ok(()) => {}
                // The newer word on the connection replaces the older.
                Err(TrySendError::Full(_)) if lasting => {
                    self.owed = Some(fact);
                    return;
                }
                Err(TrySendError::Full(owed)) => {
                    self.owed = Some(owed);
                    return;
                }
                Err(TrySendError::Closed(_)) => return,
            }
        }
        if let Err(TrySendError::Full(fact)) = self.facts.try_send(fact) {
            tracing::debug!(master = self.master.0, "facts come faster than they are taken");
            if lasting {
                self.owed = Some(fact);
            }
        }
    }

    /// Tells that a connection broke or could not be made.
    pub(super) fn down(&mut self, line: Line, verdict: Verdict) {
        tracing::debug!(master = self.master.0, ?line, ?verdict, "no connection");
        self.tell(Evidence::Down { line, verdict });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;

    #[test]
    fn when_nobody_listens_the_last_word_on_a_connection_is_kept_and_the_rest_dropped() {
        let (sender, mut facts) = mpsc::channel(1);
        let mut teller = Teller::new(sender, MasterIndex(1));
        let missed = || Evidence::Missed { line: Line::Request };
        teller.tell(missed());
        let verdict = |why: &str| Verdict::because(State::Unreachable, false, why);
        teller.down(Line::Request, verdict("first"));
        teller.down(Line::Request, verdict("second"));
        teller.tell(missed());
        assert!(matches!(
            facts.try_recv().unwrap().what,
            What::Master(MasterIndex(1), Evidence::Missed { .. })
        ));
        teller.tell(missed());
        let What::Master(_, Evidence::Down { verdict, .. }) = facts.try_recv().unwrap().what else {
            panic!("the word on the connection is lost");
        };
        assert_eq!(verdict.error.as_deref(), Some("second"));
        assert!(facts.try_recv().is_err());
    }
}
