//! Processor time that a sidecar costs the masters.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::ensure;
use integration::{Lab, Progress};

use super::MASTERS;
use super::kernel;
use super::running::Running;
use crate::report::Row;
use crate::samples::Samples;

/// How long the masters are looked at each time.
const WINDOW: Duration = Duration::from_secs(60);
/// After a start or an end of the sidecar: sign-ins, the first round trip, connections that are closed.
const SETTLE: Duration = Duration::from_secs(5);
/// Most that a sidecar may cost a master, in milliseconds a second.
const COST: f64 = 0.5;

/// What each master used in each window, in milliseconds a second.
#[derive(Debug, Default)]
struct Used {
    without: [Samples; 2],
    with: [Samples; 2],
    /// With, less the mean of the windows before and after: masters are busy by themselves, now more, now less.
    added: [Samples; 2],
}

/// Windows without and with a sidecar in turns. It has default settings, and was ready before its window began; its round
/// trips, one in five minutes, are not in there.
///
/// # Errors
/// The sidecar did not come up, or a master does not run.
pub(super) fn rows(lab: &Lab, saltfo: &Path, runs: u32, progress: &Progress) -> anyhow::Result<Vec<Row>> {
    let mut used = Used::default();
    progress.say("processor time of the masters without a sidecar");
    sleep(SETTLE);
    let mut before = window(lab)?;
    for run in 1..=runs {
        progress.say(&format!("the same with one, and without again, {run} of {runs}"));
        let mut sidecar = Running::start(lab, saltfo)?;
        sidecar.until_all_up()?;
        sleep(SETTLE);
        let with = window(lab)?;
        sidecar.stop()?;
        sleep(SETTLE);
        let after = window(lab)?;
        used.add(before, with, after);
        before = after;
    }
    Ok(used.rows())
}

impl Used {
    fn add(&mut self, before: [f64; 2], with: [f64; 2], after: [f64; 2]) {
        let windows = before.into_iter().zip(with).zip(after);
        let samples = self.without.iter_mut().zip(&mut self.with).zip(&mut self.added);
        for (((before, with), after), ((all_without, all_with), all_added)) in windows.zip(samples) {
            let without = f64::midpoint(before, after);
            all_without.push_ms(without);
            all_with.push_ms(with);
            all_added.push_ms(with - without);
        }
    }

    fn rows(&self) -> Vec<Row> {
        let samples = self.without.iter().zip(&self.with).zip(&self.added);
        MASTERS
            .into_iter()
            .zip(samples)
            .map(|(name, ((without, with), added))| {
                let median = added.median();
                let measured = format!(
                    "{median:+.2} ms a second ({:+.2} to {:+.2}; {:.1} → {:.1})",
                    added.min(),
                    added.max(),
                    without.median(),
                    with.median()
                );
                Row::new(
                    format!("processor time that it costs {name}, round trips apart"),
                    measured,
                    median,
                )
                .target("at most 0.5 ms a second", median <= COST)
                .with("added_a_second", added)
                .with("without_a_second", without)
                .with("with_a_second", with)
            })
            .collect()
    }
}

/// What each master uses meanwhile, in milliseconds a second.
fn window(lab: &Lab) -> anyhow::Result<[f64; 2]> {
    let begun = Instant::now();
    let before = used_by_masters(lab)?;
    sleep(WINDOW);
    let after = used_by_masters(lab)?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut used = [0.0; 2];
    for ((used, before), after) in used.iter_mut().zip(before).zip(after) {
        *used = after.saturating_sub(before).as_secs_f64() * 1e3 / seconds;
    }
    Ok(used)
}

/// Processor time of all processes of each master, and of those that have ended.
fn used_by_masters(lab: &Lab) -> anyhow::Result<[Duration; 2]> {
    let mut sums = [Duration::ZERO; 2];
    for (sum, name) in sums.iter_mut().zip(MASTERS) {
        let processes = lab.master(name)?.processes()?;
        ensure!(!processes.is_empty(), "{name} does not run");
        for process in processes {
            *sum += kernel::run_time(process.pid)? + kernel::run_time_of_ended(process.pid)?;
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_that_gets_busier_by_itself_is_not_charged_to_the_sidecar() {
        let mut used = Used::default();
        used.add([10.0, 10.0], [11.3, 10.9], [12.0, 12.0]);
        used.add([12.0, 12.0], [13.3, 12.9], [14.0, 14.0]);
        let medians = used.added.each_ref().map(Samples::median);
        assert_eq!(medians, [0.3, -0.1]);
    }
}
