//! The cache of what the lab installs: its folder, its locks, and what crashed installers left there.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

use crate::Progress;

/// Where installs are kept: `$SALTFO_LAB_CACHE`, else `$XDG_CACHE_HOME/saltfo-lab`, else `~/.cache/saltfo-lab`.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = set("SALTFO_LAB_CACHE") {
        return Ok(std::path::absolute(folder)?);
    }
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("saltfo-lab"))
        .context("no place for the cache: set SALTFO_LAB_CACHE, XDG_CACHE_HOME or HOME")
}

/// Changes with the pins, so that a new pin makes a new install.
pub(crate) fn key_of(pins: &str) -> String {
    Sha256::digest(pins)
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Keeps other installers of the same thing out until it is dropped.
pub(crate) fn lock(path: &Path, what: &str, progress: &Progress) -> anyhow::Result<File> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress.say(&format!("waiting for another process that installs {what}"));
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the cache"),
    }
    Ok(file)
}

/// Removes what crashed installers left. The caller holds the lock, so none of them still runs.
pub(crate) fn remove_stale(cache: &Path, prefix: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Runs a step of an install, and gives what it printed.
pub(crate) fn run(command: &mut Command, what: &str) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot {what}"))?;
    ensure!(
        output.status.success(),
        "cannot {what} ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_pin_is_another_install() {
        assert_ne!(key_of("salt==3008.1\n"), key_of("salt==3008.2\n"));
    }

    #[test]
    fn what_a_crashed_installer_left_is_removed_and_nothing_else() {
        let cache = tempfile::tempdir().unwrap();
        for name in [".installing-3008-a", ".installing-3006-a", "salt-3008.1-x"] {
            fs::create_dir(cache.path().join(name)).unwrap();
        }
        remove_stale(cache.path(), ".installing-3008-").unwrap();
        let mut left: Vec<_> = fs::read_dir(cache.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, [".installing-3006-a", "salt-3008.1-x"]);
    }
}
