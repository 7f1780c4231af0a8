//! The local minion as the kernel shows it: its processes, and which masters it is connected to.
//!
//! A salt-minion keeps one connection to the `publish_port` of the master that it hangs on. Which one that is stands in the
//! socket table of the minion's own network namespace (`/proc/PID/net/tcp`); that it is this minion's, and not another's in the
//! same namespace, in the process's descriptors (`/proc/PID/fd`).
//!
//! A table costs the kernel a walk over all its hash buckets, a millisecond or two on a host of 16 GB, so it is read only when the
//! minion has new sockets, waits for a connection, or has not been looked at for a while. Nothing goes unnoticed for longer than
//! a look meanwhile: a process whose connection ends closes the socket.

mod processes;
mod sockets;

pub(super) use processes::CONFIG_DIR;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::facts::{Local, MasterIndex};
use processes::{Family, Search};
use sockets::{Sockets, Tcp};

/// How long tables and processes are believed while nothing seems to change: a stopped minion does not close what broke.
const BELIEVED: Duration = Duration::from_secs(10);
/// After something that took the kernel long, that many times as long passes before it is done again: at most 1 % of a core.
const REST: u32 = 100;

/// Which of the minions on this host is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Which {
    /// The folder of its configuration: `-c` of salt-minion, `/etc/salt` where none is given. Nothing: any folder.
    pub config_dir: Option<PathBuf>,
    /// Its `pidfile`. It tells which of its processes holds the connections; without `config_dir`, also which minion it is.
    pub pid_file: Option<PathBuf>,
}

/// Where publications are to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whose.
    pub of: Publisher,
    /// Its `publish_port`.
    pub publish_port: u16,
    /// What its name led to; none while it is not known.
    pub addresses: Vec<IpAddr>,
}

/// Who publishes to the minion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publisher {
    /// A master.
    Master(MasterIndex),
    /// Our relay.
    Relay,
}

/// Looks at the local minion again and again.
#[derive(Debug)]
pub struct Watcher {
    search: Search,
    family: Seen<Family>,
    connections: Seen<Sockets>,
}

/// Something that is expensive to look at.
#[derive(Debug)]
struct Seen<T> {
    what: T,
    at: Option<Instant>,
    took: Duration,
    trouble: Option<String>,
}

impl Watcher {
    /// Looks for this minion from now on.
    #[must_use]
    pub fn new(which: Which) -> Self {
        Self {
            search: Search::new(which),
            family: Seen::never(),
            connections: Seen::never(),
        }
    }

    /// Looks now. Meant for about once a second; takes a fraction of a millisecond, and some milliseconds now and then.
    #[must_use]
    pub fn look(&mut self, masters: &[Endpoint]) -> Local {
        let looked = self.processes().and_then(|()| self.sockets(masters));
        let processes: Vec<u32> = self.family.what.pids().collect();
        match looked {
            Err(reason) => Local {
                processes,
                unknown: Some(reason),
                ..Local::default()
            },
            Ok(()) => self.report(processes, masters),
        }
    }

    fn processes(&mut self) -> Result<(), String> {
        let complete = self.family.what.drop_dead();
        if self.family.is_due(!complete) {
            self.family.renew(|family| {
                *family = self.search.family()?;
                Ok(())
            });
        }
        self.family.result()
    }

    fn sockets(&mut self, masters: &[Endpoint]) -> Result<(), String> {
        let mut held = Vec::new();
        for process in self.family.what.holders() {
            match sockets::held_by(process) {
                Ok(sockets) => held.extend(sockets),
                // It has ended meanwhile; the next look finds out what became of the minion.
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(cannot_look(process, &error)),
            }
        }
        let sockets = &mut self.connections.what;
        sockets.are_now(held);
        let waits = |tcp: &Tcp| !tcp.established && is_publish_port(masters, tcp.remote.port());
        let reason = sockets.has_news() || sockets.tcp().any(waits);
        if let Some(process) = self.family.what.holders().next()
            && self.connections.is_due(reason)
        {
            self.connections
                .renew(|sockets| match sockets.read_tables(process) {
                    Err(error) if !is_gone(&error) => Err(cannot_look(process, &error)),
                    _ => Ok(()),
                });
        }
        self.connections.result()
    }

    fn report(&self, processes: Vec<u32>, masters: &[Endpoint]) -> Local {
        let mut local = Local {
            processes,
            ..Local::default()
        };
        for tcp in self.connections.what.tcp().filter(|tcp| tcp.established) {
            let (address, port) = (tcp.remote.ip(), tcp.remote.port());
            let of = |endpoint: &&Endpoint| {
                endpoint.publish_port == port
                    && endpoint
                        .addresses
                        .iter()
                        .any(|known| known.to_canonical() == address)
            };
            let mut is_known = false;
            for endpoint in masters.iter().filter(of) {
                is_known = true;
                match endpoint.of {
                    Publisher::Master(master) => local.tied_to.push(master),
                    Publisher::Relay => local.relayed = true,
                }
            }
            if !is_known && is_publish_port(masters, port) {
                local.strangers.push(tcp.remote);
            }
        }
        local.tied_to.sort_unstable();
        local.tied_to.dedup();
        local.strangers.sort_unstable();
        local.strangers.dedup();
        local
    }
}

impl<T: Default> Seen<T> {
    fn never() -> Self {
        Self {
            what: T::default(),
            at: None,
            took: Duration::ZERO,
            trouble: None,
        }
    }

    /// Whether to look again: soon if there is a reason, unless that is too expensive; else after a while.
    fn is_due(&self, reason: bool) -> bool {
        let rest = self.took.saturating_mul(REST);
        let pause = if reason || self.trouble.is_some() {
            rest
        } else {
            rest.max(BELIEVED)
        };
        self.at.is_none_or(|at| at.elapsed() >= pause)
    }

    fn renew(&mut self, look: impl FnOnce(&mut T) -> Result<(), String>) {
        let start = Instant::now();
        self.trouble = look(&mut self.what).err();
        self.at = Some(start);
        self.took = start.elapsed();
    }

    /// What came of the last time.
    fn result(&self) -> Result<(), String> {
        self.trouble.clone().map_or(Ok(()), Err)
    }
}

fn is_publish_port(masters: &[Endpoint], port: u16) -> bool {
    masters.iter().any(|endpoint| endpoint.publish_port == port)
}

/// A process that ended: its folder is gone, or was open and is empty now.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

fn cannot_look(process: u32, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied {
        format!(
            "not allowed to see the connections of process {process}: run saltfo as root, or give it CAP_SYS_PTRACE and \
             CAP_DAC_READ_SEARCH"
        )
    } else {
        format!("cannot see the connections of process {process}: {error}")
    }
}
