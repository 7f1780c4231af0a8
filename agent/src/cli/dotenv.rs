//! GitLab's dotenv report: written whole or not at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use proto::message::MinionId;
use tempfile::NamedTempFile;

use super::CliError;
use crate::config::MasterConfig;

/// A report that can be written: known before anything is sent.
pub(super) struct Dotenv {
    path: PathBuf,
    aside: NamedTempFile,
}

impl Dotenv {
    /// Opens a file beside the one that is meant.
    pub(super) fn prepare(path: &Path) -> Result<Self, CliError> {
        let failed = |source| CliError::Write {
            file: path.to_owned(),
            source,
        };
        if path.is_dir() {
            return Err(failed(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // Not secret: the runner that collects it may be another user.
        let mut builder = tempfile::Builder::new();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let aside = builder
            .prefix(".saltfo-")
            .permissions(mode)
            .tempfile_in(folder)
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            aside,
        })
    }

    /// Writes it and moves it into place. Ids and names hold nothing that means something in such a file.
    pub(super) fn write(mut self, minion: &MinionId, active: &MasterConfig) -> Result<(), CliError> {
        let path = self.path;
        let failed = |source| CliError::Write {
            file: path.clone(),
            source,
        };
        let text = format!(
            "SALTFO_MINION={minion}\nSALTFO_ACTIVE_MASTER={}\nSALTFO_ACTIVE_MASTER_ADDRESS={}\n",
            active.name, active.address
        );
        self.aside.write_all(text.as_bytes()).map_err(failed)?;
        self.aside.as_file().sync_all().map_err(failed)?;
        self.aside.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}
