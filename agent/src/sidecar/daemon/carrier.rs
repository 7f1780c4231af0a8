//! The relay as the daemon has it: started in mode `relay`, told who is elected, given what masters publish.

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::watches::Watches;
use crate::config::Config;
use crate::locate::Signs;
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
    /// By what number the relay knows each master.
    places: Vec<MasterIndex>,
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
            places: (0..ways.len()).map(MasterIndex).collect(),
            ways,
            topics,
            route: None,
            warm: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Starts a relay that has failed anew.
    async fn renew(&mut self) {
        self.relay.close().await;
        let route = self.route;
        *self = Self::start(self.settings, std::mem::take(&mut self.ways), self.topics.clone());
        self.route(route, Manner::Abandon);
    }

    fn route(&mut self, to: Option<MasterIndex>, manner: Manner) {
        self.route = to;
        self.relay.route(to.and_then(|to| self.place(to)), manner);
    }

    /// The masters are others now; `former` has the number that each had before. `false` if there are too many new ones.
    fn has_masters(&mut self, ways: Vec<Way>, former: &[Option<MasterIndex>]) -> bool {
        let kept: Vec<Option<MasterIndex>> = former.iter().map(|former| self.place((*former)?)).collect();
        let stays = |place: &MasterIndex| kept.contains(&Some(*place));
        for gone in self.places.iter().filter(|place| !stays(place)) {
            self.relay.replace(*gone, None);
        }
        let mut free = (0..self.relay.places())
            .map(MasterIndex)
            .filter(|place| !stays(place));
        let mut places = Vec::new();
        for (way, kept) in ways.iter().zip(&kept) {
            let Some(place) = kept.or_else(|| free.next()) else {
                return false;
            };
            if kept.is_none() {
                self.relay.replace(place, Some(way.clone()));
            }
            places.push(place);
        }
        (self.ways, self.places) = (ways, places);
        self.warm.clear();
        true
    }

    fn place(&self, master: MasterIndex) -> Option<MasterIndex> {
        self.places.get(master.0).copied()
    }

    /// With the masters' present numbers.
    fn seen(&self) -> Seen {
        let mut seen = self.relay.seen();
        let number = |place| self.places.iter().position(|known| *known == place);
        seen.route.master = seen.route.master.and_then(number).map(MasterIndex);
        let under_way = |place: &MasterIndex| seen.carried.under_way.get(place.0).copied().unwrap_or(0);
        seen.carried.under_way = self.places.iter().map(under_way).collect();
        seen
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
        Self {
            running: start(config, watches),
            last: Kept::of(ELECTED, config.identity.id()),
        }
    }

    /// The master that a sidecar before this one had elected.
    pub(super) fn before(&self) -> Option<String> {
        self.last.lines().next().map(|(_, name)| name)
    }

    /// Takes over a new configuration, in which the masters had these numbers before. Connections of minions last if the relay's own
    /// addresses are the same.
    pub(super) async fn configure(
        &mut self,
        config: &Config,
        watches: &Watches,
        former: &[Option<MasterIndex>],
        policy: &Policy,
    ) {
        self.last = Kept::of(ELECTED, config.identity.id());
        let settings = &config.sidecar;
        let mut goes_on = false;
        if let Some(running) = &mut self.running {
            goes_on = settings.mode == Mode::Relay
                && settings.relay == running.settings
                && running.has_masters(watches.ways(), former);
            if !goes_on {
                // The next one may want the same ports.
                running.relay.end().await;
            }
        }
        if !goes_on {
            self.running = start(config, watches);
        }
        match policy.elected() {
            Some(elected) => self.route(elected, true),
            None => {
                if let Some(running) = &mut self.running {
                    running.route(None, Manner::Abandon);
                }
            }
        }
        self.warm(policy);
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
        if !policy.hands_out(master, &publication.errand, Instant::now()) {
            return;
        }
        let Some(master) = running.place(master) else {
            return;
        };
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
            let places: Vec<MasterIndex> = up.iter().filter_map(|master| running.place(*master)).collect();
            running.relay.warm(&places);
            running.warm = up;
        }
    }

    /// Ends the relay, as a minion likes it best.
    pub(super) async fn end(&mut self) {
        if let Some(running) = &mut self.running {
            running.relay.end().await;
        }
    }

    /// Waits until there is something to say of its ports, and says it.
    pub(super) async fn tell(&mut self) {
        match &mut self.running {
            Some(running) => {
                // Whoever calls this may have given it up while the old one ended.
                if !running.relay.seen().failed {
                    running.relay.changed().await;
                    running.tell();
                }
                if running.relay.seen().failed {
                    running.renew().await;
                }
            }
            None => std::future::pending().await,
        }
    }

    /// Signs that a return of the minion may be with its master now.
    pub(super) fn signs(&self) -> Option<Signs> {
        self.running
            .as_ref()
            .map(|running| Signs::of(running.relay.answered()))
    }

    /// What the relay has done so far.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.running.as_ref().map(Running::seen)
    }
}

/// In mode `relay`.
fn start(config: &Config, watches: &Watches) -> Option<Running> {
    let settings = &config.sidecar;
    (settings.mode == Mode::Relay).then(|| Running::start(settings.relay, watches.ways(), watches.topics()))
}
