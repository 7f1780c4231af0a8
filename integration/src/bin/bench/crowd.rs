//! Twenty lookups at once against masters with few workers: a salt-master can be brought to a standstill so.

use std::path::Path;

use anyhow::bail;
use integration::{Lab, Progress, SaltVersion};

use crate::inner::{Crowd, Task};
use crate::lookup::Outcome;
use crate::report::Row;
use crate::samples::Samples;
use crate::stage::{MASTER, MINION, OTHER_MASTER, OTHER_MINION, Stage};

const LOOKUPS: u32 = 20;
/// Salt's least with `peer:`.
const WORKERS: u32 = 3;
/// How often it is done; a standstill is a matter of luck.
const ROUNDS: u32 = 3;

/// # Errors
/// The lab did not come up, an answer was wrong, or a master does not answer afterwards.
pub(crate) fn rows(version: SaltVersion, saltfo: &Path, progress: &Progress) -> anyhow::Result<Vec<Row>> {
    let lab = Lab::builder()
        .version(version)
        .worker_threads(WORKERS)
        .progress(progress.clone())
        .build()?;
    let stage = Stage::new(&lab, saltfo)?;
    stage.until_healthy()?;
    let (mut seconds, mut right, mut afterwards) = (Vec::new(), 0_u32, Samples::default());
    for round in 1..=ROUNDS {
        progress.say(&format!("{LOOKUPS} lookups at once, round {round} of {ROUNDS}"));
        let crowd: Crowd = stage.measure(&Task::Crowd { count: LOOKUPS })?;
        for outcome in &crowd.outcomes {
            match outcome {
                Outcome::Right => right += 1,
                Outcome::Wrong(answer) => bail!("one of {LOOKUPS} lookups at once was wrong: {answer:?}"),
                Outcome::None(why) => progress.say(&format!("no answer: {why}")),
            }
        }
        seconds.push(crowd.seconds);
        for (minion, master) in [(MINION, MASTER), (OTHER_MINION, OTHER_MASTER)] {
            let once: Samples = stage.measure_for(minion, master, &Task::Once)?;
            afterwards = afterwards.and(&once);
        }
    }
    let all = LOOKUPS * ROUNDS;
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
        Row::of("a lookup at each master right afterwards", &afterwards).target("answered rightly", true),
    ])
}
