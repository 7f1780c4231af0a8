//! The relay in the report: who is elected and why, what became of the last switch, and what was carried.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use super::{Clock, Stamp, milliseconds};
use crate::sidecar::facts::MasterIndex;
use crate::sidecar::http::Listening;
use crate::sidecar::policy::{Policy, SwitchOutcome};
use crate::sidecar::relay::{Port, Requests, Seen};
use crate::sidecar::settings::{Election, Mode};

/// What is known of the relay.
#[derive(Debug, Clone, Serialize)]
pub struct RelayReport {
    /// The elected master.
    pub master: Option<String>,
    /// Since when.
    pub since: Stamp,
    /// Why it was elected.
    pub why: String,
    /// How masters are elected.
    pub policy: Election,
    /// Masters that get no minion as long as another one is up.
    pub drained: Vec<String>,
    /// Whether the local minion is connected to it; nothing if that is not known.
    pub minion_connected: Option<bool>,
    /// How often another master was elected.
    pub switches: u64,
    /// The last time.
    pub last_switch: Option<SwitchReport>,
    /// What it does and has done.
    pub traffic: Option<TrafficReport>,
}

/// What the relay does and has done since it was started.
#[derive(Debug, Clone, Serialize)]
pub struct TrafficReport {
    /// What keeps it from working, if anything.
    pub trouble: Option<String>,
    /// The port for publications.
    pub publish: PortReport,
    /// The port for requests.
    pub requests: PortReport,
    /// Requests that wait for a master's reply, by master.
    pub under_way: BTreeMap<String, usize>,
    /// What became of requests.
    #[serde(flatten)]
    pub carried: Requests,
    /// Publications of the elected master.
    pub publications: u64,
    /// The same, once for each connection that they were handed to.
    pub delivered: u64,
    /// Publications that were not handed out, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// A port for local minions.
#[derive(Debug, Clone, Serialize)]
pub struct PortReport {
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// Connections now.
    pub connections: usize,
    /// Connections that were too many.
    pub turned_away: u64,
    /// Connections that spoke another protocol.
    pub refused: u64,
}

impl TrafficReport {
    fn new(seen: Seen, name: impl Fn(MasterIndex) -> Option<String>) -> Self {
        let trouble = [&seen.publish, &seen.requests]
            .into_iter()
            .find_map(|port| match &port.listening {
                Listening::Failed(why) => Some(why.clone()),
                Listening::NotYet | Listening::At(_) => None,
            });
        let under_way = seen.carried.under_way.iter().enumerate();
        Self {
            trouble,
            publish: PortReport::new(&seen.publish),
            requests: PortReport::new(&seen.requests),
            under_way: under_way
                .filter_map(|(index, count)| Some((name(MasterIndex(index))?, *count)))
                .collect(),
            carried: seen.carried,
            publications: seen.publications.carried,
            delivered: seen.publications.delivered,
            dropped: seen.publications.dropped.by_reason().into_iter().collect(),
        }
    }
}

impl PortReport {
    fn new(port: &Port) -> Self {
        Self {
            address: match &port.listening {
                Listening::At(address) => Some(*address),
                Listening::NotYet | Listening::Failed(_) => None,
            },
            connections: port.connections,
            turned_away: port.turned_away,
            refused: port.refused,
        }
    }
}

/// Another master was elected.
#[derive(Debug, Clone, Serialize)]
pub struct SwitchReport {
    /// When.
    pub at: Stamp,
    /// The master before.
    pub from: String,
    /// The master since.
    pub to: String,
    /// Why.
    pub why: String,
    /// Whether the old master was up, so that what was under way could end there.
    pub planned: bool,
    /// `pending`, `proven`, `connected` (round trips are not permitted), `taken_back` or `overtaken`.
    pub result: &'static str,
    /// From the switch until jobs reached the minion through the new master.
    pub after_ms: Option<f64>,
    /// Why it was taken back.
    pub error: Option<String>,
}

impl RelayReport {
    pub(super) fn new(policy: &Policy, traffic: Option<Seen>, clock: &Clock) -> Option<Self> {
        if policy.settings.mode != Mode::Relay {
            return None;
        }
        let election = &policy.election;
        let name = |index: MasterIndex| Some(policy.masters.get(index.0)?.name.clone());
        let known = policy
            .minion
            .local
            .as_ref()
            .filter(|local| local.unknown.is_none());
        Some(Self {
            master: election.elected.and_then(name),
            since: clock.stamp(election.since),
            why: election.why.clone(),
            policy: policy.settings.policy,
            drained: election.drained.iter().copied().filter_map(name).collect(),
            minion_connected: known.map(|local| local.relayed),
            switches: election.switches,
            last_switch: election.last.as_ref().and_then(|last| {
                let (result, after, error) = match &last.outcome {
                    SwitchOutcome::Pending => ("pending", None, None),
                    SwitchOutcome::Proven(after) => ("proven", Some(*after), None),
                    SwitchOutcome::Connected => ("connected", None, None),
                    SwitchOutcome::TakenBack(why) => ("taken_back", None, Some(why.clone())),
                    SwitchOutcome::Overtaken => ("overtaken", None, None),
                };
                Some(SwitchReport {
                    at: clock.stamp(last.at),
                    from: name(last.from)?,
                    to: name(last.to)?,
                    why: last.why.clone(),
                    planned: last.planned,
                    result,
                    after_ms: after.map(milliseconds),
                    error,
                })
            }),
            traffic: traffic.map(|seen| TrafficReport::new(seen, name)),
        })
    }
}
