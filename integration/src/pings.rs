//! Fresh `test.ping`s through one master, in a stream: when does the first one come back?

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::lab::Lab;

/// From one publication to the next one: a minion forks for each, and more of them would hold each other up.
const OFTEN: Duration = Duration::from_millis(100);
/// Python and Salt's libraries take their time.
const START: Duration = Duration::from_secs(120);

/// A process on a master that publishes when it is told to. Dropped, it is killed. It does not outlive a master that is
/// killed, hung or restarted: begin a new one then.
#[derive(Debug)]
pub struct Pings {
    master: String,
    process: Child,
    input: Option<ChildStdin>,
    /// What it printed, and when that was read.
    lines: Receiver<(Instant, String)>,
}

/// The first answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// When it was known.
    pub at: Instant,
    /// How many had been published until then.
    pub published: u64,
    /// How long the one that was answered took.
    pub took: Duration,
}

#[derive(Deserialize)]
struct Line {
    published: u64,
    took: f64,
}

impl Lab {
    /// Makes ready to publish for this minion through this master. Publishes nothing yet.
    ///
    /// # Errors
    /// There is no such host, or the master's event bus is not there.
    pub fn pings(&self, master: &str, minion: &str) -> anyhow::Result<Pings> {
        let (daemon, minion) = (self.master(master)?, self.minion(minion)?);
        let master = daemon.host().name.clone();
        let mut process = self
            .command(&master, self.salt(&master).python())
            .arg(self.script("pings.py"))
            .arg(self.config_dir(&master).join("master"))
            .arg(&minion.host().name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run nsenter")?;
        let output = process.stdout.take().context("no pipe")?;
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = told.send((Instant::now(), line));
            }
        });
        let pings = Pings {
            master,
            input: process.stdin.take(),
            process,
            lines,
        };
        let (_, line) = pings.line(START)?;
        anyhow::ensure!(line == "ready", "pings.py says {line:?}");
        Ok(pings)
    }
}

impl Pings {
    /// Begins to publish until one is answered: ten a second, after 1.5 s ever less often.
    ///
    /// # Errors
    /// The process has ended.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        self.begin_every(OFTEN)
    }

    /// The same at another pace, at first.
    ///
    /// # Errors
    /// The process has ended.
    pub fn begin_every(&mut self, gap: Duration) -> anyhow::Result<()> {
        let mut input = self.input.as_ref().context("no pipe")?;
        input
            .write_all(format!("{}\n", gap.as_secs_f64()).as_bytes())
            .with_context(|| format!("pings.py on {} has ended", self.master))
    }

    /// Waits for the first answer to what was published since [`Pings::begin`].
    ///
    /// # Errors
    /// There is none in time, or the process has ended.
    pub fn answer(&self, timeout: Duration) -> anyhow::Result<Answer> {
        let (at, line) = self.line(timeout)?;
        let line: Line = serde_json::from_str(&line).with_context(|| format!("pings.py says {line:?}"))?;
        Ok(Answer {
            at,
            published: line.published,
            took: Duration::from_secs_f64(line.took),
        })
    }

    fn line(&self, timeout: Duration) -> anyhow::Result<(Instant, String)> {
        match self.lines.recv_timeout(timeout) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                let seconds = timeout.as_secs_f64();
                bail!(
                    "no fresh test.ping was answered through {} within {seconds:.0} s",
                    self.master
                )
            }
            Err(RecvTimeoutError::Disconnected) => bail!("pings.py on {} has ended", self.master),
        }
    }
}

impl Drop for Pings {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
