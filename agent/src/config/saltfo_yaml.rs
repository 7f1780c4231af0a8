//! `saltfo.yaml`: our own configuration file, strict about every key.

use std::path::{Path, PathBuf};

use proto::auth::Trust;
use proto::crypto::{PrivateKey, PublicKey};
use proto::identity::{Algorithms, Identity};
use proto::message::MinionId;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use zeroize::Zeroizing;

use super::error::Place;
use super::key_file::{self, TextFile};
use super::minion::Minion;
use super::{Config, ConfigError, Host, MASTER_PORT, MasterConfig, PUBLISH_PORT, Permissions};
use crate::sidecar::settings::{RawRelay, RawSettings, Settings};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: Option<Spanned<String>>,
    pki: Option<Spanned<RawPki>>,
    masters: Option<Vec<RawMaster>>,
    encryption_algorithm: Option<Spanned<String>>,
    signing_algorithm: Option<Spanned<String>>,
    sidecar: Option<RawSettings>,
    relay: Option<RawRelay>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPki {
    /// May be the key itself, so it is wiped.
    minion_pem: Spanned<Zeroizing<String>>,
    master_sign_pub: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMaster {
    name: Spanned<String>,
    address: Option<Spanned<String>>,
    publish_port: Option<u16>,
    master_port: Option<u16>,
    master_pub: Option<Spanned<String>>,
    /// Instead of the one of `pki` or of the minion, while the masters change to another.
    master_sign_pub: Option<Spanned<String>>,
}

/// Reads the file; what it leaves away of masters and identity is as this minion has it.
pub(super) fn load(
    path: &Path,
    minion: Option<&Path>,
    permissions: Permissions,
) -> Result<Config, ConfigError> {
    let file = TextFile::read(path, "configuration")?;
    // An empty file is a null document.
    let raw: Option<Raw> = parse(path, &file.text)?;
    let raw = raw.unwrap_or_default();
    let keys = Keys {
        path,
        file: &file,
        permissions,
    };
    let half = |place, there, missing| ConfigError::Half {
        place: Place::new(path, place),
        there,
        missing,
    };
    match (&raw.id, &raw.pki) {
        (Some(id), Some(pki)) => whole(&raw, id, &pki.value, &keys),
        (Some(id), None) => Err(half(id.referenced, "id", "pki")),
        (None, Some(pki)) => Err(half(pki.referenced, "pki", "id")),
        (None, None) => match minion {
            Some(minion) => beside_minion(&raw, minion, &keys),
            None => Err(ConfigError::NoIdentity {
                file: path.to_owned(),
            }),
        },
    }
}

/// All of it is in the file.
fn whole(raw: &Raw, id: &Spanned<String>, pki: &RawPki, keys: &Keys<'_>) -> Result<Config, ConfigError> {
    let id = MinionId::parse(&id.value).map_err(|source| ConfigError::Id {
        place: Place::new(keys.path, id.referenced),
        source,
    })?;
    let key = keys.private("pki.minion_pem", &pki.minion_pem)?;
    let identity = Identity::new(id, key, &mut rand::rng()).map_err(|source| ConfigError::Key {
        origin: keys.path.display().to_string(),
        key: "pki.minion_pem",
        source,
    })?;
    let signer = pki
        .master_sign_pub
        .as_ref()
        .map(|key| keys.public("pki.master_sign_pub", key))
        .transpose()?;
    let trust = |name: &Host, own: Option<PublicKey>, pinned| {
        let signer = own.or_else(|| signer.clone());
        Trust::new(signer, pinned, None).map_err(|source| ConfigError::NoAnchor {
            file: keys.path.to_owned(),
            master: name.as_str().to_owned(),
            source,
        })
    };
    let masters = raw.masters.iter().flatten();
    Ok(Config {
        identity,
        algorithms: raw.algorithms(keys.path, Algorithms::default())?,
        masters: masters
            .map(|master| keys.master(master, trust))
            .collect::<Result<_, _>>()?,
        sidecar: check(keys.path, raw.sidecar.as_ref(), raw.relay.as_ref())?,
    })
}

/// The identity is the minion's, and the masters are, too, unless the file has them.
fn beside_minion(raw: &Raw, minion: &Path, keys: &Keys<'_>) -> Result<Config, ConfigError> {
    let sidecar = check(keys.path, raw.sidecar.as_ref(), raw.relay.as_ref())?;
    let minion = Minion::read(minion, keys.permissions).map_err(|source| ConfigError::Minion {
        file: keys.path.to_owned(),
        source: Box::new(source),
    })?;
    let masters = match &raw.masters {
        None => minion.masters(&sidecar, keys.path)?,
        Some(masters) => masters
            .iter()
            .map(|master| {
                keys.master(master, |name, signer, pinned| {
                    minion.trust(keys.path, name, signer, pinned)
                })
            })
            .collect::<Result<_, _>>()?,
    };
    Ok(Config {
        algorithms: raw.algorithms(keys.path, minion.algorithms)?,
        identity: minion.identity,
        masters,
        sidecar,
    })
}

/// The sections for the sidecar, beside anything.
#[derive(Deserialize, Default)]
struct RawSections {
    sidecar: Option<RawSettings>,
    relay: Option<RawRelay>,
}

/// How the sidecar behaves, whatever else is in the file.
pub(super) fn settings(path: &Path) -> Result<Settings, ConfigError> {
    settings_of(path, &TextFile::read(path, "configuration")?.text)
}

/// The same of a text that is to be the file's.
pub(crate) fn settings_of(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    let raw: Option<RawSections> = parse(path, text)?;
    let raw = raw.unwrap_or_default();
    check(path, raw.sidecar.as_ref(), raw.relay.as_ref())
}

/// What a file speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) has_identity: bool,
    pub(crate) has_masters: bool,
    pub(crate) has_sidecar: bool,
    /// How many masters it has.
    pub(crate) masters: usize,
    /// Each master's own key is there.
    pub(crate) all_pinned: bool,
}

impl Outline {
    /// Of a file; nothing if it is not there.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, ConfigError> {
        if !path.exists() {
            return Ok(None);
        }
        Self::of(path, &TextFile::read(path, "configuration")?.text).map(Some)
    }

    /// Of a text that is to be the file's.
    pub(crate) fn of(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let raw: Option<Raw> = parse(path, text)?;
        let raw = raw.unwrap_or_default();
        let masters = raw.masters.as_deref().unwrap_or_default();
        Ok(Self {
            has_identity: raw.id.is_some() || raw.pki.is_some(),
            has_masters: raw.masters.is_some(),
            has_sidecar: raw.sidecar.is_some(),
            masters: masters.len(),
            all_pinned: masters.iter().all(|master| master.master_pub.is_some()),
        })
    }
}

fn check(
    path: &Path,
    sidecar: Option<&RawSettings>,
    relay: Option<&RawRelay>,
) -> Result<Settings, ConfigError> {
    let default = RawSettings::default();
    Settings::check(sidecar.unwrap_or(&default), relay).map_err(|bad| ConfigError::Setting {
        place: Place::new(path, bad.location),
        section: bad.section,
        key: bad.key,
        source: bad.problem,
    })
}

impl Raw {
    /// As the file says; what it does not say is as by default.
    fn algorithms(&self, path: &Path, default: Algorithms) -> Result<Algorithms, ConfigError> {
        let (encryption, signing) = (
            self.encryption_algorithm.as_ref(),
            self.signing_algorithm.as_ref(),
        );
        let read = algorithms(path, encryption, signing)?;
        Ok(Algorithms {
            encryption: encryption.map_or(default.encryption, |_| read.encryption),
            signing: signing.map_or(default.signing, |_| read.signing),
        })
    }
}

/// Reads YAML into `T`; errors name the place.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map(|location| Place::new(path, location));
        let message = error.without_snippet().to_string();
        // The place stands in front, with the file; once is enough.
        let message = match message.find(" at line ") {
            Some(end) => message.get(..end).unwrap_or(&message).to_owned(),
            None => message,
        };
        ConfigError::Yaml {
            place: place.unwrap_or(Place {
                file: path.to_owned(),
                line: 1,
                column: 1,
            }),
            message,
        }
    })
}

pub(super) fn algorithms(
    path: &Path,
    encryption: Option<&Spanned<String>>,
    signing: Option<&Spanned<String>>,
) -> Result<Algorithms, ConfigError> {
    fn read<T>(path: &Path, key: &'static str, name: Option<&Spanned<String>>) -> Result<T, ConfigError>
    where
        T: std::str::FromStr<Err = proto::crypto::UnsupportedAlgorithm> + Default,
    {
        let Some(name) = name else { return Ok(T::default()) };
        name.value.parse().map_err(|source| ConfigError::Algorithm {
            place: Place::new(path, name.referenced),
            key,
            source,
        })
    }
    Ok(Algorithms {
        encryption: read(path, "encryption_algorithm", encryption)?,
        signing: read(path, "signing_algorithm", signing)?,
    })
}

pub(super) fn host(path: &Path, host: &Spanned<String>) -> Result<Host, ConfigError> {
    Host::parse(&host.value).map_err(|source| ConfigError::Host {
        place: Place::new(path, host.referenced),
        source,
    })
}

/// Reads keys that are paths or inline PEM.
struct Keys<'a> {
    path: &'a Path,
    file: &'a TextFile,
    permissions: Permissions,
}

impl Keys<'_> {
    /// `trust` joins the keys that only this master has with those of all, the signer first.
    fn master(
        &self,
        raw: &RawMaster,
        trust: impl Fn(&Host, Option<PublicKey>, Option<PublicKey>) -> Result<Trust, ConfigError>,
    ) -> Result<MasterConfig, ConfigError> {
        let name = host(self.path, &raw.name)?;
        let address = match &raw.address {
            Some(address) => host(self.path, address)?,
            None => name.clone(),
        };
        let own = |key, value: &Option<Spanned<String>>| {
            let value = value.as_ref();
            value.map(|value| self.public(key, value)).transpose()
        };
        let pinned = own("master_pub", &raw.master_pub)?;
        let signer = own("master_sign_pub", &raw.master_sign_pub)?;
        let trust = trust(&name, signer, pinned)?;
        Ok(MasterConfig {
            name,
            address,
            publish_port: raw.publish_port.unwrap_or(PUBLISH_PORT),
            master_port: raw.master_port.unwrap_or(MASTER_PORT),
            trust,
        })
    }

    fn private(
        &self,
        key: &'static str,
        value: &Spanned<Zeroizing<String>>,
    ) -> Result<PrivateKey, ConfigError> {
        if !is_inline(&value.value) {
            return key_file::private_key(&self.beside(&value.value), key, self.permissions);
        }
        // The key is in this file, so this file must be as private as a key.
        self.file.require_private(self.permissions)?;
        PrivateKey::from_pem(&value.value).map_err(|source| self.bad_inline(key, value.referenced, source))
    }

    fn public(&self, key: &'static str, value: &Spanned<String>) -> Result<PublicKey, ConfigError> {
        if !is_inline(&value.value) {
            return key_file::public_key(&self.beside(&value.value), key);
        }
        PublicKey::from_pem(&value.value).map_err(|source| self.bad_inline(key, value.referenced, source))
    }

    fn bad_inline(
        &self,
        key: &'static str,
        location: Location,
        source: proto::crypto::KeyError,
    ) -> ConfigError {
        ConfigError::Key {
            origin: Place::new(self.path, location).to_string(),
            key,
            source,
        }
    }

    fn beside(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}

fn is_inline(value: &str) -> bool {
    value.trim_start().starts_with("-----BEGIN ")
}
