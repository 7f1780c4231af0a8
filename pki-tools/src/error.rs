//! What can go wrong with a client's files, said with the place, the key and the remedy.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::keys::Role;
use crate::seal::{Owner, SealError};

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named on the command line or in `include:`.
    pub file: PathBuf,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// Why a client's files were not read or not written. When it is returned no file was changed,
/// but for [`Error::Write`], which names those that were.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: cannot read it: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not UTF-8.
    #[error("{0}: not UTF-8; save the file as UTF-8")]
    NotUtf8(Place),
    /// A file is not YAML.
    #[error("{place}: {what}{}", if *tab { "; indent with spaces" } else { "" })]
    Syntax {
        /// Where the parser stopped.
        place: Place,
        /// What the parser says.
        what: String,
        /// A tab is in the way.
        tab: bool,
    },
    /// A file holds several YAML documents.
    #[error("{0}: a second YAML document begins here; a client's file holds one, remove the other")]
    SeveralDocuments(Place),
    /// A key is used twice in one mapping.
    #[error("{second}: `{key}` is used twice in this mapping, first at {first}; remove one of them")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it is first.
        first: Place,
        /// Where it is again.
        second: Place,
    },
    /// Two assets or masters have one name.
    #[error("{second}: `{fqdn}` is already at {first}; each asset and master needs its own fqdn")]
    DuplicateFqdn {
        /// The name.
        fqdn: String,
        /// Where it is first.
        first: Place,
        /// Where it is again.
        second: Place,
    },
    /// A value is of the wrong kind.
    #[error("{place}: `{key}` must be {expected}, this is {found}")]
    WrongKind {
        /// Where the value begins.
        place: Place,
        /// The key.
        key: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A key that is needed isn't there.
    #[error("{place}: `{key}` is missing here; it must be {expected}")]
    Missing {
        /// The mapping that should have it.
        place: Place,
        /// The key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The name cannot become part of a minion id.
    #[error(
        "{place}: no minion id can be made of the name `{name}`; write the id down: `pipeline: {{id: …}}`"
    )]
    Name {
        /// Where the name stands.
        place: Place,
        /// The name.
        name: String,
    },
    /// A public key has lost its private half.
    #[error(
        "{place}: `{key}` has `pub` but no `{private}`, which cannot be made from it; \
         add `{private}`, or remove `pub` to get a new pair"
    )]
    PrivateMissing {
        /// Where the pair stands.
        place: Place,
        /// The pair's key.
        key: String,
        /// The key of the private half.
        private: &'static str,
    },
    /// A private RSA key of which the public half is wanted cannot be read.
    #[error(
        "{place}: cannot make `pub` from this `{key}`: {source}; repair it, or remove it to get a new pair"
    )]
    BadRsa {
        /// Where the private half stands.
        place: Place,
        /// Its key.
        key: String,
        /// Why.
        source: proto::crypto::KeyError,
    },
    /// A private OpenSSH key of which the public half is wanted cannot be read.
    #[error(
        "{place}: cannot make `pub` from this `{key}`: {source}; repair it, or remove it to get a new pair"
    )]
    BadSsh {
        /// Where the private half stands.
        place: Place,
        /// Its key.
        key: String,
        /// Why.
        source: ssh_key::Error,
    },
    /// New keys would go into a mapping that is used in several places.
    #[error(
        "{place}: new keys for `{key}` would go into what an anchor, alias or `<<` shares with other places; \
         write this mapping out"
    )]
    Shared {
        /// What makes it shared.
        place: Place,
        /// The key that is missing.
        key: String,
    },
    /// New keys cannot be put there without touching something else.
    #[error("{place}: cannot add `{key}` here: {why}")]
    NoRoom {
        /// Where.
        place: Place,
        /// The key that is missing.
        key: String,
        /// What is in the way, and the remedy.
        why: &'static str,
    },
    /// A sealed private half stays closed.
    #[error("{place}: cannot open `{}` of {owner}: {source}", role.path())]
    Sealed {
        /// Where it stands.
        place: Place,
        /// Whose it is.
        owner: Owner,
        /// What it is for.
        role: Role,
        /// Why.
        source: SealError,
    },
    /// A private half cannot be sealed.
    #[error("{place}: cannot seal `{}` of {owner}: {source}", role.path())]
    Unsealed {
        /// Where it stands, or will.
        place: Place,
        /// Whose it is.
        owner: Owner,
        /// What it is for.
        role: Role,
        /// Why.
        source: SealError,
    },
    /// A private half stands where it can be neither sealed nor unsealed.
    #[error("{place}: `{}` of {owner} can be neither sealed nor unsealed here: {why}", role.path())]
    Unsealable {
        /// What is in the way.
        place: Place,
        /// Whose it is.
        owner: Owner,
        /// What it is for.
        role: Role,
        /// What is in the way, and the remedy.
        why: &'static str,
    },
    /// A key that is needed isn't there.
    #[error("{owner} has no `{key}` in {}; make it with `pki-tools gen`", file.display())]
    NoKey {
        /// The client's file.
        file: PathBuf,
        /// Who should have it.
        owner: Owner,
        /// Its key.
        key: &'static str,
    },
    /// No master or server has this name.
    #[error("{}: {fqdn} is no {expected} of this client; it has {known}", file.display())]
    NoHost {
        /// The client's file.
        file: PathBuf,
        /// The name.
        fqdn: String,
        /// What was looked for.
        expected: &'static str,
        /// What there is.
        known: String,
    },
    /// A name cannot be a minion's id, and a file on the masters.
    #[error("{place}: {source}")]
    Id {
        /// Where it stands.
        place: Place,
        /// Why not.
        source: proto::message::MinionIdError,
    },
    /// The dispatch identity has the name of a host.
    #[error(
        "{place}: {id} is the id of the dispatch identity and the name of a host; masters keep one key for each id, choose another `pipeline.id`"
    )]
    IdTwice {
        /// Where the dispatch identity's id stands.
        place: Place,
        /// The id.
        id: String,
    },
    /// A master cannot be connected to under this name or address.
    #[error("{place}: {source}; correct it")]
    Address {
        /// Where it stands.
        place: Place,
        /// Why not.
        source: proto::net::HostError,
    },
    /// There is no master to connect to.
    #[error("{}: it has no active master; list them under `configuration_management.salt.masters`", .0.display())]
    NoMasters(PathBuf),
    /// Two hosts would share a file.
    #[error("{}: both {first} and {second} belong into this file, in which dots are written as `_`; rename one of them",
        file.display())]
    SameFile {
        /// The file.
        file: PathBuf,
        /// A host.
        first: String,
        /// Another one.
        second: String,
    },
    /// Files that are in the way are somebody else's.
    #[error("not written by this command for this client, and left alone: {}; nothing was written, move them away or give --replace",
        names(.0))]
    NotOurs(Vec<PathBuf>),
    /// The result would take the place of a client's file.
    #[error("{}: this is a file of the client itself; name another one", .0.display())]
    OwnFile(PathBuf),
    /// A folder, link or device is where a file should be.
    #[error("{}: there is something that is not a regular file; remove it or name another file", .0.display())]
    NotRegular(PathBuf),
    /// Everybody may read or change a file with private keys.
    #[error("{}: everybody can {can} the private keys in it (mode {mode:04o}); chmod 600 it, or seal it, or give --insecure-permissions",
        file.display())]
    Permissions {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
        /// `read` or `change`.
        can: &'static str,
    },
    /// Another process is at work on the file.
    #[error("{}: another pki-tools is working on it; wait until that has ended and run this again", .0.display())]
    Busy(PathBuf),
    /// An included file or folder isn't there.
    #[error("{place}: `include` names {}, which cannot be read: {source}", path.display())]
    Include {
        /// Where it is named.
        place: Place,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file includes itself, directly or through others.
    #[error("{place}: {} includes itself this way; take it out of `include` or add it to `skip_files`", path.display())]
    CircularInclude {
        /// Where it is named.
        place: Place,
        /// The file that is already being read.
        path: PathBuf,
    },
    /// `--only` names nothing that any of the files has.
    #[error("no file has a master, server or key named `{0}`; name an fqdn, `master_sign` or `pipeline`")]
    UnknownId(String),
    /// The edited text does not say what it said before plus the new keys.
    #[error("{}: the keys cannot be written without changing something else (near {near}); the file is untouched, \
             put that part in plain block style", file.display())]
    NotLossless {
        /// The file.
        file: PathBuf,
        /// The key path at which old and new differ.
        near: String,
    },
    /// Somebody else wrote the file meanwhile.
    #[error("{}: somebody changed it meanwhile; nothing was written, run again", .0.display())]
    Changed(PathBuf),
    /// The file cannot be locked.
    #[error("{}: cannot lock it: {source}", file.display())]
    Lock {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot write it: {source} (already written: {})", file.display(), names(written))]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
        /// Files of the same run that already have their new keys.
        written: Vec<PathBuf>,
    },
    /// A host's files cannot be installed.
    #[error(transparent)]
    Install(Box<crate::install::InstallError>),
    /// A rotation of `master_sign` has begun and is in the way.
    #[error(
        "{place}: a rotation of `master_sign` is under way; end it first, with `pki-tools rotate FILE master_sign --finish` \
             once every minion has the new public key, or with `--abort`"
    )]
    UnderWay {
        /// Where `master_sign_old` stands.
        place: Place,
    },
    /// No rotation of `master_sign` has begun.
    #[error("{}: no rotation of `master_sign` is under way: there is no `pki.master_sign_old`; \
             begin one with `pki-tools rotate FILE master_sign`", .0.display())]
    NotUnderWay(PathBuf),
    /// No RSA key could be made.
    #[error("cannot make an RSA key: {0}")]
    MakeRsa(#[source] proto::crypto::KeyError),
    /// No OpenSSH key could be made.
    #[error("cannot make an OpenSSH key: {0}")]
    MakeSsh(#[source] ssh_key::Error),
}

impl From<crate::install::InstallError> for Error {
    fn from(error: crate::install::InstallError) -> Self {
        Self::Install(Box::new(error))
    }
}

impl Error {
    pub(crate) fn read(file: &Path, source: io::Error) -> Self {
        Self::Read {
            file: file.to_owned(),
            source,
        }
    }
}

fn names(files: &[PathBuf]) -> String {
    if files.is_empty() {
        return "none".to_owned();
    }
    files
        .iter()
        .map(|file| file.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
