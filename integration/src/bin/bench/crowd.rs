//! Twenty lookups at once against masters with few workers: a salt-master can be brought to a standstill so.

use std::time::Duration;

use anyhow::bail;
use integration::Progress;

use crate::inner::{Crowd, Task};
use crate::lookup::Outcome;
use crate::plan::Plan;
use crate::report::Row;
use crate::samples::Samples;
use crate::stage::{MASTER, MINION, OTHER_MASTER, OTHER_MINION, Stage};

const LOOKUPS: u32 = 20;
/// Salt's least with `peer:`.
const WORKERS: u32 = 3;
/// How often it is done; a standstill is a matter of luck.
const ROUNDS: u32 = 3;

/// # Errors
/// The lab did not come up, an answer was wrong, or the runner could not be entered.
pub(crate) fn rows(plan: &Plan<'_>) -> anyhow::Result<Vec<Row>> {
    let Plan { saltfo, progress, .. } = *plan;
    let lab = plan.lab().worker_threads(WORKERS).build()?;
    let stage = Stage::new(&lab, saltfo)?;
    stage.until_healthy()?;
    let (mut seconds, mut right) = (Vec::new(), 0);
    let (mut afterwards, mut right_afterwards) = (Samples::default(), 0);
    for round in 1..=ROUNDS {
        progress.say(&format!("{LOOKUPS} lookups at once, round {round} of {ROUNDS}"));
        let crowd: Crowd = stage.measure(&Task::Crowd { count: LOOKUPS })?;
        for outcome in &crowd.outcomes {
            right += is_right(outcome, progress)?;
        }
        seconds.push(crowd.seconds);
        for (minion, master) in [(MINION, MASTER), (OTHER_MINION, OTHER_MASTER)] {
            let (took, outcome): (Duration, Outcome) = stage.measure_for(minion, master, &Task::Once)?;
            afterwards.push(took);
            right_afterwards += is_right(&outcome, progress)?;
        }
    }
    let all = LOOKUPS * ROUNDS;
    let all_afterwards = 2 * ROUNDS;
    let slowest = seconds.iter().copied().fold(0.0, f64::max);
    let rounds: Vec<String> = seconds.iter().map(|one| format!("{one:.1}")).collect();
    Ok(vec![
        Row::new(
            format!("{LOOKUPS} lookups at once, {WORKERS} workers: answered rightly ({ROUNDS} rounds)"),
            format!("{right} of {all}"),
            f64::from(right),
        )
        .target("all", right == all),
        Row::new(
            "the same: until all were answered",
            format!("{} s", rounds.join(", ")),
            slowest,
        ),
        Row::new(
            "a lookup at each master right afterwards",
            format!(
                "{right_afterwards} of {all_afterwards}, {:.0} ms",
                afterwards.median()
            ),
            f64::from(right_afterwards),
        )
        .target("all", right_afterwards == all_afterwards)
        .with("samples", &afterwards),
    ])
}

/// 1 for the right answer, 0 for none.
fn is_right(outcome: &Outcome, progress: &Progress) -> anyhow::Result<u32> {
    match outcome {
        Outcome::Right => Ok(1),
        Outcome::Wrong(answer) => bail!("saltfo gave a wrong answer: {answer:?}"),
        Outcome::None(why) => {
            progress.say(&format!("no answer: {why}"));
            Ok(0)
        }
    }
}
