//! `bench relay`: a real `saltfo agent` in mode relay beside `minion01`, between two real masters.

mod faults;
mod files;
mod latency;
mod memory;
mod moves;

use std::path::Path;
use std::time::Duration;

use integration::{Lab, Relay};

pub(crate) use latency::Latency;

use crate::plan::Plan;
use crate::report::Release;
use crate::stage::{MASTER, MINION, OTHER_MASTER};

const MASTERS: [&str; 2] = [MASTER, OTHER_MASTER];
/// How long masters, minion and relay may take to agree again after a fault.
const CHANGE: Duration = Duration::from_secs(180);

/// Measures one thing after the other.
///
/// # Errors
/// As [`Plan::measure`].
pub(crate) fn measure(plan: &Plan<'_>) -> anyhow::Result<Release> {
    plan.measure(|release| {
        let lab = plan.lab().minions([MINION]).relay().build()?;
        lab.relay_config(MINION, "")?;
        // Faults last: masters and minion do more than usual for a while after each.
        plan.note(release, "memory", memory::rows(&lab, plan));
        plan.note(release, "latency", latency::rows(&lab, plan));
        plan.note(release, "cp.get_file", files::rows(&lab, plan));
        plan.note(release, "planned moves", moves::rows(&lab, plan));
        faults::behind_relay(&lab, plan, release);
        Ok(())
    })
}

/// Salt's own failover, without a relay.
///
/// # Errors
/// As [`measure`].
pub(crate) fn measure_salt_alone(plan: &Plan<'_>) -> anyhow::Result<Release> {
    plan.measure(|release| {
        faults::salt_alone(plan, release);
        Ok(())
    })
}

/// A relay that knows nothing of the past and is at work; and the short name of the elected master.
fn settled<'a>(lab: &'a Lab, saltfo: &Path) -> anyhow::Result<(Relay<'a>, &'static str)> {
    let mut relay = lab.start_relay(MINION, saltfo)?;
    let elected = relay.settled(CHANGE)?;
    let master = MASTERS.into_iter().find(|name| *name == elected);
    let master = master.ok_or_else(|| anyhow::anyhow!("{elected} is none of the lab's masters"))?;
    Ok((relay, master))
}

fn other(master: &str) -> &'static str {
    if master == MASTER { OTHER_MASTER } else { MASTER }
}
