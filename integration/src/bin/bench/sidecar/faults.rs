//! How soon `/readyz` says 503 after a fault of the active master.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use integration::Lab;

use super::MASTERS;
use super::running::{Running, asking};
use crate::fault::Fault;
use crate::plan::Plan;
use crate::report::{Release, Row};
use crate::samples::Samples;

/// Longest wait for a verdict.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest time between a verification and the next one, by default: a fault comes anywhere in between.
const VERIFY: Duration = Duration::from_secs(5);

struct Case {
    fault: Fault,
    what: &'static str,
    /// The most that is aimed at, in milliseconds, and in words.
    target: (f64, &'static str),
}

const CASES: [Case; 4] = [
    Case {
        fault: Fault::Killed,
        what: "the active master is killed → `/readyz` says 503",
        target: (500.0, "at most 0.5 s"),
    },
    Case {
        fault: Fault::Hung,
        what: "it hangs (SIGSTOP) → 503",
        target: (1200.0, "at most 1.2 s"),
    },
    Case {
        fault: Fault::CutOff,
        what: "it is cut off → 503",
        target: (1200.0, "at most 1.2 s"),
    },
    Case {
        fault: Fault::WorkersHung,
        what: "only its workers hang → 503",
        target: (12_000.0, "at most 12 s"),
    },
];

/// Measures one fault after the other; one that can't be measured does not keep the rest from it.
pub(super) fn measure(lab: &Lab, plan: &Plan<'_>, release: &mut Release) {
    for case in &CASES {
        plan.note(release, case.what, row(lab, plan, case));
    }
}

fn row(lab: &Lab, plan: &Plan<'_>, case: &Case) -> anyhow::Result<Vec<Row>> {
    let Plan { runs, progress, .. } = *plan;
    let (what, (most, words)) = (case.what, case.target);
    let mut samples = Samples::default();
    for run in 1..=runs {
        let (took, why) = once(lab, plan.saltfo, case.fault)?;
        progress.say(&format!(
            "{what}, {run} of {runs}: {:.0} ms, {why}",
            took.as_secs_f64() * 1e3
        ));
        samples.push(took);
    }
    Ok(vec![
        Row::of(what, &samples).target(words, samples.median() <= most),
    ])
}

/// One fault and its end, with a sidecar that knows nothing of the faults before: it would let a master that falls again and
/// again come up later.
fn once(lab: &Lab, saltfo: &Path, fault: Fault) -> anyhow::Result<(Duration, String)> {
    let mut sidecar = Running::start(lab, saltfo)?;
    let active = sidecar.until_all_up()?;
    let mut master = None;
    for name in MASTERS {
        if lab.host(name)?.fqdn == active {
            master = Some(lab.master(name)?);
        }
    }
    let master = master.with_context(|| format!("{active} is none of the lab's masters"))?;
    let mut readiness = Readiness::watch(lab)?;
    readiness.until_ready()?;
    sleep(VERIFY.mul_f64(rand::random()));
    // What it takes to signal a dozen processes, or to reach the switch, counts: the verdict can look later than it was, not sooner.
    let begun = Instant::now();
    let verdict = fault
        .begin(master)
        .and_then(|()| readiness.until_not_ready(begun));
    let ended = fault.end(master);
    let (at, why) = verdict?;
    ended?;
    sidecar.stop()?;
    Ok((at.saturating_duration_since(begun), why))
}

/// What `/readyz` says, as seen every 10 ms from the sidecar's host. Dropped, nobody looks any more.
struct Readiness {
    looking: Child,
    changes: Receiver<(Instant, String)>,
}

impl Readiness {
    fn watch(lab: &Lab) -> anyhow::Result<Self> {
        let mut looking = asking(lab, &["readyz"])?
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot enter a host")?;
        let stdout = looking.stdout.take().context("no output to read")?;
        let (told, changes) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if told.send((Instant::now(), line)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { looking, changes })
    }

    fn until_ready(&mut self) -> anyhow::Result<()> {
        let (_, line) = self.next(PATIENCE)?;
        ensure!(
            line.starts_with("200 "),
            "the sidecar was ready, and now says {line}"
        );
        Ok(())
    }

    /// When it said 503 after this moment, and why.
    fn until_not_ready(&mut self, begun: Instant) -> anyhow::Result<(Instant, String)> {
        let (at, line) = self.next(PATIENCE.saturating_sub(begun.elapsed()))?;
        ensure!(at >= begun, "the sidecar said {line} before anything was wrong");
        let why = line.strip_prefix("503 ");
        let why = why.with_context(|| format!("the sidecar says {line}"))?;
        Ok((at, why.to_owned()))
    }

    fn next(&self, patience: Duration) -> anyhow::Result<(Instant, String)> {
        self.changes.recv_timeout(patience).or_else(|error| match error {
            RecvTimeoutError::Timeout => bail!("nothing new within {:.0} s", patience.as_secs_f64()),
            RecvTimeoutError::Disconnected => bail!("whoever looks at /readyz has ended"),
        })
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        let _ = self.looking.kill();
        let _ = self.looking.wait();
    }
}
