//! How soon a fresh `test.ping` is answered through the other master after a fault of the elected one.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use integration::{Daemon, Lab, Progress, SaltVersion};

use super::{other, settled};
use crate::report::{Release, Row};
use crate::samples::Samples;
use crate::stage::{MASTER, MINION};

/// Longest wait for an answer behind a relay.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for Salt's own failover.
const SALTS_PATIENCE: Duration = Duration::from_secs(420);
/// The longest time between a verification and the next one, by default: a fault comes anywhere in between.
const VERIFY: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed,
    Hung,
    CutOff,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Killed, Self::Hung, Self::CutOff];

    const fn what(self) -> &'static str {
        match self {
            Self::Killed => {
                "the elected master is killed → a fresh `test.ping` is answered through the other one"
            }
            Self::Hung => "it hangs (SIGSTOP) → answered",
            Self::CutOff => "it is cut off → answered",
        }
    }

    const fn alone(self) -> &'static str {
        match self {
            Self::Killed => "Salt alone: the master is killed → answered through the other one",
            Self::Hung => "Salt alone: it hangs (SIGSTOP) → answered",
            Self::CutOff => "Salt alone: it is cut off → answered",
        }
    }

    /// The most that is aimed at, in milliseconds, and in words.
    const fn target(self) -> (f64, &'static str) {
        match self {
            Self::Killed => (600.0, "at most 0.6 s"),
            Self::Hung | Self::CutOff => (1300.0, "at most 1.3 s"),
        }
    }

    fn begin(self, master: Daemon<'_>) -> anyhow::Result<()> {
        match self {
            Self::Killed => master.kill(),
            Self::Hung => master.hang(),
            Self::CutOff => master.cut(),
        }
    }

    fn end(self, master: Daemon<'_>) -> anyhow::Result<()> {
        match self {
            Self::Killed => master.start(),
            Self::Hung => master.resume(),
            Self::CutOff => master.mend(),
        }
    }
}

/// Measures one fault after the other; one that can't be measured does not keep the rest from it.
pub(super) fn behind_relay(lab: &Lab, saltfo: &Path, runs: u32, progress: &Progress, release: &mut Release) {
    for fault in Fault::ALL {
        release.note(row(lab, saltfo, fault, runs, progress), fault.what(), progress);
    }
}

/// Salt's own failover, once for each fault: it takes minutes, or does not happen.
pub(super) fn salt_alone(version: SaltVersion, progress: &Progress, release: &mut Release) {
    for fault in Fault::ALL {
        release.note(alone(version, fault, progress), fault.alone(), progress);
    }
}

fn row(lab: &Lab, saltfo: &Path, fault: Fault, runs: u32, progress: &Progress) -> anyhow::Result<Vec<Row>> {
    let mut samples = Samples::default();
    for run in 1..=runs {
        let took = once(lab, saltfo, fault)?;
        progress.say(&format!(
            "{}, {run} of {runs}: {:.0} ms",
            fault.what(),
            took.as_secs_f64() * 1e3
        ));
        samples.push(took);
    }
    let (most, words) = fault.target();
    Ok(vec![
        Row::of(fault.what(), &samples).target(words, samples.median() <= most),
    ])
}

/// One fault and its end, with a relay that knows nothing of the faults before: it would trust a master that falls again and
/// again later.
fn once(lab: &Lab, saltfo: &Path, fault: Fault) -> anyhow::Result<Duration> {
    let (relay, elected) = settled(lab, saltfo)?;
    sleep(VERIFY.mul_f64(rand::random()));
    let took = answered(lab, fault, elected, PATIENCE);
    let took = took.with_context(|| relay.log_tail())?;
    relay.stop()?;
    Ok(took)
}

/// From before the fault was begun until a job that was published after that is answered through the other master.
fn answered(lab: &Lab, fault: Fault, elected: &str, patience: Duration) -> anyhow::Result<Duration> {
    let mut pings = lab.pings(other(elected), MINION)?;
    let master = lab.master(elected)?;
    // What it takes to signal a dozen processes, or to reach the switch, counts.
    let begun = Instant::now();
    pings.begin()?;
    let answer = fault.begin(master).and_then(|()| pings.answer(patience));
    fault.end(master)?;
    let at = answer?.at;
    ensure!(at >= begun, "answered before anything was asked");
    Ok(at - begun)
}

/// The configuration that `pki-tools install` writes: two masters, `failover`, checked every 60 s.
fn alone(version: SaltVersion, fault: Fault, progress: &Progress) -> anyhow::Result<Vec<Row>> {
    progress.say(fault.alone());
    let lab = Lab::builder()
        .version(version)
        .minions([MINION])
        .first_master(MINION, MASTER)
        .progress(progress.clone())
        .build()?;
    let patience = SALTS_PATIENCE.as_secs();
    let row = match answered(&lab, fault, MASTER, SALTS_PATIENCE) {
        Ok(took) => {
            let seconds = took.as_secs_f64();
            Row::new(fault.alone(), format!("{seconds:.0} s"), seconds)
        }
        Err(error) if error.to_string().contains("no fresh test.ping") => {
            Row::new(fault.alone(), format!("not in {patience} s"), f64::INFINITY)
        }
        Err(error) => return Err(error),
    };
    Ok(vec![row])
}
