//! `bench agent`: a real `saltfo agent` beside `minion01`, between two real masters.

mod ask;
mod faults;
mod kernel;
mod masters;
mod quiet;
mod running;

use std::path::Path;

use integration::{Lab, Progress, SaltVersion};

pub(crate) use ask::Ask;

use crate::machine::load;
use crate::report::Release;
use crate::stage::{MASTER, MINION, OTHER_MASTER};

const MASTERS: [&str; 2] = [MASTER, OTHER_MASTER];
/// The minion may publish `test.ping` to itself: only so the sidecar, which has its key, can prove that jobs get through.
const PEER: &str = "peer: {'^minion01$': ['test\\.ping$']}";

/// Measures one thing after the other; what fails does not keep the rest from being measured.
///
/// # Errors
/// The machine's load can't be read.
pub(crate) fn measure(
    version: SaltVersion,
    runs: u32,
    saltfo: &Path,
    progress: &Progress,
) -> anyhow::Result<Release> {
    let mut release = Release::begin(version, progress)?;
    let result = lab(version, runs, saltfo, progress, &mut release);
    release.note(result.map(|()| Vec::new()), "the lab", progress);
    release.load_after = load()?;
    Ok(release)
}

fn lab(
    version: SaltVersion,
    runs: u32,
    saltfo: &Path,
    progress: &Progress,
    release: &mut Release,
) -> anyhow::Result<()> {
    let lab = Lab::builder()
        .version(version)
        .minions([MINION])
        .master_config(MASTER, PEER)
        .master_config(OTHER_MASTER, PEER)
        .progress(progress.clone())
        .build()?;
    // Faults last: masters and minion do more than usual for a while after each.
    release.note(quiet::rows(&lab, saltfo, progress), "a quiet sidecar", progress);
    release.note(
        masters::rows(&lab, saltfo, runs, progress),
        "what it costs a master",
        progress,
    );
    faults::measure(&lab, saltfo, runs, progress, release);
    Ok(())
}
