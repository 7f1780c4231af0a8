//! What a run did, for people and for programs.

use std::path::PathBuf;

use serde::Serialize;

use crate::yaml;

/// What a run made, or would make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
    /// The keys, in the order of the files.
    pub made: Vec<Made>,
    /// The files that were edited.
    pub edited: Vec<EditedFile>,
    /// Clients that need no keys from us.
    pub skipped: Vec<Skipped>,
    /// Files with private keys that others than their owner may read.
    pub readable_by_others: Vec<Readable>,
}

/// A key that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Made {
    /// The file.
    pub file: PathBuf,
    /// The line of the key in the edited file.
    pub line: usize,
    /// The fqdn of a master or server, or `client`.
    pub owner: String,
    /// The key's path below its owner, as in `pki.minion`.
    pub key: String,
    /// What was made.
    pub what: What,
    /// The size of a new RSA key.
    pub bits: Option<u32>,
}

/// What can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Both halves of an RSA key.
    RsaPair,
    /// The public half, from the private one that was there.
    RsaPublic,
    /// Both halves of an OpenSSH key.
    SshPair,
    /// The public half, from the private one that was there.
    SshPublic,
    /// The dispatch identity's minion id.
    Id,
}

/// A file that was edited, with enough to undo it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EditedFile {
    /// The file.
    pub file: PathBuf,
    /// The insertions, in the order of the file.
    pub edits: Vec<Edit>,
}

/// An insertion, in terms of the new text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// Where the inserted bytes begin.
    pub offset: usize,
    /// How many there are.
    pub length: usize,
    /// What stood there instead: nothing, or an empty value such as `~` with the blanks before it.
    pub replaced: String,
}

impl From<&yaml::Edit> for Edit {
    /// `gen` replaces nothing but empty values, so there is no key in it.
    fn from(edit: &yaml::Edit) -> Self {
        Self {
            offset: edit.offset,
            length: edit.length,
            replaced: edit.replaced.to_string(),
        }
    }
}

/// A client without anything to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its top file.
    pub file: PathBuf,
    /// Why.
    pub reason: &'static str,
}

/// A file that too many may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readable {
    /// The file.
    pub file: PathBuf,
    /// Its mode, in octal, as `chmod` takes it.
    pub mode: String,
}
