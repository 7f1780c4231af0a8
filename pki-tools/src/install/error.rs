//! Why a host's files were not installed, said with the path and the remedy.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use proto::message::MinionIdError;
use proto::net::HostError;

use super::report::shown;
use crate::error::Place;
use crate::seal::Owner;

/// Why nothing was installed. Nothing has changed, but for [`InstallError::Write`], which names what has.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// An id that Salt does not take, or that would lead a key to another place.
    #[error("{place}: {source}; the key of a minion is a file of that name")]
    Id {
        /// Where it stands.
        place: Place,
        /// Why.
        source: MinionIdError,
    },
    /// An id that begins with a dot.
    #[error("{place}: `{id}` begins with a dot; such a file is no key for Salt, give the host another name")]
    Hidden {
        /// Where it stands.
        place: Place,
        /// The id.
        id: String,
    },
    /// The dispatch identity has the name of a host.
    #[error("{place}: `{id}` is also the name of a host; give the dispatch identity an id of its own")]
    SameId {
        /// Where the identity's id stands.
        place: Place,
        /// The id.
        id: String,
    },
    /// A master's address is none.
    #[error("{place}: `{key}`: {source}")]
    Address {
        /// Where it stands.
        place: Place,
        /// Its key.
        key: &'static str,
        /// Why.
        source: HostError,
    },
    /// The two halves of a key do not belong together.
    #[error(
        "{place}: `pem` and `pub` of `{key}` of {owner} are not halves of one key; \
         `pki-tools check` tells more, restore the right half or remove both and run `pki-tools gen`"
    )]
    Mismatch {
        /// Where the private half stands.
        place: Place,
        /// The key.
        key: &'static str,
        /// Whose it is.
        owner: Owner,
    },
    /// The host is not in use.
    #[error("{place}: {host} is not active, and nobody accepts its keys; set `active: True` first")]
    Inactive {
        /// Where it stands.
        place: Place,
        /// Its name.
        host: String,
    },
    /// Both roles are possible.
    #[error(
        "{host} is a master that also has a minion of its own; say which with --role master or --role minion"
    )]
    WhichRole {
        /// The host.
        host: String,
    },
    /// No master is in use.
    #[error("{}: no master is active; a minion needs one", .0.display())]
    NoMasters(PathBuf),
    /// An option that means nothing for a minion.
    #[error("{0} is for masters; leave it out with --role minion")]
    OnlyForMasters(&'static str),
    /// The user or group isn't known there.
    #[error("no {what} {user} in {}; {remedy}", root.display())]
    UnknownUser {
        /// As it was named.
        user: String,
        /// User or group.
        what: &'static str,
        /// The folder that is `/` on the host.
        root: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// Somebody else's files can only be made by root.
    #[error("only root can give files to {user}; run this as root, or leave --user out")]
    NotRoot {
        /// As it was named.
        user: String,
    },
    /// Something else is where a folder should be.
    #[error(
        "{} is {}, which is not followed, because whoever can change it could have keys written elsewhere; \
         put a folder there",
        path.display(),
        if *is_link { "a symbolic link" } else { "no folder" }
    )]
    NotAFolder {
        /// The path.
        path: PathBuf,
        /// A symbolic link, rather than anything else.
        is_link: bool,
    },
    /// The system does not let us.
    #[error("{}: {source}", path.display())]
    System {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another run is at work.
    #[error("{}: another pki-tools is working in this folder; wait until that has ended and run this again", .0.display())]
    Busy(PathBuf),
    /// Something would be lost.
    #[error("nothing was written:{}", lines(.0))]
    Refused(Vec<Refusal>),
    /// Writing stopped in the middle.
    #[error("{}: cannot write it: {source} (already written: {})", path.display(), names(written))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
        /// What this run has written so far; every file is either the old one or the new one.
        written: Vec<PathBuf>,
    },
}

/// A file that is left as it is, and with it all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: Why,
}

/// Why a file is not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It holds another private key.
    OtherKey,
    /// It is a configuration file that somebody else wrote.
    NotOurs,
    /// It is a symbolic link, to there.
    Link(PathBuf),
    /// It is a folder, a pipe, a device.
    NotAFile,
    /// It is longer than any key or setting.
    TooLong,
}

impl InstallError {
    pub(super) fn at(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::System {
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", shown(&self.path))?;
        match &self.why {
            Why::OtherKey => f.write_str(
                "holds another private key than the client's file; if that one is right, give --replace, \
                 which keeps the old key beside it",
            ),
            Why::NotOurs => f.write_str(
                "was not written by pki-tools; rename it, or give --replace, which keeps it beside the new one",
            ),
            Why::Link(target) => write!(
                f,
                "is a symbolic link to {}, which is not followed; remove it",
                shown(target)
            ),
            Why::NotAFile => f.write_str("is no file; remove it"),
            Why::TooLong => f.write_str("is longer than any key; see what it is, and remove it"),
        }
    }
}

fn lines(refusals: &[Refusal]) -> String {
    refusals.iter().map(|refusal| format!("\n  {refusal}")).collect()
}

fn names(files: &[PathBuf]) -> String {
    if files.is_empty() {
        return "nothing".to_owned();
    }
    let names: Vec<_> = files.iter().map(shown).collect();
    names.join(", ")
}
