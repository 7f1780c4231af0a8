//! What can be wrong with a configuration: always the file, where one can say so the line, and the remedy.

use std::path::{Path, PathBuf};

use proto::auth::NoAnchor;
use proto::crypto::{KeyError, UnsupportedAlgorithm};
use proto::message::MinionIdError;

use super::HostError;
use crate::sidecar::settings::SettingError;

/// A place in a YAML file, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

impl Place {
    pub(crate) fn new(file: &Path, location: serde_saphyr::Location) -> Self {
        Self {
            file: file.to_owned(),
            line: location.line(),
            column: location.column(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl From<pki_tools::Error> for ConfigError {
    fn from(error: pki_tools::Error) -> Self {
        Self::Client(Box::new(error))
    }
}

impl ConfigError {
    /// Whether it may go away by itself: a file that is not there yet, or that somebody must let us read.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::None(_)
            | Self::Unreadable { .. }
            | Self::NoId { .. }
            | Self::NoAnchorYet { .. }
            | Self::Permissions { .. } => true,
            Self::TooLong { .. }
            | Self::Yaml { .. }
            | Self::Id { .. }
            | Self::Host { .. }
            | Self::Algorithm { .. }
            | Self::Setting { .. }
            | Self::Key { .. }
            | Self::Client(_)
            | Self::NoAnchor { .. }
            | Self::NoMasters { .. }
            | Self::Half { .. }
            | Self::NoIdentity { .. }
            | Self::MinionOfRelay { .. }
            | Self::MasterIsRelay { .. }
            | Self::MasterTwice { .. } => false,
            Self::Minion { source, .. } => source.may_pass(),
        }
    }
}

/// Why there is no configuration. Nothing has been sent to anybody.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No file was named and the default one does not exist.
    #[error(
        "no configuration: {} does not exist; name one with --config FILE (or SALTFO_CONFIG), use a \
         salt-minion's own with --minion-config FILE, or a client's YAML with --client FILE",
        .0.display()
    )]
    None(PathBuf),
    /// A file cannot be read.
    #[error("{}: cannot read the {what}: {source}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What it should be.
        what: &'static str,
        /// The system's word.
        source: std::io::Error,
    },
    /// A file is far too long to be what it should be.
    #[error("{}: longer than {limit} bytes, which no {what} is", .file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What is accepted.
        limit: u64,
    },
    /// Not YAML, an unknown or repeated key, a value of the wrong type.
    #[error("{place}: {message}")]
    Yaml {
        /// Where.
        place: Place,
        /// What was found and what was expected.
        message: String,
    },
    /// An id that is none.
    #[error("{place}: id: {source}")]
    Id {
        /// Where.
        place: Place,
        /// Why not.
        source: MinionIdError,
    },
    /// A master's name or address that is none.
    #[error("{place}: {source}")]
    Host {
        /// Where.
        place: Place,
        /// Why not.
        source: HostError,
    },
    /// An algorithm that Salt does not know.
    #[error("{place}: {key}: {source}")]
    Algorithm {
        /// Where.
        place: Place,
        /// The option.
        key: &'static str,
        /// Which would do.
        source: UnsupportedAlgorithm,
    },
    /// A value of the sections `sidecar:` and `relay:` that will not do.
    #[error("{place}: {section}.{key}: {source}")]
    Setting {
        /// Where.
        place: Place,
        /// The section.
        section: &'static str,
        /// The key in it.
        key: &'static str,
        /// What would do.
        source: Box<SettingError>,
    },
    /// A key file or an inline key that is not a key of this kind.
    #[error("{origin}: {key}: {source}")]
    Key {
        /// The file, or the place of an inline key.
        origin: String,
        /// Which key it should be.
        key: &'static str,
        /// Why it is not.
        source: KeyError,
    },
    /// A client's YAML that cannot be read, lacks what is needed, or stays sealed.
    #[error(transparent)]
    Client(Box<pki_tools::Error>),
    /// A private key that others can read.
    #[error(
        "{}: the private key is readable by others than its owner (mode {mode:04o}): run chmod 600 {}, or \
         accept it with --insecure-permissions",
        .file.display(), .file.display()
    )]
    Permissions {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is nothing to check a master with.
    #[error("{}: master {master}: {source}", .file.display())]
    NoAnchor {
        /// The file.
        file: PathBuf,
        /// The master's name.
        master: String,
        /// What is missing.
        source: NoAnchor,
    },
    /// There is nothing yet to check a master of the minion with.
    #[error(
        "{}: master {master}: nothing to verify a master with: there is neither {}, the public half of master_sign, nor {}, which \
         salt-minion writes when a master has accepted it",
        .file.display(), .signer.display(), .stored.display()
    )]
    NoAnchorYet {
        /// The file.
        file: PathBuf,
        /// The master's name.
        master: String,
        /// Where the key belongs that signs all masters' keys.
        signer: PathBuf,
        /// Where the minion keeps its master's key.
        stored: PathBuf,
    },
    /// No masters.
    #[error("{}: no masters: list one or two under `masters:` (`master:` in a minion's configuration)", .file.display())]
    NoMasters {
        /// The file.
        file: PathBuf,
    },
    /// A master twice.
    #[error("{}: master {name} is listed twice; each name must stand for one master", .file.display())]
    MasterTwice {
        /// The file.
        file: PathBuf,
        /// The name.
        name: String,
    },
    /// An identity of which one part is missing.
    #[error(
        "{place}: `{there}` without `{missing}`: an identity of one's own has `id` and `pki`; leave both away to speak \
         as this host's minion"
    )]
    Half {
        /// Where the other part is.
        place: Place,
        /// That part.
        there: &'static str,
        /// The one that is missing.
        missing: &'static str,
    },
    /// What the file leaves to the minion's own configuration is not to be had there.
    #[error("{} has no `id` and no `pki`, so this host's minion is asked for them: {source}", .file.display())]
    Minion {
        /// The `saltfo.yaml`.
        file: PathBuf,
        /// What is wrong with the minion's.
        source: Box<ConfigError>,
    },
    /// A file without an identity, and no minion whose it could be.
    #[error("{}: no `id` and no `pki`: give both, or use a salt-minion's own configuration with --minion-config FILE", .file.display())]
    NoIdentity {
        /// The file.
        file: PathBuf,
    },
    /// The masters behind the relay are not known: what the minion has for one is the relay.
    #[error(
        "{place}: the minion's `master` is the relay itself, {master}: name the masters under `masters:` in {}",
        .saltfo_yaml.display()
    )]
    MinionOfRelay {
        /// Where.
        place: Place,
        /// What stands there.
        master: String,
        /// Where the masters should be.
        saltfo_yaml: PathBuf,
    },
    /// A relay that would carry to itself.
    #[error("{}: master {name} is the relay itself, {address}: give the master's own address", .file.display())]
    MasterIsRelay {
        /// The file.
        file: PathBuf,
        /// The master's name.
        name: String,
        /// Where the relay listens.
        address: std::net::SocketAddr,
    },
    /// A minion's configuration without an id.
    #[error("{}: no id: set `id:` there, or write it into {}", .file.display(), .minion_id.display())]
    NoId {
        /// The configuration.
        file: PathBuf,
        /// The file that Salt keeps the id in.
        minion_id: PathBuf,
    },
}
