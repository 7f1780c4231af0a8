//! What can be wrong with a daemon that is not dead: it hangs, its workers hang, its cable is cut.

use anyhow::ensure;
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
        until(&what, SIGNAL, || {
            let mut processes = self.processes()?;
            processes.retain(&which);
            ensure!(
                !processes.is_empty(),
                "nothing to hang: no such process of {} runs",
                self.host.name
            );
            let moving: Vec<_> = processes.iter().filter(|process| !process.is_stopped()).collect();
            for process in &moving {
                process::send(process.pid, Signal::STOP)?;
            }
            Ok(moving.is_empty().then_some(()))
        })
    }
}
