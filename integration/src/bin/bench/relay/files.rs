//! `cp.get_file` through the relay and straight from the master, in turns: how fast, and what it costs the relay.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use integration::Lab;
use rand::RngExt as _;

use super::memory::resident;
use super::settled;
use crate::plan::Plan;
use crate::report::Row;
use crate::samples::Samples;
use crate::stage::MINION;

/// The large file, in MiB. A small one beside it tells what is not its transfer.
const SIZE: usize = 200;
const SMALL: &str = "small";
const LARGE: &str = "large";
/// Each takes seconds.
const MOST_RUNS: u32 = 7;
/// Least throughput, as a part of that without a relay.
const SHARE: f64 = 0.9;

/// # Errors
/// The relay did not come up, or a file did not arrive.
pub(super) fn rows(lab: &Lab, plan: &Plan<'_>) -> anyhow::Result<Vec<Row>> {
    let Plan {
        runs,
        saltfo,
        progress,
        ..
    } = *plan;
    let (relay, elected) = settled(lab, saltfo)?;
    let mut content = vec![0_u8; SIZE << 20];
    rand::rng().fill(&mut content[..]);
    fs::create_dir_all(lab.file_root())?;
    fs::write(lab.file_root().join(LARGE), &content)?;
    fs::write(lab.file_root().join(SMALL), "small")?;
    let master = lab.host(elected)?.address.to_string();
    let (mut through, mut straight) = (Samples::default(), Samples::default());
    let mut most = resident(relay.pid()?)?;
    let runs = runs.min(MOST_RUNS);
    // The first ones make the files' pages, and Salt's folders.
    transfer(lab, None, &content)?;
    transfer(lab, Some(&master), &content)?;
    for run in 1..=runs {
        progress.say(&format!(
            "{SIZE} MiB through the relay and straight from the master, {run} of {runs}"
        ));
        through.push(transfer(lab, None, &content)?);
        most = most.max(resident(relay.pid()?)?);
        straight.push(transfer(lab, Some(&master), &content)?);
    }
    relay.stop()?;
    let speed = |samples: &Samples| SIZE as f64 / samples.median() * 1e3;
    let (relayed, direct) = (speed(&through), speed(&straight));
    let share = relayed / direct;
    Ok(vec![
        Row::new(
            format!("`cp.get_file` of {SIZE} MiB, through the relay : straight"),
            format!("{:.0} % ({relayed:.0} : {direct:.0} MiB a second)", share * 100.0),
            share,
        )
        .target("at least 90 %", share >= SHARE)
        .with("relay", &through)
        .with("direct", &straight),
        Row::new(
            "resident memory, after such transfers",
            format!("{most:.1} MiB"),
            most,
        ),
    ])
}

/// The time that the large file takes, without what a small one takes, too.
fn transfer(lab: &Lab, master: Option<&str>, content: &[u8]) -> anyhow::Result<Duration> {
    let (_, small) = get_file(lab, master, SMALL)?;
    let (path, large) = get_file(lab, master, LARGE)?;
    ensure!(fs::read(&path)? == content, "the file is another one");
    fs::remove_file(path)?;
    Ok(large.saturating_sub(small))
}

fn get_file(lab: &Lab, master: Option<&str>, name: &str) -> anyhow::Result<(PathBuf, Duration)> {
    let folder = lab.folder().join(MINION);
    let target = folder.join("tmp").join(name);
    if target.exists() {
        fs::remove_file(&target)?;
    }
    let mut command = lab.command(MINION, folder.join("bin/salt-call"));
    if let Some(master) = master {
        command.args(["--master", master]);
    }
    let begun = Instant::now();
    let output = command
        .args(["cp.get_file", &format!("salt://{name}")])
        .arg(&target)
        .stdin(Stdio::null())
        .output()
        .context("cannot enter a host")?;
    let took = begun.elapsed();
    ensure!(
        output.status.success() && target.exists(),
        "salt-call cp.get_file: {} {}",
        String::from_utf8_lossy(&output.stdout).trim(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok((target, took))
}
