//! A file that is written whole or not at all: beside its place first, then moved there.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::CliError;

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
