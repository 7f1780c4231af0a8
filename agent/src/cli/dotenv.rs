//! GitLab's dotenv report.

use std::path::Path;

use proto::message::MinionId;

use super::CliError;
use super::aside::Aside;
use crate::config::MasterConfig;

/// A report that can be written: known before anything is sent.
pub(super) struct Dotenv(Aside);

impl Dotenv {
    /// Opens a file beside the one that is meant.
    pub(super) fn prepare(path: &Path) -> Result<Self, CliError> {
        Aside::prepare(path).map(Self)
    }

    /// Writes it. Ids and names hold nothing that means something in such a file.
    pub(super) fn write(self, minion: &MinionId, active: &MasterConfig) -> Result<(), CliError> {
        let text = format!(
            "SALTFO_MINION={minion}\nSALTFO_ACTIVE_MASTER={}\nSALTFO_ACTIVE_MASTER_ADDRESS={}\n",
            active.name, active.address
        );
        self.0.write(text.as_bytes())
    }
}
