//! The processes of a lab as the kernel shows them in `/proc`, and signals to them.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// A process that runs inside of a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id as seen from here, outside of the lab.
    pub pid: i32,
    /// Its id inside of the lab.
    pub inner_pid: i32,
    /// The parent's id as seen from here; 0 if that is not visible.
    pub parent: i32,
    /// The session's id inside of the lab.
    pub session: i32,
    /// State as in proc(5): `R`, `S`, `T` (stopped), …
    pub state: char,
    /// Command line, or title where the program has set one.
    pub command: String,
}

impl Process {
    /// Whether it is stopped by a signal.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state == 'T'
    }

    /// Processor time that it and the children that it waited for have used.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The second field is a name in brackets, with any characters in it.
        let (_, fields) = stat.rsplit_once(')').context("unreadable /proc/PID/stat")?;
        // utime, stime, cutime, cstime are fields 14 to 17 of proc(5); the first one here is number 3.
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(4)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Duration::from_micros(
            ticks.saturating_mul(1_000_000 / per_second),
        ))
    }
}

/// All live processes of the lab whose namespaces this process (its init, id as seen from here) holds.
pub(crate) fn of_lab(init: i32) -> anyhow::Result<Vec<Process>> {
    let link = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).map(OsString::from);
    let Ok(namespace) = link(init) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process may end at any moment, and others' may not be readable.
        let Some(process) = read(pid) else { continue };
        if link(pid).is_ok_and(|of| of == namespace) {
            found.push(process);
        }
    }
    Ok(found)
}

/// Those of a session, with all their descendants.
pub(crate) fn of_session(all: &[Process], session: i32) -> Vec<Process> {
    let mut ids: HashSet<i32> = all
        .iter()
        .filter(|process| process.session == session)
        .map(|process| process.pid)
        .collect();
    loop {
        let children: Vec<i32> = all
            .iter()
            .filter(|process| ids.contains(&process.parent) && !ids.contains(&process.pid))
            .map(|process| process.pid)
            .collect();
        if children.is_empty() {
            return all
                .iter()
                .filter(|process| ids.contains(&process.pid))
                .cloned()
                .collect();
        }
        ids.extend(children);
    }
}

/// Sends a signal; a process that has already ended is no error.
pub(crate) fn send(pid: i32, signal: Signal) -> anyhow::Result<()> {
    let id = Pid::from_raw(pid).context("no process has id 0")?;
    match kill_process(id, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot send a signal to process {pid}")),
    }
}

/// The children of a process, ids as seen from here.
pub(crate) fn children(parent: i32) -> anyhow::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let of = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if of == Some(parent.to_string().as_str()) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Reads a process that lives in a PID namespace below ours. None for others, zombies and ended ones.
fn read(pid: i32) -> Option<Process> {
    let folder = Path::new("/proc").join(pid.to_string());
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let ids = field("NSpid")?;
    if ids.split_whitespace().count() < 2 {
        return None;
    }
    let last = |ids: &str| ids.split_whitespace().last()?.parse::<i32>().ok();
    let state = field("State")?.chars().next()?;
    if matches!(state, 'Z' | 'X') {
        return None;
    }
    let command = fs::read(folder.join("cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command)
        .replace('\0', " ")
        .trim()
        .to_owned();
    Some(Process {
        pid,
        inner_pid: last(ids)?,
        parent: field("PPid")?.parse().ok()?,
        session: last(field("NSsid")?)?,
        state,
        command,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32) -> Process {
        Process {
            pid,
            inner_pid: pid,
            parent,
            session,
            state: 'S',
            command: String::new(),
        }
    }

    #[test]
    fn a_session_includes_descendants_that_left_it() {
        let all = [
            process(2, 1, 2),
            process(3, 2, 2),
            process(4, 3, 4),
            process(5, 4, 5),
            process(6, 1, 6),
        ];
        let pids: Vec<i32> = of_session(&all, 2).iter().map(|process| process.pid).collect();
        assert_eq!(pids, [2, 3, 4, 5]);
    }

    #[test]
    fn used_processor_time_grows_with_work() {
        let me = process(i32::try_from(std::process::id()).unwrap(), 0, 0);
        let before = me.cpu_time().unwrap();
        crate::wait::until("processor time passes", Duration::from_secs(30), || {
            std::hint::black_box((0..2_000_000_u64).fold(0, |sum, n| sum ^ n.wrapping_mul(n)));
            Ok((me.cpu_time()? > before).then_some(()))
        })
        .unwrap();
    }
}
