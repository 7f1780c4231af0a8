//! The relay on a minion's host: the configuration of its sidecar, and the command that runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use crate::binary;
use crate::config::HostFolder;
use crate::host::Role;
use crate::lab::Lab;
use crate::pki;

impl Lab {
    /// Writes the `saltfo.yaml` of a relay beside this minion, with this YAML at the end of its `sidecar:` section and what
    /// follows it. Returns its path.
    ///
    /// # Errors
    /// There is no such minion, or the file can't be written.
    pub fn relay_config(&self, minion: &str, extra: &str) -> anyhow::Result<PathBuf> {
        let minion = &self.minion(minion)?.host().name;
        let folder = HostFolder::of(self.folder(), minion);
        let path = config_path(&folder);
        if let Some(parent) = path.parent() {
            pki::make_folder(parent)?;
        }
        // As an operator writes it: who the minion is and whom it trusts stands in its own configuration.
        let mut text = String::from("masters:\n");
        for host in self.hosts().iter().filter(|host| host.role == Role::Master) {
            text.push_str(&format!(
                "  - name: {}\n    address: {}\n",
                host.fqdn, host.address
            ));
        }
        text.push_str(&format!("sidecar:\n  mode: relay\n{extra}"));
        pki::write(&path, &text, 0o600)?;
        Ok(path)
    }

    /// `saltfo agent` beside this minion, as a service manager runs it, with the configuration that
    /// [`Lab::relay_config`] wrote last. Input and output are the caller's.
    ///
    /// # Errors
    /// There is no such minion, its master is no relay, or there is no `saltfo` binary.
    pub fn relay(&self, minion: &str) -> anyhow::Result<Command> {
        self.relay_of(minion, &binary::find_saltfo()?)
    }

    /// The same with another binary.
    ///
    /// # Errors
    /// As [`Lab::relay`].
    pub fn relay_of(&self, minion: &str, saltfo: &Path) -> anyhow::Result<Command> {
        ensure!(
            self.settings().relay,
            "the minions of this lab have masters of their own"
        );
        let minion = &self.minion(minion)?.host().name;
        let folder = HostFolder::of(self.folder(), minion);
        let state = folder.root().join("saltfo/run");
        pki::make_folder(&state)?;
        let mut command = self.command(minion, saltfo);
        command
            .env_remove("SALTFO_CONFIG")
            // As systemd does, with `RuntimeDirectory=`.
            .env("RUNTIME_DIRECTORY", state)
            .arg("--config")
            .arg(config_path(&folder))
            .arg("--minion-config")
            .arg(folder.etc().join("minion"))
            .arg("agent");
        Ok(command)
    }
}

fn config_path(host: &HostFolder) -> PathBuf {
    host.root().join("saltfo/saltfo.yaml")
}
