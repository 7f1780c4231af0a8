//! `saltfo.yaml`: our own configuration file, strict about every key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::auth::Trust;
use proto::crypto::{PrivateKey, PublicKey};
use proto::identity::{Algorithms, Identity};
use proto::message::MinionId;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{Location, Spanned};
use zeroize::Zeroizing;

use super::error::Place;
use super::key_file::{self, TextFile};
use super::{Config, ConfigError, Host, MASTER_PORT, MasterConfig, PUBLISH_PORT, Permissions};
use crate::sidecar::settings::{RawSettings, Settings};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: Spanned<String>,
    pki: RawPki,
    masters: Vec<RawMaster>,
    encryption_algorithm: Option<Spanned<String>>,
    signing_algorithm: Option<Spanned<String>>,
    sidecar: Option<RawSettings>,
    /// A mapping that nothing reads yet.
    #[serde(rename = "relay")]
    _relay: Option<BTreeMap<String, IgnoredAny>>,
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
    /// Instead of the one of `pki`, while the masters change to another.
    master_sign_pub: Option<Spanned<String>>,
}

pub(super) fn load(path: &Path, permissions: Permissions) -> Result<Config, ConfigError> {
    let file = TextFile::read(path, "configuration")?;
    let raw: Raw = parse(path, &file.text)?;
    let keys = Keys {
        path,
        file: &file,
        permissions,
    };

    let id = MinionId::parse(&raw.id.value).map_err(|source| ConfigError::Id {
        place: Place::new(path, raw.id.referenced),
        source,
    })?;
    let key = keys.private("pki.minion_pem", &raw.pki.minion_pem)?;
    let identity = Identity::new(id, key, &mut rand::rng()).map_err(|source| ConfigError::Key {
        origin: path.display().to_string(),
        key: "pki.minion_pem",
        source,
    })?;
    let signer = raw
        .pki
        .master_sign_pub
        .as_ref()
        .map(|key| keys.public("pki.master_sign_pub", key))
        .transpose()?;
    let masters = raw
        .masters
        .iter()
        .map(|master| keys.master(master, signer.as_ref()));
    let sidecar = check(path, &raw.sidecar.unwrap_or_default())?;
    Ok(Config {
        identity,
        algorithms: algorithms(
            path,
            raw.encryption_algorithm.as_ref(),
            raw.signing_algorithm.as_ref(),
        )?,
        masters: masters.collect::<Result<_, _>>()?,
        sidecar,
    })
}

/// The sections for the sidecar alone.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawSections {
    sidecar: Option<RawSettings>,
    #[serde(rename = "relay")]
    _relay: Option<BTreeMap<String, IgnoredAny>>,
}

/// The sections for the sidecar, beside anything.
#[derive(Deserialize, Default)]
struct RawAnything {
    id: Option<IgnoredAny>,
    pki: Option<IgnoredAny>,
    masters: Option<IgnoredAny>,
    sidecar: Option<RawSettings>,
}

/// How the sidecar behaves, if the file says nothing of masters or an identity.
pub(super) fn settings_alone(path: &Path) -> Result<Option<Settings>, ConfigError> {
    let file = TextFile::read(path, "configuration")?;
    let anything: Option<RawAnything> = parse(path, &file.text)?;
    let anything = anything.unwrap_or_default();
    if anything.id.is_some() || anything.pki.is_some() || anything.masters.is_some() {
        return Ok(None);
    }
    let raw: Option<RawSections> = parse(path, &file.text)?;
    let raw = raw.unwrap_or_default();
    check(path, &raw.sidecar.unwrap_or_default()).map(Some)
}

/// How the sidecar behaves, whatever else is in the file.
pub(super) fn settings(path: &Path) -> Result<Settings, ConfigError> {
    let file = TextFile::read(path, "configuration")?;
    let raw: Option<RawAnything> = parse(path, &file.text)?;
    check(path, &raw.unwrap_or_default().sidecar.unwrap_or_default())
}

fn check(path: &Path, raw: &RawSettings) -> Result<Settings, ConfigError> {
    raw.check().map_err(|bad| ConfigError::Setting {
        place: Place::new(path, bad.location),
        key: bad.key,
        source: bad.problem,
    })
}

/// Reads YAML into `T`; errors name the place.
pub(super) fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
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
    fn master(&self, raw: &RawMaster, signer: Option<&PublicKey>) -> Result<MasterConfig, ConfigError> {
        let name = host(self.path, &raw.name)?;
        let address = match &raw.address {
            Some(address) => host(self.path, address)?,
            None => name.clone(),
        };
        let pinned = raw
            .master_pub
            .as_ref()
            .map(|key| self.public("master_pub", key))
            .transpose()?;
        let signer = match &raw.master_sign_pub {
            Some(key) => Some(self.public("master_sign_pub", key)?),
            None => signer.cloned(),
        };
        let trust = Trust::new(signer, pinned, None).map_err(|source| ConfigError::NoAnchor {
            file: self.path.to_owned(),
            master: name.as_str().to_owned(),
            source,
        })?;
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
