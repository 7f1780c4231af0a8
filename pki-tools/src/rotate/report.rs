//! What a rotation did, and what is left to do on the hosts, for people and for programs.

use std::path::PathBuf;

use serde::Serialize;

use crate::generate::Readable;

/// What was done, and the steps in which to roll it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
    /// What was done.
    pub done: Done,
    /// The file.
    pub file: PathBuf,
    /// The line where the pair begins.
    pub line: usize,
    /// The fqdn of a master or server, or `client`.
    pub owner: String,
    /// The pair's path below its owner, as in `pki.master`.
    pub key: String,
    /// The size of a new RSA key.
    pub bits: Option<u32>,
    /// What to do on the hosts, in this order.
    pub steps: Vec<Step>,
    /// What is good to know meanwhile.
    pub notes: Vec<String>,
    /// Files with private keys that others than their owner may read.
    pub readable_by_others: Vec<Readable>,
}

/// What can be done to a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// A new pair took the place of the old one.
    Rotated,
    /// The old `master_sign` pair was removed.
    Finished,
    /// The old `master_sign` pair was put back.
    Aborted,
}

/// One step. When its commands are done, every minion answers through some master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it is for.
    pub what: String,
    /// What to run, in this order; nothing if it isn't a matter of commands.
    pub run: Vec<Run>,
}

/// Commands for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its fqdn; nothing for the place where the client's file is.
    pub host: Option<String>,
    /// Lines for a POSIX shell, as root.
    pub commands: Vec<String>,
}

impl Step {
    /// A step without commands so far.
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            run: Vec::new(),
        }
    }

    /// The same with commands for a host.
    pub(super) fn on<C: Into<String>>(mut self, host: &str, commands: impl IntoIterator<Item = C>) -> Self {
        self.run.push(Run {
            host: Some(host.to_owned()),
            commands: commands.into_iter().map(Into::into).collect(),
        });
        self
    }

    /// The same with a command for the place where the client's file is.
    pub(super) fn here(mut self, command: impl Into<String>) -> Self {
        self.run.push(Run {
            host: None,
            commands: vec![command.into()],
        });
        self
    }
}
