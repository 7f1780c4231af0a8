//! How a lab comes up: Salt, keys, network, files, daemons, in this order.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::ensure;

use crate::builder::{LabBuilder, Settings};
use crate::config::{self, first_master};
use crate::daemon::START;
use crate::folder::Folder;
use crate::host::{Host, Role, hosts};
use crate::lab::{Lab, State};
use crate::namespaces::Holder;
use crate::pki;
use crate::progress::Progress;
use crate::releases::Releases;

/// The Python programs that the lab runs next to Salt.
const SCRIPTS: [(&str, &str); 3] = [
    ("ready.py", include_str!("../salt/ready.py")),
    ("answers.py", include_str!("../salt/answers.py")),
    ("pings.py", include_str!("../salt/pings.py")),
];

impl Lab {
    pub(crate) fn start(builder: LabBuilder) -> anyhow::Result<Self> {
        let LabBuilder {
            settings,
            name,
            progress,
        } = builder;
        let hosts = hosts(&settings.minions)?;
        check(&settings, &hosts)?;
        let releases = Releases::ensure(&settings, &progress)?;
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
            releases,
            client: client?,
        };
        lab.write_files()?;
        lab.start_daemons(&progress)?;
        lab.save()?;
        Ok(lab)
    }

    fn write_files(&self) -> anyhow::Result<()> {
        for (name, text) in SCRIPTS {
            pki::write(&self.script(name), text, 0o644)?;
        }
        pki::make_folder(&self.file_root())?;
        for host in &self.state.hosts {
            config::write_host(&self.folder, host, &self.state.settings, self.salt(&host.name))?;
        }
        self.saltfo_config("").map(drop)
    }

    fn start_daemons(&self, progress: &Progress) -> anyhow::Result<()> {
        let of = |role| self.daemons().filter(move |daemon| daemon.host().role == role);
        let versions: BTreeSet<String> = of(Role::Master)
            .map(|master| self.salt(&master.host().name).version().to_string())
            .collect();
        let versions = Vec::from_iter(versions).join(" and ");
        progress.say(&format!("starting two salt-masters {versions}"));
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
        // Who can't tell a minion's master can't wait for it there.
        if self.state.settings.random_master || self.state.settings.relay {
            return Ok(());
        }
        // Both masters at once: most of the wait is Python's start.
        std::thread::scope(|scope| {
            let waits: Vec<_> = of(Role::Master)
                .map(|master| {
                    let name = &master.host().name;
                    let here: Vec<&str> = minions
                        .iter()
                        .map(String::as_str)
                        .filter(|minion| first_master(&self.state.settings, minion) == name)
                        .collect();
                    scope.spawn(move || {
                        if here.is_empty() {
                            Ok(())
                        } else {
                            self.wait_answers(name, &here, START)
                        }
                    })
                })
                .collect();
            for wait in waits {
                wait.join()
                    .map_err(|_| anyhow::anyhow!("waiting for the minions failed"))??;
            }
            Ok(())
        })
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
    for name in settings.releases.keys() {
        let runs_salt = is(name, Role::Master) || is(name, Role::Minion);
        ensure!(runs_salt, "no host {name} of the lab runs Salt");
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
