//! One job at a time: the whole process of either program, and what it adds to the minion's own time.

use std::fs;
use std::thread::sleep as rest;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use integration::{Lab, Progress};
use serde_json::Value as Json;

use super::log::own_time;
use super::program::Program;
use crate::plan::Plan;
use crate::report::Row;
use crate::samples::Samples;
use crate::stage::{MASTER, MINION};

/// How many times as fast as `salt` a `test.ping` is to be.
const FASTER: f64 = 4.0;
/// Most that saltfo may add to the time of the minion, in milliseconds.
const ADDED: f64 = 150.0;
/// A run that found its minion through one master leaves a mark at the other, which is honoured for a second.
const QUIET: Duration = Duration::from_millis(1200);
/// Runs that come first and do not count: files and code are not in memory yet.
const WARM_UP: u32 = 2;
/// A small state: a file with contents, and a command.
const STATE: &str = "\
a file:
  file.managed:
    - name: {{ opts['cachedir'] }}/bench
    - contents: as it should be
a command:
  cmd.run:
    - name: 'true'
    - require: [{file: a file}]
";

/// Times of the same job by both programs.
#[derive(Debug, Default)]
struct Pairs {
    saltfo: Times,
    salt: Times,
}

#[derive(Debug, Default)]
struct Times {
    /// The whole process.
    whole: Samples,
    /// The minion's own time for its job.
    minion: Samples,
    /// The difference of the two.
    added: Samples,
}

/// Writes the small state to where both masters serve it from.
///
/// # Errors
/// It can't be written.
pub(super) fn write_state(lab: &Lab) -> anyhow::Result<()> {
    let path = lab.file_root().join("small.sls");
    fs::create_dir_all(lab.file_root())?;
    fs::write(&path, STATE).with_context(|| format!("cannot write {}", path.display()))
}

/// # Errors
/// A job that failed, or a log that does not tell.
pub(super) fn ping(lab: &Lab, plan: &Plan<'_>) -> anyhow::Result<Vec<Row>> {
    let is_right = |ret: &Json| *ret == Json::Bool(true);
    let pairs = Pairs::measure(lab, plan.runs, &["test.ping"], is_right, plan.progress)?;
    let ratio = pairs.salt.whole.median() / pairs.saltfo.whole.median();
    let mut rows = pairs.rows("test.ping");
    rows.insert(
        2,
        Row::new("`salt` : `saltfo run`", format!("{ratio:.1}×"), ratio)
            .target("at least 4×", ratio >= FASTER),
    );
    Ok(rows)
}

/// # Errors
/// As [`ping`].
pub(super) fn state(lab: &Lab, plan: &Plan<'_>) -> anyhow::Result<Vec<Row>> {
    let is_right = |ret: &Json| {
        let states = ret.as_object().filter(|states| states.len() == 2);
        states.is_some_and(|states| {
            states
                .values()
                .all(|state| state.get("result") == Some(&Json::Bool(true)))
        })
    };
    let pairs = Pairs::measure(lab, plan.runs, &["state.apply", "small"], is_right, plan.progress)?;
    let ratio = pairs.saltfo.whole.median() / pairs.salt.whole.median();
    let mut rows = pairs.rows("state.apply small");
    rows.insert(
        2,
        Row::new(
            "`saltfo run` : `salt`, `state.apply small`",
            format!("{ratio:.2}×"),
            ratio,
        )
        .target("at most 1×", ratio <= 1.0),
    );
    Ok(rows)
}

/// A job that takes longer: how soon its end is noticed.
///
/// # Errors
/// As [`ping`].
pub(super) fn sleep(lab: &Lab, plan: &Plan<'_>) -> anyhow::Result<Vec<Row>> {
    let is_right = |ret: &Json| *ret == Json::Bool(true);
    let pairs = Pairs::measure(
        lab,
        plan.runs.div_ceil(3),
        &["test.sleep", "2"],
        is_right,
        plan.progress,
    )?;
    Ok(pairs.rows("test.sleep 2"))
}

impl Pairs {
    /// In turns, so that whatever else the machine does is shared.
    fn measure(
        lab: &Lab,
        runs: u32,
        words: &[&str],
        is_right: impl Fn(&Json) -> bool,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        progress.say(&format!("{} by saltfo and by salt in turn", words.join(" ")));
        let mut pairs = Self::default();
        for run in 0..runs.saturating_add(WARM_UP) {
            for program in [Program::Saltfo, Program::Salt(MASTER)] {
                let ran = program.run(lab, MINION, words)?;
                let ret = ran.returned(MINION)?;
                ensure!(is_right(&ret), "{program:?}: {} returned {ret}", words.join(" "));
                let minion = own_time(lab, MINION, &ran.jid()?)?;
                let Some(added) = ran.took.checked_sub(minion) else {
                    bail!(
                        "{MINION} had a job for longer than the whole took: {minion:?}, {:?}",
                        ran.took
                    );
                };
                let times = match program {
                    Program::Saltfo => &mut pairs.saltfo,
                    Program::Salt(_) => &mut pairs.salt,
                };
                if run >= WARM_UP {
                    times.whole.push(ran.took);
                    times.minion.push(minion);
                    times.added.push(added);
                }
                rest(QUIET);
            }
        }
        Ok(pairs)
    }

    fn rows(&self, job: &str) -> Vec<Row> {
        let (saltfo, salt) = (&self.saltfo, &self.salt);
        let added = saltfo.added.median();
        vec![
            Row::of(
                format!("`saltfo run minion01 {job}`, the whole process"),
                &saltfo.whole,
            ),
            Row::of(
                format!("`salt minion01 {job}` on its master, the same"),
                &salt.whole,
            ),
            Row::of(format!("added to the minion's own time, `{job}`"), &saltfo.added)
                .target("at most 150 ms", added <= ADDED)
                .with("own", &saltfo.minion),
            Row::of(format!("the same with `salt`, `{job}`"), &salt.added).with("own", &salt.minion),
        ]
    }
}
