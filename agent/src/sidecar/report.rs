//! All that the sidecar knows at a moment: the shape of `/status`, and what metrics and `saltfo status` are made of.

mod relay;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::facts::{MasterIndex, RoundTrip};
use super::policy::{ActiveProof, Condition, Line, Master, Outcome, Policy, Standing};
use super::relay::Seen;
use super::settings::Mode;

pub use relay::{PortReport, RelayReport, SwitchReport, TrafficReport};

/// What is known. The names and shapes are part of the contract with scripts.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// When this was.
    pub at: Stamp,
    /// What the sidecar may do.
    pub mode: Mode,
    /// Whether a verified master is up and the minion is reachable through it.
    pub ready: bool,
    /// Why it is ready or not.
    pub why: String,
    /// Since when it is ready, through this master, or not.
    pub since: Stamp,
    /// The active master.
    pub active: Option<ActiveMaster>,
    /// How often another master became the active one.
    pub failovers: u64,
    /// In the order of the configuration.
    pub masters: Vec<MasterReport>,
    /// The local minion.
    pub minion: MinionReport,
    /// When the next round trip is due.
    pub next_round_trip: Option<Stamp>,
    /// How often the minion was restarted.
    pub restarts: u64,
    /// The last restart.
    pub last_restart: Option<RestartReport>,
    /// The relay, in mode `relay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayReport>,
}

/// The master through which the minion is reachable.
#[derive(Debug, Clone, Serialize)]
pub struct ActiveMaster {
    /// Its name.
    pub name: String,
    /// How that is known: `round_trip`, or `connection` where round trips are not permitted.
    pub proof: &'static str,
    /// The job that was answered.
    pub jid: Option<String>,
    /// From its publish until its return.
    pub rtt_ms: Option<f64>,
    /// When it was answered.
    pub at: Option<Stamp>,
}

/// What is known of a master.
#[derive(Debug, Clone, Serialize)]
pub struct MasterReport {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: Standing,
    /// Since when.
    pub since: Stamp,
    /// Why.
    pub why: String,
    /// Whether it is the active master.
    pub active: bool,
    /// The last answer that was proven to be its own.
    pub last_verified: Option<VerifiedReply>,
    /// Verified answers in a row, while both connections stood.
    pub verified_in_a_row: u32,
    /// The connection for requests.
    pub request: LineReport,
    /// The connection for publications.
    pub publish: LineReport,
    /// When the last genuine publication came.
    pub last_publication: Option<Stamp>,
    /// What failed to verify, and how often.
    pub failures: BTreeMap<&'static str, u64>,
    /// The last round trip through it.
    pub last_round_trip: Option<RoundTripReport>,
}

/// An answer that was proven to be the genuine master's.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct VerifiedReply {
    /// When it came.
    pub at: Stamp,
    /// How long it took.
    pub latency_ms: f64,
}

/// What is known of a connection.
#[derive(Debug, Clone, Serialize)]
pub struct LineReport {
    /// `unknown`, `stands` or `gone`.
    pub state: &'static str,
    /// Since when.
    pub since: Stamp,
    /// Why it is gone.
    pub why: Option<String>,
    /// The address that the name led to.
    pub peer: Option<SocketAddr>,
    /// How long the last heartbeat took.
    pub heartbeat_ms: Option<f64>,
    /// Heartbeats in a row that went unanswered.
    pub misses: u32,
}

/// How a round trip ended.
#[derive(Debug, Clone, Serialize)]
pub struct RoundTripReport {
    /// When.
    pub at: Stamp,
    /// `answered`, `silent`, `not_permitted` or `failed`.
    pub result: &'static str,
    /// The job.
    pub jid: Option<String>,
    /// From its publish until its return.
    pub rtt_ms: Option<f64>,
    /// Why it proved nothing.
    pub why: Option<String>,
}

/// What the kernel shows of the local minion.
#[derive(Debug, Clone, Serialize)]
pub struct MinionReport {
    /// Whether it runs; nothing if that is not known.
    pub runs: Option<bool>,
    /// Its processes.
    pub processes: Vec<u32>,
    /// The masters to whose publish port it is connected.
    pub tied_to: Vec<String>,
    /// Since when it is connected to these, or to none.
    pub tied_since: Option<Stamp>,
    /// Publish ports to which it is connected at addresses that are no master's.
    pub strangers: Vec<SocketAddr>,
    /// Why this is not known.
    pub unknown: Option<String>,
}

/// A restart of the minion.
#[derive(Debug, Clone, Serialize)]
pub struct RestartReport {
    /// When it was begun.
    pub at: Stamp,
    /// Why.
    pub why: String,
    /// `running`, `failed`, `restarted`, `helped`, `connected` or `in_vain`.
    pub result: &'static str,
    /// Why the command failed.
    pub error: Option<String>,
    /// The master through which the minion answers, or to which it is connected, since.
    pub master: Option<String>,
    /// How much later.
    pub after_ms: Option<f64>,
}

/// A moment; RFC 3339 in UTC with milliseconds where it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(Duration);

impl Report {
    pub(super) fn new(policy: &Policy, carried: Option<Seen>, now: Instant, wall: SystemTime) -> Self {
        let clock = Clock { now, wall };
        let readiness = policy.readiness();
        let active = readiness.master();
        let masters = policy.masters.iter().enumerate();
        Self {
            at: clock.stamp(now),
            mode: policy.settings.mode,
            ready: readiness.is_ready(),
            why: readiness.why.clone(),
            since: clock.stamp(policy.ready_since),
            active: active_master(policy, &clock),
            failovers: policy.failovers(),
            masters: masters
                .map(|(index, master)| {
                    let index = MasterIndex(index);
                    let rounds = policy.minion.rounds.get(index.0);
                    let last = rounds.and_then(|rounds| rounds.last.as_ref());
                    let last = last.map(|(at, end)| round_trip(clock.stamp(*at), end));
                    master_report(master, active == Some(index), last, &clock)
                })
                .collect(),
            minion: minion(policy, &clock),
            next_round_trip: policy
                .minion
                .next_round_trip(&policy.settings, now)
                .map(|at| clock.stamp(at)),
            restarts: policy.restarts.count,
            last_restart: restart(policy, &clock),
            relay: RelayReport::new(policy, carried, &clock),
        }
    }
}

fn active_master(policy: &Policy, clock: &Clock) -> Option<ActiveMaster> {
    let active = policy.readiness().active.as_ref()?;
    let name = policy.masters.get(active.master.0)?.name.clone();
    Some(match &active.proof {
        ActiveProof::RoundTrip { jid, after, at, .. } => ActiveMaster {
            name,
            proof: "round_trip",
            jid: Some(jid.to_string()),
            rtt_ms: Some(milliseconds(*after)),
            at: Some(clock.stamp(*at)),
        },
        ActiveProof::Connection => ActiveMaster {
            name,
            proof: "connection",
            jid: None,
            rtt_ms: None,
            at: None,
        },
    })
}

fn master_report(
    master: &Master,
    active: bool,
    last_round_trip: Option<RoundTripReport>,
    clock: &Clock,
) -> MasterReport {
    MasterReport {
        name: master.name.clone(),
        state: master.standing,
        since: clock.stamp(master.since),
        why: master.why.clone(),
        active,
        last_verified: master.last_verified.map(|verified| VerifiedReply {
            at: clock.stamp(verified.at),
            latency_ms: milliseconds(verified.after),
        }),
        verified_in_a_row: master.proofs,
        request: line(&master.request, clock),
        publish: line(&master.publish, clock),
        last_publication: master.last_publication.map(|at| clock.stamp(at)),
        failures: master.failures.clone(),
        last_round_trip,
    }
}

fn line(line: &Line, clock: &Clock) -> LineReport {
    let (state, why) = match &line.condition {
        Condition::Unknown => ("unknown", None),
        Condition::Stands => ("stands", None),
        Condition::Gone { why, .. } => ("gone", Some(why.clone())),
    };
    LineReport {
        state,
        since: clock.stamp(line.since),
        why,
        peer: line.peer,
        heartbeat_ms: line.pong.map(milliseconds),
        misses: line.misses,
    }
}

fn round_trip(at: Stamp, end: &RoundTrip) -> RoundTripReport {
    let (result, jid, rtt_ms, why) = match end {
        RoundTrip::Answered { jid, after } => (
            "answered",
            Some(jid.to_string()),
            Some(milliseconds(*after)),
            None,
        ),
        RoundTrip::Silent => ("silent", None, None, None),
        RoundTrip::NotPermitted(why) => ("not_permitted", None, None, Some(why.clone())),
        RoundTrip::Failed(verdict) => {
            let why = verdict.error.clone();
            (
                "failed",
                None,
                None,
                Some(why.unwrap_or_else(|| verdict.state.name().to_owned())),
            )
        }
    };
    RoundTripReport {
        at,
        result,
        jid,
        rtt_ms,
        why,
    }
}

fn minion(policy: &Policy, clock: &Clock) -> MinionReport {
    let local = policy.minion.local.as_ref();
    let known = local.filter(|local| local.unknown.is_none());
    let name = |index: &MasterIndex| Some(policy.masters.get(index.0)?.name.clone());
    MinionReport {
        runs: known.map(|local| !local.processes.is_empty()),
        processes: local.map(|local| local.processes.clone()).unwrap_or_default(),
        tied_to: known.map_or_else(Vec::new, |local| local.tied_to.iter().filter_map(name).collect()),
        tied_since: known.map(|_| clock.stamp(policy.minion.tied_since)),
        strangers: local.map(|local| local.strangers.clone()).unwrap_or_default(),
        unknown: match local {
            None => Some("it has not been looked for yet".to_owned()),
            Some(local) => local.unknown.clone(),
        },
    }
}

fn restart(policy: &Policy, clock: &Clock) -> Option<RestartReport> {
    let last = policy.restarts.last.as_ref()?;
    let (result, error, helped) = match &last.outcome {
        Outcome::Running => ("running", None, None),
        Outcome::Failed(why) => ("failed", Some(why.clone()), None),
        Outcome::Restarted => ("restarted", None, None),
        Outcome::Helped { master, after } => ("helped", None, Some((master.clone(), *after))),
        Outcome::Connected { master, after } => ("connected", None, Some((master.clone(), *after))),
        Outcome::InVain => ("in_vain", None, None),
    };
    let (master, after) = helped.unzip();
    Some(RestartReport {
        at: clock.stamp(last.at),
        why: last.why.clone(),
        result,
        error,
        master,
        after_ms: after.map(milliseconds),
    })
}

/// Tells the time of day of moments. They are kept as they passed, so a clock that was set does not tear them apart.
struct Clock {
    now: Instant,
    wall: SystemTime,
}

impl Clock {
    fn stamp(&self, at: Instant) -> Stamp {
        let wall = Stamp::from(self.wall).0;
        // What is due lies ahead.
        Stamp(if at > self.now {
            wall.saturating_add(at.duration_since(self.now))
        } else {
            wall.saturating_sub(self.now.duration_since(at))
        })
    }
}

impl Stamp {
    /// Seconds since 1970, as Prometheus counts.
    #[must_use]
    pub fn unix_seconds(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl From<SystemTime> for Stamp {
    /// A clock that stands before 1970 shows 1970.
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// The end of the year 9999: later moments have no RFC 3339 form.
        const LAST: Duration = Duration::from_secs(253_402_300_799);
        let time = SystemTime::UNIX_EPOCH + self.0.min(LAST);
        write!(f, "{}", humantime::format_rfc3339_millis(time))
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Milliseconds with microseconds behind the point: more digits say nothing.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_printed_whatever_the_clock_says() {
        let at = |seconds| Stamp(Duration::from_secs(seconds)).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(1_795_287_600), "2026-11-21T19:00:00.000Z");
        assert_eq!(at(u64::MAX), "9999-12-31T23:59:59.000Z");
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(9);
        assert_eq!(Stamp::from(before).to_string(), "1970-01-01T00:00:00.000Z");
    }
}
