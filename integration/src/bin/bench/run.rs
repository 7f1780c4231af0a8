//! `bench run`: `saltfo run` on the runner beside `salt` on the master, in the same lab and in turns.

mod crowd;
mod log;
mod program;
mod speed;

use integration::{Lab, Progress, SaltVersion};

use crate::machine::load;
use crate::report::Release;
use crate::stage::Stage;

/// Measures one thing after the other; what fails does not keep the rest from being measured.
///
/// # Errors
/// The machine's load can't be read.
pub(crate) fn measure(
    version: SaltVersion,
    runs: u32,
    saltfo: &std::path::Path,
    progress: &Progress,
) -> anyhow::Result<Release> {
    let mut release = Release::begin(version, progress)?;
    let result = first_lab(version, runs, saltfo, progress, &mut release);
    release.note(result.map(|()| Vec::new()), "the lab", progress);
    let rows = crowd::rows(version, saltfo, progress);
    release.note(rows, "runs at once", progress);
    release.load_after = load()?;
    Ok(release)
}

fn first_lab(
    version: SaltVersion,
    runs: u32,
    saltfo: &std::path::Path,
    progress: &Progress,
    release: &mut Release,
) -> anyhow::Result<()> {
    let lab = Lab::builder()
        .version(version)
        .progress(progress.clone())
        .build()?;
    Stage::new(&lab, saltfo)?.until_healthy()?;
    speed::write_state(&lab)?;
    release.note(speed::ping(&lab, runs, progress), "test.ping", progress);
    release.note(speed::state(&lab, runs, progress), "state.apply", progress);
    release.note(
        speed::sleep(&lab, runs.div_ceil(3), progress),
        "test.sleep",
        progress,
    );
    Ok(())
}
