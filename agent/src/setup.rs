//! Leading this host's minion to the relay, and away from it: which files change, and what stands against it.
//!
//! The minion's own files are never touched. A drop-in that is read last leads it to the relay; without that file all is as it was.

mod change;
mod drop_in;
mod obstacles;
mod saltfo_yaml;

use std::path::{Path, PathBuf};

use crate::config::minion::{Minion, files};
use crate::config::{Config, ConfigError, MasterConfig, Outline, Permissions, Place, RELAY_DROP_IN, Source};
use crate::sidecar::settings::{Mode, Settings};

pub use change::{Change, Kind};
use obstacles::Options;
use saltfo_yaml::Planned;

/// The files of a host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Our own.
    pub saltfo_yaml: PathBuf,
    /// The minion's main one.
    pub minion: PathBuf,
    /// Whether the minion's key may be readable by others.
    pub permissions: Permissions,
}

/// What is to be done on a host.
#[derive(Debug, Default)]
pub struct Plan {
    /// In this order; empty if all is as it should be.
    pub changes: Vec<Change>,
    /// What only a person can do: with it nothing is written.
    pub by_hand: Option<ByHand>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Lines that belong into a file that is somebody's own.
#[derive(Debug)]
pub struct ByHand {
    /// The file.
    pub file: PathBuf,
    /// What it must say.
    pub lines: String,
}

/// Why a host cannot be set up as it stands.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The configuration is not good enough to speak as the minion.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Not ZeroMQ.
    #[error("{place}: the minion speaks {transport}, and the relay carries ZeroMQ only: remove `transport`")]
    Transport {
        /// Where.
        place: Place,
        /// What it speaks.
        transport: String,
    },
    /// A minion without a master.
    #[error("{place}: `{key}: {value}`: this minion asks no master, so there is nothing to relay")]
    Masterless {
        /// Where.
        place: Place,
        /// The option.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// The masters are in a program.
    #[error("{place}: `master_type: func`: name the masters under `masters:` in {}", .saltfo_yaml.display())]
    MasterFunction {
        /// Where.
        place: Place,
        /// Where they should be.
        saltfo_yaml: PathBuf,
    },
    /// Nothing that verifies the second master's key.
    #[error(
        "{}: not there, so the minion would refuse the key of every master but one: install the public half of \
         master_sign there; or, if all masters have the same key, say so: `master_pub` for each under `masters:` in {}",
        .signer.display(), .saltfo_yaml.display()
    )]
    NoSigner {
        /// Where it should be.
        signer: PathBuf,
        /// Where the pins could be.
        saltfo_yaml: PathBuf,
    },
    /// A minion that is told to verify, without anything to do it with.
    #[error(
        "{place}: `verify_master_pubkey_sign` is set, and {} is not there: the minion would refuse every master",
        .signer.display()
    )]
    NothingToVerifyWith {
        /// Where.
        place: Place,
        /// Where it should be.
        signer: PathBuf,
    },
    /// The key of one master, for several.
    #[error(
        "{place}: `master_finger` is the fingerprint of one master's key, and the minion ends (code 42) at the first \
         that has another: remove it, master_sign verifies them all"
    )]
    Finger {
        /// Where.
        place: Place,
    },
    /// A file that would win over ours.
    #[error(
        "{place}: `{key}` is set here, and this file wins over {}: take the line out, or move it into a file that is read earlier",
        .drop_in.display()
    )]
    Overridden {
        /// Where.
        place: Place,
        /// The option.
        key: String,
        /// What it wins over.
        drop_in: PathBuf,
    },
    /// No folder for ours.
    #[error(
        "{}: no pattern of `default_include` takes a file named {name}: add minion.d/*.conf to it",
        .file.display()
    )]
    NotIncluded {
        /// The minion's main file.
        file: PathBuf,
        /// What the file would be called.
        name: &'static str,
    },
    /// Somebody led the minion to the relay by hand.
    #[error("{place}: the minion's own `master` is the relay, {master}: give it its masters again there")]
    StillRelay {
        /// Where.
        place: Place,
        /// What stands there.
        master: String,
    },
    /// The file could not be changed as planned.
    #[error("{}: with the lines at its end it would not be as it should: {why}; add them by hand", .file.display())]
    Unfit {
        /// The file.
        file: PathBuf,
        /// What is wrong then.
        why: String,
    },
    /// A file that cannot be written.
    #[error("cannot write {}: {source}", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
}

impl Host {
    /// What leads the minion to the relay.
    ///
    /// # Errors
    /// [`SetupError`]: what stands against it. Nothing has been written.
    pub fn to_relay(&self) -> Result<Plan, SetupError> {
        let drop_in = self.drop_in()?;
        let outline = Outline::read(&self.saltfo_yaml)?.unwrap_or_default();
        let options = Options::read(&self.minion, &drop_in)?;
        options.check_kind(&outline, &self.saltfo_yaml)?;
        let minion = Minion::without(Some(&drop_in), &self.minion, self.permissions)?;
        let (masters, settings) = self.masters(&outline, &minion)?;
        options.check_keys(&minion, have_one_key(&masters, &outline), &self.saltfo_yaml)?;

        let text = drop_in::text(&settings.relay, options.traits(&minion), &self.saltfo_yaml);
        obstacles::check_order(&self.minion, &drop_in, &text)?;
        let mut plan = Plan {
            notes: options.notes(),
            ..Plan::default()
        };
        match saltfo_yaml::plan(&self.saltfo_yaml, &outline, &masters, settings.mode)? {
            Planned::Nothing => {}
            Planned::Change(change) => plan.changes.push(change),
            Planned::ByHand(lines) => {
                plan.by_hand = Some(ByHand {
                    file: self.saltfo_yaml.clone(),
                    lines,
                });
            }
        }
        plan.changes
            .extend(Change::write(&drop_in, text, &backup_of(&drop_in))?);
        Ok(plan)
    }

    /// What leads the minion back to its masters. Asks for little, so that the way back is always open.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn to_masters(&self) -> Result<Plan, SetupError> {
        let drop_in = self.drop_in()?;
        let settings = self.settings().unwrap_or_default();
        let asked = Settings {
            mode: Mode::Relay,
            ..settings.clone()
        };
        let beneath = Minion::without(Some(&drop_in), &self.minion, self.permissions);
        if let Err(ConfigError::MinionOfRelay { place, master, .. }) =
            beneath.and_then(|minion| minion.masters(&asked, &self.saltfo_yaml))
        {
            return Err(SetupError::StillRelay { place, master });
        }
        let mut plan = Plan::default();
        plan.changes
            .extend(Change::removal(&drop_in, &backup_of(&drop_in))?);
        if settings.mode == Mode::Relay {
            plan.notes.push(format!(
                "{} still says `mode: relay`: the relay goes on listening, for nobody; make it `mode: observe` when the minion is \
                 back at its masters",
                self.saltfo_yaml.display()
            ));
        }
        Ok(plan)
    }

    /// Where our drop-in belongs.
    fn drop_in(&self) -> Result<PathBuf, SetupError> {
        match files::default_folder(&self.minion, RELAY_DROP_IN)? {
            Some(folder) => Ok(folder.join(RELAY_DROP_IN)),
            None => Err(SetupError::NotIncluded {
                file: self.minion.clone(),
                name: RELAY_DROP_IN,
            }),
        }
    }

    /// The masters behind the relay: those of our own file, else the minion's, as they are without the drop-in.
    fn masters(
        &self,
        outline: &Outline,
        minion: &Minion,
    ) -> Result<(Vec<MasterConfig>, Settings), SetupError> {
        let settings = self.settings()?;
        if !outline.has_masters && !outline.has_identity {
            let asked = Settings {
                mode: Mode::Relay,
                ..settings.clone()
            };
            return Ok((minion.masters(&asked, &self.saltfo_yaml)?, settings));
        }
        let source = Source::Sidecar {
            file: self.saltfo_yaml.clone(),
            minion: self.minion.clone(),
        };
        let config = Config::load(&source, self.permissions)?;
        config.check_relay(&self.saltfo_yaml)?;
        Ok((config.masters, settings))
    }

    fn settings(&self) -> Result<Settings, ConfigError> {
        if self.saltfo_yaml.exists() {
            Config::sidecar_settings(&self.saltfo_yaml)
        } else {
            Ok(Settings::default())
        }
    }
}

impl Plan {
    /// Does it. Each file is written whole or not at all.
    ///
    /// # Errors
    /// [`SetupError::Write`]; what stands before it in the list has been done.
    pub fn apply(&self) -> Result<(), SetupError> {
        self.changes.iter().try_for_each(Change::apply)
    }
}

/// Whether one key of a master can stand for all: there is one only, or each is pinned to the same.
fn have_one_key(masters: &[MasterConfig], outline: &Outline) -> bool {
    let alike = |pair: &[MasterConfig]| match pair {
        [one, other] => one.trust == other.trust,
        _ => true,
    };
    masters.len() == 1 || outline.all_pinned && masters.windows(2).all(alike)
}

/// Beside the folder of the drop-in, where Salt does not look.
fn backup_of(drop_in: &Path) -> PathBuf {
    let folder = drop_in.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    folder.join(format!("{RELAY_DROP_IN}.bak"))
}
