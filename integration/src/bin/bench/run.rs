//! `bench run`: `saltfo run` on the runner beside `salt` on the master, in the same lab and in turns.

mod crowd;
mod log;
mod program;
mod speed;

use crate::plan::Plan;
use crate::report::Release;
use crate::stage::Stage;

/// Measures one thing after the other.
///
/// # Errors
/// As [`Plan::measure`].
pub(crate) fn measure(plan: &Plan<'_>) -> anyhow::Result<Release> {
    plan.measure(|release| {
        let result = one_by_one(plan, release);
        plan.note(release, "the first lab", result.map(|()| Vec::new()));
        plan.note(release, "runs at once", crowd::rows(plan));
        Ok(())
    })
}

fn one_by_one(plan: &Plan<'_>, release: &mut Release) -> anyhow::Result<()> {
    let lab = plan.lab().build()?;
    Stage::new(&lab, plan.saltfo)?.until_healthy()?;
    speed::write_state(&lab)?;
    plan.note(release, "test.ping", speed::ping(&lab, plan));
    plan.note(release, "state.apply", speed::state(&lab, plan));
    plan.note(release, "test.sleep", speed::sleep(&lab, plan));
    Ok(())
}
