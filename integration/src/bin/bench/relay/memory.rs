//! What a relay keeps resident while nothing happens.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;
use integration::Lab;

use super::settled;
use crate::memory::kib;
use crate::plan::Plan;
use crate::report::Row;

/// From the moment when it is at work until its memory is read.
const WARM: Duration = Duration::from_secs(30);
/// Most resident memory, in MiB.
const MEMORY: f64 = 16.0;

/// # Errors
/// It did not come up, or has ended.
pub(super) fn rows(lab: &Lab, plan: &Plan<'_>) -> anyhow::Result<Vec<Row>> {
    let Plan { saltfo, progress, .. } = *plan;
    progress.say("memory of a quiet relay");
    let (relay, _) = settled(lab, saltfo)?;
    sleep(WARM);
    let mib = resident(relay.pid()?)?;
    relay.stop()?;
    Ok(vec![
        Row::new("resident memory, quiet", format!("{mib:.1} MiB"), mib)
            .target("at most 16 MiB", mib <= MEMORY),
    ])
}

/// Resident memory of a process, in MiB.
pub(super) fn resident(pid: i32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the relay has ended")?;
    let kib = kib(&status, "VmRSS").context("the relay has ended")?;
    Ok(kib as f64 / 1024.0)
}
