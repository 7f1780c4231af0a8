//! What the kernel tells of a process that is being measured.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::Context as _;

use crate::memory::kib;

/// A TCP connection; its local port tells it from one that took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Connection {
    pub(super) local: SocketAddrV4,
    pub(super) remote: SocketAddrV4,
}

/// Memory that a process has resident, in KiB.
///
/// # Errors
/// It has ended.
pub(super) fn resident(pid: i32) -> anyhow::Result<u64> {
    let status = read(&format!("/proc/{pid}/status"))?;
    kib(&status, "VmRSS").with_context(|| format!("process {pid} has ended"))
}

/// Processor time that the threads of a process that live have used so far. To the nanosecond: the ticks of `/proc/PID/stat` are
/// 10 ms, and a sidecar uses little more than that in a minute.
///
/// # Errors
/// It has ended, or the kernel does not tell (`CONFIG_SCHED_INFO`).
pub(super) fn run_time(pid: i32) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")? {
        // A thread may end at any moment.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        let nanoseconds = text
            .split_whitespace()
            .next()
            .and_then(|first| first.parse().ok());
        sum += Duration::from_nanos(nanoseconds.context("unreadable schedstat")?);
    }
    anyhow::ensure!(
        sum > Duration::ZERO,
        "the kernel does not tell how long process {pid} has run (CONFIG_SCHED_INFO)"
    );
    Ok(sum)
}

/// How many descriptors a process has open.
///
/// # Errors
/// It has ended.
pub(super) fn descriptors(pid: i32) -> anyhow::Result<usize> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).context("the process has ended")?;
    Ok(entries.count())
}

/// The TCP connections of a process over IPv4, in any state, from the table of its host.
///
/// # Errors
/// It has ended.
pub(super) fn connections(pid: i32) -> anyhow::Result<BTreeSet<Connection>> {
    let mut held = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).context("the process has ended")? {
        // A descriptor may be closed at any moment.
        let Ok(target) = fs::read_link(entry?.path()) else {
            continue;
        };
        let target = target.to_string_lossy();
        let inode = target
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'));
        held.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
    }
    let table = read(&format!("/proc/{pid}/net/tcp"))?;
    let rows = table.lines().filter_map(parse);
    Ok(rows
        .filter(|(inode, _)| held.contains(inode))
        .map(|(_, connection)| connection)
        .collect())
}

/// A line of `/proc/net/tcp`, see proc_net_tcp(5): the socket's inode, and both ends. None for the heading.
fn parse(line: &str) -> Option<(u64, Connection)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let connection = Connection {
        local: address(fields.get(1)?)?,
        remote: address(fields.get(2)?)?,
    };
    Some((fields.get(9)?.parse().ok()?, connection))
}

/// `0100007F:1F90`: network order, printed as the machine's own number; then the port as a number.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?.to_ne_bytes();
    Some(SocketAddrV4::new(
        Ipv4Addr::from(ip),
        u16::from_str_radix(port, 16).ok()?,
    ))
}

fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;

    fn me() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn a_connection_of_this_process_is_found_with_both_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (SocketAddr::V4(local), SocketAddr::V4(remote)) =
            (stream.local_addr().unwrap(), stream.peer_addr().unwrap())
        else {
            panic!("IPv4 was asked for");
        };
        let connection = Connection { local, remote };
        assert!(connections(me()).unwrap().contains(&connection));
        drop(stream);
        assert!(!connections(me()).unwrap().contains(&connection));
    }

    #[test]
    fn this_process_has_run_and_takes_memory_and_descriptors() {
        let before = run_time(me()).unwrap();
        std::hint::black_box((0..2_000_000_u64).fold(0, |sum, n| sum ^ n.wrapping_mul(n)));
        // The kernel counts at its own pace.
        integration::until("processor time passes", Duration::from_secs(30), || {
            Ok((run_time(me())? > before).then_some(()))
        })
        .unwrap();
        assert!(resident(me()).unwrap() > 100);
        assert!(descriptors(me()).unwrap() >= 3);
    }
}
