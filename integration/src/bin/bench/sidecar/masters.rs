//! Processor time that a sidecar costs the masters.
//!
//! One costs less than a master uses by itself from one minute to the next: its maintenance runs once a minute and takes a tenth of a
//! second or more. So there is a crowd of them, all as the same minion, beside windows without any.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use agent::sidecar::settings::Settings;
use anyhow::{Context as _, ensure};
use integration::Lab;

use super::MASTERS;
use super::running::Running;
use crate::plan::Plan;
use crate::report::Row;
use crate::samples::Samples;

/// How many there are at once: so many that what they use is several times what a master's own use varies by.
const CROWD: u16 = 32;
/// How long the masters are looked at each time: Salt's `loop_interval`, so that each window has its maintenance once. With half of
/// that, a window has it or not, which was 5 ms a second more or less.
const WINDOW: Duration = Duration::from_secs(60);
/// Most runs, of five minutes each.
const MOST_RUNS: u32 = 3;
/// After a start or an end of the crowd: sign-ins, the first round trips, connections that are closed.
const SETTLE: Duration = Duration::from_secs(5);
/// For a crowd whose round trips are to be measured: the time between two of them.
const OFTEN: Duration = Duration::from_secs(30);
/// Most that a sidecar may cost a master, in milliseconds a second.
const COST: f64 = 0.5;

/// What each of [`MASTERS`] used, in milliseconds a second.
type Used = [f64; 2];

/// What one sidecar costs a master.
#[derive(Debug, Default)]
struct Cost {
    /// Heartbeats and verifications, in milliseconds a second.
    steady: Samples,
    /// A round trip, in milliseconds. Only the active master has any.
    round_trip: Samples,
    /// Both at default settings, in milliseconds a second.
    all: Samples,
}

/// Windows without sidecars, with a crowd that makes no round trips, and with one that makes them often, in turns.
///
/// # Errors
/// A sidecar did not come up, or a master does not run.
pub(super) fn rows(lab: &Lab, plan: &Plan<'_>) -> anyhow::Result<Vec<Row>> {
    let Plan {
        runs,
        saltfo,
        progress,
        ..
    } = *plan;
    let runs = runs.min(MOST_RUNS);
    let mut costs: [Cost; 2] = Default::default();
    let never = "  round_trip: 24h\n".to_owned();
    let often = format!("  round_trip: {}s\n", OFTEN.as_secs());
    let mut busy = Samples::default();
    let mut active = None;
    progress.say("processor time of the masters without a sidecar");
    sleep(SETTLE);
    let mut before = window(lab)?;
    for run in 1..=runs {
        progress.say(&format!(
            "the same with {CROWD}, and without again, {run} of {runs}"
        ));
        let (steady, _) = with_crowd(lab, saltfo, &never)?;
        let between = window(lab)?;
        let (trips, through) = with_crowd(lab, saltfo, &often)?;
        let after = window(lab)?;
        ensure!(
            active
                .replace(through.clone())
                .is_none_or(|before| before == through),
            "the minion has changed masters"
        );
        for (index, cost) in costs.iter_mut().enumerate() {
            let of = |used: Used| used.get(index).copied().context("no such master");
            let steady = each(of(steady)?, of(before)?, of(between)?);
            let trips = each(of(trips)?, of(between)?, of(after)?);
            cost.add(steady, trips);
        }
        busy.push_ms(before.iter().sum::<f64>() / 2.0);
        before = after;
    }
    let active = active.context("measured nothing")?;
    let rows = MASTERS.into_iter().zip(&costs);
    rows.map(|(name, cost)| Ok(cost.row(name, lab.host(name)?.fqdn == active, &busy)))
        .collect()
}

/// What one of the crowd added to what the master used by itself before and after.
fn each(with: f64, before: f64, after: f64) -> f64 {
    (with - f64::midpoint(before, after)) / f64::from(CROWD)
}

impl Cost {
    fn add(&mut self, steady: f64, often: f64) {
        let round_trip = (often - steady) * OFTEN.as_secs_f64();
        self.steady.push_ms(steady);
        self.round_trip.push_ms(round_trip);
        self.all
            .push_ms(steady + round_trip / Settings::default().round_trip.as_secs_f64());
    }

    fn row(&self, name: &str, is_active: bool, busy: &Samples) -> Row {
        // Through another than the active master there are no round trips, and the difference is chance.
        let (role, all, of_it) = if is_active {
            let trips = format!(
                "; {:.2} without round trips, which take {:.0} ms each",
                self.steady.median(),
                self.round_trip.median()
            );
            ("the active master", &self.all, trips)
        } else {
            ("the other master", &self.steady, String::new())
        };
        let median = all.median();
        let (least, most) = (all.min(), all.max());
        Row::new(
            format!("processor time that each of {CROWD} sidecars costs {name}, {role}"),
            format!("{median:.2} ms a second ({least:.2} to {most:.2}{of_it})"),
            median,
        )
        .target("at most 0.5 ms a second", median <= COST)
        .with("each_a_second", all)
        .with("each_a_second_without_round_trips", &self.steady)
        .with("round_trip", &self.round_trip)
        .with("master_alone_a_second", busy)
    }
}

/// What the masters use beside a crowd, and through which of them the minion answers.
fn with_crowd(lab: &Lab, saltfo: &Path, settings: &str) -> anyhow::Result<(Used, String)> {
    let crowd = 1..=CROWD;
    let mut crowd = crowd
        .map(|number| Running::one_of_many(lab, saltfo, number, settings))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut active = String::new();
    for sidecar in &mut crowd {
        active = sidecar.until_all_up()?;
    }
    sleep(SETTLE);
    let used = window(lab)?;
    for sidecar in crowd {
        sidecar.stop()?;
    }
    sleep(SETTLE);
    Ok((used, active))
}

/// What each master uses meanwhile.
fn window(lab: &Lab) -> anyhow::Result<Used> {
    let begun = Instant::now();
    let before = used_so_far(lab)?;
    sleep(WINDOW);
    let after = used_so_far(lab)?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut used = Used::default();
    for ((used, before), after) in used.iter_mut().zip(before).zip(after) {
        *used = after.saturating_sub(before).as_secs_f64() * 1e3 / seconds;
    }
    Ok(used)
}

/// `utime` and `stime` of all processes of each master, threads and children that have ended among them.
fn used_so_far(lab: &Lab) -> anyhow::Result<[Duration; 2]> {
    let mut sums = [Duration::ZERO; 2];
    for (sum, name) in sums.iter_mut().zip(MASTERS) {
        let master = lab.master(name)?;
        ensure!(master.is_running()?, "{name} does not run");
        *sum = master.cpu_time()?;
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_that_gets_busier_by_itself_is_not_charged_to_the_sidecars() {
        let added = each(11.0 + 0.5 * f64::from(CROWD), 10.0, 12.0);
        assert!((added - 0.5).abs() < 1e-9, "{added}");
    }

    #[test]
    fn round_trips_are_charged_as_often_as_they_come_by_default() {
        let mut cost = Cost::default();
        // One of 60 ms every 30 s are 2 ms a second, and a tenth of that every 5 minutes.
        cost.add(0.3, 2.3);
        assert_eq!(cost.round_trip.median(), 60.0);
        assert_eq!(cost.all.median(), 0.5);
    }
}
