//! The most memory that a process had resident.

use std::process::{Child, Output};
use std::time::Duration;

use anyhow::ensure;

/// Between two looks at a process.
const LOOK: Duration = Duration::from_micros(200);

/// Waits until a process has ended, and tells the most memory that was resident, in KiB.
///
/// The kernel's own account (`ru_maxrss` of wait4(2)) is of no use: what the parent had resident when it
/// forked counts, too. So the process's `VmHWM` is read all the while; it never falls, and what a process
/// adds in its last moment is little.
///
/// # Errors
/// It was gone before it could be looked at.
pub(crate) fn peak(mut child: Child) -> anyhow::Result<(u64, Output)> {
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        // A process that has just ended has a status without this line.
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        peak = peak.max(kib(&status, "VmHWM").unwrap_or(0));
        std::thread::sleep(LOOK);
    }
    let output = child.wait_with_output()?;
    ensure!(
        peak > 0 || !output.status.success(),
        "the memory of a process could not be seen"
    );
    Ok((peak, output))
}

/// A size in `/proc/PID/status` of proc(5), say `VmHWM`, in KiB.
pub(crate) fn kib(status: &str, name: &str) -> Option<u64> {
    let mut values = status
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    values.next()?.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_of_this_process_can_be_read() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(kib(&status, "VmHWM").unwrap() > 100);
        assert_eq!(kib("Name:\tsaltfo\nState:\tZ (zombie)\n", "VmHWM"), None);
    }
}
