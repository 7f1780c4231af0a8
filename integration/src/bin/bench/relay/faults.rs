//! How soon a fresh `test.ping` is answered through the other master after a fault of the elected one.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use integration::Lab;

use super::{other, settled};
use crate::fault::Fault;
use crate::plan::Plan;
use crate::report::{Release, Row};
use crate::samples::Samples;
use crate::stage::{MASTER, MINION};

/// Longest wait for an answer behind a relay.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for Salt's own failover.
const SALTS_PATIENCE: Duration = Duration::from_secs(420);
/// The longest time between a verification and the next one, by default: a fault comes anywhere in between.
const VERIFY: Duration = Duration::from_secs(5);

struct Case {
    fault: Fault,
    what: &'static str,
    /// The same without a relay.
    alone: &'static str,
    /// The most that is aimed at, in milliseconds, and in words.
    target: (f64, &'static str),
}

const SOON: (f64, &str) = (600.0, "at most 0.6 s");
const AFTER_SILENCE: (f64, &str) = (1300.0, "at most 1.3 s");

const CASES: [Case; 3] = [
    Case {
        fault: Fault::Killed,
        what: "the elected master is killed → a fresh `test.ping` is answered through the other one",
        alone: "Salt alone: the master is killed → answered through the other one",
        target: SOON,
    },
    Case {
        fault: Fault::Hung,
        what: "it hangs (SIGSTOP) → answered",
        alone: "Salt alone: it hangs (SIGSTOP) → answered",
        target: AFTER_SILENCE,
    },
    Case {
        fault: Fault::CutOff,
        what: "it is cut off → answered",
        alone: "Salt alone: it is cut off → answered",
        target: AFTER_SILENCE,
    },
];

/// Measures one fault after the other; one that can't be measured does not keep the rest from it.
pub(super) fn behind_relay(lab: &Lab, plan: &Plan<'_>, release: &mut Release) {
    for case in &CASES {
        plan.note(release, case.what, row(lab, plan, case));
    }
}

/// Salt's own failover, once for each fault: it takes minutes, or does not happen.
pub(super) fn salt_alone(plan: &Plan<'_>, release: &mut Release) {
    for case in &CASES {
        plan.note(release, case.alone, alone(plan, case));
    }
}

fn row(lab: &Lab, plan: &Plan<'_>, case: &Case) -> anyhow::Result<Vec<Row>> {
    let Plan { runs, progress, .. } = *plan;
    let (what, (most, words)) = (case.what, case.target);
    let mut samples = Samples::default();
    for run in 1..=runs {
        let took = once(lab, plan.saltfo, case.fault)?;
        progress.say(&format!(
            "{what}, {run} of {runs}: {:.0} ms",
            took.as_secs_f64() * 1e3
        ));
        samples.push(took);
    }
    Ok(vec![
        Row::of(what, &samples).target(words, samples.median() <= most),
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
fn alone(plan: &Plan<'_>, case: &Case) -> anyhow::Result<Vec<Row>> {
    plan.progress.say(case.alone);
    let lab = plan
        .lab()
        .minions([MINION])
        .first_master(MINION, MASTER)
        .build()?;
    let patience = SALTS_PATIENCE.as_secs();
    let row = match answered(&lab, case.fault, MASTER, SALTS_PATIENCE) {
        Ok(took) => {
            let seconds = took.as_secs_f64();
            Row::new(case.alone, format!("{seconds:.0} s"), seconds)
        }
        Err(error) if error.to_string().contains("no fresh test.ping") => {
            Row::new(case.alone, format!("not in {patience} s"), f64::INFINITY)
        }
        Err(error) => return Err(error),
    };
    Ok(vec![row])
}
