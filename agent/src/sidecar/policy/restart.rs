//! When a minion that hangs on a dead master is restarted, and whether that helped.

use std::time::Duration;

use tokio::time::Instant;

use super::master::Master;
use super::minion::{ActiveProof, Minion, Readiness};
use crate::sidecar::settings::{Mode, Settings};

/// A minion that has just started is not connected yet: 3006 to 3008 take 2 to 10 s, more on a busy host.
const STARTING: Duration = Duration::from_secs(60);

/// What is known of restarts.
#[derive(Debug, Default)]
pub(in crate::sidecar) struct Restarts {
    stuck_since: Option<Instant>,
    earlier: Option<Earlier>,
    pub(in crate::sidecar) last: Option<Restart>,
    pub(in crate::sidecar) count: u64,
}

/// A restart by a sidecar before this one.
#[derive(Debug, Clone, Copy)]
struct Earlier {
    noted: Instant,
    /// How long before that it was.
    ago: Duration,
}

/// A restart of the minion.
#[derive(Debug, Clone)]
pub(in crate::sidecar) struct Restart {
    pub(in crate::sidecar) at: Instant,
    pub(in crate::sidecar) why: String,
    pub(in crate::sidecar) outcome: Outcome,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sidecar) enum Outcome {
    /// The command runs.
    Running,
    /// The command failed.
    Failed(String),
    /// Done; whether it helped is not known yet.
    Restarted,
    /// The minion answers through this master, so much later.
    Helped { master: String, after: Duration },
    /// It is connected to this master, which is up; round trips are not permitted.
    Connected { master: String, after: Duration },
    /// It did not answer through any master until another restart was allowed.
    InVain,
}

impl Restarts {
    /// Looks at everything; gives the reason for a restart that is due now.
    pub(super) fn settle(
        &mut self,
        masters: &[Master],
        minion: &Minion,
        readiness: &Readiness,
        settings: &Settings,
        now: Instant,
    ) -> Option<String> {
        self.follow(masters, minion, readiness, settings, now);
        // One at a time, however long its command takes.
        let runs = self
            .last
            .as_ref()
            .is_some_and(|last| last.outcome == Outcome::Running);
        let stuck = stuck(masters, minion, settings, now).filter(|_| !runs);
        let Some(why) = stuck else {
            self.stuck_since = None;
            return None;
        };
        self.stuck_since.get_or_insert(now);
        if self.due(minion, settings).is_none_or(|due| now < due) {
            return None;
        }
        self.count = self.count.saturating_add(1);
        self.stuck_since = None;
        self.last = Some(Restart {
            at: now,
            why: why.clone(),
            outcome: Outcome::Running,
        });
        Some(why)
    }

    /// It was restarted before our time, so long ago.
    pub(super) fn were_before(&mut self, ago: Duration, now: Instant) {
        self.earlier = Some(Earlier { noted: now, ago });
    }

    /// What became of the command.
    pub(super) fn ended(&mut self, result: &Result<(), String>) {
        let Some(last) = &mut self.last else { return };
        if last.outcome == Outcome::Running {
            last.outcome = match result {
                Ok(()) => Outcome::Restarted,
                Err(why) => Outcome::Failed(why.clone()),
            };
        }
    }

    fn follow(
        &mut self,
        masters: &[Master],
        minion: &Minion,
        readiness: &Readiness,
        settings: &Settings,
        now: Instant,
    ) {
        let Some(last) = &mut self.last else { return };
        if last.outcome != Outcome::Restarted {
            return;
        }
        if now >= last.at + settings.restart_backoff {
            last.outcome = Outcome::InVain;
            return;
        }
        let Some(active) = &readiness.active else { return };
        let Some(master) = masters.get(active.master.0).map(|master| master.name.clone()) else {
            return;
        };
        match active.proof {
            ActiveProof::RoundTrip { asked, at, .. } if asked >= last.at => {
                let after = at.duration_since(last.at);
                last.outcome = Outcome::Helped { master, after };
            }
            ActiveProof::Connection if minion.tied_since >= last.at => {
                let after = minion.tied_since.duration_since(last.at);
                last.outcome = Outcome::Connected { master, after };
            }
            _ => {}
        }
    }

    fn due(&self, minion: &Minion, settings: &Settings) -> Option<Instant> {
        let mut due = self.stuck_since? + settings.restart_after;
        let is_tied = minion
            .local
            .as_ref()
            .is_some_and(|local| !local.tied_to.is_empty());
        if !is_tied {
            due = due.max(minion.runs_since + STARTING);
        }
        if let Some(last) = &self.last {
            due = due.max(last.at + settings.restart_backoff);
        }
        if let Some(Earlier { noted, ago }) = self.earlier {
            due = due.max(noted + settings.restart_backoff.saturating_sub(ago));
        }
        Some(due)
    }

    pub(super) fn deadlines(&self, minion: &Minion, settings: &Settings) -> impl Iterator<Item = Instant> {
        let given_up = self.last.as_ref().map(|last| last.at + settings.restart_backoff);
        self.due(minion, settings).into_iter().chain(given_up)
    }
}

/// Why the minion should be restarted, if it stays like this.
fn stuck(masters: &[Master], minion: &Minion, settings: &Settings, now: Instant) -> Option<String> {
    let local = minion.local.as_ref().filter(|_| minion.is_fresh(now))?;
    let unclear = local.unknown.is_some() || !local.strangers.is_empty();
    // One whose configuration leads it to a relay that is not there waits for that after a restart, too.
    let in_vain = minion.waits_for_relay;
    if settings.mode != Mode::Restart || unclear || in_vain || local.processes.is_empty() {
        return None;
    }
    let up = masters.iter().find(|master| master.is_usable())?;
    // Its own minion may well go on with one that answers again, though it has not been calm for long enough.
    let is_dead = |master: &&Master| master.standing.is_dead() && !master.has_proven_itself(settings);
    let tied: Option<Vec<&Master>> = local.tied_to.iter().map(|index| masters.get(index.0)).collect();
    match tied?.as_slice() {
        [] => Some(format!("it is connected to no master, while {} is up", up.name)),
        tied if tied.iter().all(is_dead) => {
            let troubles: Vec<String> = tied.iter().map(|master| master.trouble()).collect();
            Some(format!(
                "it hangs on {}, while {} is up",
                troubles.join(" and "),
                up.name
            ))
        }
        _ => None,
    }
}
