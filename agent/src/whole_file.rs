//! Files that are written whole or not at all: beside their place first, then moved there.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// Writes a small file that nobody else may read: who reads it, or dies writing it, leaves a whole one. A link is replaced, not followed.
///
/// Not synced: for what a power cut may take.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut aside = beside(path, 0o600)?;
    aside.write_all(content)?;
    aside.persist(path)?;
    Ok(())
}

/// Opens a file with this mode, to be moved to this place. Dropped, it is gone.
pub(crate) fn beside(path: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Builder::new()
        .prefix(".saltfo-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)
}
