//! Where the masters and our identity come from: raw files become one checked [`Config`], once.

mod client;
mod error;
mod key_file;
pub(crate) mod minion;
pub(crate) mod saltfo_yaml;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use pki_tools::secrets::Secrets;
use proto::auth::Trust;
use proto::identity::{Algorithms, Identity};

pub use error::{ConfigError, Place};
pub use proto::net::{Host, HostError};
pub(crate) use saltfo_yaml::{Outline, parse};

use crate::sidecar::settings::{Mode, RelaySettings, Settings};

/// Where `saltfo.yaml` is looked for when nothing is said.
pub const DEFAULT_PATH: &str = "/etc/saltfo/saltfo.yaml";

/// Where a salt-minion's configuration is looked for when nothing is said.
pub const DEFAULT_MINION_CONFIG: &str = "/etc/salt/minion";

/// What `saltfo setup relay` adds to a minion's configuration: its name in the folder of `default_include`.
pub const RELAY_DROP_IN: &str = "zz-saltfo-relay.conf";

/// Salt's port for publications.
pub(crate) const PUBLISH_PORT: u16 = 4505;
/// Salt's port for requests.
pub(crate) const MASTER_PORT: u16 = 4506;

/// Everything that is needed to ask the masters of one client; all of it has been checked.
pub struct Config {
    /// Who we are.
    pub identity: Identity,
    /// What we ask masters to encrypt and sign with.
    pub algorithms: Algorithms,
    /// The masters, in the order of the file; at least one, each name once.
    pub masters: Vec<MasterConfig>,
    /// How the sidecar behaves; as by default where the file is not a `saltfo.yaml`.
    pub sidecar: Settings,
}

/// One master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterConfig {
    /// What is printed for it.
    pub name: Host,
    /// Where it is; a name is resolved afresh at each connect.
    pub address: Host,
    /// Its `publish_port`.
    pub publish_port: u16,
    /// Its `ret_port`, which minions call `master_port`.
    pub master_port: u16,
    /// What makes it genuine.
    pub trust: Trust,
}

/// Which file to read, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A `saltfo.yaml`.
    Saltfo(PathBuf),
    /// A salt-minion's own configuration.
    Minion(PathBuf),
    /// A `saltfo.yaml` that may leave the identity, or identity and masters, to the minion's own configuration.
    Sidecar {
        /// The `saltfo.yaml`.
        file: PathBuf,
        /// The minion's own configuration.
        minion: PathBuf,
    },
    /// A client's YAML.
    Client {
        /// Its top file.
        file: PathBuf,
        /// What opens the dispatch identity's key, if it is sealed.
        secrets: Secrets,
    },
}

/// Whether a private key may be readable by others than its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permissions {
    /// It may not: the default.
    Checked,
    /// It may: `--insecure-permissions`.
    Unchecked,
}

/// Where the minion with this configuration writes its process id. Of a file that cannot be read, Salt's default.
pub(crate) fn minion_pid_file(minion: &Path) -> PathBuf {
    minion::pid_file(minion)
}

impl Config {
    /// Reads and checks everything; nothing is sent.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file, the place in it and the remedy.
    pub fn load(source: &Source, permissions: Permissions) -> Result<Self, ConfigError> {
        let config = match source {
            Source::Saltfo(path) => saltfo_yaml::load(path, None, permissions)?,
            Source::Minion(path) => minion::load(path, permissions)?,
            Source::Sidecar { file, minion } => saltfo_yaml::load(file, Some(minion), permissions)?,
            Source::Client { file, secrets } => client::load(file, secrets, permissions)?,
        };
        config.check(source.path())?;
        Ok(config)
    }

    /// Whether a minion's own configuration, this file, leads it to the relay of this host.
    #[must_use]
    pub fn is_expected_by(&self, minion: &Path) -> bool {
        minion::expects_relay(minion, &self.sidecar.relay)
    }

    /// Reads nothing of a `saltfo.yaml` but how the sidecar and its relay behave, and no key.
    ///
    /// # Errors
    /// [`ConfigError`]. What stands beside the sections is not checked.
    pub fn sidecar_settings(file: &Path) -> Result<Settings, ConfigError> {
        saltfo_yaml::settings(file)
    }

    fn check(&self, file: &Path) -> Result<(), ConfigError> {
        let mut names: Vec<&Host> = self.masters.iter().map(|master| &master.name).collect();
        names.sort();
        match names
            .windows(2)
            .find(|pair| pair.first() == pair.last())
            .and_then(<[_]>::first)
        {
            Some(name) => Err(ConfigError::MasterTwice {
                file: file.to_owned(),
                name: name.as_str().to_owned(),
            }),
            None if names.is_empty() => Err(ConfigError::NoMasters {
                file: file.to_owned(),
            }),
            None if self.sidecar.mode == Mode::Relay => self.check_relay(file),
            None => Ok(()),
        }
    }

    /// A relay that is a master to itself would go round in circles.
    pub(crate) fn check_relay(&self, file: &Path) -> Result<(), ConfigError> {
        let relay = &self.sidecar.relay;
        let is_relay = |master: &&MasterConfig| master.is_at(relay);
        match self.masters.iter().find(is_relay) {
            Some(master) => Err(ConfigError::MasterIsRelay {
                file: file.to_owned(),
                name: master.name.as_str().to_owned(),
                address: relay.requests(),
            }),
            None => Ok(()),
        }
    }
}

impl MasterConfig {
    /// Whether it is where this relay listens.
    fn is_at(&self, relay: &RelaySettings) -> bool {
        let ip: Option<IpAddr> = match self.address.as_str() {
            "localhost" => Some(relay.listen),
            address => address.parse().ok(),
        };
        ip.is_some_and(|ip| ip.to_canonical() == relay.listen)
            && (self.master_port == relay.master_port || self.publish_port == relay.publish_port)
    }
}

impl Source {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Saltfo(path)
            | Self::Minion(path)
            | Self::Sidecar { file: path, .. }
            | Self::Client { file: path, .. } => path,
        }
    }

    /// The salt-minion's configuration that it names, if any.
    #[must_use]
    pub fn minion_config(&self) -> Option<&Path> {
        match self {
            Self::Minion(path) | Self::Sidecar { minion: path, .. } => Some(path),
            Self::Saltfo(_) | Self::Client { .. } => None,
        }
    }
}
