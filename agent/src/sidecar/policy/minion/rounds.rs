//! The round trips to the minion through one master: what they proved, and when the next one is due.

use std::time::Duration;

use proto::message::Jid;
use tokio::time::Instant;

use crate::sidecar::facts::RoundTrip;

/// Between the beginnings of two round trips through one master, but for one that proves a planned move.
const GAP: Duration = Duration::from_secs(2);
/// After the first one that proved nothing; doubled by each further one.
const RETRY: Duration = Duration::from_secs(10);
/// The most.
const MOST_RETRY: Duration = Duration::from_secs(60);
/// A round trip whose end was never told.
pub(super) const LOST: Duration = Duration::from_secs(60);

/// The round trips through one master.
#[derive(Debug, Default)]
pub(in crate::sidecar) struct Rounds {
    /// What the last one that proved something proved.
    pub(super) proof: Option<Proof>,
    pub(in crate::sidecar) last: Option<(Instant, RoundTrip)>,
    /// What was asked before this proves nothing now.
    valid_from: Option<Instant>,
    pub(super) asked: Option<Instant>,
    pub(super) started: Option<Instant>,
    pub(super) due: Option<Instant>,
    in_vain: u32,
    pub(super) usable: bool,
    pub(super) tied: bool,
}

/// What a round trip proved.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub(super) asked: Instant,
    pub(super) at: Instant,
    pub(super) found: Found,
}

#[derive(Debug, Clone)]
pub(super) enum Found {
    Answered(Jid, Duration),
    Silent,
    NotPermitted(String),
}

impl Rounds {
    /// What was proved before proves nothing any more.
    pub(super) fn renew(&mut self, now: Instant, due: Instant) {
        self.valid_from = Some(now);
        self.proof = None;
        self.in_vain = 0;
        self.due = Some(due);
    }

    /// One begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.asked = Some(now);
        self.started = Some(now);
        self.due = Some(now + LOST);
    }

    /// One ended. `periodic`: after how long the next one is due if it was good.
    pub(super) fn returned(&mut self, end: &RoundTrip, at: Instant, periodic: Duration) {
        let asked = self.asked.take().unwrap_or(at);
        self.last = Some((at, end.clone()));
        let found = match end {
            RoundTrip::Answered { jid, after } => Some(Found::Answered(jid.clone(), *after)),
            RoundTrip::Silent => Some(Found::Silent),
            RoundTrip::NotPermitted(why) => Some(Found::NotPermitted(why.clone())),
            RoundTrip::Failed(_) => None,
        };
        let is_good = matches!(end, RoundTrip::Answered { .. } | RoundTrip::NotPermitted(_));
        if self.valid_from.is_none_or(|from| asked < from) {
            // Things have changed since it was asked; what is due stays due.
            return;
        }
        if let Some(found) = found {
            self.proof = Some(Proof { asked, at, found });
        }
        self.in_vain = if is_good {
            0
        } else {
            self.in_vain.saturating_add(1)
        };
        self.due = Some(at + if is_good { periodic } else { retry(self.in_vain) });
    }

    /// What was proved last.
    pub(super) fn found(&self) -> Option<&Found> {
        self.proof.as_ref().map(|proof| &proof.found)
    }

    /// When the next one may begin.
    pub(super) fn begins_at(&self) -> Option<Instant> {
        let due = self.due?;
        let after_the_last = self.started.map_or(due, |started| started + GAP);
        // One under way is waited for, unless it is lost.
        let after_this = self.asked.map_or(due, |asked| asked + LOST);
        Some(due.max(after_the_last).max(after_this))
    }
}

fn retry(in_vain: u32) -> Duration {
    let doublings = in_vain.saturating_sub(1);
    RETRY
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(MOST_RETRY)
}
