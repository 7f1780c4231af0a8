//! Everything that is measured with one release of Salt.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use integration::{Lab, Progress, SaltVersion};

use crate::inner::{Pairs, Task};
use crate::machine::load;
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

/// Measures one thing after the other; what fails does not keep the rest from being measured.
///
/// # Errors
/// The machine's load can't be read.
pub(crate) fn measure(
    version: SaltVersion,
    runs: u32,
    saltfo: &Path,
    progress: &Progress,
) -> anyhow::Result<Release> {
    let mut release = Release::begin(version, progress)?;
    let result = first_lab(version, runs, saltfo, progress, &mut release);
    release.note(result.map(|()| Vec::new()), "the lab", progress);
    let rows = crowd::rows(version, saltfo, progress);
    release.note(rows, "lookups at once", progress);
    release.load_after = load()?;
    Ok(release)
}

impl Release {
    /// # Errors
    /// The machine's load can't be read.
    pub(crate) fn begin(version: SaltVersion, progress: &Progress) -> anyhow::Result<Self> {
        let load_before = load()?;
        progress.say(&format!("salt {version}, load of the machine {load_before:.2}"));
        Ok(Self {
            salt: version.release(),
            load_before,
            load_after: 0.0,
            rows: Vec::new(),
            failures: Vec::new(),
        })
    }

    pub(crate) fn note(&mut self, rows: anyhow::Result<Vec<Row>>, what: &str, progress: &Progress) {
        match rows {
            Ok(rows) => self.rows.extend(rows),
            Err(error) => {
                let failure = format!("{what}: {error:#}");
                progress.say(&format!("could not be measured: {failure}"));
                self.failures.push(failure);
            }
        }
    }
}

fn first_lab(
    version: SaltVersion,
    runs: u32,
    saltfo: &Path,
    progress: &Progress,
    release: &mut Release,
) -> anyhow::Result<()> {
    let lab = Lab::builder()
        .version(version)
        .progress(progress.clone())
        .build()?;
    let stage = Stage::new(&lab, saltfo)?;
    stage.until_healthy()?;

    progress.say("round trips and lookups in turn");
    let pairs: anyhow::Result<Pairs> = stage.measure(&Task::Pairs { runs });
    let cold = pairs.as_ref().map_or(f64::NAN, |pairs| pairs.cold.median());
    release.note(pairs.as_ref().map(speed).map_err(copy), "speed", progress);

    progress.say("memory of a lookup");
    release.note(memory(&stage), "memory", progress);

    progress.say("salt-run manage.up");
    release.note(manage_up(&lab, cold), "manage.up", progress);

    let rows = faults::rows(&stage, runs.div_ceil(2), progress);
    release.note(rows, "faults of the other master", progress);
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
