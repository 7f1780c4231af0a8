//! One publish per master from this host at a time, over all processes.
//!
//! The worker of a salt-master that serves a `minion_pub` calls its own master and waits for another
//! worker: as many at once as there are workers, and the whole master stands still for 15 to 90 s. So
//! whoever publishes holds a lock file that is named after the master's address. It is `flock(2)`: a
//! process that dies lets go.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

/// World-writable and cleared at boot on Debian and most others; else the folder for temporary files.
const FOLDER: &str = "/run/lock";
/// Between two tries to get the lock. A publish takes some tens of milliseconds.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Held while a publish is under way; dropping it lets the next one go.
#[derive(Debug)]
pub(crate) struct HostLock {
    _file: Option<File>,
}

/// The turn did not come before the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotInTime;

impl HostLock {
    /// Waits for our turn at this master.
    ///
    /// Where no lock file can be had (a read-only container), goes on without one and says so in the log:
    /// an answer is worth more than order among processes that cannot be there.
    pub(crate) async fn acquire(master: SocketAddr, deadline: Instant) -> Result<Self, NotInTime> {
        let Some(file) = open(master) else {
            return Ok(Self { _file: None });
        };
        let mut pause = Duration::from_millis(1);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: Some(file) }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(%error, "cannot lock: publishing without a lock");
                    return Ok(Self { _file: None });
                }
            }
            if Instant::now() >= deadline {
                return Err(NotInTime);
            }
            // Jittered, so that those who wait do not all come back at once.
            let jitter = rand::rng().random_range(0.5..1.5);
            tokio::time::sleep(pause.mul_f64(jitter)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn open(master: SocketAddr) -> Option<File> {
    let name = format!("saltfo-publish-{}-{}.lock", master.ip(), master.port());
    let folders = [PathBuf::from(FOLDER), std::env::temp_dir()];
    for folder in folders {
        match open_in(&folder, &name) {
            Ok(file) => return Some(file),
            Err(error) => tracing::debug!(folder = %folder.display(), %error, "no lock file here"),
        }
    }
    tracing::warn!("no folder for a lock file: publishing without a lock");
    None
}

/// Opens the file, or makes it. Reading is enough for `flock`, so a file of another user will do.
///
/// The folder is everybody's: links are not followed, a pipe does not hold us up, and what is no plain
/// file is refused.
fn open_in(folder: &Path, name: &str) -> io::Result<File> {
    let path = folder.join(name);
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let open = || OpenOptions::new().read(true).custom_flags(flags).open(&path);
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut options = OpenOptions::new();
            let made = options
                .write(true)
                .create_new(true)
                .mode(0o644)
                .custom_flags(flags)
                .open(&path);
            match made {
                // Somebody was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open()?,
                made => made?,
            }
        }
        opened => opened?,
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::from(io::ErrorKind::InvalidInput))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_one_holds_the_lock_of_a_master_and_the_next_gets_it() {
        let master: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let soon = || Instant::now() + Duration::from_millis(50);
        let held = HostLock::acquire(master, soon()).await.unwrap();
        assert_eq!(HostLock::acquire(master, soon()).await.unwrap_err(), NotInTime);
        let other: SocketAddr = "127.0.0.2:1".parse().unwrap();
        assert!(HostLock::acquire(other, soon()).await.is_ok());
        drop(held);
        assert!(HostLock::acquire(master, soon()).await.is_ok());
    }

    #[test]
    fn links_and_folders_are_no_lock_files() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(open_in(folder.path(), "link").is_err());
        assert!(open_in(folder.path(), "folder").is_err());
        assert!(open_in(folder.path(), "file").is_ok());
    }
}
