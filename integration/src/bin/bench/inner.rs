//! The part of the bench that runs on the lab's runner: entered once, so that entering is not measured.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::lookup::{Outcome, Question};
use crate::round_trip::Warm;
use crate::samples::Samples;

/// A lookup that was answered by one master ends while its publish at the other one is under way, and leaves
/// a mark that the next lookup honours for a second (`traffic` of the agent). Who asks sooner finds the other
/// master less busy than a lookup out of the blue does.
const QUIET: Duration = Duration::from_millis(1200);
/// After a round trip nothing is left but the worker that served it.
const SETTLE: Duration = Duration::from_millis(200);
/// Lookups that come first and do not count: files and code are not in memory yet.
const WARM_UP: u32 = 2;

/// What to measure, and what is right. The result is printed as JSON.
#[derive(Debug, Args)]
pub(crate) struct Inner {
    #[command(flatten)]
    question: Question,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Task {
    /// Warm round trips and whole lookups in turn
    Pairs { runs: u32 },
    /// Whole lookups
    Lookups { runs: u32 },
    /// One lookup, right now
    Once,
    /// Peak memory of lookups
    Memory { runs: u32 },
    /// Lookups at once
    Crowd { count: u32 },
}

/// What [`Task::Pairs`] measures.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pairs {
    pub(crate) warm: Samples,
    pub(crate) cold: Samples,
}

/// What [`Task::Crowd`] measures.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Crowd {
    /// Seconds until all had ended.
    pub(crate) seconds: f64,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Task {
    /// The words that make [`Inner`] do this.
    pub(crate) fn words(&self) -> Vec<String> {
        let (name, number) = match self {
            Self::Pairs { runs } => ("pairs", Some(runs)),
            Self::Lookups { runs } => ("lookups", Some(runs)),
            Self::Once => ("once", None),
            Self::Memory { runs } => ("memory", Some(runs)),
            Self::Crowd { count } => ("crowd", Some(count)),
        };
        let number = number.map(ToString::to_string);
        std::iter::once(name.to_owned()).chain(number).collect()
    }
}

impl Inner {
    /// # Errors
    /// What could not be measured, or a wrong answer.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let json = match self.task {
            Task::Pairs { runs } => serde_json::to_string(&self.pairs(runs)?)?,
            Task::Lookups { runs } => serde_json::to_string(&self.lookups(runs)?)?,
            Task::Once => serde_json::to_string(&self.question.ask()?)?,
            Task::Memory { runs } => serde_json::to_string(&self.memory(runs)?)?,
            Task::Crowd { count } => serde_json::to_string(&self.crowd(count)?)?,
        };
        println!("{json}");
        Ok(())
    }

    fn pairs(&self, runs: u32) -> anyhow::Result<Pairs> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start")?;
        let mut warm = runtime
            .block_on(Warm::open(&self.question))
            .context("cannot sign in for the warm round trip")?;
        let mut pairs = Pairs {
            warm: Samples::default(),
            cold: Samples::default(),
        };
        for run in 0..runs.saturating_add(WARM_UP) {
            let round_trip = runtime
                .block_on(warm.round_trip())
                .context("the warm round trip failed")?;
            std::thread::sleep(SETTLE);
            let lookup = self.question.ask_rightly()?;
            std::thread::sleep(QUIET);
            if run >= WARM_UP {
                pairs.warm.push(round_trip);
                pairs.cold.push(lookup);
            }
        }
        Ok(pairs)
    }

    fn lookups(&self, runs: u32) -> anyhow::Result<Samples> {
        let mut samples = Samples::default();
        for run in 0..runs.saturating_add(WARM_UP) {
            let lookup = self.question.ask_rightly()?;
            if run >= WARM_UP {
                samples.push(lookup);
            }
            std::thread::sleep(QUIET);
        }
        Ok(samples)
    }

    fn memory(&self, runs: u32) -> anyhow::Result<u64> {
        let mut peak = 0;
        for _ in 0..runs {
            peak = peak.max(self.question.peak_memory()?);
            std::thread::sleep(QUIET);
        }
        Ok(peak)
    }

    fn crowd(&self, count: u32) -> anyhow::Result<Crowd> {
        let start = Instant::now();
        let outcomes = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(|| self.question.ask())).collect();
            threads
                .into_iter()
                .map(|thread| {
                    let (_, outcome) = thread.join().map_err(|_| anyhow::anyhow!("a thread failed"))??;
                    Ok(outcome)
                })
                .collect::<anyhow::Result<Vec<_>>>()
        })?;
        Ok(Crowd {
            seconds: start.elapsed().as_secs_f64(),
            outcomes,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        inner: Inner,
    }

    #[test]
    fn the_words_for_a_task_are_understood_as_that_task() {
        for task in [
            Task::Pairs { runs: 3 },
            Task::Lookups { runs: 4 },
            Task::Once,
            Task::Memory { runs: 5 },
            Task::Crowd { count: 6 },
        ] {
            let mut words = vec!["inner".to_owned()];
            for option in ["--saltfo", "--config", "--minion", "--master"] {
                words.extend([option.to_owned(), "x".to_owned()]);
            }
            words.extend(task.words());
            let parsed = Program::try_parse_from(words).unwrap().inner.task;
            assert_eq!(format!("{parsed:?}"), format!("{task:?}"));
        }
    }
}
