//! What a sidecar takes of its own host while nothing happens, and how soon it says which master is active.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use integration::{Lab, Progress};

use super::MASTERS;
use super::kernel::{self, Connection};
use super::running::{Running, asking};
use crate::plan::Plan;
use crate::report::Row;
use crate::samples::Samples;

/// From its start until its memory is read.
const WARM: Duration = Duration::from_secs(30);
const QUIET: Duration = Duration::from_secs(60);
/// Between two looks at the tables of the kernel.
const LOOK: Duration = Duration::from_secs(1);
/// Looks at the descriptors: some are open for a moment only, when it reads `/proc`.
const LOOKS: u32 = 20;
const QUESTIONS: u32 = 200;
/// Most resident memory, in MiB.
const MEMORY: f64 = 12.0;
/// Most processor time, in per cent of a core.
const CPU: f64 = 0.5;
const CONNECTIONS: usize = 2;
/// Most time for an answer, in milliseconds.
const ANSWER: f64 = 1.0;

/// # Errors
/// It did not come up, or has ended.
pub(super) fn rows(lab: &Lab, plan: &Plan<'_>) -> anyhow::Result<Vec<Row>> {
    let Plan { saltfo, progress, .. } = *plan;
    progress.say("a quiet sidecar: memory, processor time, connections");
    let start = Instant::now();
    let mut sidecar = Running::start(lab, saltfo)?;
    sidecar.until_all_up()?;
    sleep(WARM.saturating_sub(start.elapsed()));
    let pid = sidecar.pid()?;
    let memory = kernel::resident(pid)?;
    let open = least_open(pid)?;
    let cpu_before = kernel::run_time(pid)?;
    let (begun, mut connections) = (Instant::now(), Connections::default());
    while begun.elapsed() < QUIET {
        connections.look(kernel::connections(pid)?);
        sleep(LOOK.min(QUIET.saturating_sub(begun.elapsed())));
    }
    let (used, passed) = (kernel::run_time(pid)?.saturating_sub(cpu_before), begun.elapsed());
    let open_after = least_open(pid)?;
    let memory_after = kernel::resident(pid)?;
    let cpu = used.as_secs_f64() / passed.as_secs_f64() * 100.0;
    let (mib, mib_after) = (memory as f64 / 1024.0, memory_after as f64 / 1024.0);
    let mut rows = vec![
        Row::new(
            "resident memory, after 30 s → a minute later",
            format!("{mib:.1} → {mib_after:.1} MiB"),
            mib.max(mib_after),
        )
        .target("at most 12 MiB", mib.max(mib_after) <= MEMORY),
        Row::new(
            "processor time, over a quiet minute",
            format!("{cpu:.2} % of a core"),
            cpu,
        )
        .target("at most 0.5 %", cpu <= CPU),
        Row::new(
            "open descriptors, before → after it",
            format!("{open} → {open_after}"),
            open_after as f64,
        )
        .target("as before", open_after == open),
    ];
    rows.extend(connections.rows(lab)?);
    rows.push(active_master(lab, progress)?);
    sidecar.stop()?;
    Ok(rows)
}

fn least_open(pid: i32) -> anyhow::Result<usize> {
    let mut least = usize::MAX;
    for _ in 0..LOOKS {
        least = least.min(kernel::descriptors(pid)?);
        sleep(Duration::from_millis(7));
    }
    Ok(least)
}

/// What was seen of its connections in many looks.
#[derive(Debug, Default)]
struct Connections {
    looks: Vec<BTreeSet<Connection>>,
}

impl Connections {
    fn look(&mut self, seen: BTreeSet<Connection>) {
        self.looks.push(seen);
    }

    fn rows(&self, lab: &Lab) -> anyhow::Result<Vec<Row>> {
        MASTERS
            .into_iter()
            .map(|name| Ok(self.row(name, IpAddr::V4(lab.host(name)?.address))))
            .collect()
    }

    fn row(&self, name: &str, address: IpAddr) -> Row {
        let to_master = |seen: &BTreeSet<Connection>| -> BTreeSet<Connection> {
            let all = seen.iter().copied();
            all.filter(|one| IpAddr::V4(*one.remote.ip()) == address)
                .collect()
        };
        let looks: Vec<BTreeSet<Connection>> = self.looks.iter().map(to_master).collect();
        let most = looks.iter().map(BTreeSet::len).max().unwrap_or(0);
        let all: BTreeSet<Connection> = looks.iter().flatten().copied().collect();
        let kept = looks.iter().all(|look| *look == all);
        let word = if kept {
            "kept".to_owned()
        } else {
            format!("{} in all", all.len())
        };
        Row::new(
            format!("connections to {name}, over the same minute"),
            format!("{most}, {word}"),
            most as f64,
        )
        .target("2, kept", kept && most == CONNECTIONS)
    }
}

fn active_master(lab: &Lab, progress: &Progress) -> anyhow::Result<Row> {
    progress.say("answers to /active-master");
    let output = asking(lab, &["active-master", &QUESTIONS.to_string()])?
        .output()
        .context("cannot enter a host")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let samples: Samples =
        serde_json::from_slice(&output.stdout).context("the inner bench printed something else")?;
    let (median, p90) = (samples.median(), samples.p90());
    Ok(Row::new(
        "answer to `/active-master`, with its connection",
        format!("{median:.2} ms (p90 {p90:.2}, at most {:.2})", samples.max()),
        p90,
    )
    .target("p90 at most 1 ms", p90 <= ANSWER)
    .with("samples", &samples))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::*;

    const MASTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);

    fn to(ports: &[u16]) -> BTreeSet<Connection> {
        let one = |local| Connection {
            local: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 21), local),
            remote: SocketAddrV4::new(MASTER, 4506),
        };
        ports.iter().map(|port| one(*port)).collect()
    }

    fn row(looks: Vec<BTreeSet<Connection>>) -> String {
        format!("{:?}", Connections { looks }.row("salt1", IpAddr::V4(MASTER)))
    }

    #[test]
    fn two_connections_that_stay_the_same_are_kept() {
        let row = row(vec![to(&[1, 2]), to(&[1, 2])]);
        assert!(row.contains("2, kept") && row.contains("ok: Some(true)"), "{row}");
    }

    #[test]
    fn a_connection_that_was_made_anew_or_besides_is_noticed() {
        for (looks, says) in [
            (vec![to(&[1, 2]), to(&[1, 3])], "2, 3 in all"),
            (vec![to(&[1, 2]), to(&[1, 2, 3])], "3, 3 in all"),
            (vec![to(&[1]), to(&[1])], "1, kept"),
            (vec![], "0, kept"),
        ] {
            let row = row(looks);
            assert!(row.contains(says) && row.contains("ok: Some(false)"), "{row}");
        }
    }
}
