//! The relay as the daemon has it: started in mode `relay`, told who is elected, given what masters publish.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::watches::Watches;
use crate::config::Config;
use crate::sidecar::facts::MasterIndex;
use crate::sidecar::http::Listening;
use crate::sidecar::kept::Kept;
use crate::sidecar::policy::{Policy, Standing};
use crate::sidecar::relay::{Carried, Manner, Relay, Seen, Topics, Way};
use crate::sidecar::settings::{Mode, RelaySettings};
use crate::sidecar::watch::Genuine;

/// What the file is called by that has the name of the elected master.
const ELECTED: &str = "elected";
/// Publications that may wait for the relay. It takes them at once.
const WAITING: usize = 64;

/// The relay, if there is one.
pub(super) struct Carrier {
    running: Option<Running>,
    /// The name of the elected master, for a sidecar after this one.
    last: Kept,
}

struct Running {
    relay: Relay,
    publications: mpsc::Sender<Carried>,
    settings: RelaySettings,
    ways: Vec<Way>,
    topics: Topics,
    route: Option<MasterIndex>,
    warm: Vec<MasterIndex>,
    /// What was said of its ports.
    told: Vec<Listening>,
}

impl Running {
    fn start(settings: RelaySettings, ways: Vec<Way>, topics: Topics) -> Self {
        let (publications, carried) = mpsc::channel(WAITING);
        Self {
            relay: Relay::start(&settings, ways.clone(), carried, topics.clone()),
            publications,
            settings,
            ways,
            topics,
            route: None,
            warm: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Starts a relay that has failed anew.
    fn renew(&mut self) {
        let route = self.route;
        *self = Self::start(self.settings, std::mem::take(&mut self.ways), self.topics.clone());
        self.route(route, Manner::Abandon);
    }

    fn route(&mut self, to: Option<MasterIndex>, manner: Manner) {
        self.route = to;
        self.relay.route(to, manner);
    }

    /// Says what is new of its ports.
    fn tell(&mut self) {
        let seen = self.relay.seen();
        let now = [("publish_port", seen.publish), ("master_port", seen.requests)];
        let before = std::mem::take(&mut self.told);
        for (index, (key, port)) in now.into_iter().enumerate() {
            if before.get(index) != Some(&port.listening) {
                match &port.listening {
                    Listening::NotYet => {}
                    Listening::At(address) => {
                        tracing::info!(%address, "the relay waits for minions (relay.{key})");
                    }
                    Listening::Failed(why) => tracing::error!("relay.{key}: {why}; trying again"),
                }
            }
            self.told.push(port.listening);
        }
    }
}

impl Carrier {
    pub(super) fn new(config: &Config, watches: &Watches) -> Self {
        let settings = &config.sidecar;
        let running = (settings.mode == Mode::Relay)
            .then(|| Running::start(settings.relay, watches.ways(), watches.topics()));
        Self {
            running,
            last: Kept::of(ELECTED, config.identity.id()),
        }
    }

    /// The master that a sidecar before this one had elected.
    pub(super) fn before(&self) -> Option<String> {
        self.last.lines().next().map(|(_, name)| name)
    }

    /// Takes over a new configuration. Connections of minions last if the masters and the relay's own addresses are the same.
    pub(super) fn configure(
        &mut self,
        before: &Config,
        config: &Arc<Config>,
        watches: &Watches,
        policy: &Policy,
    ) {
        let is_same = before.sidecar.mode == config.sidecar.mode
            && before.sidecar.relay == config.sidecar.relay
            && before.masters == config.masters;
        if is_same {
            return;
        }
        *self = Self::new(config, watches);
        if let Some(elected) = policy.elected() {
            self.route(elected, true);
        }
    }

    /// From now on everything goes to this master. `planned`: what is under way at the old one may end there.
    pub(super) fn route(&mut self, to: MasterIndex, planned: bool) {
        if let Some(running) = &mut self.running {
            running.route(Some(to), if planned { Manner::Finish } else { Manner::Abandon });
            let name = running.ways.get(to.0).map_or("", |way| way.name.as_str());
            if let Err(error) = self.last.write(name) {
                tracing::warn!(%error, "a sidecar after this one will not know which master was elected");
            }
        }
    }

    /// Hands out what a master has published, if policy lets it through.
    pub(super) fn carry(&self, master: MasterIndex, publication: Genuine, policy: &mut Policy) {
        let Some(running) = &self.running else { return };
        if !policy.hands_out(master, publication.is_ping, Instant::now()) {
            return;
        }
        let frames = publication.frames;
        if running.publications.try_send(Carried { master, frames }).is_err() {
            tracing::warn!("a publication was lost: too many wait for the minion");
        }
    }

    /// Connections to the masters that are up are kept ready.
    pub(super) fn warm(&mut self, policy: &Policy) {
        let Some(running) = &mut self.running else { return };
        let is_up = |master: &MasterIndex| policy.standing(*master) == Standing::Up;
        let up: Vec<MasterIndex> = policy.masters().filter(is_up).collect();
        if up != running.warm {
            running.relay.warm(&up);
            running.warm = up;
        }
    }

    /// Waits until there is something to say of its ports, and says it.
    pub(super) async fn tell(&mut self) {
        match &mut self.running {
            Some(running) => {
                running.relay.changed().await;
                running.tell();
                if running.relay.seen().failed {
                    running.renew();
                }
            }
            None => std::future::pending().await,
        }
    }

    /// What the relay has done so far.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.running.as_ref().map(|running| running.relay.seen())
    }
}
