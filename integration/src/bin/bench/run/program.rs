//! One job as a user has it done: the whole process, `saltfo` on the runner or `salt` on a master.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use integration::Lab;
use serde_json::Value as Json;

/// Who gets a job done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Program<'a> {
    /// `saltfo run`, which has to find the minion first.
    Saltfo,
    /// `salt` on this master, which must have the minion. Its `-t` keeps it from asking after the job meanwhile.
    Salt(&'a str),
}

/// A process that has ended.
#[derive(Debug)]
pub(super) struct Ran {
    /// From its start to its end. Entering the host is part of it, 3 to 5 ms for either program.
    pub(super) took: Duration,
    output: Output,
}

impl Program<'_> {
    /// # Errors
    /// It can't be run.
    pub(super) fn run(self, lab: &Lab, minion: &str, words: &[&str]) -> anyhow::Result<Ran> {
        let mut command = self.command(lab, minion, words)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let start = Instant::now();
        let output = command.output().context("cannot enter a host")?;
        Ok(Ran {
            took: start.elapsed(),
            output,
        })
    }

    fn command(self, lab: &Lab, minion: &str, words: &[&str]) -> anyhow::Result<Command> {
        match self {
            Self::Saltfo => {
                let head = ["run", "--out", "json", "--timeout", "240", minion];
                lab.saltfo(&[&head, words].concat())
            }
            Self::Salt(master) => {
                let head = ["--show-jid", "--out", "json", "-t", "240", minion];
                Ok(lab.salt_cli(master, &[&head, words].concat()))
            }
        }
    }
}

impl Ran {
    /// What the minion returned.
    ///
    /// # Errors
    /// Another exit code than 0, or no return.
    pub(super) fn returned(&self, minion: &str) -> anyhow::Result<Json> {
        let text = String::from_utf8_lossy(&self.output.stdout);
        let whole = || {
            let words = String::from_utf8_lossy(&self.output.stderr);
            format!("{}, {}, {}", self.output.status, text.trim(), words.trim())
        };
        ensure!(self.output.status.success(), "{}", whole());
        // `salt` tells the jid in a line ahead of the document.
        let document = text.split_once('{').map(|(_, rest)| format!("{{{rest}"));
        let mut document: Json = serde_json::from_str(&document.unwrap_or_default()).with_context(whole)?;
        let ret = document.get_mut(minion).map(Json::take);
        ret.with_context(whole)
    }

    /// The job, as either program tells it: `saltfo` on stderr, `salt` on stdout.
    ///
    /// # Errors
    /// It did not.
    pub(super) fn jid(&self) -> anyhow::Result<String> {
        let said = [&self.output.stdout, &self.output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        let words = said.iter().flat_map(|text| text.split_whitespace());
        let jid = words
            .map(|word| word.trim_matches(|letter: char| !letter.is_ascii_digit()))
            .find(|word| word.len() == 20 && word.bytes().all(|byte| byte.is_ascii_digit()));
        Ok(jid
            .with_context(|| format!("no jid was told: {}", said.join(" ")))?
            .to_owned())
    }
}
