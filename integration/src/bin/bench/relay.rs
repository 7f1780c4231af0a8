//! `bench relay`: a real `saltfo agent` in mode relay beside `minion01`, between two real masters.

mod faults;
mod files;
mod latency;
mod memory;
mod moves;

use std::path::Path;
use std::time::Duration;

use integration::{Lab, Progress, Relay, SaltVersion};

pub(crate) use latency::Latency;

use crate::machine::load;
use crate::report::Release;
use crate::stage::{MASTER, MINION, OTHER_MASTER};

const MASTERS: [&str; 2] = [MASTER, OTHER_MASTER];
/// How long masters, minion and relay may take to agree again after a fault.
const CHANGE: Duration = Duration::from_secs(180);

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
    let result = behind_relay(version, runs, saltfo, progress, &mut release);
    release.note(result.map(|()| Vec::new()), "the lab", progress);
    release.load_after = load()?;
    Ok(release)
}

/// Salt's own failover, without a relay.
///
/// # Errors
/// As [`measure`].
pub(crate) fn measure_salt_alone(
    version: SaltVersion,
    _runs: u32,
    _saltfo: &Path,
    progress: &Progress,
) -> anyhow::Result<Release> {
    let mut release = Release::begin(version, progress)?;
    faults::salt_alone(version, progress, &mut release);
    release.load_after = load()?;
    Ok(release)
}

fn behind_relay(
    version: SaltVersion,
    runs: u32,
    saltfo: &Path,
    progress: &Progress,
    release: &mut Release,
) -> anyhow::Result<()> {
    let lab = Lab::builder()
        .version(version)
        .minions([MINION])
        .relay()
        .progress(progress.clone())
        .build()?;
    lab.relay_config(MINION, "")?;
    // Faults last: masters and minion do more than usual for a while after each.
    release.note(memory::rows(&lab, saltfo, progress), "memory", progress);
    release.note(latency::rows(&lab, saltfo, progress), "latency", progress);
    release.note(files::rows(&lab, saltfo, runs, progress), "cp.get_file", progress);
    release.note(
        moves::rows(&lab, saltfo, runs, progress),
        "planned moves",
        progress,
    );
    faults::behind_relay(&lab, saltfo, runs, progress, release);
    Ok(())
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
