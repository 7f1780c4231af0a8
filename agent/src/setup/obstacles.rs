//! What in a minion's own configuration stands against the relay.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

use super::SetupError;
use super::drop_in::Traits;
use crate::config::minion::Minion;
use crate::config::minion::files::{self, ConfigFile, Layer};
use crate::config::{ConfigError, Outline, Place, parse};

/// The options that decide, as they are without the drop-in.
#[derive(Default)]
pub(super) struct Options {
    master: Option<Masters>,
    master_type: Found,
    transport: Found,
    file_client: Found,
    use_master_when_local: Found,
    master_finger: Found,
    verify_master_pubkey_sign: Found,
    sign_pub_messages: Found,
}

type Found = Option<(Place, String)>;
type Scalar = Option<Spanned<String>>;

#[derive(Deserialize, Default)]
struct Raw {
    master: Option<Masters>,
    master_type: Scalar,
    transport: Scalar,
    file_client: Scalar,
    use_master_when_local: Scalar,
    master_finger: Scalar,
    verify_master_pubkey_sign: Scalar,
    sign_pub_messages: Scalar,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Masters {
    Several(Vec<IgnoredAny>),
    One(IgnoredAny),
}

impl Options {
    pub(super) fn read(main: &Path, drop_in: &Path) -> Result<Self, ConfigError> {
        let mut options = Self::default();
        for file in files::read(main)? {
            if file.path != drop_in {
                options.take(&file)?;
            }
        }
        Ok(options)
    }

    fn take(&mut self, file: &ConfigFile) -> Result<(), ConfigError> {
        let raw: Raw = file.parse()?;
        self.master = raw.master.or(self.master.take());
        for (option, given) in [
            (&mut self.master_type, raw.master_type),
            (&mut self.transport, raw.transport),
            (&mut self.file_client, raw.file_client),
            (&mut self.use_master_when_local, raw.use_master_when_local),
            (&mut self.master_finger, raw.master_finger),
            (&mut self.verify_master_pubkey_sign, raw.verify_master_pubkey_sign),
            (&mut self.sign_pub_messages, raw.sign_pub_messages),
        ] {
            if let Some(given) = given {
                *option = Some((Place::new(&file.path, given.referenced), given.value));
            }
        }
        Ok(())
    }

    /// What the drop-in depends on.
    pub(super) fn traits(&self, minion: &Minion) -> Traits {
        Traits {
            has_signer: minion.has_signer(),
            verifies_publications: is_set(&self.sign_pub_messages),
        }
    }

    /// Whether it is a minion that the relay can serve.
    pub(super) fn check_kind(&self, outline: &Outline, saltfo_yaml: &Path) -> Result<(), SetupError> {
        if let Some((place, transport)) = &self.transport
            && transport != "zeromq"
        {
            return Err(SetupError::Transport {
                place: place.clone(),
                transport: transport.clone(),
            });
        }
        let masterless = |(place, value): &(Place, String), key| SetupError::Masterless {
            place: place.clone(),
            key,
            value: value.clone(),
        };
        match (&self.master_type, &self.file_client) {
            (Some(found), _) if found.1 == "disable" => Err(masterless(found, "master_type")),
            (_, Some(found)) if found.1 == "local" && !is_set(&self.use_master_when_local) => {
                Err(masterless(found, "file_client"))
            }
            (Some((place, kind)), _) if kind == "func" && !outline.has_masters => {
                Err(SetupError::MasterFunction {
                    place: place.clone(),
                    saltfo_yaml: saltfo_yaml.to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Whether the minion will take the key of each master.
    pub(super) fn check_keys(
        &self,
        minion: &Minion,
        one_key: bool,
        saltfo_yaml: &Path,
    ) -> Result<(), SetupError> {
        let signer = &minion.signer;
        if !minion.has_signer() && !one_key {
            return Err(SetupError::NoSigner {
                signer: signer.clone(),
                saltfo_yaml: saltfo_yaml.to_owned(),
            });
        }
        match (&self.verify_master_pubkey_sign, &self.master_finger) {
            (Some((place, _)), _) if !minion.has_signer() && is_set(&self.verify_master_pubkey_sign) => {
                Err(SetupError::NothingToVerifyWith {
                    place: place.clone(),
                    signer: signer.clone(),
                })
            }
            (_, Some((place, finger))) if !finger.is_empty() && !one_key => {
                Err(SetupError::Finger { place: place.clone() })
            }
            _ => Ok(()),
        }
    }

    /// What changes for the operator beyond the failover.
    pub(super) fn notes(&self) -> Vec<String> {
        let is_str = self.master_type.as_ref().is_none_or(|(_, kind)| kind == "str");
        let several = matches!(&self.master, Some(Masters::Several(names)) if names.len() > 1);
        if is_str && several {
            let note = "the minion has been tied to all its masters at once; through the relay it is tied to one at a time";
            return vec![note.to_owned()];
        }
        Vec::new()
    }
}

/// As Salt's YAML reads a flag.
fn is_set(option: &Found) -> bool {
    let Some((_, value)) = option else { return false };
    ["true", "yes", "on"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
}

/// No file that Salt reads after the drop-in may have an option of it.
pub(super) fn check_order(main: &Path, drop_in: &Path, text: &str) -> Result<(), SetupError> {
    let ours: BTreeMap<String, IgnoredAny> = parse(drop_in, text)?;
    for file in after(files::read(main)?, drop_in) {
        let options: BTreeMap<String, Spanned<IgnoredAny>> = file.parse()?;
        if let Some((key, value)) = options.iter().find(|(key, _)| ours.contains_key(*key)) {
            return Err(SetupError::Overridden {
                place: Place::new(&file.path, value.referenced),
                key: key.clone(),
                drop_in: drop_in.to_owned(),
            });
        }
    }
    Ok(())
}

/// The files that are read after the drop-in, which may be there already or not yet.
fn after(files: Vec<ConfigFile>, drop_in: &Path) -> impl Iterator<Item = ConfigFile> {
    let there = files.iter().position(|file| file.path == drop_in);
    let is_later = |file: &ConfigFile| match file.layer {
        Layer::Main => false,
        Layer::Default => file.path.parent() == drop_in.parent() && file.path.as_path() > drop_in,
        Layer::Include => true,
    };
    let first = there.map_or_else(|| files.iter().position(is_later), |there| Some(there + 1));
    let first = first.unwrap_or(files.len());
    files.into_iter().skip(first)
}
