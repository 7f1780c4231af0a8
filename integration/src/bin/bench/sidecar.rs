//! `bench agent`: a real `saltfo agent` beside `minion01`, between two real masters.

mod ask;
mod faults;
mod kernel;
mod masters;
mod quiet;
mod running;

pub(crate) use ask::Ask;

use crate::plan::Plan;
use crate::report::Release;
use crate::stage::{MASTER, MINION, OTHER_MASTER};

const MASTERS: [&str; 2] = [MASTER, OTHER_MASTER];
/// The minion may publish `test.ping` to itself: only so the sidecar, which has its key, can prove that jobs get through.
const PEER: &str = "peer: {'^minion01$': ['test\\.ping$']}";

/// Measures one thing after the other.
///
/// # Errors
/// As [`Plan::measure`].
pub(crate) fn measure(plan: &Plan<'_>) -> anyhow::Result<Release> {
    plan.measure(|release| {
        let lab = plan
            .lab()
            .minions([MINION])
            .master_config(MASTER, PEER)
            .master_config(OTHER_MASTER, PEER)
            .build()?;
        // Faults last: masters and minion do more than usual for a while after each.
        plan.note(release, "a quiet sidecar", quiet::rows(&lab, plan));
        plan.note(release, "what it costs a master", masters::rows(&lab, plan));
        faults::measure(&lab, plan, release);
        Ok(())
    })
}
