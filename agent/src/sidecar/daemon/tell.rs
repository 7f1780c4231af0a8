//! Telling of what changed: the log, hooks, masters, metrics, HTTP and systemd all hear it from here.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::Config;
use crate::master::{self, Connection, Failure};
use crate::sidecar::event::{Change, Kind};
use crate::sidecar::facts::{Evidence, Fact, MasterIndex, What};
use crate::sidecar::hooks::Hooks;
use crate::sidecar::http::Snapshot;
use crate::sidecar::metrics::Metrics;
use crate::sidecar::policy::{Decision, Policy, Standing};
use crate::sidecar::relay::Seen;
use crate::sidecar::report::Report;
use crate::sidecar::settings::Settings;
use crate::sidecar::systemd::Systemd;
use crate::state::State;

/// How long a master may take to take an event.
const EVENT: Duration = Duration::from_secs(10);

/// All who listen.
pub(super) struct Audience {
    pub(super) metrics: Arc<Metrics>,
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(super) systemd: Systemd,
    hooks: Option<Hooks>,
    /// Events on their way to masters. They end with us.
    events: JoinSet<()>,
    names: Vec<String>,
    /// The active master that was told of last.
    active: Option<String>,
    /// What the relay had lost when it last went over to another master.
    at_switch: Losses,
}

/// What a switch costs, as counts since the relay's start.
#[derive(Debug, Clone, Copy, Default)]
struct Losses {
    resent: u64,
    dropped: u64,
}

impl Losses {
    fn of(seen: &Seen) -> Self {
        let dropped = seen.publications.dropped.by_reason();
        Self {
            resent: seen.carried.resent,
            dropped: dropped.iter().map(|(_, count)| count).sum(),
        }
    }

    const fn since(self, before: Self) -> Self {
        Self {
            resent: self.resent.saturating_sub(before.resent),
            dropped: self.dropped.saturating_sub(before.dropped),
        }
    }
}

impl Audience {
    /// Nobody knows of any master yet.
    pub(super) fn new(snapshots: watch::Sender<Arc<Snapshot>>) -> Self {
        Self {
            metrics: Arc::default(),
            snapshots,
            systemd: Systemd::default(),
            hooks: None,
            events: JoinSet::new(),
            names: Vec::new(),
            active: None,
            at_switch: Losses::default(),
        }
    }

    /// From now on it is about these masters.
    pub(super) fn configure(&mut self, config: &Config, before: Option<&Settings>) {
        let names: Vec<String> = config
            .masters
            .iter()
            .map(|master| master.name.to_string())
            .collect();
        let now: Vec<&str> = names.iter().map(String::as_str).collect();
        self.metrics
            .set_masters(self.names.iter().map(String::as_str), &now);
        self.names = names;
        let wanted = &config.sidecar.on_change;
        if before.is_none_or(|before| before.on_change != *wanted) {
            self.hooks = wanted
                .clone()
                .map(|command| Hooks::new(command.program, command.arguments));
        }
    }

    /// Counts what a fact is worth to Prometheus.
    pub(super) fn count(&self, fact: &Fact) {
        let What::Master(index, evidence) = &fact.what else {
            return;
        };
        let Some(name) = self.names.get(index.0) else {
            return;
        };
        match evidence {
            Evidence::Verified { after, .. } => self.metrics.verified(name, *after, SystemTime::now()),
            Evidence::Forged(reason) => self.metrics.verification_failure(name, reason),
            Evidence::Contrary(verdict) | Evidence::Down { verdict, .. }
                if verdict.state == State::Impostor =>
            {
                self.metrics.verification_failure(name, "impostor");
            }
            _ => {}
        }
    }

    /// Says what was decided. What is to be done about it is the daemon's.
    pub(super) fn decided(
        &mut self,
        decision: &Decision,
        policy: &Policy,
        config: &Arc<Config>,
        carried: Option<&Seen>,
    ) {
        let active = policy.readiness().master().and_then(|index| self.name(index));
        let change = |kind, why: &str| Change {
            kind,
            minion: config.identity.id().clone(),
            master: None,
            from: None,
            to: None,
            why: why.to_owned(),
            active_master: active.clone(),
        };
        let change = match decision {
            Decision::Changed(transition) => {
                let master = self.name(transition.master);
                let (from, to) = (transition.from.name(), transition.to.name());
                let why = transition.why.as_str();
                if transition.to == Standing::Up {
                    tracing::info!(master, from, to, why, "a master changed its state");
                } else {
                    tracing::warn!(master, from, to, why, "a master changed its state");
                }
                Change {
                    master,
                    from: Some(from.to_owned()),
                    to: Some(to.to_owned()),
                    ..change(Kind::Master, why)
                }
            }
            Decision::Ready(readiness) => {
                let why = readiness.why.as_str();
                match &active {
                    Some(master) => tracing::info!(master, why, "jobs reach the minion"),
                    None => tracing::warn!(why, "jobs do not reach the minion"),
                }
                let from = std::mem::replace(&mut self.active, active.clone());
                Change {
                    master: active.clone(),
                    from,
                    to: active.clone(),
                    ..change(Kind::ActiveMaster, why)
                }
            }
            Decision::RestartMinion { why } => {
                tracing::warn!(why, "restarting the minion");
                change(Kind::Restart, why)
            }
            Decision::Elected {
                from,
                to,
                why,
                planned,
            } => {
                let (from, to) = (from.and_then(|from| self.name(from)), self.name(*to));
                if from.is_some() {
                    self.metrics.switched();
                }
                self.at_switch = carried.map(Losses::of).unwrap_or_default();
                match &from {
                    None => tracing::info!(to, "the relay has elected its first master"),
                    Some(from) if *planned => tracing::info!(from, to, why, "the relay moves the minion"),
                    Some(from) => tracing::warn!(from, to, why, "the relay moves the minion"),
                }
                Change {
                    master: to.clone(),
                    from,
                    to,
                    ..change(Kind::Relay, why)
                }
            }
            Decision::Proven { from, to, after } => {
                let (from, to) = (self.name(*from), self.name(*to));
                let after = after.as_millis();
                let Losses { resent, dropped } =
                    carried.map(Losses::of).unwrap_or_default().since(self.at_switch);
                tracing::info!(
                    from,
                    to,
                    after_ms = after,
                    resent,
                    dropped,
                    "the minion answers there"
                );
                let why = format!(
                    "the minion answers there, {after} ms after the switch; {resent} requests were sent again, {dropped} \
                     publications were not handed out"
                );
                Change {
                    master: to.clone(),
                    from,
                    to,
                    ..change(Kind::Relay, &why)
                }
            }
            Decision::FailedOver { from, to } => {
                let (from, to) = (self.name(*from), self.name(*to));
                tracing::info!(from, to, "the minion has another active master");
                self.metrics.failover();
                return;
            }
            Decision::RoundTrip(index) => {
                tracing::debug!(master = self.name(*index), "asking the minion through a master");
                return;
            }
        };
        if config.sidecar.event {
            for index in 0..config.masters.len() {
                if policy.standing(MasterIndex(index)) == Standing::Up {
                    self.events.spawn(fire(Arc::clone(config), index, change.clone()));
                }
            }
        }
        if let Some(hooks) = &self.hooks {
            hooks.tell(change);
        }
    }

    /// Lays out what is known now for those who ask.
    pub(super) fn publish(&mut self, policy: &Policy, carried: Option<Seen>) {
        while self.events.try_join_next().is_some() {}
        let report = policy.report(carried, Instant::now(), SystemTime::now());
        for master in &report.masters {
            self.metrics.set_up(&master.name, master.state == Standing::Up);
            self.metrics.set_active(&master.name, master.active);
            if let Some(relay) = &report.relay {
                self.metrics
                    .set_elected(&master.name, relay.master.as_ref() == Some(&master.name));
            }
        }
        if report.relay.is_none() {
            self.metrics.forget_elected();
        }
        self.systemd.status(&in_a_line(&report));
        let status = serde_json::to_vec_pretty(&report).unwrap_or_else(|error| {
            tracing::error!(%error, "the report cannot be written");
            b"{}".to_vec()
        });
        self.snapshots.send_replace(Arc::new(Snapshot {
            status: status.into(),
            active: report.active.map(|active| active.name),
            ready: if report.ready { Ok(()) } else { Err(report.why) },
        }));
    }

    /// Says why there is nothing to tell of.
    pub(super) fn publish_trouble(&mut self, why: &str) {
        self.systemd.status(why);
        let status = serde_json::json!({ "ready": false, "why": why, "masters": [] });
        self.snapshots.send_replace(Arc::new(Snapshot {
            status: status.to_string().into(),
            active: None,
            ready: Err(why.to_owned()),
        }));
    }

    fn name(&self, index: MasterIndex) -> Option<String> {
        self.names.get(index.0).cloned()
    }
}

/// What `systemctl status` shows.
fn in_a_line(report: &Report) -> String {
    let masters: Vec<String> = report
        .masters
        .iter()
        .map(|master| {
            let active = if master.active { " (active)" } else { "" };
            format!("{} {}{active}", master.name, master.state)
        })
        .collect();
    masters.join(", ")
}

/// Puts the event on a master's bus. Without an answer it is sent again: an event may be seen twice.
async fn fire(config: Arc<Config>, index: usize, change: Change) {
    let deadline = Instant::now() + EVENT;
    let Some(master) = config.masters.get(index) else {
        return;
    };
    let sent: Result<(), Failure> = async {
        let dialled = master::dial(master, deadline).await?;
        let mut connection = Connection::sign_in(&config, master, dialled, deadline).await?;
        let data = change.data();
        connection.ask(&Change::command(&data), deadline).await?;
        Ok(())
    }
    .await;
    if let Err(error) = sent {
        tracing::warn!(master = %master.name, %error, "the master was not told of a change");
    }
}
