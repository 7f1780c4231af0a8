//! A salt-minion's own configuration: we speak as that minion, to its masters, with its keys.
//!
//! Salt's rules are followed where they matter here: what is included is read after the main file and
//! wins, `root_dir` goes before `pki_dir`, a missing `id` is in the file `minion_id`. Everything else in
//! such a file is none of our business.

pub(crate) mod files;

use std::path::{Path, PathBuf};

use proto::auth::Trust;
use proto::crypto::{Fingerprint, PublicKey};
use proto::identity::{Algorithms, Identity};
use proto::message::MinionId;
use serde::Deserialize;
use serde_saphyr::Spanned;

use self::files::{ConfigFile, Layer};
use super::error::Place;
use super::key_file::{self, TextFile};
use super::saltfo_yaml::algorithms;
use super::{
    Config, ConfigError, DEFAULT_PATH, Host, MASTER_PORT, MasterConfig, PUBLISH_PORT, Permissions,
    RELAY_DROP_IN,
};
use crate::sidecar::settings::{Mode, RelaySettings, Settings};

/// The master of a minion that names none: Salt's default.
const MASTER: &str = "salt";
/// Where Salt writes a minion's process id by default.
const PID_FILE: &str = "/var/run/salt-minion.pid";

/// The options that matter here; the many others of Salt are ignored.
#[derive(Deserialize, Default)]
struct Raw {
    id: Option<Spanned<String>>,
    master: Option<Spanned<Masters>>,
    pki_dir: Option<PathBuf>,
    root_dir: Option<PathBuf>,
    pidfile: Option<PathBuf>,
    publish_port: Option<u16>,
    master_port: Option<u16>,
    master_sign_key_name: Option<String>,
    master_finger: Option<Spanned<String>>,
    encryption_algorithm: Option<Spanned<String>>,
    signing_algorithm: Option<Spanned<String>>,
}

/// `master:` is a name or a list of names, each with an optional port.
#[derive(Deserialize)]
#[serde(untagged)]
enum Masters {
    One(String),
    Several(Vec<String>),
}

/// An option and the file that it stands in.
type Found<T> = Option<(PathBuf, T)>;

#[derive(Default)]
struct Merged {
    id: Found<Spanned<String>>,
    master: Found<Spanned<Masters>>,
    master_layer: Option<Layer>,
    pki_dir: Option<PathBuf>,
    root_dir: Option<PathBuf>,
    pidfile: Option<PathBuf>,
    publish_port: Option<u16>,
    master_port: Option<u16>,
    master_sign_key_name: Option<String>,
    master_finger: Found<Spanned<String>>,
    algorithms: Algorithms,
}

pub(super) fn load(path: &Path, permissions: Permissions) -> Result<Config, ConfigError> {
    let minion = Minion::read(path, permissions)?;
    Ok(Config {
        masters: minion.masters(&Settings::default(), Path::new(DEFAULT_PATH))?,
        identity: minion.identity,
        algorithms: minion.algorithms,
        sidecar: Settings::default(),
    })
}

/// Where a minion writes its process id. Of a file that cannot be read, Salt's default.
pub(super) fn pid_file(path: &Path) -> PathBuf {
    lenient(path).unwrap_or_default().pid_file()
}

/// The options of a minion of which nothing else is wanted; none if they cannot be read.
fn lenient(path: &Path) -> Option<Merged> {
    let mut merged = Merged::default();
    for file in files::read(path).ok()? {
        merged.take(&file).ok()?;
    }
    Some(merged)
}

/// Whether the only master in a minion's configuration is the relay of these settings. A file that cannot be read says nothing.
pub(super) fn expects_relay(path: &Path, relay: &RelaySettings) -> bool {
    let merged = lenient(path).unwrap_or_default();
    let Some((_, master)) = &merged.master else {
        return false;
    };
    let name = match &master.value {
        Masters::One(name) => name,
        Masters::Several(names) => match names.as_slice() {
            [name] => name,
            _ => return false,
        },
    };
    let host = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.is_ok_and(|host| host.to_canonical() == relay.listen)
}

/// A minion: who it is, and how it verifies its masters.
pub(crate) struct Minion {
    pub(super) identity: Identity,
    pub(super) algorithms: Algorithms,
    anchors: Anchors,
    merged: Merged,
    /// Where the public half of `master_sign` belongs.
    pub(crate) signer: PathBuf,
    path: PathBuf,
}

impl Minion {
    pub(super) fn read(path: &Path, permissions: Permissions) -> Result<Self, ConfigError> {
        Self::without(None, path, permissions)
    }

    /// The same, as if one of the included files were not there.
    pub(crate) fn without(
        left_out: Option<&Path>,
        path: &Path,
        permissions: Permissions,
    ) -> Result<Self, ConfigError> {
        let mut merged = Merged::default();
        for file in files::read(path)? {
            if Some(file.path.as_path()) != left_out {
                merged.take(&file)?;
            }
        }

        let id = merged.id(path)?;
        let pki_dir = merged.pki_dir();
        let key = key_file::private_key(&pki_dir.join("minion.pem"), "minion key", permissions)?;
        let identity = Identity::new(id, key, &mut rand::rng()).map_err(|source| ConfigError::Key {
            origin: pki_dir.join("minion.pem").display().to_string(),
            key: "minion key",
            source,
        })?;
        Ok(Self {
            identity,
            algorithms: merged.algorithms,
            anchors: Anchors::read(&merged, &pki_dir)?,
            signer: merged.signer(&pki_dir),
            merged,
            path: path.to_owned(),
        })
    }

    /// Its masters; an error if the one that it has is the relay of these settings, which stand in that file.
    pub(crate) fn masters(
        &self,
        settings: &Settings,
        saltfo_yaml: &Path,
    ) -> Result<Vec<MasterConfig>, ConfigError> {
        let salts_own = Masters::One(MASTER.to_owned());
        let (place, master) = match &self.merged.master {
            Some((file, master)) => (Place::new(file, master.referenced), &master.value),
            None => (
                Place {
                    file: self.path.clone(),
                    line: 1,
                    column: 1,
                },
                &salts_own,
            ),
        };
        let names = match master {
            Masters::One(name) => std::slice::from_ref(name),
            Masters::Several(names) => names.as_slice(),
        };
        if names.is_empty() {
            return Err(ConfigError::NoMasters { file: place.file });
        }
        let masters = names
            .iter()
            .map(|name| self.anchors.master(name, &place, &self.merged))
            .collect::<Result<Vec<_>, _>>()?;
        // Only the relay is named in that file; elsewhere a master of this host could be meant.
        let relays_own = place.file.file_name() == Some(RELAY_DROP_IN.as_ref());
        let is_relay = |master: &&MasterConfig| {
            relays_own || settings.mode == Mode::Relay && master.is_at(&settings.relay)
        };
        match masters.iter().find(is_relay) {
            Some(master) => Err(ConfigError::MinionOfRelay {
                place,
                master: master.address.as_str().to_owned(),
                saltfo_yaml: saltfo_yaml.to_owned(),
            }),
            None => Ok(masters),
        }
    }

    /// Whether it can verify the keys of several masters.
    pub(crate) const fn has_signer(&self) -> bool {
        self.anchors.signer.is_some()
    }

    /// What makes a master genuine to it, where the master has anchors of its own. `file`: where the master is named.
    pub(super) fn trust(
        &self,
        file: &Path,
        name: &Host,
        signer: Option<PublicKey>,
        pinned: Option<PublicKey>,
    ) -> Result<Trust, ConfigError> {
        self.anchors.trust(file, name, signer, pinned)
    }
}

impl Merged {
    /// Lays the options of one file over those that are there.
    fn take(&mut self, file: &ConfigFile) -> Result<(), ConfigError> {
        let path = file.path.as_path();
        let raw: Raw = file.parse()?;
        let found = |value| (path.to_owned(), value);
        self.id = raw.id.map(found).or(self.id.take());
        if let Some(mut master) = raw.master {
            // `salt.utils.dictupdate.update`, with `merge_lists`.
            if file.layer == Layer::Default
                && self.master_layer == Some(Layer::Default)
                && let Some((_, before)) = self.master.take()
                && let (Masters::Several(before), Masters::Several(names)) = (before.value, &mut master.value)
            {
                let more = std::mem::replace(names, before);
                for name in more {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
            self.master = Some((path.to_owned(), master));
            self.master_layer = Some(file.layer);
        }
        self.pki_dir = raw.pki_dir.or(self.pki_dir.take());
        self.root_dir = raw.root_dir.or(self.root_dir.take());
        self.pidfile = raw.pidfile.or(self.pidfile.take());
        self.publish_port = raw.publish_port.or(self.publish_port);
        self.master_port = raw.master_port.or(self.master_port);
        self.master_sign_key_name = raw.master_sign_key_name.or(self.master_sign_key_name.take());
        let found = |value| (path.to_owned(), value);
        self.master_finger = raw.master_finger.map(found).or(self.master_finger.take());
        let read = algorithms(
            path,
            raw.encryption_algorithm.as_ref(),
            raw.signing_algorithm.as_ref(),
        )?;
        if raw.encryption_algorithm.is_some() {
            self.algorithms.encryption = read.encryption;
        }
        if raw.signing_algorithm.is_some() {
            self.algorithms.signing = read.signing;
        }
        Ok(())
    }

    fn id(&self, main: &Path) -> Result<MinionId, ConfigError> {
        if let Some((file, id)) = &self.id {
            return MinionId::parse(&id.value).map_err(|source| ConfigError::Id {
                place: Place::new(file, id.referenced),
                source,
            });
        }
        let minion_id = main.with_file_name("minion_id");
        if !minion_id.exists() {
            return Err(ConfigError::NoId {
                file: main.to_owned(),
                minion_id,
            });
        }
        let file = TextFile::read(&minion_id, "minion id")?;
        MinionId::parse(file.text.trim()).map_err(|source| ConfigError::Id {
            place: Place {
                file: minion_id,
                line: 1,
                column: 1,
            },
            source,
        })
    }

    /// Where the public half of `master_sign` belongs.
    fn signer(&self, pki_dir: &Path) -> PathBuf {
        let name = self.master_sign_key_name.as_deref().unwrap_or("master_sign");
        pki_dir.join(format!("{name}.pub"))
    }

    fn pki_dir(&self) -> PathBuf {
        self.below_root(
            self.pki_dir
                .as_deref()
                .unwrap_or(Path::new("/etc/salt/pki/minion")),
        )
    }

    fn pid_file(&self) -> PathBuf {
        self.below_root(self.pidfile.as_deref().unwrap_or(Path::new(PID_FILE)))
    }

    /// `root_dir` before a path, unless it is there already: `salt.config.prepend_root_dir`.
    fn below_root(&self, path: &Path) -> PathBuf {
        match &self.root_dir {
            Some(root_dir) if !path.starts_with(root_dir) => {
                root_dir.join(path.strip_prefix("/").unwrap_or(path))
            }
            _ => path.to_owned(),
        }
    }
}

/// What the minion verifies its masters with.
struct Anchors {
    signer: Option<PublicKey>,
    /// The master key that the minion stored; with a signer it changes from master to master and proves nothing.
    stored: Option<PublicKey>,
    finger: Option<Fingerprint>,
    /// Where the first two belong.
    files: [PathBuf; 2],
}

impl Anchors {
    fn read(merged: &Merged, pki_dir: &Path) -> Result<Self, ConfigError> {
        let files = [merged.signer(pki_dir), pki_dir.join("minion_master.pub")];
        let [signer, stored] = &files;
        let signer = signer
            .exists()
            .then(|| key_file::public_key(signer, "master_sign public key"))
            .transpose()?;
        let stored = (signer.is_none() && stored.exists())
            .then(|| key_file::public_key(stored, "stored master key"))
            .transpose()?;
        let finger = match &merged.master_finger {
            Some((file, finger)) if !finger.value.is_empty() => Some(
                Fingerprint::parse(&finger.value).ok_or_else(|| ConfigError::Yaml {
                    place: Place::new(file, finger.referenced),
                    message: "master_finger: not a SHA-256 fingerprint (64 hex digits)".to_owned(),
                })?,
            ),
            _ => None,
        };
        Ok(Self {
            signer,
            stored,
            finger,
            files,
        })
    }

    /// What makes a master genuine that may have anchors of its own.
    fn trust(
        &self,
        file: &Path,
        name: &Host,
        signer: Option<PublicKey>,
        pinned: Option<PublicKey>,
    ) -> Result<Trust, ConfigError> {
        let signer = signer.or_else(|| self.signer.clone());
        let pinned = match &signer {
            Some(_) => pinned,
            None => pinned.or_else(|| self.stored.clone()),
        };
        Trust::new(signer, pinned, self.finger).map_err(|_nothing| {
            let [signer, stored] = self.files.clone();
            ConfigError::NoAnchorYet {
                file: file.to_owned(),
                master: name.as_str().to_owned(),
                signer,
                stored,
            }
        })
    }

    fn master(&self, entry: &str, place: &Place, merged: &Merged) -> Result<MasterConfig, ConfigError> {
        let (name, port) = split_port(entry);
        let name = Host::parse(name).map_err(|source| ConfigError::Host {
            place: place.clone(),
            source,
        })?;
        let trust = self.trust(&place.file, &name, None, None)?;
        Ok(MasterConfig {
            address: name.clone(),
            name,
            publish_port: merged.publish_port.unwrap_or(PUBLISH_PORT),
            master_port: port.or(merged.master_port).unwrap_or(MASTER_PORT),
            trust,
        })
    }
}

/// `host`, `host:port`, `[v6]:port`; a bare IPv6 address has no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_is_where_salt_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let minion = folder.path().join("minion");
        for (text, expected) in [
            ("id: a\n", "/var/run/salt-minion.pid"),
            ("pidfile: /run/two.pid\n", "/run/two.pid"),
            ("root_dir: /srv/two\n", "/srv/two/var/run/salt-minion.pid"),
            ("root_dir: /srv/two\npidfile: run/pid\n", "/srv/two/run/pid"),
            ("root_dir: /srv/two\npidfile: /srv/two/pid\n", "/srv/two/pid"),
            ("nonsense: [\n", "/var/run/salt-minion.pid"),
        ] {
            std::fs::write(&minion, text).unwrap();
            assert_eq!(pid_file(&minion), Path::new(expected), "{text}");
        }
    }
}
