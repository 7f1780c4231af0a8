//! The folder of a lab: locked as long as its lab lives, removed when it is dead.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;

use crate::lab::State;
use crate::process;
use crate::wait::until;

/// Begins the name of every lab's folder.
const PREFIX: &str = "saltfo-lab-";
/// Held while folders are made or swept, so that a new one is not taken for a dead one.
const SWEEP_LOCK: &str = "saltfo-lab.lock";
/// Held by a lab's process as long as it lives; the kernel gives it back however that ends.
const LIFE_LOCK: &str = "lock";
/// How long the kernel may take to end everything in a lab.
const END: Duration = Duration::from_secs(30);
/// A Unix socket's path has room for 107 bytes (`sun_path` of unix(7)), and Salt puts sockets into the folder.
const MAX_SOCKET_PATH: usize = 107;
/// The longest path below the folder that a daemon binds, with room for a minion's hash.
const LONGEST_SOCKET: &str = "/123456789012345/run/minion_event_0123456789_pull.ipc";

/// The folder that a lab of this process lives in. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _life: File,
}

/// A lab that lives, of whichever process.
#[derive(Debug)]
pub struct LiveLab {
    /// Its folder.
    pub folder: PathBuf,
    pub(crate) state: State,
}

impl Folder {
    /// Makes one in the temporary folder, after removing those of dead labs.
    pub(crate) fn create() -> anyhow::Result<Self> {
        let base = base();
        let _sweep = sweep_lock(&base)?;
        remove_dead(&base);
        let path = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&base)
            .with_context(|| format!("cannot make a folder in {}", base.display()))?
            .keep();
        let longest = path.as_os_str().len() + LONGEST_SOCKET.len();
        if longest > MAX_SOCKET_PATH {
            let _ = fs::remove_dir_all(&path);
            bail!(
                "{} is too long for Salt's sockets by {} bytes; set TMPDIR to a shorter one",
                base.display(),
                longest - MAX_SOCKET_PATH
            );
        }
        let life = File::create(path.join(LIFE_LOCK))?;
        life.try_lock()
            .map_err(|error| anyhow::anyhow!("cannot lock the lab's new folder: {error}"))?;
        Ok(Self { path, _life: life })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let Ok(_sweep) = sweep_lock(&base()) else { return };
        // What is left, the next lab's start removes.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl LiveLab {
    /// All labs that live now and are ready, by name.
    ///
    /// # Errors
    /// The temporary folder can't be read.
    pub fn all() -> anyhow::Result<Vec<Self>> {
        let base = base();
        let _sweep = sweep_lock(&base)?;
        let mut labs = Vec::new();
        for folder in folders(&base) {
            if is_alive(&folder)
                && let Ok(state) = State::load(&folder)
            {
                labs.push(Self { folder, state });
            }
        }
        labs.sort_by(|one, other| one.name().cmp(other.name()));
        Ok(labs)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The process that holds it.
    #[must_use]
    pub fn owner(&self) -> u32 {
        self.state.owner
    }

    /// Whether it runs in the background, started with `lab up`.
    #[must_use]
    pub fn is_background(&self) -> bool {
        self.state.settings.background
    }

    /// Ends the process that holds it, waits until everything in it is gone, and removes its folder.
    ///
    /// # Errors
    /// The process is another user's, or does not end.
    pub fn end(self) -> anyhow::Result<()> {
        // The lock tells that the owner lives, so its id is not somebody else's by now.
        if is_alive(&self.folder) {
            process::send(i32::try_from(self.state.owner)?, Signal::TERM)?;
        }
        until(&format!("the lab {} ends", self.state.name), END, || {
            let gone = process::of_lab(self.state.namespaces.init())?.is_empty();
            Ok((gone && !is_alive(&self.folder)).then_some(()))
        })?;
        sweep()
    }
}

/// Removes the folders of labs whose process is gone.
fn sweep() -> anyhow::Result<()> {
    let base = base();
    let _sweep = sweep_lock(&base)?;
    remove_dead(&base);
    Ok(())
}

fn base() -> PathBuf {
    let base = std::env::temp_dir();
    std::path::absolute(&base).unwrap_or(base)
}

fn sweep_lock(base: &Path) -> anyhow::Result<File> {
    let path = base.join(SWEEP_LOCK);
    // Others may lock it too: any user may have labs here. `open` without O_CREAT, because Linux refuses that
    // for another's file in a sticky folder (fs.protected_regular).
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(_) => {
            let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
            file
        }
    };
    file.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    ensure!(
        path.exists(),
        "{} was removed while it was in use",
        path.display()
    );
    Ok(file)
}

fn folders(base: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(base) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let ours = entry.file_name().to_str()?.starts_with(PREFIX) && entry.file_type().ok()?.is_dir();
            ours.then(|| entry.path())
        })
        .collect()
}

fn remove_dead(base: &Path) {
    for folder in folders(base) {
        if !is_alive(&folder) {
            // Another user's dead lab stays; it is in nobody's way.
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

/// Whether a process holds the folder's lock. A folder that can't be looked into is left alone.
fn is_alive(folder: &Path) -> bool {
    match File::open(folder.join(LIFE_LOCK)) {
        Ok(file) => matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_dead_lab_goes_and_that_of_a_live_one_stays() {
        let live = Folder::create().unwrap();
        // What a killed process leaves: the folder and an unlocked file.
        let dead = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(base())
            .unwrap()
            .keep();
        File::create(dead.join(LIFE_LOCK)).unwrap();
        sweep().unwrap();
        assert!(!dead.exists());
        assert!(live.path().exists());
        let path = live.path().to_owned();
        drop(live);
        assert!(!path.exists());
    }
}
