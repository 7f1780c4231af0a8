//! A client's YAML, as `pki-tools gen` leaves it: its masters, and its dispatch identity, sealed or not.

use std::path::Path;

use pki_tools::client::{Client, RsaPair};
use pki_tools::pipeline::{Pipeline, Target};
use pki_tools::secrets::Secrets;
use proto::auth::Trust;
use proto::crypto::{KeyError, PrivateKey, PublicKey};
use proto::identity::{Algorithms, Identity};
use proto::message::MinionId;

use super::key_file::require_private;
use super::{Config, ConfigError, MasterConfig, Permissions};
use crate::sidecar::settings::Settings;

pub(super) fn load(path: &Path, secrets: &Secrets, permissions: Permissions) -> Result<Config, ConfigError> {
    let client = Client::load_for_use(path, permissions.into())?;
    let pipeline = Pipeline::of(&client)?;
    let masters = pipeline.masters.iter().map(|target| master(path, target));
    Ok(Config {
        identity: identity(&pipeline, secrets, permissions)?,
        algorithms: Algorithms::default(),
        masters: masters.collect::<Result<_, _>>()?,
        sidecar: Settings::default(),
    })
}

/// Opens the one private key that is needed, and no other.
fn identity(
    pipeline: &Pipeline<'_>,
    secrets: &Secrets,
    permissions: Permissions,
) -> Result<Identity, ConfigError> {
    let dispatch = pipeline.dispatch;
    let (pem, place) = (&dispatch.pair.pem, dispatch.pair.pem.place());
    if !pem.is_sealed() {
        // The key is in this file, so this file must be as private as a key.
        require_private(&place.file, permissions)?;
    }
    let failed = |source| ConfigError::Key {
        origin: place.to_string(),
        key: "pki.pipeline.pem",
        source,
    };
    let id = MinionId::parse(&dispatch.id).map_err(|source| {
        let place = dispatch.place().clone();
        pki_tools::Error::Id { place, source }
    })?;
    let key = PrivateKey::from_pem(&pem.open(&secrets.keyring())?).map_err(failed)?;
    Identity::new(id, key, &mut rand::rng()).map_err(failed)
}

fn master(path: &Path, target: &Target<'_>) -> Result<MasterConfig, ConfigError> {
    let signer = public(target.signer, "pki.master_sign.pub")?;
    let pinned = public(target.pair, "pki.master.pub")?;
    let (publish_port, master_port) = target.ports;
    let trust = Trust::new(Some(signer), Some(pinned), None).map_err(|source| ConfigError::NoAnchor {
        file: path.to_owned(),
        master: target.name.as_str().to_owned(),
        source,
    })?;
    Ok(MasterConfig {
        name: target.name.clone(),
        address: target.address.clone(),
        publish_port,
        master_port,
        trust,
    })
}

fn public(pair: &RsaPair, key: &'static str) -> Result<PublicKey, ConfigError> {
    PublicKey::from_pem(&pair.pub_).map_err(|source: KeyError| ConfigError::Key {
        origin: pair.pub_place().to_string(),
        key,
        source,
    })
}

impl From<Permissions> for pki_tools::Permissions {
    fn from(permissions: Permissions) -> Self {
        match permissions {
            Permissions::Checked => Self::Checked,
            Permissions::Unchecked => Self::Unchecked,
        }
    }
}
