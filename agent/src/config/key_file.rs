//! Reading text files and keys: bounded, from the file that was checked, private ones for private eyes.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use proto::crypto::{PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::{ConfigError, Permissions};

/// No key, and no configuration that a person writes, is longer.
const LIMIT: u64 = 1 << 20;

/// A text and whether it is for its owner's eyes only.
pub(super) struct TextFile {
    pub(super) text: Zeroizing<String>,
    path: PathBuf,
    mode: u32,
}

impl TextFile {
    pub(super) fn read(path: &Path, what: &'static str) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            file: path.to_owned(),
            what,
            source,
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.len() > LIMIT {
            return Err(ConfigError::TooLong {
                file: path.to_owned(),
                what,
                limit: LIMIT,
            });
        }
        // Room for the whole from the start: a growing buffer would leave pieces of a key behind.
        let room = usize::try_from(metadata.len())
            .unwrap_or_default()
            .saturating_add(1);
        let mut text = Zeroizing::new(String::with_capacity(room));
        file.by_ref()
            .take(LIMIT)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        Ok(Self {
            text,
            path: path.to_owned(),
            mode: metadata.permissions().mode() & 0o7777,
        })
    }

    /// Refuses a file that others than its owner can read; said of the very file that was opened.
    pub(super) fn require_private(&self, permissions: Permissions) -> Result<(), ConfigError> {
        check_mode(&self.path, self.mode, permissions)
    }
}

/// The same of a file that somebody else reads.
pub(super) fn require_private(path: &Path, permissions: Permissions) -> Result<(), ConfigError> {
    let metadata = std::fs::metadata(path).map_err(|source| ConfigError::Unreadable {
        file: path.to_owned(),
        what: "private key",
        source,
    })?;
    check_mode(path, metadata.permissions().mode() & 0o7777, permissions)
}

fn check_mode(path: &Path, mode: u32, permissions: Permissions) -> Result<(), ConfigError> {
    if permissions == Permissions::Checked && mode & 0o077 != 0 {
        return Err(ConfigError::Permissions {
            file: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// The private key in a file of its own.
pub(super) fn private_key(
    path: &Path,
    key: &'static str,
    permissions: Permissions,
) -> Result<PrivateKey, ConfigError> {
    let file = TextFile::read(path, "private key")?;
    file.require_private(permissions)?;
    PrivateKey::from_pem(&file.text).map_err(|source| ConfigError::Key {
        origin: path.display().to_string(),
        key,
        source,
    })
}

/// The public key in a file of its own.
pub(super) fn public_key(path: &Path, key: &'static str) -> Result<PublicKey, ConfigError> {
    let file = TextFile::read(path, "public key")?;
    PublicKey::from_pem(&file.text).map_err(|source| ConfigError::Key {
        origin: path.display().to_string(),
        key,
        source,
    })
}
