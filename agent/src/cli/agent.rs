//! `saltfo agent`.

use std::path::Path;

use super::args::Common;
use super::{CliError, block_on};
use crate::config::{DEFAULT_PATH, Source};
use crate::exit::Exit;
use crate::sidecar::daemon::{self, Ended, Find};

pub(super) fn run(common: &Common) -> Result<Exit, CliError> {
    let named = common.named_source();
    let file = common.saltfo_yaml(Path::new(DEFAULT_PATH));
    let minion = Source::Minion(common.minion());
    // What was named; else our own file, if it is there; else the minion's. Looked for anew at each reload.
    let find: Find = Box::new(move || {
        Ok(match &named {
            Some(source) => source.clone(),
            None if file.path().exists() => file.clone(),
            None => minion.clone(),
        })
    });
    match block_on(daemon::run(&find, common.permissions()))? {
        Ok(()) => Ok(Exit::Done),
        Err(Ended::Config(error)) => Err(error.into()),
        Err(Ended::Signals(error)) => Err(CliError::Runtime(error)),
    }
}
