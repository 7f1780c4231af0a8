//! One lookup as a user makes it: the whole process `saltfo active-master MINION`, timed and checked.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::memory;

/// What to ask, and what is right.
#[derive(Debug, Clone, Args)]
pub(crate) struct Question {
    /// The binary
    #[arg(long)]
    pub(crate) saltfo: PathBuf,
    /// A `saltfo.yaml`
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// The minion to ask for
    #[arg(long)]
    pub(crate) minion: String,
    /// The name of the master that has it
    #[arg(long)]
    pub(crate) master: String,
}

/// How a lookup ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Right,
    /// Another answer than the right one.
    Wrong(String),
    /// No answer, and why.
    None(String),
}

impl Question {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.saltfo);
        command
            .arg("--config")
            .arg(&self.config)
            .args(["active-master", &self.minion])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it, and tells how long that took and how it ended.
    ///
    /// # Errors
    /// It can't be run.
    pub(crate) fn ask(&self) -> anyhow::Result<(Duration, Outcome)> {
        let mut command = self.command();
        let start = Instant::now();
        let output = command.output().context("cannot run saltfo")?;
        Ok((start.elapsed(), self.judge(&output)))
    }

    /// Runs it; anything but the right answer is an error.
    ///
    /// # Errors
    /// A wrong answer, or none.
    pub(crate) fn ask_rightly(&self) -> anyhow::Result<Duration> {
        let (took, outcome) = self.ask()?;
        outcome.ensure_right(&self.minion)?;
        Ok(took)
    }

    /// Runs it, and tells the most memory that was resident, in KiB.
    ///
    /// # Errors
    /// A wrong answer, or none; or it was gone before it could be looked at.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<u64> {
        let child = self.command().spawn().context("cannot run saltfo")?;
        let (peak, output) = memory::peak(child)?;
        self.judge(&output).ensure_right(&self.minion)?;
        Ok(peak)
    }

    fn judge(&self, output: &Output) -> Outcome {
        let answer = String::from_utf8_lossy(&output.stdout);
        if !answer.is_empty() && answer != format!("{}\n", self.master) {
            return Outcome::Wrong(answer.trim_end().to_owned());
        }
        if answer.is_empty() || !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Outcome::None(format!("{}: {}", output.status, why.trim().replace('\n', "; ")));
        }
        Outcome::Right
    }
}

impl Outcome {
    fn ensure_right(&self, minion: &str) -> anyhow::Result<()> {
        match self {
            Self::Right => Ok(()),
            Self::Wrong(answer) => bail!("saltfo gave a wrong answer for {minion}: {answer:?}"),
            Self::None(why) => bail!("saltfo gave no answer for {minion}: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn judged(code: i32, stdout: &str) -> Outcome {
        let question = Question {
            saltfo: PathBuf::new(),
            config: PathBuf::new(),
            minion: "minion01".to_owned(),
            master: "salt1.xyz.example".to_owned(),
        };
        question.judge(&Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: stdout.into(),
            stderr: b"why".to_vec(),
        })
    }

    #[test]
    fn only_the_name_with_exit_code_0_is_right() {
        assert_eq!(judged(0, "salt1.xyz.example\n"), Outcome::Right);
        assert_eq!(
            judged(0, "salt2.xyz.example\n"),
            Outcome::Wrong("salt2.xyz.example".to_owned())
        );
        assert!(matches!(judged(3, "salt1.xyz.example\n"), Outcome::None(_)));
        assert!(matches!(judged(4, ""), Outcome::None(_)));
        assert!(matches!(judged(0, ""), Outcome::None(_)));
        assert!(matches!(judged(0, "salt1.xyz.example"), Outcome::Wrong(_)));
    }
}
