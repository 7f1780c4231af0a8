//! A sidecar that runs beside `minion01`, with the minion's own configuration.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use integration::{Lab, until};
use rustix::process::Signal;
use serde::Deserialize;

use super::ask;
use crate::stage::MINION;

/// How long masters, minion and sidecar may take to agree again after a fault.
const CHANGE: Duration = Duration::from_secs(180);
const STOP: Duration = Duration::from_secs(10);

/// The process. Dropped, it is killed.
pub(super) struct Running<'a> {
    lab: &'a Lab,
    saltfo: &'a Path,
    process: Child,
    log: PathBuf,
    listen: SocketAddr,
}

/// What `saltfo status --out json` prints, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Status {
    ready: bool,
    why: String,
    active: Option<Named>,
    masters: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    state: Option<String>,
    proof: Option<String>,
}

impl<'a> Running<'a> {
    /// Starts one that knows nothing of the past, with default settings.
    ///
    /// # Errors
    /// It can't be started.
    pub(super) fn start(lab: &'a Lab, saltfo: &'a Path) -> anyhow::Result<Self> {
        let (command, folder) = command(lab, saltfo, 0)?;
        Self::spawn(lab, saltfo, command, &folder, ask::SIDECAR)
    }

    /// Starts one of several, all of them as the same minion, with these settings besides where it listens.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub(super) fn one_of_many(
        lab: &'a Lab,
        saltfo: &'a Path,
        number: u16,
        settings: &str,
    ) -> anyhow::Result<Self> {
        let (mut command, folder) = command(lab, saltfo, number)?;
        let port = ask::SIDECAR.port().saturating_add(number);
        let listen = SocketAddr::new(ask::SIDECAR.ip(), port);
        let config = folder.join("saltfo.yaml");
        fs::write(&config, format!("sidecar:\n  listen: {listen}\n{settings}"))?;
        command.arg("--config").arg(config);
        Self::spawn(lab, saltfo, command, &folder, listen)
    }

    fn spawn(
        lab: &'a Lab,
        saltfo: &'a Path,
        mut command: Command,
        folder: &Path,
        listen: SocketAddr,
    ) -> anyhow::Result<Self> {
        let log = folder.join("log");
        let process = command
            .arg("agent")
            .stderr(File::options().create(true).append(true).open(&log)?)
            .spawn()
            .context("cannot enter a host")?;
        Ok(Self {
            lab,
            saltfo,
            process,
            log,
            listen,
        })
    }

    /// Waits until both masters are up and a job has come back from the minion; returns the name of the master through which.
    ///
    /// # Errors
    /// They are not in time, with the end of its log.
    pub(super) fn until_all_up(&mut self) -> anyhow::Result<String> {
        let mut last = String::from("it has not answered");
        let all_up = until("both masters are up and jobs get through", CHANGE, || {
            if let Some(status) = self.process.try_wait()? {
                anyhow::bail!("the sidecar has ended: {status}");
            }
            let Some(status) = self.status() else {
                return Ok(None);
            };
            last = status.why.clone();
            Ok(status.when_all_up())
        });
        all_up.with_context(|| format!("{last}\n{}", self.log_tail()))
    }

    /// Its id as seen from here.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn pid(&self) -> anyhow::Result<i32> {
        self.lab.pid(&self.process)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// It did not in time, or not in peace.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        self.lab.signal(&self.process, Signal::TERM)?;
        let status = until("the sidecar ends", STOP, || Ok(self.process.try_wait()?))?;
        ensure!(
            status.success(),
            "the sidecar ended with {status}\n{}",
            self.log_tail()
        );
        Ok(())
    }

    /// Nothing while it does not answer.
    fn status(&self) -> Option<Status> {
        let mut command = self.lab.command(MINION, self.saltfo);
        let output = command
            .env_remove("SALTFO_CONFIG")
            .args(["status", "--out", "json", "--listen"])
            .arg(self.listen.to_string())
            .stdin(Stdio::null())
            .output()
            .ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let skip = log.lines().count().saturating_sub(15);
        log.lines().skip(skip).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Status {
    /// The active master's name, if everything is as it should be. A connection proves less than a round trip, and
    /// one that is still to come would be measured, too.
    fn when_all_up(&self) -> Option<String> {
        let up = |master: &Named| master.state.as_deref() == Some("up");
        let active = self.active.as_ref()?;
        let proven = active.proof.as_deref() == Some("round_trip");
        (self.ready && proven && self.masters.iter().all(up)).then(|| active.name.clone())
    }
}

/// `saltfo` on the sidecar's host, with the minion's configuration, and a folder for what belongs to this sidecar.
fn command(lab: &Lab, saltfo: &Path, number: u16) -> anyhow::Result<(Command, PathBuf)> {
    let folder = lab.folder().join(MINION).join(format!("sidecar{number}"));
    fs::create_dir_all(&folder)?;
    let mut command = lab.command(MINION, saltfo);
    command
        .env_remove("SALTFO_CONFIG")
        .arg("--minion-config")
        .arg(lab.config_dir(MINION).join("minion"))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Ok((command, folder))
}

/// This program on the sidecar's host, to ask there.
///
/// # Errors
/// The running program can't be found.
pub(super) fn asking(lab: &Lab, words: &[&str]) -> anyhow::Result<Command> {
    let here = std::env::current_exe().context("cannot find the running program")?;
    let mut command = lab.command(MINION, here);
    command.arg("ask").args(words).stdin(Stdio::null());
    Ok(command)
}
