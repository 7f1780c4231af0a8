//! `saltfo agent`.

use std::path::{Path, PathBuf};

use super::args::Common;
use super::{CliError, runtime};
use crate::config::{ConfigError, DEFAULT_MINION_CONFIG, DEFAULT_PATH, Source};
use crate::exit::Exit;
use crate::sidecar::daemon::{self, Ended, Find};

pub(super) fn run(common: &Common) -> Result<Exit, CliError> {
    let minion = common
        .minion_config
        .clone()
        .unwrap_or_else(|| PathBuf::from(DEFAULT_MINION_CONFIG));
    let named = common.named_source();
    let find: Find = Box::new(move || find(named.as_ref(), &minion));
    match runtime()?.block_on(daemon::run(&find, common.permissions())) {
        Ok(()) => Ok(Exit::Done),
        Err(Ended::Config(error)) => Err(error.into()),
        Err(Ended::Signals(error)) => Err(CliError::Runtime(error)),
    }
}

/// What was named; else our own file, if it is there; else the minion's. Looked for anew at each reload.
fn find(named: Option<&Source>, minion: &Path) -> Result<Source, ConfigError> {
    let default = Path::new(DEFAULT_PATH);
    let file = match named {
        Some(Source::Saltfo(file)) => file.as_path(),
        Some(other) => return Ok(other.clone()),
        None if default.exists() => default,
        None => return Ok(Source::Minion(minion.to_owned())),
    };
    Ok(Source::Sidecar {
        file: file.to_owned(),
        minion: minion.to_owned(),
    })
}
