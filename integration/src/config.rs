//! The files of a host: what `pki-tools install` writes, what the lab adds to it, and the folders that Salt works in.

use std::fs;
use std::path::{Path, PathBuf};

use pki_tools::install;

use crate::builder::Settings;
use crate::host::{Host, MASTERS, Role};
use crate::install::Salt;
use crate::pki::{self, make_folder, write};

/// What the dispatch identity of a lab may call on minions.
const DISPATCH_FUNCTIONS: [&str; 7] = [
    "test.*",
    "saltutil.*",
    "state.*",
    "cmd.run",
    "cmd.run_all",
    "grains.*",
    "match.pillar",
];

/// Salt reads the files of `minion.d` and `master.d` in order of their names; a later one wins. These come after `saltfo.conf`,
/// which `pki-tools install` writes.
const SETTINGS: &str = "z-lab.conf";
const NO_MASTERS: &str = "z-lab-masters-0.conf";
const MASTER_LIST: &str = "z-lab-masters-1.conf";
const EXTRA: &str = "zz-extra.conf";

/// Each minion may publish `test.ping` to itself: only so the sidecar, which has its key, can prove that jobs get through.
const PEER: &str = "peer:\n  '^minion[0-9]+$': ['test\\.ping$']\n";

/// What `saltfo setup relay` tells a minion besides its master.
const BEHIND_RELAY: &str = "\
master_type: str
master_alive_interval: 0
master_failback: False
random_master: False
master_shuffle: False
recon_default: 100
recon_max: 500
recon_randomize: False
acceptance_wait_time: 1
acceptance_wait_time_max: 2
master_tries: -1
";

/// The only master of a minion behind a relay.
const RELAY: &str = "127.0.0.1";

/// Salt's commands that get a wrapper on each host, with the daemon whose configuration they read.
const COMMANDS: [(&str, Role); 6] = [
    ("salt", Role::Master),
    ("salt-run", Role::Master),
    ("salt-key", Role::Master),
    ("salt-master", Role::Master),
    ("salt-call", Role::Minion),
    ("salt-minion", Role::Minion),
];

/// Where a host keeps its files, below the lab's folder.
#[derive(Debug, Clone)]
pub(crate) struct HostFolder(PathBuf);

impl HostFolder {
    pub(crate) fn of(lab: &Path, host: &str) -> Self {
        Self(lab.join(host))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// Salt's configuration folder.
    pub(crate) fn etc(&self) -> PathBuf {
        self.0.join("etc/salt")
    }

    pub(crate) fn pki_dir(&self, role: &str) -> PathBuf {
        self.etc().join("pki").join(role)
    }

    /// The daemon's own log.
    pub(crate) fn log(&self, role: &str) -> PathBuf {
        self.0.join("log").join(role)
    }

    /// What the daemon printed outside of its log: Python's last words.
    pub(crate) fn output(&self, role: &str) -> PathBuf {
        self.0.join("log").join(format!("{role}.out"))
    }

    /// Holds the id of the daemon's first process inside of the lab as long as it should run.
    pub(crate) fn pid_file(&self, role: &str) -> PathBuf {
        self.0.join(format!("{role}.pid"))
    }

    /// Programs that take the host's own configuration.
    pub(crate) fn bin(&self) -> PathBuf {
        self.0.join("bin")
    }

    /// For the daemon's temporary files.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }
}

/// The folder that both masters serve states from, as if each had the same git repository.
pub(crate) fn file_root(lab: &Path) -> PathBuf {
    lab.join("srv/salt")
}

/// Writes `hosts` and `resolv.conf` for all hosts: names resolve without DNS, and nothing else does.
pub(crate) fn write_names(etc: &Path, hosts: &[Host]) -> anyhow::Result<()> {
    fs::create_dir_all(etc)?;
    let mut text = String::from("127.0.0.1 localhost\n");
    for Host {
        name, fqdn, address, ..
    } in hosts
    {
        let short = if name == fqdn { "" } else { name };
        text.push_str(format!("{address} {fqdn} {short}").trim_end());
        text.push('\n');
    }
    write(&etc.join("hosts"), &text, 0o644)?;
    // Nobody listens there, so a look-up fails at once instead of after a timeout.
    write(&etc.join("resolv.conf"), "nameserver 127.0.0.1\n", 0o644)
}

/// Writes everything that a host needs before its daemon starts.
pub(crate) fn write_host(lab: &Path, host: &Host, settings: &Settings, salt: &Salt) -> anyhow::Result<()> {
    let folder = HostFolder::of(lab, &host.name);
    for path in ["etc/salt", "cache", "run", "log", "tmp", "bin", "srv/pillar"] {
        make_folder(&folder.root().join(path))?;
    }
    match host.role {
        Role::Master => {
            let (etc, root) = (folder.etc(), folder.root());
            let allowed = Some(DISPATCH_FUNCTIONS.as_slice());
            pki::install(lab, &host.fqdn, install::Role::Master, root, allowed)?;
            if settings.relay {
                write(&etc.join("master.d").join(SETTINGS), PEER, 0o644)?;
            }
            let mut text = master_config(lab, &folder, host, settings);
            if let Some(extra) = settings.master_config.get(&host.name) {
                // Salt adds up what the files of `master.d` say. What it includes takes the place of that: only so
                // `peer: {}` allows nothing.
                text.push_str(&format!("include: {EXTRA}\n"));
                write(&etc.join(EXTRA), extra, 0o644)?;
            }
            write(&etc.join("master"), &text, 0o644)?;
        }
        Role::Minion => {
            let (etc, root) = (folder.etc(), folder.root());
            pki::install(lab, &host.fqdn, install::Role::Minion, root, None)?;
            write(&etc.join("minion"), &minion_config(&folder), 0o644)?;
            let text = minion_settings(settings);
            write(&etc.join("minion.d").join(SETTINGS), &text, 0o644)?;
            if settings.relay {
                write_masters(lab, &host.name, &[RELAY])?;
            } else {
                write_master_list(lab, &host.name, first_master(settings, &host.name))?;
            }
            if let Some(extra) = settings.minion_config.get(&host.name) {
                write(&etc.join("minion.d").join(EXTRA), extra, 0o644)?;
            }
        }
        Role::Runner => {}
    }
    for (name, role) in COMMANDS {
        if role == host.role {
            let (python, program, etc) = (salt.python(), salt.program(name), folder.etc());
            let text = format!(
                "#!/bin/sh\nexec '{}' '{}' -c '{}' \"$@\"\n",
                python.display(),
                program.display(),
                etc.display()
            );
            write(&folder.bin().join(name), &text, 0o755)?;
        }
    }
    Ok(())
}

/// Sets the order in which a minion tries the masters.
pub(crate) fn write_master_list(lab: &Path, minion: &str, first: &str) -> anyhow::Result<()> {
    let others = MASTERS.iter().copied().filter(|name| *name != first);
    let names: Vec<String> = std::iter::once(first)
        .chain(others)
        .map(|name| format!("{name}.xyz.example"))
        .collect();
    write_masters(lab, minion, &names)
}

/// Salt adds up the lists of several files, so a text in between takes the list of `saltfo.conf` away first.
fn write_masters(lab: &Path, minion: &str, masters: &[impl AsRef<str>]) -> anyhow::Result<()> {
    let folder = HostFolder::of(lab, minion).etc().join("minion.d");
    let mut text = String::from("master:\n");
    for master in masters {
        text.push_str(&format!("  - {}\n", master.as_ref()));
    }
    write(&folder.join(NO_MASTERS), "master: ''\n", 0o644)?;
    write(&folder.join(MASTER_LIST), &text, 0o644)
}

/// The master that a minion tries first: the chosen one, else they take turns.
pub(crate) fn first_master<'a>(settings: &'a Settings, minion: &str) -> &'a str {
    if let Some(master) = settings.first_master.get(minion) {
        return master;
    }
    let place = settings.minions.iter().position(|id| id == minion).unwrap_or(0);
    MASTERS.iter().cycle().nth(place).copied().unwrap_or("salt1")
}

fn master_config(lab: &Path, folder: &HostFolder, host: &Host, settings: &Settings) -> String {
    format!(
        "id: {fqdn}_master\n\
         user: root\n\
         interface: 0.0.0.0\n\
         worker_threads: {workers}\n\
         {common}\
         pki_dir: {pki}\n\
         log_file: {log}\n\
         file_roots:\n  base:\n    - {states}\n\
         pillar_roots:\n  base:\n    - {root}/srv/pillar\n\
         presence_events: True\n\
         ping_on_rotate: True\n",
        fqdn = host.fqdn,
        workers = settings.worker_threads,
        common = common(folder),
        pki = folder.pki_dir("master").display(),
        log = folder.log("master").display(),
        states = file_root(lab).display(),
        root = folder.root().display(),
    )
}

fn minion_config(folder: &HostFolder) -> String {
    // The grains that are switched off ask the machine for graphics cards and DNS for names.
    format!(
        "user: root\n\
         {common}\
         pki_dir: {pki}\n\
         log_file: {log}\n\
         enable_gpu_grains: False\n\
         enable_fqdns_grains: False\n",
        common = common(folder),
        pki = folder.pki_dir("minion").display(),
        log = folder.log("minion").display(),
    )
}

/// What a lab chooses and `saltfo.conf` sets.
fn minion_settings(settings: &Settings) -> String {
    if settings.relay {
        return BEHIND_RELAY.to_owned();
    }
    let random = if settings.random_master { "True" } else { "False" };
    format!(
        "random_master: {random}\nmaster_alive_interval: {}\n",
        settings.master_alive_interval
    )
}

fn common(folder: &HostFolder) -> String {
    let root = folder.root().display();
    format!(
        "root_dir: {root}\n\
         cachedir: {root}/cache\n\
         sock_dir: {root}/run\n\
         pidfile: {root}/run/salt.pid\n\
         log_level: warning\n\
         log_level_logfile: info\n"
    )
}
