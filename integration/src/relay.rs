//! The relay on a minion's host: the configuration of its sidecar, the process, and what it says of itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use serde_json::Value as Json;

use crate::config::HostFolder;
use crate::host::Role;
use crate::lab::Lab;
use crate::pki;
use crate::wait::until;

/// How long a relay may take to end: longer than it ever should.
const STOP: Duration = Duration::from_secs(10);
/// Lines of its log in an error.
const LOG_TAIL: usize = 30;

/// A relay that runs beside a minion. Dropped, it is killed.
#[derive(Debug)]
pub struct Relay<'lab> {
    lab: &'lab Lab,
    minion: String,
    saltfo: PathBuf,
    process: Child,
}

impl Lab {
    /// Writes the `saltfo.yaml` of a relay beside this minion, with this YAML at its end: the rest of the section `sidecar:`,
    /// and what follows it. Returns its path.
    ///
    /// # Errors
    /// There is no such minion, or the file can't be written.
    pub fn relay_config(&self, minion: &str, extra: &str) -> anyhow::Result<PathBuf> {
        let all = self.hosts().iter().filter(|host| host.role == Role::Master);
        let all: Vec<&str> = all.map(|host| host.name.as_str()).collect();
        self.relay_config_of(minion, &all, extra)
    }

    /// The same with these masters, in this order.
    ///
    /// # Errors
    /// As [`Lab::relay_config`], or there is no such master.
    pub fn relay_config_of(&self, minion: &str, masters: &[&str], extra: &str) -> anyhow::Result<PathBuf> {
        let minion = &self.minion(minion)?.host().name;
        let path = config_path(&HostFolder::of(self.folder(), minion));
        if let Some(parent) = path.parent() {
            pki::make_folder(parent)?;
        }
        // As an operator writes it: who the minion is and whom it trusts stands in its own configuration.
        let mut text = String::from("masters:\n");
        for master in masters {
            let host = self.master(master)?.host();
            text.push_str(&format!(
                "  - name: {}\n    address: {}\n",
                host.fqdn, host.address
            ));
        }
        text.push_str(&format!("sidecar:\n  mode: relay\n{extra}"));
        pki::write(&path, &text, 0o600)?;
        Ok(path)
    }

    /// `saltfo agent` beside this minion, as a service manager runs it, with the configuration that [`Lab::relay_config`]
    /// wrote last. Input and output are the caller's.
    ///
    /// # Errors
    /// There is no such minion, or its master is no relay.
    pub fn relay_command(&self, minion: &str, saltfo: &Path) -> anyhow::Result<Command> {
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
            .arg("agent")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Ok(command)
    }

    /// Starts the relay beside this minion; what it says goes to [`Relay::log_path`].
    ///
    /// # Errors
    /// As [`Lab::relay_command`].
    pub fn start_relay(&self, minion: &str, saltfo: &Path) -> anyhow::Result<Relay<'_>> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(log_path(self, minion))?;
        let process = self.relay_command(minion, saltfo)?.stderr(log).spawn();
        Ok(Relay {
            lab: self,
            minion: minion.to_owned(),
            saltfo: saltfo.to_owned(),
            process: process.context("cannot run nsenter")?,
        })
    }
}

impl Relay<'_> {
    /// What it reports: `null` while it does not answer.
    ///
    /// # Errors
    /// `saltfo status` can't be run.
    pub fn status(&self) -> anyhow::Result<Json> {
        let mut command = self.lab.command(&self.minion, &self.saltfo);
        let output = command
            .env_remove("SALTFO_CONFIG")
            .args(["status", "--out", "json"])
            .stdin(Stdio::null())
            .output()
            .context("cannot run nsenter")?;
        Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
    }

    /// Waits for a report that shows this.
    ///
    /// # Errors
    /// There is none in time, or the relay has ended; with the last report and the end of the log.
    pub fn wait<T>(
        &mut self,
        what: &str,
        timeout: Duration,
        shows: impl Fn(&Json) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut last = Json::Null;
        let waited = until(what, timeout, || {
            if let Some(status) = self.process.try_wait()? {
                bail!("the relay has ended: {status}");
            }
            last = self.status()?;
            Ok(shows(&last))
        });
        waited.with_context(|| format!("{last:#}\n{}", self.log_tail()))
    }

    /// Waits until all masters are up and a job has come back through the elected one: the short name of that one.
    ///
    /// # Errors
    /// As [`Relay::wait`].
    pub fn settled(&mut self, timeout: Duration) -> anyhow::Result<String> {
        let what = "all masters are up and jobs get through the elected one";
        let name = self.wait(what, timeout, settled)?;
        let host = self.lab.hosts().iter().find(|host| host.fqdn == name);
        Ok(host
            .with_context(|| format!("the lab has no {name}"))?
            .name
            .clone())
    }

    /// Its process id as seen from here.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> anyhow::Result<i32> {
        self.lab.pid(&self.process)
    }

    /// Asks it to read its configuration again, as `systemctl reload` does. It says in its log what became of that.
    ///
    /// # Errors
    /// It has ended.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.lab.signal(&self.process, Signal::HUP)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// It does not.
    pub fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.lab.signal(&self.process, Signal::TERM)?;
        until("the relay ends", STOP, || Ok(self.process.try_wait()?))
    }

    /// The log of all relays that have run here.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        log_path(self.lab, &self.minion)
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let skip = log.lines().count().saturating_sub(LOG_TAIL);
        log.lines().skip(skip).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The elected master's full name, if everything is as it should be. A connection proves less than a round trip.
fn settled(status: &Json) -> Option<String> {
    let text = |place: &str| status.pointer(place).and_then(Json::as_str);
    let is_up = |master: &Json| master.get("state").is_some_and(|state| state == "up");
    let all_up = status.get("masters")?.as_array()?.iter().all(is_up);
    let elected = text("/relay/master")?;
    let proven = text("/active/proof") == Some("round_trip") && text("/active/name") == Some(elected);
    let ready = status.get("ready").is_some_and(|ready| *ready == true);
    (all_up && proven && ready).then(|| elected.to_owned())
}

fn config_path(host: &HostFolder) -> PathBuf {
    host.root().join("saltfo/saltfo.yaml")
}

fn log_path(lab: &Lab, minion: &str) -> PathBuf {
    HostFolder::of(lab.folder(), minion).log("saltfo")
}
