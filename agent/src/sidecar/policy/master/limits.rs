//! How long things must last before they are believed, and how old evidence may be.

use std::time::Duration;

use tokio::time::Instant;

use super::super::line::Line;
use super::super::standing::{Pace, Standing};
use super::Master;
use crate::sidecar::settings::Settings;

/// A change between two states in which nobody works through the master is told once it has lasted for this long: the
/// connections of a master that starts come back one after the other, up to a redial (2 s) apart.
const SETTLE: Duration = Duration::from_secs(3);
/// A master that falls again within this time after it came up is believed later,
const RELAPSE: Duration = Duration::from_secs(300);
/// by this much; doubled by each further fall.
const CALM: Duration = Duration::from_secs(2);
/// The most.
const MOST_CALM: Duration = Duration::from_secs(60);
/// How long what a master says of our key is believed after the connection for requests is gone: whoever answers may close it
/// each time.
const CLAIM: Duration = Duration::from_secs(30);
/// So much longer than the settings tell, and evidence is too old: room for waiting in the queue of this host's
/// saltfo processes, and for a busy host.
const GRACE: Duration = Duration::from_secs(10);
/// The same for news of any kind: redials have pauses and timeouts.
const NEWS: Duration = Duration::from_secs(30);

impl Master {
    /// How long what it says of our key is believed.
    pub(super) fn claimed_until(&self, now: Instant) -> Instant {
        let since = if self.request.is_gone() {
            self.request.since
        } else {
            now
        };
        since + CLAIM
    }

    /// When it has been calm for long enough.
    pub(super) fn calm_at(&self) -> Instant {
        let calm = match self.falls.checked_sub(2) {
            None => Duration::ZERO,
            Some(doublings) => CALM
                .saturating_mul(2_u32.saturating_pow(doublings))
                .min(MOST_CALM),
        };
        self.troubled + calm
    }

    pub(super) fn falls(&mut self, now: Instant) {
        self.falls = if now.duration_since(self.steady_since) < RELAPSE {
            self.falls.saturating_add(1)
        } else {
            1
        };
    }

    /// Whether the connection that still stands misses heartbeats, too.
    fn is_falling_silent(&self) -> bool {
        let mut standing = [&self.request, &self.publish]
            .into_iter()
            .filter(|line| line.stands());
        standing.any(|line| line.misses > 0)
    }

    /// How long a state must be shown before it is believed.
    pub(super) fn patience(&self, to: Standing, settings: &Settings) -> Duration {
        use Standing::{Degraded, Hung, Impostor, Unknown, Unreachable, Up};
        let by_workers = to == Hung && self.request.stands();
        match (self.standing, to) {
            _ if by_workers => Duration::ZERO,
            // A master that dies takes both connections with it, one a little after the other: silence ends the second one up to a
            // heartbeat later, and on a busy host it may take longer than that.
            (Up, Degraded) if self.is_falling_silent() => settings.heartbeat.saturating_mul(2),
            (Up, Degraded) => settings.heartbeat,
            (Up | Unknown | Degraded, Hung | Unreachable) | (Unknown, Degraded) => Duration::ZERO,
            // The verdict is to be gone within as many verifications as take it back.
            (Impostor, Degraded) => SETTLE.min(settings.verify),
            (_, Degraded | Hung | Unreachable) => SETTLE,
            _ => Duration::ZERO,
        }
    }

    /// Why what is known is too old.
    pub(super) fn stale(&self, now: Instant, settings: &Settings) -> Option<String> {
        if self.standing == Standing::Unknown || now < self.stale_at(settings) {
            return None;
        }
        let for_long = |since: Instant| {
            humantime::format_duration(Duration::from_secs(now.duration_since(since).as_secs()))
        };
        Some(if now >= self.news_until(settings) {
            format!("nothing was learned of it for {}", for_long(self.newest))
        } else {
            let since = self.last_verified.map_or(self.since, |verified| verified.at);
            format!("nothing was verified for {}", for_long(since))
        })
    }

    fn stale_at(&self, settings: &Settings) -> Instant {
        let news = self.news_until(settings);
        let Some(verified) = self.last_verified.filter(|_| self.standing == Standing::Up) else {
            return news;
        };
        let tries = settings.verify_timeout.saturating_mul(settings.verify_misses);
        news.min(verified.at + settings.verify.saturating_mul(4) + tries + GRACE)
    }

    fn news_until(&self, settings: &Settings) -> Instant {
        self.newest + settings.heartbeat.saturating_mul(3) + NEWS
    }

    pub(super) fn forget(&mut self, now: Instant) {
        if now >= self.newest + NEWS {
            self.request = Line::new(now);
            self.publish = Line::new(now);
        }
        self.distrusted(now);
        self.failing = 0;
        self.claim = None;
    }

    /// When it has to be settled again although nothing new is learned.
    pub(in crate::sidecar::policy) fn deadlines(
        &self,
        now: Instant,
        settings: &Settings,
    ) -> impl Iterator<Item = Instant> {
        let settling = self
            .settling
            .map(|(to, since)| since + self.patience(to, settings));
        let calm = (!self.is_usable()).then(|| self.calm_at());
        let eager = (self.pace(now, settings) == Pace::Quick).then_some(self.eager_until);
        let stale = (self.standing != Standing::Unknown).then(|| self.stale_at(settings));
        let claimed = self.claim.as_ref().map(|_| self.claimed_until(now));
        [settling, calm, eager, stale, claimed].into_iter().flatten()
    }
}
