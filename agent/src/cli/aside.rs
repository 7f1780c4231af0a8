//! A file for a result, which is known to be writable before there is any.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::CliError;
use crate::whole_file;

/// A file that can be written: known before anything is sent.
pub(super) struct Aside {
    path: PathBuf,
    aside: NamedTempFile,
}

impl Aside {
    /// Opens a file beside the one that is meant.
    pub(super) fn prepare(path: &Path) -> Result<Self, CliError> {
        let failed = |source| CliError::Write {
            file: path.to_owned(),
            source,
        };
        match path.metadata() {
            Ok(found) if found.is_dir() => {
                return Err(failed(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
            }
            // To root, /dev/null would be a file like any other.
            Ok(found) if !found.is_file() => {
                return Err(failed(std::io::Error::other("it is no regular file")));
            }
            _ => {}
        }
        Ok(Self {
            path: path.to_owned(),
            // Not secret: the runner that collects it may be another user.
            aside: whole_file::beside(path, 0o644).map_err(failed)?,
        })
    }

    /// Writes it and moves it into place.
    pub(super) fn write(mut self, content: &[u8]) -> Result<(), CliError> {
        let path = self.path;
        let failed = |source| CliError::Write {
            file: path.clone(),
            source,
        };
        self.aside.write_all(content).map_err(failed)?;
        self.aside.as_file().sync_all().map_err(failed)?;
        self.aside.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}
