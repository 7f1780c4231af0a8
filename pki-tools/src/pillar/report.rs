//! What a run did, for people and programs.

use std::path::PathBuf;

use serde::Serialize;

use crate::export::Change;

/// What was done, or would be done in a dry run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The files that there should be.
    pub files: Vec<SlsFile>,
    /// Files of hosts that the client does not have, or that are not active.
    pub stale: Vec<StaleFile>,
    /// Keys that are missing and without which there is a file less, or an identity in it.
    pub missing: Vec<Missing>,
}

/// A file that there should be.
#[derive(Debug, Clone, Serialize)]
pub struct SlsFile {
    /// The file.
    pub file: PathBuf,
    /// The fqdn of its host.
    pub host: String,
    /// What is done to it.
    pub change: Change,
}

/// A file that belongs to no host of the client.
#[derive(Debug, Clone, Serialize)]
pub struct StaleFile {
    /// The file.
    pub file: PathBuf,
    /// What becomes of it.
    pub state: Stale,
}

/// What becomes of a file that belongs to no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stale {
    /// It stays until `--prune`.
    Left,
    /// `--prune` takes it away.
    Removed,
    /// It stays, because this command did not write it.
    Foreign,
}

/// A key that a file would have needed.
#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    /// Whose it would be.
    pub owner: String,
    /// Its path below its owner.
    pub key: &'static str,
}
