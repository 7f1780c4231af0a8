//! What can be wrong with a daemon that is not dead: it hangs, its workers hang, its cable is cut.

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use crate::daemon::{Daemon, SIGNAL};
use crate::host::Role;
use crate::process::{self, Process};
use crate::wait::until;

impl Daemon<'_> {
    /// Stops all its processes (SIGSTOP): the kernel still accepts connections for it, nobody answers.
    ///
    /// # Errors
    /// It does not run.
    pub fn hang(&self) -> anyhow::Result<()> {
        self.hang_those(|_| true)
    }

    /// Stops only a master's workers: libzmq still answers heartbeats, requests wait for ever.
    ///
    /// # Errors
    /// It does not run, or is no master.
    pub fn hang_workers(&self) -> anyhow::Result<()> {
        ensure!(self.host.role == Role::Master, "{} is no master", self.host.name);
        // The title that Salt gives to its workers (salt/master.py). `MWorkerQueue`, which deals requests to them
        // and owns the socket, is none.
        self.hang_those(|process| process.command.contains("MWorker-"))
    }

    /// Lets processes that [`Daemon::hang`] or [`Daemon::hang_workers`] stopped go on.
    ///
    /// # Errors
    /// A process that can't be signalled.
    pub fn resume(&self) -> anyhow::Result<()> {
        for process in self.processes()? {
            process::send(process.pid, Signal::CONT)?;
        }
        let what = format!("the {} on {} goes on", self.program(), self.host.name);
        until(&what, SIGNAL, || {
            Ok((!self.processes()?.iter().any(Process::is_stopped)).then_some(()))
        })
    }

    /// Pulls its host's cable at the switch. The host's own link stays up, and packets vanish silently: with
    /// `ip link set down` its kernel would know that the carrier is lost.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn cut(&self) -> anyhow::Result<()> {
        self.lab.cut(&self.host.name)
    }

    /// Plugs the cable in again.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn mend(&self) -> anyhow::Result<()> {
        self.lab.mend(&self.host.name)
    }

    fn hang_those(&self, which: impl Fn(&Process) -> bool) -> anyhow::Result<()> {
        let what = format!("the {} on {} stands still", self.program(), self.host.name);
        stop_all(&what, || {
            let mut processes = self.processes()?;
            processes.retain(&which);
            ensure!(
                !processes.is_empty(),
                "nothing to hang: no such process of {} runs",
                self.host.name
            );
            Ok(processes)
        })
    }
}

/// Stops these processes, again and again until all of them stand still: one may fork between the look and the signal.
fn stop_all(what: &str, mut look: impl FnMut() -> anyhow::Result<Vec<Process>>) -> anyhow::Result<()> {
    let mut last = Vec::new();
    let stopped = until(what, SIGNAL, || {
        let processes = look()?;
        let moving: Vec<&Process> = processes.iter().filter(|process| !process.is_stopped()).collect();
        for process in &moving {
            process::send(process.pid, Signal::STOP)?;
        }
        // Who is in vfork(2) does not stop before the child has become another program, which a stopped child never does.
        let waiting = moving.iter().filter(|process| process.state == 'D');
        for parent in waiting {
            let children = processes.iter().filter(|child| child.parent == parent.pid);
            for child in children.filter(|child| child.is_stopped()) {
                process::send(child.pid, Signal::CONT)?;
            }
        }
        let done = moving.is_empty();
        last = moving.into_iter().cloned().collect();
        Ok(done.then_some(()))
    });
    stopped.with_context(|| format!("these did not stop: {last:?}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Child, Command, Stdio};

    use super::*;

    struct Killed(Child);

    impl Drop for Killed {
        fn drop(&mut self) {
            let children = process::children(i32::try_from(self.0.id()).unwrap());
            let _ = self.0.kill();
            let _ = self.0.wait();
            // A stopped one would never end, and nobody is there any more who would wake it.
            for child in children.unwrap_or_default() {
                let _ = process::send(child, Signal::KILL);
            }
        }
    }

    /// What `/proc/PID/stat` of proc(5) tells. None for one that has ended.
    fn process(pid: i32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        (state != 'Z').then_some(Process {
            pid,
            inner_pid: pid,
            parent,
            session: 0,
            state,
            command: String::new(),
        })
    }

    fn family(pid: i32) -> Vec<Process> {
        let children = process::children(pid).unwrap();
        std::iter::once(pid).chain(children).filter_map(process).collect()
    }

    #[test]
    fn who_starts_programs_all_the_time_stops_all_the_same() {
        // A shell's fork is a vfork where it can be one, as Python's is (`subprocess`).
        let shell = Command::new("sh")
            .args(["-c", "while :; do /bin/true; done"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let shell = Killed(shell.unwrap());
        let pid = i32::try_from(shell.0.id()).unwrap();
        for _ in 0..200 {
            stop_all("the shell stands still", || Ok(family(pid))).unwrap();
            assert!(family(pid).iter().all(Process::is_stopped));
            for process in family(pid) {
                process::send(process.pid, Signal::CONT).unwrap();
            }
        }
    }
}
