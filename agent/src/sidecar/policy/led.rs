//! Who was led to the elected master by a lookup, and may be about to dispatch a job there.

use std::time::Duration;

use proto::message::Mark;
use tokio::time::Instant;

use crate::sidecar::facts::Errand;

/// Who does not say what follows gets his job through by then.
const UNANNOUNCED: Duration = Duration::from_millis(120);
/// Who does, and is alive, gets it through by then even if his master is slow.
const ANNOUNCED: Duration = Duration::from_secs(2);
/// Announced jobs that are remembered: more than a master publishes in that time.
const MOST: usize = 256;

/// Those who were led there.
#[derive(Debug, Default)]
pub(super) struct Led {
    /// When somebody was who has not said what follows.
    last: Option<Instant>,
    /// The jobs that were said to follow and have not come.
    announced: Vec<(Mark, Instant)>,
}

impl Led {
    /// A publication is handed out.
    pub(super) fn handed_out(&mut self, errand: &Errand, now: Instant) {
        match errand {
            Errand::Lookup(None) => self.last = Some(now),
            Errand::Lookup(Some(job)) => {
                self.announced
                    .retain(|(known, at)| known != job && now < *at + ANNOUNCED);
                if self.announced.len() < MOST {
                    self.announced.push((job.clone(), now));
                }
            }
            Errand::Job(Some(job)) => self.announced.retain(|(known, _)| known != job),
            Errand::Job(None) => {}
        }
    }

    /// When nobody's job is to be expected any more; never later than now if nobody was led there.
    pub(super) fn are_through(&self) -> Option<Instant> {
        let announced = self.announced.iter().map(|(_, at)| *at + ANNOUNCED);
        announced.chain(self.last.map(|at| at + UNANNOUNCED)).max()
    }
}
