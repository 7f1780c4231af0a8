//! A lab that is being measured: starts the inner part of the bench on its runner.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use integration::{Lab, until};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::inner::Task;

/// The minion that is asked for unless said otherwise, and the master that has it.
pub(crate) const MINION: &str = "minion01";
/// The minion of the other master.
pub(crate) const OTHER_MINION: &str = "minion02";
/// Short name of the master that has [`MINION`].
pub(crate) const MASTER: &str = "salt1";
/// Short name of the other master.
pub(crate) const OTHER_MASTER: &str = "salt2";
/// How long a master may take to be what it should be after a fault or its end.
const CHANGE: Duration = Duration::from_secs(60);

/// A lab, and what to ask there.
pub(crate) struct Stage<'a> {
    pub(crate) lab: &'a Lab,
    saltfo: &'a Path,
    config: PathBuf,
}

/// What `saltfo probe --out json` prints, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Probe {
    masters: Vec<Probed>,
}

#[derive(Debug, Deserialize)]
struct Probed {
    name: String,
    state: String,
}

impl<'a> Stage<'a> {
    /// # Errors
    /// The configuration can't be written.
    pub(crate) fn new(lab: &'a Lab, saltfo: &'a Path) -> anyhow::Result<Self> {
        Ok(Self {
            lab,
            saltfo,
            config: lab.saltfo_config("")?,
        })
    }

    /// Measures lookups of [`MINION`], which [`MASTER`] has.
    ///
    /// # Errors
    /// It could not be measured, or an answer was wrong.
    pub(crate) fn measure<T: DeserializeOwned>(&self, task: &Task) -> anyhow::Result<T> {
        self.measure_for(MINION, MASTER, task)
    }

    /// The same with a configuration that names [`MASTER`] alone: nobody else is asked.
    ///
    /// # Errors
    /// As [`Stage::measure`].
    pub(crate) fn measure_alone<T: DeserializeOwned>(&self, task: &Task) -> anyhow::Result<T> {
        let both = std::fs::read_to_string(&self.config)?;
        let mut masters = both.match_indices("  - name:");
        let (_first, second) = (masters.next(), masters.next());
        let end = second.context("the lab's saltfo.yaml has no second master")?.0;
        let alone = both.get(..end).unwrap_or_default();
        // Beside the other one, because it names keys by relative paths.
        let config = self.config.with_file_name("alone.yaml");
        std::fs::write(&config, alone).with_context(|| format!("cannot write {}", config.display()))?;
        self.run(&config, MINION, MASTER, task)
    }

    /// The same for another minion and the master that has it.
    ///
    /// # Errors
    /// As [`Stage::measure`].
    pub(crate) fn measure_for<T: DeserializeOwned>(
        &self,
        minion: &str,
        master: &str,
        task: &Task,
    ) -> anyhow::Result<T> {
        self.run(&self.config, minion, master, task)
    }

    fn run<T: DeserializeOwned>(
        &self,
        config: &Path,
        minion: &str,
        master: &str,
        task: &Task,
    ) -> anyhow::Result<T> {
        let here = std::env::current_exe().context("cannot find the running program")?;
        let output = self
            .lab
            .command("runner", here)
            .arg("inner")
            .arg("--saltfo")
            .arg(self.saltfo)
            .arg("--config")
            .arg(config)
            .args(["--minion", minion, "--master", &self.lab.host(master)?.fqdn])
            .args(task.words())
            .stdin(Stdio::null())
            .output()
            .context("cannot enter the runner")?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
                .trim()
                .trim_start_matches("bench: ")
        );
        serde_json::from_slice(&output.stdout).context("the inner bench printed something else")
    }

    /// Waits until both masters are verified and accept our key.
    ///
    /// # Errors
    /// They are not in time.
    pub(crate) fn until_healthy(&self) -> anyhow::Result<()> {
        until("both masters are verified", CHANGE, || {
            let healthy = self
                .probe()?
                .masters
                .iter()
                .all(|master| master.state == "reachable");
            Ok(healthy.then_some(()))
        })
    }

    /// That the other master has this fault now, and the first one has not.
    ///
    /// # Errors
    /// Otherwise.
    pub(crate) fn ensure_faulty(&self, state: &str) -> anyhow::Result<()> {
        let probe = self.probe()?;
        let of = |name: &str| -> anyhow::Result<&str> {
            let fqdn = &self.lab.host(name)?.fqdn;
            let master = probe.masters.iter().find(|master| master.name == *fqdn);
            master.map(|master| master.state.as_str()).context("not probed")
        };
        let states = (of(MASTER)?, of(OTHER_MASTER)?);
        ensure!(
            states == ("reachable", state),
            "{MASTER} and {OTHER_MASTER} should be reachable and {state}, but are {} and {}",
            states.0,
            states.1
        );
        Ok(())
    }

    fn probe(&self) -> anyhow::Result<Probe> {
        let mut command = self.lab.saltfo(&["probe", "--out", "json", "--timeout", "2"])?;
        let output = command
            .stdin(Stdio::null())
            .output()
            .context("cannot run saltfo probe")?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("saltfo probe: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}
