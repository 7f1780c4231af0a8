//! Planned moves: how soon `saltfo move` is done, and a fresh `test.ping` answered through the new master.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use integration::Lab;

use super::{CHANGE, other, settled};
use crate::plan::Plan;
use crate::report::Row;
use crate::samples::Samples;
use crate::stage::MINION;

/// Between two `test.ping`s of others. The first one mostly comes when the move is made.
const BESIDE: Duration = Duration::from_millis(200);
/// Most that is aimed at, in milliseconds.
const MOVED: f64 = 300.0;

/// To and fro, as often as is said, with one relay: nothing fails, so nothing is remembered.
///
/// # Errors
/// The relay did not come up, or a move was refused or taken back.
pub(super) fn rows(lab: &Lab, plan: &Plan<'_>) -> anyhow::Result<Vec<Row>> {
    let Plan {
        runs,
        saltfo,
        progress,
        ..
    } = *plan;
    progress.say("planned moves");
    let (mut relay, mut from) = settled(lab, saltfo)?;
    let (mut answered, mut done) = (Samples::default(), Samples::default());
    for _ in 0..runs {
        // Alone: what is published beside it is more work than the move.
        let to = other(from);
        let begun = Instant::now();
        moved(lab, saltfo, to)?;
        done.push(begun.elapsed());
        relay.settled(CHANGE)?;
        // And back, while others ask.
        let mut pings = lab.pings(from, MINION)?;
        let begun = Instant::now();
        pings.begin_every(BESIDE)?;
        moved(lab, saltfo, from)?;
        answered.push(pings.answer(CHANGE)?.at.saturating_duration_since(begun));
        relay.settled(CHANGE)?;
        drop(pings);
        // The next one the other way round.
        moved(lab, saltfo, to)?;
        relay.settled(CHANGE)?;
        from = to;
    }
    relay.stop()?;
    Ok(vec![
        Row::of("`saltfo move`, until it is proven", &done).target("at most 0.3 s", done.median() <= MOVED),
        Row::of(
            "`saltfo move` → a fresh `test.ping` is answered through the new master",
            &answered,
        )
        .target("at most 0.3 s", answered.median() <= MOVED),
    ])
}

/// Moves the minion, and waits until that is proven.
fn moved(lab: &Lab, saltfo: &Path, to: &str) -> anyhow::Result<()> {
    let output = lab
        .command(MINION, saltfo)
        .env_remove("SALTFO_CONFIG")
        .args(["move", &lab.host(to)?.fqdn])
        .stdin(Stdio::null())
        .output()
        .context("cannot enter a host")?;
    ensure!(
        output.status.success(),
        "saltfo move: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
