//! The lab itself: brought up, asked for its hosts, taken down.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use pki_tools::client::Client;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::builder::{LabBuilder, Settings};
use crate::config::{self, HostFolder, first_master};
use crate::daemon::{Daemon, START};
use crate::folder::{Folder, LiveLab};
use crate::host::{Host, RUNNER, Role, hosts};
use crate::install::Salt;
use crate::namespaces::{Holder, Namespaces};
use crate::progress::Progress;
use crate::wait::until;
use crate::{pki, process, saltfo};

/// The Python programs that the lab runs next to Salt.
const SCRIPTS: [(&str, &str); 2] = [
    ("ready.py", include_str!("../salt/ready.py")),
    ("answers.py", include_str!("../salt/answers.py")),
];

/// Two masters, their minions and a runner, connected by a switch. Dropped, all of it is gone, unless it was
/// attached to: then it belongs to the process that started it.
pub struct Lab {
    // Kept to be dropped, in this order: first the processes, then their folder.
    _holder: Option<Holder>,
    _owned: Option<Folder>,
    folder: PathBuf,
    state: State,
    salt: Salt,
    client: Client,
}

/// What another process needs to know in order to work with a lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) name: String,
    /// The process that holds the lab.
    pub(crate) owner: u32,
    pub(crate) settings: Settings,
    hosts: Vec<Host>,
    namespaces: Namespaces,
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
        let salt = Salt::ensure(state.settings.version, &Progress::stderr())?;
        let client = pki::load(&folder)?;
        Ok(Self {
            _holder: None,
            _owned: None,
            folder,
            state,
            salt,
            client,
        })
    }

    pub(crate) fn start(builder: LabBuilder) -> anyhow::Result<Self> {
        let LabBuilder {
            settings,
            name,
            progress,
        } = builder;
        let hosts = hosts(&settings.minions)?;
        check(&settings, &hosts)?;
        let salt = Salt::ensure(settings.version, &progress)?;
        let owned = Folder::create()?;
        let folder = owned.path().to_owned();
        config::write_names(&folder.join("etc"), &hosts)?;
        progress.say("making keys and the network");
        // Keys keep the processors busy, the network waits for the kernel.
        let (client, holder) = std::thread::scope(|scope| {
            let holder = scope.spawn(|| Holder::start(&hosts, &folder.join("etc")));
            let client = pki::generate(&folder, &settings.minions);
            (client, holder.join())
        });
        let holder = holder.map_err(|_| anyhow::anyhow!("making the network failed"))??;
        let name = name.unwrap_or_else(|| default_name(&folder));
        let state = State {
            name,
            owner: std::process::id(),
            settings,
            hosts,
            namespaces: holder.namespaces().clone(),
        };
        let lab = Self {
            _holder: Some(holder),
            _owned: Some(owned),
            folder,
            state,
            salt,
            client: client?,
        };
        lab.write_files()?;
        lab.start_daemons(&progress)?;
        lab.save()?;
        Ok(lab)
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

    /// The release of Salt on the lab's hosts, as it is installed.
    #[must_use]
    pub fn salt(&self) -> &Salt {
        &self.salt
    }

    /// A command that runs this program on a host: its network, its name, the lab's `/etc/hosts`, `/run` and
    /// processes. Arguments, input and output are the caller's, as with any command.
    ///
    /// Entering costs about 3 ms. A program that measures should be entered once and do all its work there.
    /// `Child::kill` kills the program; for other signals see [`Lab::signal`].
    #[must_use]
    pub fn command(&self, host: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.state.namespaces.enter(Some(host));
        // The child of `nsenter` dies with it.
        command
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program);
        command
    }

    /// Sends a signal to a program that was started with [`Lab::command`].
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&self, child: &std::process::Child, signal: Signal) -> anyhow::Result<()> {
        let nsenter = i32::try_from(child.id())?;
        let inner = process::children(nsenter)?
            .first()
            .copied()
            .context("the program has ended")?;
        process::send(inner, signal)
    }

    /// Pulls a host's cable; see [`Daemon::cut`].
    ///
    /// # Errors
    /// There is no such host.
    pub fn cut(&self, host: &str) -> anyhow::Result<()> {
        let name = &self.host(host)?.name;
        self.state
            .namespaces
            .run(None, &["ip", "link", "set", name, "nomaster"])
            .map(drop)
    }

    /// Plugs a host's cable in again.
    ///
    /// # Errors
    /// There is no such host.
    pub fn mend(&self, host: &str) -> anyhow::Result<()> {
        let name = &self.host(host)?.name;
        self.state
            .namespaces
            .run(None, &["ip", "link", "set", name, "master", "switch"])
            .map(drop)
    }

    /// Makes a host's cable bad in both directions, in the words of tc-netem(8): `loss 30% delay 200ms`. An
    /// empty text makes it good again.
    ///
    /// # Errors
    /// There is no such host, or the kernel has no netem.
    pub fn netem(&self, host: &str, faults: &str) -> anyhow::Result<()> {
        let name = &self.host(host)?.name;
        for (at, device) in [(Some(name.as_str()), "eth0"), (None, name.as_str())] {
            let rules = self
                .state
                .namespaces
                .run(at, &["tc", "qdisc", "show", "dev", device])?;
            let run = |arguments: &[&str]| self.state.namespaces.run(at, arguments);
            if !faults.is_empty() {
                let mut arguments = vec!["tc", "qdisc", "replace", "dev", device, "root", "netem"];
                arguments.extend(faults.split_whitespace());
                run(&arguments)
                    .context("does the kernel have netem (CONFIG_NET_SCH_NETEM, module sch_netem)?")?;
            } else if rules.contains("netem") {
                run(&["tc", "qdisc", "del", "dev", device, "root"])?;
            }
        }
        Ok(())
    }

    /// Runs `salt ARGUMENTS…` on a master, say `["minion01", "test.ping"]`.
    #[must_use]
    pub fn salt_cli(&self, master: &str, arguments: &[&str]) -> Command {
        self.salt_program(master, "salt", arguments)
    }

    /// Runs `salt-run ARGUMENTS…` on a master.
    #[must_use]
    pub fn salt_run(&self, master: &str, arguments: &[&str]) -> Command {
        self.salt_program(master, "salt-run", arguments)
    }

    /// Runs `salt-key ARGUMENTS…` on a master.
    #[must_use]
    pub fn salt_key(&self, master: &str, arguments: &[&str]) -> Command {
        self.salt_program(master, "salt-key", arguments)
    }

    /// Makes a minion try this master first, restarts it, and waits until it answers through it.
    ///
    /// # Errors
    /// No such host, or the minion does not answer.
    pub fn move_minion(&self, minion: &str, master: &str) -> anyhow::Result<()> {
        let (daemon, master) = (self.minion(minion)?, self.master(master)?);
        config::write_master_list(&self.folder, minion, &master.host().name)?;
        daemon.restart()?;
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
        let result = until(what, timeout, || {
            for daemon in self.daemons() {
                daemon.check_alive()?;
            }
            condition()
        });
        result.with_context(|| {
            self.daemons()
                .map(|daemon| daemon.log_tail())
                .collect::<Vec<_>>()
                .join("\n")
        })
    }

    /// A command that runs the real `saltfo` on the runner with the configuration of [`Lab::saltfo_config`],
    /// unless its arguments name another.
    ///
    /// # Errors
    /// There is no `saltfo` binary; see [`crate::find_saltfo`].
    pub fn saltfo(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = self.command(RUNNER, saltfo::find_saltfo()?);
        command
            .args(arguments)
            .env("SALTFO_CONFIG", saltfo::config_path(&self.folder));
        Ok(command)
    }

    /// Writes a `saltfo.yaml` with the dispatch identity for the runner, and this YAML at its end. Returns
    /// its path. [`Lab::saltfo`] uses the last one written; the lab begins with one without extras.
    ///
    /// # Errors
    /// The files can't be written.
    pub fn saltfo_config(&self, extra: &str) -> anyhow::Result<PathBuf> {
        saltfo::write_config(&self.folder, &self.client, &self.state.hosts, extra)
    }

    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.state.namespaces
    }

    /// Enters a host with a clean environment, as a service manager would give to Salt.
    pub(crate) fn enter_for_salt(&self, host: &str) -> Command {
        let mut command = self.state.namespaces.enter(Some(host));
        command
            .env_clear()
            .envs(self.environment(host))
            .env("LC_ALL", "C.UTF-8");
        if let Some(home) = std::env::var_os("HOME") {
            command.env("HOME", home);
        }
        command
    }

    /// What a shell on a host finds: the host's own Salt commands, and `saltfo` with its configuration.
    #[must_use]
    pub fn environment(&self, host: &str) -> Vec<(&'static str, std::ffi::OsString)> {
        let folder = HostFolder::of(&self.folder, host);
        let mut path = folder.bin().into_os_string();
        if let Ok(saltfo) = saltfo::find_saltfo()
            && let Some(parent) = saltfo.parent()
        {
            path.push(":");
            path.push(parent);
        }
        path.push(":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        vec![
            ("PATH", path),
            ("TMPDIR", folder.tmp().into_os_string()),
            (
                "SALTFO_CONFIG",
                saltfo::config_path(&self.folder).into_os_string(),
            ),
        ]
    }

    /// The path of one of the lab's Python programs.
    pub(crate) fn script(&self, name: &str) -> PathBuf {
        self.folder.join("etc").join(name)
    }

    fn daemons(&self) -> impl Iterator<Item = Daemon<'_>> {
        let hosts = self.state.hosts.iter().filter(|host| host.role != Role::Runner);
        hosts.map(|host| Daemon::new(self, host))
    }

    fn daemon_of(&self, name: &str, role: Role) -> anyhow::Result<Daemon<'_>> {
        let daemon = self.daemon(name)?;
        let word = if role == Role::Master { "master" } else { "minion" };
        ensure!(daemon.host().role == role, "{name} is no {word}");
        Ok(daemon)
    }

    fn salt_program(&self, master: &str, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.enter_for_salt(master);
        command.args(["setpriv", "--pdeathsig", "KILL", "--"]);
        command
            .arg(HostFolder::of(&self.folder, master).bin().join(program))
            .args(arguments);
        command
    }

    fn write_files(&self) -> anyhow::Result<()> {
        for (name, text) in SCRIPTS {
            pki::write(&self.script(name), text, 0o644)?;
        }
        pki::make_folder(&self.file_root())?;
        for host in &self.state.hosts {
            config::write_host(&self.folder, host, &self.state.settings, &self.salt, &self.client)?;
        }
        self.saltfo_config("").map(drop)
    }

    fn start_daemons(&self, progress: &Progress) -> anyhow::Result<()> {
        let of = |role| self.daemons().filter(move |daemon| daemon.host().role == role);
        progress.say(&format!("starting two salt-masters {}", self.salt.version()));
        for master in of(Role::Master) {
            master.launch()?;
        }
        for master in of(Role::Master) {
            master.wait_ready(START)?;
        }
        let minions = &self.state.settings.minions;
        if minions.is_empty() {
            return Ok(());
        }
        progress.say(&format!("starting {}", minions.join(", ")));
        for minion in of(Role::Minion) {
            minion.launch()?;
        }
        for master in of(Role::Master) {
            let name = &master.host().name;
            let here: Vec<&str> = minions
                .iter()
                .map(String::as_str)
                .filter(|minion| first_master(&self.state.settings, minion) == name)
                .collect();
            if !here.is_empty() && !self.state.settings.random_master {
                self.wait_answers(name, &here, START)?;
            }
        }
        Ok(())
    }

    /// Shows the lab to other processes.
    fn save(&self) -> anyhow::Result<()> {
        pki::write(
            &self.folder.join("lab.json"),
            &serde_json::to_string_pretty(&self.state)?,
            0o600,
        )
    }
}

fn check(settings: &Settings, hosts: &[Host]) -> anyhow::Result<()> {
    let is = |name: &String, role| hosts.iter().any(|host| host.name == *name && host.role == role);
    let masters = settings
        .master_config
        .keys()
        .chain(settings.first_master.values());
    for name in masters {
        ensure!(is(name, Role::Master), "the lab has no master {name}");
    }
    for name in settings.minion_config.keys().chain(settings.first_master.keys()) {
        ensure!(is(name, Role::Minion), "the lab runs no minion {name}");
    }
    Ok(())
}

/// The random end of the folder's name.
fn default_name(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit('-').next().unwrap_or_default().to_owned()
}
