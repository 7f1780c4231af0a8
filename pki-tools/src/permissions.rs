//! Who may read a file with private keys.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::Error;
use crate::include::Sources;

/// Whether a file with private keys may be readable by everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Permissions {
    /// It may not: the default.
    #[default]
    Checked,
    /// It may: `--insecure-permissions`.
    Unchecked,
}

impl Permissions {
    /// Refuses files with private keys that everybody may read, and clients' files that everybody may change.
    pub(crate) fn check(self, sources: &Sources) -> Result<(), Error> {
        for document in &sources.documents {
            let holds_keys = holds_private_keys(&document.text);
            self.check_file(&document.path, &document.name, holds_keys)?;
        }
        Ok(())
    }

    /// The same for one file, which holds private keys or is going to.
    pub(crate) fn check_file(self, path: &Path, name: &Path, holds_keys: bool) -> Result<(), Error> {
        let Some(mode) = access(path).filter(|_| self == Self::Checked) else {
            return Ok(());
        };
        let can = match mode {
            _ if mode & 0o002 != 0 => "change",
            _ if mode & 0o004 != 0 && holds_keys => "read",
            _ => return Ok(()),
        };
        Err(Error::Permissions {
            file: name.to_owned(),
            mode,
            can,
        })
    }
}

/// Whether a text holds private keys that are not sealed.
pub(crate) fn holds_private_keys(text: &str) -> bool {
    text.contains("PRIVATE KEY-----")
}

/// The mode bits of a file that let its group or everybody read it, if any.
pub(crate) fn readable_by_others(path: &Path) -> Option<u32> {
    access(path).filter(|mode| mode & 0o044 != 0)
}

/// The mode bits of a file.
pub(crate) fn access(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.permissions().mode() & 0o7777)
}
