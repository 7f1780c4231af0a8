//! The state of one master, from the evidence of it. The rules stand in [`super`].

mod limits;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::line::{Line, Turn};
use super::standing::{Pace, Standing};
use crate::sidecar::facts::{Evidence, Line as Which};
use crate::sidecar::settings::Settings;
use crate::state::{State, Verdict};

/// How long a master is verified quickly after something spoke for it.
const EAGER: Duration = Duration::from_secs(30);

/// One master.
#[derive(Debug)]
pub(in crate::sidecar) struct Master {
    pub(in crate::sidecar) name: String,
    pub(in crate::sidecar) standing: Standing,
    pub(in crate::sidecar) since: Instant,
    pub(in crate::sidecar) why: String,
    pub(in crate::sidecar) request: Line,
    pub(in crate::sidecar) publish: Line,
    pub(in crate::sidecar) last_verified: Option<Verified>,
    /// Verified answers in a row while both connections stood, since the last trouble of any kind.
    pub(in crate::sidecar) proofs: u32,
    /// When the last genuine publication came.
    pub(in crate::sidecar) last_publication: Option<Instant>,
    /// What failed to verify, and how often.
    pub(in crate::sidecar) failures: BTreeMap<&'static str, u64>,
    /// Verified answers in a row, whatever the publish connection did.
    answers: u32,
    /// Requests in a row that went unanswered or were refused, and what the last one shows.
    failing: u32,
    failed_as: (Standing, String),
    /// What it, or whoever is there, says of us or shows of itself.
    claim: Option<(Standing, String)>,
    /// It is up, but lost a connection since it was last proven.
    doubt: Option<String>,
    /// The state that the evidence shows, while it has not lasted yet.
    settling: Option<(Standing, Instant)>,
    /// The last trouble.
    troubled: Instant,
    /// How often it fell, each time soon after it came up.
    falls: u32,
    steady_since: Instant,
    eager_until: Instant,
    newest: Instant,
}

/// The last answer that was proven to be the genuine master's.
#[derive(Debug, Clone, Copy)]
pub(in crate::sidecar) struct Verified {
    pub(in crate::sidecar) at: Instant,
    pub(in crate::sidecar) after: Duration,
}

/// A change of state.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) from: Standing,
    pub(super) to: Standing,
    pub(super) why: String,
}

impl Master {
    pub(super) fn new(name: String, now: Instant) -> Self {
        Self {
            name,
            standing: Standing::Unknown,
            since: now,
            why: "no evidence yet".to_owned(),
            request: Line::new(now),
            publish: Line::new(now),
            last_verified: None,
            proofs: 0,
            last_publication: None,
            failures: BTreeMap::new(),
            answers: 0,
            failing: 0,
            failed_as: (Standing::Hung, String::new()),
            claim: None,
            doubt: None,
            settling: None,
            troubled: now,
            falls: 0,
            steady_since: now,
            eager_until: now,
            newest: now,
        }
    }

    /// Up, and nothing is in doubt: one can work through it.
    pub(super) fn is_usable(&self) -> bool {
        self.standing == Standing::Up && self.doubt.is_none()
    }

    /// Its name, and why one cannot work through it.
    pub(super) fn trouble(&self) -> String {
        match &self.doubt {
            Some(doubt) => format!("{}, which is in doubt: {doubt}", self.name),
            None => format!("{}, which is {}: {}", self.name, self.standing, self.why),
        }
    }

    /// How eagerly it is to be verified.
    pub(super) fn pace(&self, now: Instant, settings: &Settings) -> Pace {
        let quick = match self.standing {
            Standing::Unknown => true,
            Standing::Up => self.doubt.is_some() || self.failing > 0,
            _ => self.is_eager(settings) && now < self.eager_until,
        };
        if quick { Pace::Quick } else { Pace::Steady }
    }

    fn is_eager(&self, settings: &Settings) -> bool {
        self.request.stands() && self.proofs < settings.rise && self.failing < settings.verify_misses
    }

    pub(super) fn note(&mut self, evidence: &Evidence, at: Instant, settings: &Settings) {
        self.newest = at;
        match evidence {
            Evidence::Connected { line, peer } => self.connected(*line, *peer, at),
            Evidence::Pong { line, after } => {
                self.line(*line).pong = Some(*after);
                self.lives(*line, at);
            }
            Evidence::Missed { line } => {
                let turn = self.line(*line).misses(settings.heartbeat_misses, at);
                self.turned(*line, turn, at);
            }
            Evidence::Accepts { line, taken } => {
                let line = self.line(*line);
                if line.misses > 0 || line.is_gone() {
                    line.takes = Some(*taken);
                }
            }
            Evidence::Down { line, verdict } => {
                let turn = self.line(*line).breaks(verdict, at);
                self.turned(*line, turn, at);
                if verdict.state == State::Impostor {
                    let why = self.line(*line).why().to_owned();
                    self.count(Standing::Impostor.name());
                    self.claimed(Standing::Impostor, why, at);
                }
            }
            Evidence::Verified { after, .. } => self.verified(*after, at, settings),
            Evidence::Unanswered => {
                let why = "takes connections, but does not answer requests";
                self.count("unanswered");
                self.failed(Standing::Hung, why.to_owned(), at);
            }
            Evidence::Contrary(verdict) => self.contrary(verdict, at),
            Evidence::Publication => {
                self.last_publication = Some(at);
                self.lives(Which::Publish, at);
            }
            // Anybody on the path can send rubbish; what is genuine is found out by verification.
            Evidence::Forged(reason) => self.count(reason),
        }
    }

    fn connected(&mut self, line: Which, peer: SocketAddr, at: Instant) {
        self.line(line).peer = Some(peer);
        self.lives(line, at);
    }

    fn lives(&mut self, line: Which, at: Instant) {
        let turn = self.line(line).lives(at);
        self.turned(line, turn, at);
    }

    fn turned(&mut self, line: Which, turn: Turn, at: Instant) {
        match turn {
            Turn::Same => {}
            Turn::Lost => {
                let (name, gone) = match line {
                    Which::Request => ("request", &self.request),
                    Which::Publish => ("publish", &self.publish),
                };
                self.doubted(format!("its {name} connection is gone: {}", gone.why()), at);
                if line == Which::Request {
                    self.answers = 0;
                    self.failing = 0;
                }
            }
            Turn::Back => {
                self.distrusted_for_up(at);
                self.eager_until = at + EAGER;
            }
        }
    }

    /// A connection was lost: whatever was proven has to be proven again.
    fn doubted(&mut self, why: String, at: Instant) {
        self.distrusted_for_up(at);
        if self.standing == Standing::Up && self.doubt.is_none() {
            self.falls(at);
            self.doubt = Some(why);
        }
    }

    fn distrusted_for_up(&mut self, at: Instant) {
        self.proofs = 0;
        self.troubled = at;
    }

    fn distrusted(&mut self, at: Instant) {
        self.distrusted_for_up(at);
        self.answers = 0;
    }

    fn verified(&mut self, after: Duration, at: Instant, settings: &Settings) {
        self.lives(Which::Request, at);
        self.last_verified = Some(Verified { at, after });
        self.failing = 0;
        self.answers = self.answers.saturating_add(1);
        if self.publish.stands() || self.standing == Standing::Unknown {
            self.proofs = self.proofs.saturating_add(1);
        }
        if self.standing != Standing::Up && self.proofs <= 1 {
            self.eager_until = at + EAGER;
        }
        let is_over = |(claimed, _): &(Standing, String)| {
            *claimed != Standing::Impostor || self.answers >= settings.rise
        };
        if self.claim.as_ref().is_some_and(is_over) {
            self.claim = None;
        }
    }

    fn failed(&mut self, standing: Standing, why: String, at: Instant) {
        self.distrusted(at);
        self.failing = self.failing.saturating_add(1);
        self.failed_as = (standing, why);
    }

    fn contrary(&mut self, verdict: &Verdict, at: Instant) {
        let Some(shown) = Standing::of_contrary(verdict.state) else {
            return;
        };
        let why = verdict.error.clone();
        let why = why.unwrap_or_else(|| format!("answers: {shown}"));
        self.count(shown.name());
        self.lives(Which::Request, at);
        match shown {
            // What a master that starts, or is overloaded, may answer once.
            Standing::Refused | Standing::Hung => self.failed(shown, why, at),
            _ => {
                self.failing = 0;
                self.claimed(shown, why, at);
            }
        }
    }

    fn claimed(&mut self, shown: Standing, why: String, at: Instant) {
        self.distrusted(at);
        let is_impostor = |(claimed, _): &(Standing, String)| *claimed == Standing::Impostor;
        // An impostor that also says something of our key stays one.
        if shown == Standing::Impostor || !self.claim.as_ref().is_some_and(is_impostor) {
            self.claim = Some((shown, why));
        }
    }

    fn count(&mut self, reason: &'static str) {
        let count = self.failures.entry(reason).or_insert(0);
        *count = count.saturating_add(1);
    }

    fn line(&mut self, line: Which) -> &mut Line {
        match line {
            Which::Request => &mut self.request,
            Which::Publish => &mut self.publish,
        }
    }

    /// Draws the conclusion from all that is known now.
    pub(super) fn settle(&mut self, now: Instant, settings: &Settings) -> Option<Change> {
        if let Some(why) = self.stale(now, settings) {
            self.forget(now);
            return self.becomes(Standing::Unknown, why, now);
        }
        if self.doubt.is_some() && self.is_proven(now, settings) {
            self.doubt = None;
            self.steady_since = now;
        }
        let Some((to, why)) = self.shown(now, settings) else {
            self.settling = None;
            return None;
        };
        if to == self.standing {
            self.settling = None;
            self.why = why;
            return None;
        }
        let since = match self.settling {
            Some((settling, since)) if settling == to => since,
            _ => now,
        };
        self.settling = Some((to, since));
        if now < since + self.patience(to, settings) {
            return None;
        }
        self.becomes(to, why, now)
    }

    fn becomes(&mut self, to: Standing, why: String, now: Instant) -> Option<Change> {
        if self.standing == to {
            return None;
        }
        let from = self.standing;
        if from == Standing::Up && self.doubt.take().is_none() && to != Standing::Unknown {
            self.falls(now);
        }
        if to == Standing::Up {
            self.steady_since = now;
        }
        if matches!(to, Standing::Hung | Standing::Unreachable) && self.request.is_gone() {
            // What it said of our key it said before it was gone.
            self.claim = self
                .claim
                .take()
                .filter(|(claimed, _)| *claimed == Standing::Impostor);
        }
        self.settling = None;
        self.standing = to;
        self.since = now;
        self.why.clone_from(&why);
        Some(Change { from, to, why })
    }

    /// The state that the evidence shows; nothing if it shows no other than the present one.
    fn shown(&self, now: Instant, settings: &Settings) -> Option<(Standing, String)> {
        for line in [&self.request, &self.publish] {
            if line.is_impostor() {
                return Some((Standing::Impostor, line.why().to_owned()));
            }
        }
        if let Some((Standing::Impostor, why)) = &self.claim {
            return Some((Standing::Impostor, why.clone()));
        }
        if self.request.is_gone() && self.publish.is_gone() {
            let hangs = [&self.request, &self.publish]
                .iter()
                .any(|line| line.takes == Some(true));
            let standing = if hangs {
                Standing::Hung
            } else {
                Standing::Unreachable
            };
            let (request, publish) = (self.request.why(), self.publish.why());
            let why = if request == publish {
                request.to_owned()
            } else {
                format!("{request}; publications: {publish}")
            };
            return Some((standing, why));
        }
        if self.failing >= settings.verify_misses && self.request.stands() {
            let (standing, why) = &self.failed_as;
            let why = match self.failing {
                1 => why.clone(),
                times => format!("{why} ({times} times in a row)"),
            };
            return Some((*standing, why));
        }
        if let Some(claim) = self.claim.as_ref().filter(|_| now < self.claimed_until(now)) {
            return Some(claim.clone());
        }
        if !self.request.is_known() || !self.publish.is_known() {
            return None;
        }
        if self.request.is_gone() {
            let why = format!("no request connection: {}", self.request.why());
            return Some((Standing::Degraded, why));
        }
        if self.publish.is_gone() {
            // At the start it is not known yet whether the other one answers.
            let early = self.standing == Standing::Unknown && self.answers == 0;
            let why = format!("no publish connection: {}", self.publish.why());
            return (!early).then_some((Standing::Degraded, why));
        }
        if self.is_proven(now, settings) {
            let why = match self.proofs {
                1 => "a verified answer, and both connections stand".to_owned(),
                proofs => format!("{proofs} verified answers in a row, and both connections stand"),
            };
            return Some((Standing::Up, why));
        }
        // What it was called it is no more.
        let refuted = match self.standing {
            Standing::Impostor => self.claim.is_none(),
            Standing::Hung | Standing::Unreachable => self.has_proven_itself(settings),
            _ => false,
        };
        if refuted {
            let why = "the genuine master answers again, and has not been calm for long enough yet";
            return Some((Standing::Degraded, why.to_owned()));
        }
        // It came back before that was told, but has to prove itself again.
        let doubt = self.doubt.as_ref()?;
        Some((Standing::Degraded, format!("{doubt} (back, not proven yet)")))
    }

    fn is_proven(&self, now: Instant, settings: &Settings) -> bool {
        self.has_proven_itself(settings) && (self.is_usable() || now >= self.calm_at())
    }

    /// Up, or it would be if it had been calm for long enough.
    pub(super) fn has_proven_itself(&self, settings: &Settings) -> bool {
        let needed = if self.standing == Standing::Unknown {
            1
        } else {
            settings.rise
        };
        self.request.stands() && self.publish.stands() && self.claim.is_none() && self.proofs >= needed
    }
}
