//! The lab itself: brought up, asked for its hosts, taken down.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use pki_tools::client::Client;
use serde::{Deserialize, Serialize};

use crate::builder::{LabBuilder, Settings};
use crate::config::{self, HostFolder};
use crate::daemon::{Daemon, START};
use crate::folder::{Folder, LiveLab};
use crate::host::{Host, Role};
use crate::install::Salt;
use crate::namespaces::{Holder, Namespaces};
use crate::progress::Progress;
use crate::releases::Releases;
use crate::wait::until;
use crate::{pki, process};

/// Two masters, their minions and a runner, connected by a switch. Dropped, all of it is gone, unless it was
/// attached to: then it belongs to the process that started it.
pub struct Lab {
    // Kept to be dropped, in this order: first the processes, then their folder.
    pub(crate) _holder: Option<Holder>,
    pub(crate) _owned: Option<Folder>,
    pub(crate) folder: PathBuf,
    pub(crate) state: State,
    pub(crate) releases: Releases,
    pub(crate) client: Client,
}

/// What another process needs to know in order to work with a lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) name: String,
    /// The process that holds the lab.
    pub(crate) owner: u32,
    pub(crate) settings: Settings,
    pub(crate) hosts: Vec<Host>,
    pub(crate) namespaces: Namespaces,
}

impl State {
    pub(crate) fn load(folder: &Path) -> anyhow::Result<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(
            folder.join("lab.json"),
        )?)?)
    }
}

// By hand: the client holds private keys and has no `Debug`.
impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lab")
            .field("folder", &self.folder)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Lab {
    /// Begins a lab: 3008.1, two masters with 5 workers each, `minion01` on `salt1` and `minion02` on `salt2`.
    pub fn builder() -> LabBuilder {
        LabBuilder::new()
    }

    /// Works with a lab that another process holds.
    ///
    /// # Errors
    /// Its folder or Salt's is not what it was.
    pub fn attach(live: LiveLab) -> anyhow::Result<Self> {
        let LiveLab { folder, state } = live;
        let releases = Releases::ensure(&state.settings, &Progress::stderr())?;
        let client = pki::load(&folder)?;
        Ok(Self {
            _holder: None,
            _owned: None,
            folder,
            state,
            releases,
            client,
        })
    }

    /// The master of this name: `salt1` or `salt2`.
    ///
    /// # Errors
    /// There is none.
    pub fn master(&self, name: &str) -> anyhow::Result<Daemon<'_>> {
        self.daemon_of(name, Role::Master)
    }

    /// The minion of this id.
    ///
    /// # Errors
    /// There is none in this lab.
    pub fn minion(&self, id: &str) -> anyhow::Result<Daemon<'_>> {
        self.daemon_of(id, Role::Minion)
    }

    /// The daemon of this host, master or minion.
    ///
    /// # Errors
    /// There is no such host, or nothing of Salt runs there.
    pub fn daemon(&self, host: &str) -> anyhow::Result<Daemon<'_>> {
        let host = self.host(host)?;
        ensure!(host.role != Role::Runner, "nothing of Salt runs on {}", host.name);
        Ok(Daemon::new(self, host))
    }

    /// All hosts: masters, minions, the runner.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.state.hosts
    }

    /// The host of this short name.
    ///
    /// # Errors
    /// There is none.
    pub fn host(&self, name: &str) -> anyhow::Result<&Host> {
        let host = self.state.hosts.iter().find(|host| host.name == name);
        host.with_context(|| {
            let names: Vec<_> = self.state.hosts.iter().map(|host| host.name.as_str()).collect();
            format!("the lab has no host {name}; it has {}", names.join(", "))
        })
    }

    /// Its name, as `lab list` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Whether its first process still runs, and with it everything else.
    ///
    /// # Errors
    /// `/proc` can't be read.
    pub fn is_alive(&self) -> anyhow::Result<bool> {
        Ok(!process::of_lab(self.state.namespaces.init())?.is_empty())
    }

    /// The choices that it was built with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.state.settings
    }

    /// The generated keys: the client Xyz as `pki-tools` reads it.
    #[must_use]
    pub fn pki(&self) -> &Client {
        &self.client
    }

    /// The client's YAML file with all keys.
    #[must_use]
    pub fn client_file(&self) -> PathBuf {
        pki::client_file(&self.folder)
    }

    /// Its folder. It holds a folder for each host.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a minion's or master's keys (Salt's `pki_dir`).
    ///
    /// # Errors
    /// There is no such host, or nothing of Salt runs there.
    pub fn pki_dir(&self, host: &str) -> anyhow::Result<PathBuf> {
        let daemon = self.daemon(host)?;
        let role = if daemon.host().role == Role::Master {
            "master"
        } else {
            "minion"
        };
        Ok(HostFolder::of(&self.folder, host).pki_dir(role))
    }

    /// The folder of a host's Salt configuration (Salt's `-c`).
    #[must_use]
    pub fn config_dir(&self, host: &str) -> PathBuf {
        HostFolder::of(&self.folder, host).etc()
    }

    /// The folder from which both masters serve states.
    #[must_use]
    pub fn file_root(&self) -> PathBuf {
        config::file_root(&self.folder)
    }

    /// The release of Salt on this host, as it is installed; the lab's own for the runner, on which nothing of Salt runs.
    #[must_use]
    pub fn salt(&self, host: &str) -> &Salt {
        self.releases.of(host)
    }

    /// Makes a minion try this master first, restarts it, and waits until it answers through it.
    ///
    /// # Errors
    /// No such host, the minion does not answer, or its master is a relay.
    pub fn move_minion(&self, minion: &str, master: &str) -> anyhow::Result<()> {
        ensure!(
            !self.state.settings.relay,
            "the relay on {minion} chooses its master"
        );
        let (daemon, master) = (self.minion(minion)?, self.master(master)?);
        config::write_master_list(&self.folder, minion, &master.host().name)?;
        // A minion takes seconds to end when asked to, and has nothing to lose.
        daemon.kill()?;
        daemon.start()?;
        daemon.wait_connected(&master.host().name, START).map(drop)
    }

    /// Waits until all these minions have answered a `test.ping` that this master published.
    ///
    /// # Errors
    /// They did not in time, or a daemon of them died, with the end of the logs.
    pub fn wait_answers(&self, master: &str, minions: &[&str], timeout: Duration) -> anyhow::Result<()> {
        let daemon = self.master(master)?;
        let mut watched = vec![daemon];
        for minion in minions {
            watched.push(self.minion(minion)?);
        }
        let config = self.config_dir(master).join("master").display().to_string();
        let seconds = timeout.as_secs_f64().to_string();
        let mut arguments = vec![config.as_str(), &seconds];
        arguments.extend(minions);
        daemon
            .watch_script("answers.py", &arguments, &watched)
            .with_context(|| {
                let wait = timeout.as_secs_f64();
                format!(
                    "{} did not answer through {master} within {wait:.0} s",
                    minions.join(", ")
                )
            })
    }

    /// Waits for a condition, and meanwhile watches all daemons.
    ///
    /// # Errors
    /// The condition's own; a daemon that died; or that `what` did not happen, with the ends of all logs.
    pub fn wait_for<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let mut died = false;
        let result = until(what, timeout, || {
            for daemon in self.daemons() {
                daemon.check_alive().inspect_err(|_| died = true)?;
            }
            condition()
        });
        // A daemon that died has told its own log.
        result.map_err(|error| {
            if died {
                error
            } else {
                anyhow::anyhow!("{error:#}\n{}", self.log_tails())
            }
        })
    }

    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.state.namespaces
    }

    fn log_tails(&self) -> String {
        self.daemons()
            .map(|daemon| daemon.log_tail())
            .collect::<Vec<_>>()
            .join("\n")
    }

    pub(crate) fn daemons(&self) -> impl Iterator<Item = Daemon<'_>> {
        let hosts = self.state.hosts.iter().filter(|host| host.role != Role::Runner);
        hosts.map(|host| Daemon::new(self, host))
    }

    fn daemon_of(&self, name: &str, role: Role) -> anyhow::Result<Daemon<'_>> {
        let daemon = self.daemon(name)?;
        let word = if role == Role::Master { "master" } else { "minion" };
        ensure!(daemon.host().role == role, "{name} is no {word}");
        Ok(daemon)
    }
}
