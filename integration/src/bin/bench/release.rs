//! Everything that is measured with one release of Salt.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use integration::Lab;

use crate::inner::{Pairs, Task};
use crate::plan::Plan;
use crate::report::{Release, Row};
use crate::samples::Samples;
use crate::stage::{MASTER, MINION, Stage};
use crate::{crowd, faults};

/// Most that a whole lookup may take, in warm round trips.
const COLD: f64 = 2.0;
/// How many times as fast as Salt's own answer a lookup is to be.
const FASTER: f64 = 100.0;
/// Most memory that one lookup may have resident, in MiB.
const MEMORY: f64 = 20.0;
/// `manage.up` takes seconds.
const MANAGE_UP_RUNS: u32 = 3;
const MEMORY_RUNS: u32 = 5;

/// Measures one thing after the other.
///
/// # Errors
/// As [`Plan::measure`].
pub(crate) fn measure(plan: &Plan<'_>) -> anyhow::Result<Release> {
    plan.measure(|release| {
        let result = first_lab(plan, release);
        plan.note(release, "the first lab", result.map(|()| Vec::new()));
        plan.note(release, "lookups at once", crowd::rows(plan));
        Ok(())
    })
}

fn first_lab(plan: &Plan<'_>, release: &mut Release) -> anyhow::Result<()> {
    let Plan { runs, progress, .. } = *plan;
    let lab = plan.lab().build()?;
    let stage = Stage::new(&lab, plan.saltfo)?;
    stage.until_healthy()?;

    progress.say("round trips and lookups in turn");
    let pairs: anyhow::Result<Pairs> = stage.measure(&Task::Pairs { runs });
    let cold = pairs.as_ref().map_or(f64::NAN, |pairs| pairs.cold.median());
    plan.note(release, "speed", pairs.as_ref().map(speed).map_err(copy));

    progress.say("memory of a lookup");
    plan.note(release, "memory", memory(&stage));

    progress.say("salt-run manage.up");
    plan.note(release, "manage.up", manage_up(&lab, cold));

    let rows = faults::rows(&stage, runs.div_ceil(2), progress);
    plan.note(release, "faults of the other master", rows);
    Ok(())
}

fn speed(pairs: &Pairs) -> Vec<Row> {
    let ratio = pairs.cold.median() / pairs.warm.median();
    vec![
        Row::of("round trip of `test.ping`, signed in already", &pairs.warm),
        Row::of("`saltfo active-master`, the whole process", &pairs.cold),
        Row::new("whole process : round trip", format!("{ratio:.2}×"), ratio)
            .target("at most 2×", ratio <= COLD),
    ]
}

fn memory(stage: &Stage<'_>) -> anyhow::Result<Vec<Row>> {
    let kib: u32 = stage.measure(&Task::Memory { runs: MEMORY_RUNS })?;
    let mib = f64::from(kib) / 1024.0;
    Ok(vec![
        Row::new("peak resident memory of a lookup", format!("{mib:.1} MiB"), mib)
            .target("at most 20 MiB", mib <= MEMORY),
    ])
}

/// `cold`: the median of a lookup in milliseconds.
fn manage_up(lab: &Lab, cold: f64) -> anyhow::Result<Vec<Row>> {
    let mut samples = Samples::default();
    for _ in 0..MANAGE_UP_RUNS {
        let start = Instant::now();
        let output = lab
            .salt_run(MASTER, &["manage.up", "--out", "json"])
            .stdin(Stdio::null())
            .output()
            .context("cannot run salt-run")?;
        samples.push(start.elapsed());
        let answer = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success() && answer.contains(MINION),
            "salt-run manage.up on {MASTER}: {}, {}",
            answer.trim(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let ratio = samples.median() / cold;
    Ok(vec![
        Row::of("`salt-run manage.up` on the master that has it", &samples),
        Row::new("`manage.up` : whole process", format!("{ratio:.0}×"), ratio)
            .target("at least 100×", ratio >= FASTER),
    ])
}

/// The same error once more.
fn copy(error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}
