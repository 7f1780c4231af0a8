//! The machine and the program that were measured.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::Serialize;

/// What numbers depend on.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Machine {
    /// Time of the start, UTC.
    date: String,
    /// The binary under test, with its version.
    binary: String,
    /// How this program and saltfo were built.
    profile: &'static str,
    kernel: String,
    cpu: String,
    cores: usize,
}

impl Machine {
    /// # Errors
    /// A `/proc` that is not Linux's, or a binary that does not run.
    pub(crate) fn look(binary: &Path) -> anyhow::Result<Self> {
        let kernel =
            fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's release")?;
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        // Not all processors have a name.
        let cpu = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("", |(_, name)| name.trim());
        Ok(Self {
            date: output(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?,
            binary: output(Command::new(binary).arg("--version"))?,
            profile: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
            kernel: kernel.trim().to_owned(),
            cpu: cpu.to_owned(),
            cores: std::thread::available_parallelism()?.get(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            date,
            binary,
            profile,
            kernel,
            cpu,
            cores,
        } = self;
        let cpu = if cpu.is_empty() { "processor" } else { cpu };
        write!(
            f,
            "{binary} ({profile} build), {date}, {cores} cores of {cpu}, Linux {kernel}"
        )
    }
}

/// Load of the machine over the last minute.
///
/// # Errors
/// `/proc/loadavg` can't be read.
pub(crate) fn load() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read the load of the machine")?;
    let first = text.split_whitespace().next().unwrap_or_default();
    first.parse().context("unreadable /proc/loadavg")
}

/// The first line that a command prints.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program}: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
