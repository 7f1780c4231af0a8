//! The one loop of the sidecar: facts go in, decisions come out and are carried out. It decides nothing itself.

mod addresses;
mod carrier;
mod orders;
mod tell;
mod watches;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::facts::{Fact, MasterIndex, What};
use super::http::{self, Listening, Snapshot};
use super::last_restart::LastRestart;
use super::local::{CONFIG_DIR, Watcher, Which};
use super::policy::{Decision, Policy};
use super::settings::{Mode, Settings};
use super::{restart, round_trip, systemd};
use crate::config::{Config, ConfigError, Permissions, Source, minion_pid_file};
use addresses::Addresses;
use carrier::Carrier;
use orders::Orders;
use tell::Audience;
use watches::{News, Watches};

/// Between two looks at the local minion, and two reports at least.
const LOOK: Duration = Duration::from_secs(1);
/// Between two tries to read a configuration that is not there yet.
const RETRY: Duration = Duration::from_secs(2);
/// A watch that is silent for longer than this, and than some heartbeats, does not go round. Its own pauses are much shorter.
const QUIET: Duration = Duration::from_secs(30);

/// Where the configuration comes from; asked anew at each reload.
pub type Find = Box<dyn Fn() -> Result<Source, ConfigError>>;

/// Why the sidecar ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The configuration can never work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system gave us no signals.
    #[error("cannot listen for signals: {0}")]
    Signals(#[from] std::io::Error),
}

/// Runs until it is told to stop. A configuration that is missing or cannot be read is waited for.
///
/// # Errors
/// [`Ended`].
pub async fn run(find: &Find, permissions: Permissions) -> Result<(), Ended> {
    let mut signals = Signals::install()?;
    let (snapshots, _) = watch::channel(Arc::new(Snapshot {
        status: b"{}".as_slice().into(),
        active: None,
        ready: Err("starting".to_owned()),
    }));
    let mut audience = Audience::new(snapshots);
    let Some((config, which)) = first_config(find, permissions, &mut audience, &mut signals).await? else {
        audience.systemd.stopping();
        return Ok(());
    };
    let mut daemon = Daemon::new(config, which, audience);
    daemon.audience.systemd.ready("asking the masters");
    loop {
        match daemon.until_signal(&mut signals).await {
            Order::Stop => {
                daemon.audience.systemd.stopping();
                daemon.carrier.end().await;
                tracing::info!("stopped");
                return Ok(());
            }
            Order::Reload => daemon.reload(find, permissions).await,
        }
    }
}

/// Waits for a configuration; nothing if we are to stop before there is one. Where the report is to be is not known without one: it is
/// where `saltfo status` looks for it without one, too.
async fn first_config(
    find: &Find,
    permissions: Permissions,
    audience: &mut Audience,
    signals: &mut Signals,
) -> Result<Option<(Arc<Config>, Which)>, ConfigError> {
    let mut waiting: Option<(String, Server)> = None;
    loop {
        let error = match load(find, permissions) {
            Ok(found) => return Ok(Some(found)),
            Err(error) if !error.may_pass() => return Err(error),
            Err(error) => error.to_string(),
        };
        let (told, server) = waiting.get_or_insert_with(|| {
            audience.systemd.ready(&error);
            (String::new(), Server::start(&Settings::default(), audience))
        });
        if *told != error {
            tracing::warn!("{error}; waiting for it, with the report where it is by default");
            audience.publish_trouble(&error);
            *told = error;
        }
        audience.systemd.alive();
        let again = Instant::now() + RETRY;
        loop {
            tokio::select! {
                () = sleep_until(again) => break,
                // It may be the port that is missing, too.
                () = server.tell() => {}
                order = signals.next() => match order {
                    Order::Stop => return Ok(None),
                    Order::Reload => break,
                },
            }
        }
    }
}

fn load(find: &Find, permissions: Permissions) -> Result<(Arc<Config>, Which), ConfigError> {
    let source = find()?;
    let config = Config::load(&source, permissions)?;
    let which = which_minion(&config.sidecar, source.minion_config());
    Ok((Arc::new(config), which))
}

/// Whether the minion waits for a relay that is not there.
fn waits_in_vain(config: &Config, which: &Which) -> bool {
    let minion = which.config_dir.as_ref().map(|folder| folder.join("minion"));
    config.sidecar.mode != Mode::Relay && minion.is_some_and(|minion| config.is_expected_by(&minion))
}

/// The minion whose configuration we use, unless the settings say otherwise.
fn which_minion(settings: &Settings, its_config: Option<&Path>) -> Which {
    let told = &settings.minion;
    let beside = its_config.and_then(Path::parent).map(PathBuf::from);
    let salts_own = || told.pid_file.is_none().then(|| PathBuf::from(CONFIG_DIR));
    let config_dir = told.config_dir.clone().or(beside).or_else(salts_own);
    let its_own = || Some(minion_pid_file(&config_dir.as_ref()?.join("minion")));
    Which {
        pid_file: told.pid_file.clone().or_else(its_own),
        config_dir,
    }
}

/// What the operator wants of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.hang_up.recv() => Order::Reload,
        }
    }
}

/// The HTTP server; it ends with this.
struct Server {
    task: JoinHandle<()>,
    listening: watch::Receiver<Listening>,
}

impl Server {
    fn start(settings: &Settings, audience: &Audience) -> Self {
        let (told, listening) = watch::channel(Listening::NotYet);
        let address = settings.listen;
        let snapshots = audience.snapshots.subscribe();
        let metrics = Arc::clone(&audience.metrics);
        let task = tokio::spawn(async move { match http::serve(address, snapshots, metrics, told).await {} });
        Self { task, listening }
    }

    /// Waits until its port is free for another one.
    async fn end(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Waits until there is something to say of it, and says it.
    async fn tell(&mut self) {
        if self.listening.changed().await.is_err() {
            return std::future::pending().await;
        }
        match &*self.listening.borrow_and_update() {
            Listening::NotYet => {}
            Listening::At(address) => tracing::info!(%address, "the report is at http://{address}/status"),
            Listening::Failed(why) => tracing::error!("{why}; trying again"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Daemon {
    config: Arc<Config>,
    policy: Policy,
    watches: Watches,
    addresses: Addresses,
    which: Which,
    local: Watcher,
    round_trips: JoinSet<Fact>,
    restarts: JoinSet<Fact>,
    last_restart: LastRestart,
    carrier: Carrier,
    orders: Orders,
    server: Server,
    audience: Audience,
}

impl Daemon {
    fn new(config: Arc<Config>, which: Which, mut audience: Audience) -> Self {
        let now = Instant::now();
        let mut watches = Watches::default();
        let masters = watches.configure(&config);
        let names = masters.into_iter().map(|(name, _)| name).collect();
        audience.configure(&config, None);
        tracing::info!(
            minion = %config.identity.id(),
            mode = ?config.sidecar.mode,
            masters = config.masters.len(),
            "started"
        );
        let last_restart = LastRestart::of(config.identity.id());
        let mut policy = Policy::new(config.sidecar.clone(), names, now, rand::random());
        policy.minion_waits_for_relay(waits_in_vain(&config, &which));
        let carrier = Carrier::new(&config, &watches);
        if let Some(before) = carrier.before() {
            policy.was_elected(&before);
        }
        if let Some(ago) = last_restart.ago(SystemTime::now()) {
            policy.was_restarted(ago);
            if config.sidecar.mode == Mode::Restart && ago < config.sidecar.restart_backoff {
                let ago = humantime::format_duration(Duration::from_secs(ago.as_secs()));
                tracing::info!(
                    "the minion was restarted {ago} ago, before this sidecar started: that counts"
                );
            }
        }
        Self {
            policy,
            addresses: Addresses::of(&config),
            local: Watcher::new(which.clone()),
            server: Server::start(&config.sidecar, &audience),
            round_trips: JoinSet::new(),
            restarts: JoinSet::new(),
            last_restart,
            carrier,
            orders: Orders::listen(config.sidecar.listen.port()),
            watches,
            which,
            audience,
            config,
        }
    }

    async fn until_signal(&mut self, signals: &mut Signals) -> Order {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut feed = interval(systemd::watchdog_interval().unwrap_or(QUIET));
        loop {
            let tick = self.policy.next_tick();
            let due = async {
                match tick {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let decisions = tokio::select! {
                order = signals.next() => return order,
                news = self.watches.next() => match news {
                    News::Fact(fact) => self.learned(&fact),
                    News::Publication(master, publication) => {
                        self.carrier.carry(master, publication, &mut self.policy);
                        // It may be the one that a move has waited for.
                        match self.policy.tick(Instant::now()) {
                            decisions if decisions.is_empty() => continue,
                            decisions => decisions,
                        }
                    }
                },
                Some(ended) = self.round_trips.join_next() => match ended {
                    Ok(fact) => self.learned(&fact),
                    Err(error) => failed(&error),
                },
                Some(ended) = self.restarts.join_next() => match ended {
                    Ok(fact) => self.learned(&fact),
                    // It would count as running for ever.
                    Err(error) => self.learned(&Fact { at: Instant::now(), what: What::Restarted(Err(error.to_string())) }),
                },
                _ = look.tick() => {
                    let local = self.local.look(&self.addresses.endpoints());
                    let decisions = self.learned(&Fact { at: Instant::now(), what: What::Minion(local) });
                    self.publish();
                    decisions
                }
                () = due => self.policy.tick(Instant::now()),
                () = self.addresses.learn() => Vec::new(),
                () = self.server.tell() => Vec::new(),
                () = self.carrier.tell() => Vec::new(),
                asked = self.orders.next() => {
                    let now = Instant::now();
                    self.orders.take(asked, &mut self.policy, now);
                    self.policy.tick(now)
                }
                _ = feed.tick() => {
                    if self.goes_round() {
                        self.audience.systemd.alive();
                    }
                    Vec::new()
                }
            };
            self.carry_out(&decisions);
            self.watches.pace(&self.policy);
            self.carrier.warm(&self.policy);
            self.orders.settle(&self.policy);
        }
    }

    fn publish(&mut self) {
        self.audience.publish(&self.policy, self.carrier.seen());
    }

    fn learned(&mut self, fact: &Fact) -> Vec<Decision> {
        tracing::trace!(?fact, "learned");
        self.addresses.note(fact);
        self.audience.count(fact);
        self.policy.note(fact)
    }

    fn carry_out(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            self.audience
                .decided(decision, &self.policy, &self.config, self.carrier.seen().as_ref());
            match decision {
                Decision::RoundTrip(through) => {
                    let (config, through) = (Arc::clone(&self.config), *through);
                    let signs = self.carrier.signs();
                    self.round_trips
                        .spawn(async move { round_trip::try_once(&config, through, signs).await });
                }
                Decision::RestartMinion { .. } => {
                    if let Err(error) = self.last_restart.note(SystemTime::now()) {
                        tracing::warn!(%error, "a sidecar after this one will not know that the minion was restarted");
                    }
                    let command = self.config.sidecar.restart_command.clone();
                    self.restarts.spawn(async move {
                        let result = restart::restart(&command.program, &command.arguments).await;
                        if let Err(why) = &result {
                            tracing::error!("the minion was not restarted: {why}");
                        }
                        Fact {
                            at: Instant::now(),
                            what: What::Restarted(result),
                        }
                    });
                }
                Decision::Elected { to, planned, .. } => self.carrier.route(*to, *planned),
                Decision::Proven { .. }
                | Decision::Changed(_)
                | Decision::Ready(_)
                | Decision::FailedOver { .. } => {}
            }
        }
        // Whoever asks next gets what was decided just now, not what was a second ago.
        if !decisions.is_empty() {
            self.publish();
        }
    }

    /// Whether every watch is heard of now and then: a dead master makes noise, too.
    fn goes_round(&self) -> bool {
        let longest = QUIET.max(self.config.sidecar.heartbeat.saturating_mul(8));
        self.watches
            .quiet_since()
            .is_none_or(|since| since.elapsed() < longest)
    }

    /// Reads the configuration again and keeps what is known. A bad one changes nothing.
    async fn reload(&mut self, find: &Find, permissions: Permissions) {
        self.audience.systemd.reloading();
        match load(find, permissions) {
            Err(error) => tracing::error!("{error}; going on with the configuration that was"),
            Ok((config, which)) => {
                self.last_restart = LastRestart::of(config.identity.id());
                let before = std::mem::replace(&mut self.config, config);
                let masters = self.watches.configure(&self.config);
                let known = std::mem::replace(&mut self.addresses, Addresses::of(&self.config));
                self.addresses.remember(&known, &masters);
                // They speak of masters by their old numbers.
                self.round_trips = JoinSet::new();
                self.audience.configure(&self.config, Some(&before.sidecar));
                if self.which != which {
                    self.local = Watcher::new(which.clone());
                    self.which = which;
                }
                let (listened, listen) = (before.sidecar.listen, self.config.sidecar.listen);
                if listened != listen {
                    // The next one may want the same port, of another address.
                    self.server.end().await;
                    self.server = Server::start(&self.config.sidecar, &self.audience);
                }
                if listened.port() != listen.port() {
                    self.orders = Orders::listen(listen.port());
                }
                self.policy
                    .minion_waits_for_relay(waits_in_vain(&self.config, &self.which));
                let settings = self.config.sidecar.clone();
                let former: Vec<Option<MasterIndex>> = masters.iter().map(|(_, former)| *former).collect();
                let decisions = self.policy.reload(settings, masters, Instant::now());
                self.carrier
                    .configure(&self.config, &self.watches, &former, &self.policy)
                    .await;
                tracing::info!(
                    masters = self.config.masters.len(),
                    "the configuration was read again"
                );
                self.carry_out(&decisions);
                self.watches.pace(&self.policy);
                self.publish();
            }
        }
        self.audience.systemd.ready("the configuration was read again");
    }
}

/// Tasks end by themselves; one that panics would be a fault of ours.
fn failed(error: &tokio::task::JoinError) -> Vec<Decision> {
    tracing::error!(%error, "a task of the sidecar has failed");
    Vec::new()
}
