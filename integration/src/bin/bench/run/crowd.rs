//! Fifty jobs at once for ten minions on two masters with few workers: by `saltfo run`, and by `salt`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use integration::{Lab, Progress};

use super::program::Program;
use crate::inner::Task;
use crate::lookup::Outcome;
use crate::plan::Plan;
use crate::report::Row;
use crate::samples::Samples;
use crate::stage::{MASTER, MINION, OTHER_MASTER, OTHER_MINION, Stage};

const JOBS: usize = 50;
const MINIONS: usize = 10;
/// Salt's least with `peer:`.
const WORKERS: u32 = 3;
const ROUNDS: u32 = 3;
/// Most of `salt`'s time that saltfo may take.
const HALF: f64 = 0.5;

/// What became of the jobs of one program.
#[derive(Debug, Default)]
struct Tally {
    seconds: Vec<f64>,
    returned: usize,
    /// Jobs that left exactly one line.
    once: usize,
    /// Jobs that left more.
    repeated: usize,
}

/// # Errors
/// The lab did not come up, or is not installed as it should be, or a lookup was wrong.
pub(super) fn rows(plan: &Plan<'_>) -> anyhow::Result<Vec<Row>> {
    let Plan { saltfo, progress, .. } = *plan;
    let minions: Vec<String> = (1..=MINIONS).map(|number| format!("minion{number:02}")).collect();
    let lab = plan
        .lab()
        .worker_threads(WORKERS)
        .minions(minions.clone())
        .build()?;
    let stage = Stage::new(&lab, saltfo)?;
    stage.until_healthy()?;
    for master in [MASTER, OTHER_MASTER] {
        ensure_one_try(&lab, master)?;
    }
    let (mut ours, mut salts) = (Tally::default(), Tally::default());
    let (mut afterwards, mut right) = (Samples::default(), 0);
    for round in 1..=ROUNDS {
        progress.say(&format!(
            "{JOBS} jobs at once by saltfo, round {round} of {ROUNDS}"
        ));
        ours.add(
            &lab,
            &minions,
            &format!("saltfo-{round}"),
            |_| Program::Saltfo,
            progress,
        )?;
        for (minion, master) in [(MINION, MASTER), (OTHER_MINION, OTHER_MASTER)] {
            let (took, outcome): (Duration, Outcome) = stage.measure_for(minion, master, &Task::Once)?;
            afterwards.push(took);
            match outcome {
                Outcome::Right => right += 1,
                Outcome::Wrong(answer) => bail!("saltfo gave a wrong answer: {answer:?}"),
                Outcome::None(why) => progress.say(&format!("no answer: {why}")),
            }
        }
        progress.say(&format!("{JOBS} jobs at once by salt, round {round} of {ROUNDS}"));
        // The minions take turns between the masters, as the lab's do.
        let salt = |minion: usize| {
            Program::Salt(if minion.is_multiple_of(2) {
                MASTER
            } else {
                OTHER_MASTER
            })
        };
        salts.add(&lab, &minions, &format!("salt-{round}"), salt, progress)?;
    }
    let all = JOBS * ROUNDS as usize;
    let all_afterwards = 2 * ROUNDS;
    let ratio = ours.mean() / salts.mean();
    let mut rows = ours.rows(
        &format!("{JOBS} `saltfo run` at once, {MINIONS} minions, {WORKERS} workers"),
        all,
        true,
    );
    rows.push(
        Row::new(
            "a lookup at each master right afterwards",
            format!("{right} of {all_afterwards}, {afterwards}"),
            f64::from(right),
        )
        .target("all", right == all_afterwards)
        .with("samples", &afterwards),
    );
    rows.extend(salts.rows(
        &format!("{JOBS} `salt` at once, {} on each master", JOBS / 2),
        all,
        false,
    ));
    rows.push(
        Row::new("`saltfo run` : `salt`, at once", format!("{ratio:.2}×"), ratio)
            .target("at most 0.5×", ratio <= HALF),
    );
    Ok(rows)
}

/// A master that repeats what it asks of itself may run a job twice; `pki-tools install` sees to it that none does.
fn ensure_one_try(lab: &Lab, master: &str) -> anyhow::Result<()> {
    let output = lab
        .salt_run(master, &["config.get", "request_channel_tries", "--out", "json"])
        .stdin(Stdio::null())
        .output()
        .context("cannot run salt-run")?;
    let tries = String::from_utf8_lossy(&output.stdout);
    ensure!(
        tries.trim() == "1",
        "request_channel_tries of {master} is {:?}",
        tries.trim()
    );
    Ok(())
}

impl Tally {
    /// Starts all jobs at once and waits for all of them. A job appends its number to a file, and its return tells
    /// the retcode, as those of states do: `salt` never asks for one, and saltfo need not.
    fn add<'a>(
        &mut self,
        lab: &Lab,
        minions: &[String],
        name: &str,
        program: impl Fn(usize) -> Program<'a>,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let file: PathBuf = lab.folder().join(name);
        let start = Instant::now();
        let outcomes: Vec<anyhow::Result<()>> = std::thread::scope(|scope| {
            let jobs: Vec<_> = (0..JOBS)
                .zip((0..minions.len()).cycle())
                .map(|(number, place)| {
                    let program = program(place);
                    let (file, minion) = (&file, minions.get(place));
                    scope.spawn(move || {
                        let minion = minion.context("no such minion")?;
                        let line = format!("echo {number} >> {}", file.display());
                        let ran = program.run(lab, minion, &["cmd.run_all", &line])?;
                        ran.returned(minion).map(drop)
                    })
                })
                .collect();
            jobs.into_iter()
                .map(|job| {
                    job.join()
                        .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread failed")))
                })
                .collect()
        });
        self.seconds.push(start.elapsed().as_secs_f64());
        for outcome in outcomes {
            match outcome {
                Ok(()) => self.returned += 1,
                Err(error) => progress.say(&format!("{name}: {error:#}")),
            }
        }
        let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for line in text.lines() {
            *lines.entry(line).or_default() += 1;
        }
        self.once += lines.values().filter(|count| **count == 1).count();
        self.repeated += lines.values().filter(|count| **count > 1).count();
        Ok(())
    }

    fn mean(&self) -> f64 {
        self.seconds.iter().sum::<f64>() / self.seconds.len() as f64
    }

    fn rows(&self, what: &str, all: usize, is_ours: bool) -> Vec<Row> {
        let Self {
            returned,
            once,
            repeated,
            ..
        } = self;
        let seconds: Vec<String> = self.seconds.iter().map(|one| format!("{one:.1}")).collect();
        let mut came = Row::new(
            format!("{what}: returned ({ROUNDS} rounds)"),
            format!("{returned} of {all}"),
            *returned as f64,
        );
        let mut ran = Row::new(
            format!("{what}: ran once"),
            format!("{once} of {all}, {repeated} more than once"),
            *once as f64,
        );
        if is_ours {
            came = came.target("all", *returned == all);
            ran = ran.target("all, none twice", *once == all && *repeated == 0);
        }
        let took = Row::new(
            format!("{what}: until all were back"),
            format!("{} s", seconds.join(", ")),
            self.mean(),
        );
        vec![came, ran, took]
    }
}
