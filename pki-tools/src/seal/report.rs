//! What sealing, unsealing and a look at what is sealed found and did, for people and for programs. No secrets.

use std::path::PathBuf;

use serde::Serialize;

use crate::permissions::readable_by_others;
use crate::yaml::Document;

/// What a run sealed or unsealed, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
    /// The private halves that were sealed or unsealed, in the order of the files.
    pub keys: Vec<Half>,
    /// How many were left: sealed already, or not sealed.
    pub left: usize,
    /// The files that were edited.
    pub edited: Vec<PathBuf>,
    /// Private keys in the files that are no key of a client, so that they are left as they are.
    pub strays: Vec<Stray>,
    /// Files that others than their owner may read: before they were sealed, or now that they are unsealed.
    pub readable_by_others: Vec<Readable>,
}

/// What there is to seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Private halves that are not sealed, in the order of the files.
    pub unsealed: Vec<Half>,
    /// How many are.
    pub sealed: usize,
    /// Private keys in the files that are no key of a client.
    pub strays: Vec<Stray>,
}

/// A private half and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Half {
    /// The file.
    pub file: PathBuf,
    /// The line of its key, in the edited file.
    pub line: usize,
    /// The fqdn of a master or server, or `client NAME`.
    pub owner: String,
    /// Its path below its owner, as in `pki.minion.pem`.
    pub key: String,
}

/// A private key that is no key of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stray {
    /// The file.
    pub file: PathBuf,
    /// The line on which it begins, in the edited file.
    pub line: usize,
}

/// A file that too many may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readable {
    /// The file.
    pub file: PathBuf,
    /// Its mode, in octal, as `chmod` takes it.
    pub mode: String,
}

/// If others than its owner may read this file.
pub(super) fn readable(document: &Document) -> Option<Readable> {
    let mode = readable_by_others(&document.path)?;
    Some(Readable {
        file: document.name.clone(),
        mode: format!("{mode:04o}"),
    })
}
