//! A lock that the processes of a host share: `flock(2)` on a file that anybody may open. A process that dies lets go.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

/// Between two tries to get a lock.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// It grows up to this. A publish takes some tens of milliseconds.
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// The file of a lock. What it holds is its user's.
#[derive(Debug)]
pub(super) struct LockFile(Arc<File>);

/// A lock, alone or with others; dropping it lets go. Empty where there was none to be had.
#[derive(Debug, Default)]
pub(crate) struct Held(Option<Arc<File>>);

/// The lock did not come before the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotInTime;

impl LockFile {
    pub(super) fn open(folder: &Path, name: &str) -> io::Result<Self> {
        Ok(Self(Arc::new(open_in(folder, name)?)))
    }

    pub(super) fn file(&self) -> &File {
        &self.0
    }

    /// Waits until nobody else has it.
    pub(super) async fn alone(&self, deadline: Instant) -> Result<Held, NotInTime> {
        self.when(deadline, || false, || self.0.try_lock()).await
    }

    /// Waits until nobody has it alone.
    pub(super) async fn shared(&self, deadline: Instant) -> Result<Held, NotInTime> {
        self.shared_unless(deadline, || false).await
    }

    /// The same, unless it is given up.
    pub(super) async fn shared_unless(
        &self,
        deadline: Instant,
        give_up: impl Fn() -> bool,
    ) -> Result<Held, NotInTime> {
        self.when(deadline, give_up, || self.0.try_lock_shared()).await
    }

    /// Waits until nobody else has it and nothing forbids it: `forbidden` is asked once it is ours.
    pub(super) async fn alone_if(
        &self,
        deadline: Instant,
        mut forbidden: impl FnMut() -> bool,
    ) -> Result<Held, NotInTime> {
        let attempt = || {
            self.0.try_lock()?;
            if forbidden() {
                release(&self.0);
                return Err(TryLockError::WouldBlock);
            }
            Ok(())
        };
        self.when(deadline, || false, attempt).await
    }

    /// Whether somebody has it. Whoever wants it at this very moment has to try again.
    pub(super) fn is_held(&self) -> bool {
        match self.0.try_lock() {
            Ok(()) => {
                release(&self.0);
                false
            }
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(_)) => false,
        }
    }

    /// Tries until it works or is given up; the waiting of `flock` itself could not be ended.
    async fn when(
        &self,
        deadline: Instant,
        give_up: impl Fn() -> bool,
        mut attempt: impl FnMut() -> Result<(), TryLockError>,
    ) -> Result<Held, NotInTime> {
        let mut pause = FIRST_PAUSE;
        loop {
            match attempt() {
                Ok(()) => return Ok(Held(Some(Arc::clone(&self.0)))),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(%error, "cannot lock: going on without");
                    return Ok(Held::default());
                }
            }
            if Instant::now() >= deadline || give_up() {
                return Err(NotInTime);
            }
            // Jittered, so that those who wait do not all come back at once.
            let jitter = rand::rng().random_range(0.5..1.5);
            tokio::time::sleep(pause.mul_f64(jitter)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
impl Held {
    pub(super) const fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            release(file);
        }
    }
}

/// Where the saltfo processes of a host, whoever runs them, find each other's files: `/run/lock` is world-writable and cleared at boot on
/// Debian and most others; else the folder for temporary files.
pub(crate) fn folders() -> [PathBuf; 2] {
    ["/run/lock".into(), std::env::temp_dir()]
}

fn release(file: &File) {
    if let Err(error) = file.unlock() {
        tracing::debug!(%error, "cannot unlock");
    }
}

/// Opens the file, or makes it for everybody. One that may only be read will do: `flock` asks for no more.
///
/// The folder is everybody's: links are not followed, a pipe does not hold us up, and what is no plain
/// file, or has another name, is refused.
fn open_in(folder: &Path, name: &str) -> io::Result<File> {
    let path = folder.join(name);
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let open = || {
        let writable = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(&path);
        match writable {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                OpenOptions::new().read(true).custom_flags(flags).open(&path)
            }
            opened => opened,
        }
    };
    let make = || -> io::Result<File> {
        let mut options = OpenOptions::new();
        let made = options
            .read(true)
            .write(true)
            .create_new(true)
            .custom_flags(flags)
            .open(&path)?;
        // Whatever the umask says: pipelines run as different users.
        made.set_permissions(std::fs::Permissions::from_mode(0o666))?;
        Ok(made)
    };
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match make() {
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open()?,
            made => made?,
        },
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // The mark of a publish would go into a file that somebody has given this name as well.
    if metadata.nlink() != 1 {
        tracing::warn!(file = %path.display(), "not used as a lock file: it has more than one name, or none; remove it");
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_folders_are_no_lock_files() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(open_in(folder.path(), "link").is_err());
        assert!(open_in(folder.path(), "folder").is_err());
        assert!(open_in(folder.path(), "file").is_ok());
        std::fs::write(folder.path().join("precious"), "kept").unwrap();
        std::fs::hard_link(folder.path().join("precious"), folder.path().join("other")).unwrap();
        assert!(open_in(folder.path(), "other").is_err());
    }
}
