//! What a lab is made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lab::Lab;
use crate::progress::Progress;
use crate::version::SaltVersion;

/// The choices that a lab was built with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The release of Salt on all hosts but those of `releases`.
    pub version: SaltVersion,
    /// The release on a host that has another one.
    #[serde(default)]
    pub releases: BTreeMap<String, SaltVersion>,
    /// Salt's `worker_threads` of each master.
    pub worker_threads: u32,
    /// Salt's `master_alive_interval` of each minion, in seconds.
    pub master_alive_interval: u32,
    /// Salt's `random_master` of each minion. Without it, a minion tries its first master first.
    pub random_master: bool,
    /// Ids of the minions that run.
    pub minions: Vec<String>,
    /// The master that a minion tries first, by id. By default they take turns.
    pub first_master: BTreeMap<String, String>,
    /// Whether the minions' only master is the relay on their own host.
    #[serde(default)]
    pub relay: bool,
    /// More configuration, YAML, by master.
    pub master_config: BTreeMap<String, String>,
    /// More configuration, YAML, by minion.
    pub minion_config: BTreeMap<String, String>,
    /// Whether the lab stays up without its starter.
    pub background: bool,
}

/// Collects the choices for a lab. See [`Lab::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct LabBuilder {
    pub(crate) settings: Settings,
    pub(crate) name: Option<String>,
    pub(crate) progress: Progress,
}

impl LabBuilder {
    pub(crate) fn new() -> Self {
        Self {
            settings: Settings {
                version: SaltVersion::V3008,
                releases: BTreeMap::new(),
                worker_threads: 5,
                master_alive_interval: 60,
                random_master: false,
                minions: vec!["minion01".to_owned(), "minion02".to_owned()],
                first_master: BTreeMap::new(),
                relay: false,
                master_config: BTreeMap::new(),
                minion_config: BTreeMap::new(),
                background: false,
            },
            name: None,
            progress: Progress::stderr(),
        }
    }

    /// The release of Salt; 3008.1 if not said.
    pub fn version(mut self, version: SaltVersion) -> Self {
        self.settings.version = version;
        self
    }

    /// Another release of Salt on this host, a master or a minion.
    pub fn release_of(mut self, host: &str, version: SaltVersion) -> Self {
        self.settings.releases.insert(host.to_owned(), version);
        self
    }

    /// Salt's `worker_threads` of both masters; 5 if not said. With `peer:` a master has at least 3.
    pub fn worker_threads(mut self, count: u32) -> Self {
        self.settings.worker_threads = count;
        self
    }

    /// Salt's `master_alive_interval` of all minions in seconds; 60 if not said.
    pub fn master_alive_interval(mut self, seconds: u32) -> Self {
        self.settings.master_alive_interval = seconds;
        self
    }

    /// Salt's `random_master` of all minions; off if not said, so that tests know where a minion goes.
    pub fn random_master(mut self, random: bool) -> Self {
        self.settings.random_master = random;
        self
    }

    /// The minions that run; `minion01` and `minion02` if not said.
    pub fn minions<I: Into<String>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        self.settings.minions = ids.into_iter().map(Into::into).collect();
        self
    }

    /// The master that a minion tries first. If not said, the first minion takes `salt1`, the second `salt2`,
    /// and so on in turn.
    pub fn first_master(mut self, minion: &str, master: &str) -> Self {
        self.settings
            .first_master
            .insert(minion.to_owned(), master.to_owned());
        self
    }

    /// Minions whose only master is the relay on their own host, 127.0.0.1. The lab does not start the relays (see
    /// [`Lab::start_relay`]), so it does not wait for the minions either.
    pub fn relay(mut self) -> Self {
        self.settings.relay = true;
        self
    }

    /// More configuration for a master, as YAML. What it sets, it sets in place of the lab's.
    pub fn master_config(mut self, master: &str, yaml: &str) -> Self {
        append(&mut self.settings.master_config, master, yaml);
        self
    }

    /// More configuration for a minion, as YAML. What it sets, it sets in place of the lab's.
    pub fn minion_config(mut self, minion: &str, yaml: &str) -> Self {
        append(&mut self.settings.minion_config, minion, yaml);
        self
    }

    /// The name under which `lab list` shows it; made up if not said.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Marks the lab as one that stays up in the background.
    pub fn background(mut self) -> Self {
        self.settings.background = true;
        self
    }

    /// Where lines about each step go; stderr if not said.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Brings the lab up: installs Salt if need be, makes keys, namespaces and files, starts the masters, then
    /// the minions, and waits until each minion answers a `test.ping` through its first master, if it has one.
    ///
    /// # Errors
    /// What is missing, or which daemon did not come up, with the end of its log. Nothing is left then.
    pub fn build(self) -> anyhow::Result<Lab> {
        Lab::start(self)
    }
}

fn append(configs: &mut BTreeMap<String, String>, host: &str, yaml: &str) {
    let text = configs.entry(host.to_owned()).or_default();
    text.push_str(yaml);
    text.push('\n');
}
