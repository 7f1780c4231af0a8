//! Files on disk: locked while they are edited, replaced as a whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::error::Error;

/// Exclusive locks, given back on drop.
#[derive(Debug)]
pub(crate) struct Locks {
    /// An open file is the lock.
    _files: Vec<File>,
}

impl Locks {
    /// Locks files.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process has one: its edit would be lost under ours, or ours under its.
    pub(crate) fn take(paths: &[PathBuf]) -> Result<Self, Error> {
        let locked = paths.iter().map(|path| {
            let failed = |source| Error::Lock {
                file: path.clone(),
                source,
            };
            lock(path)
                .map_err(failed)?
                .ok_or_else(|| Error::Busy(path.clone()))
        });
        Ok(Self {
            _files: locked.collect::<Result<_, _>>()?,
        })
    }
}

/// The lock; nothing if another process has it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = File::open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Who had the lock before has put a new file in its place: that one counts.
        if same(&file.metadata()?, &fs::metadata(path)?) {
            return Ok(Some(file));
        }
    }
}

fn same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// A file to be replaced.
pub(crate) struct Replacement<'a> {
    /// Its real path.
    pub(crate) path: &'a Path,
    pub(crate) old: &'a str,
    pub(crate) new: &'a str,
}

/// Replaces files. All are written aside first, then renamed: each is either old or new at any time.
///
/// # Errors
/// [`Error::Changed`] if one is not what it was when read, [`Error::Write`]. The files that were
/// already replaced are named in it; without any, nothing was changed.
pub(crate) fn replace(files: &[Replacement<'_>]) -> Result<(), Error> {
    let fail = |file: &Path, source, written: &[PathBuf]| Error::Write {
        file: file.to_owned(),
        source,
        written: written.to_vec(),
    };
    for file in files {
        remove_leftovers(file.path);
    }
    let mut aside = Vec::new();
    for file in files {
        let temporary = write_aside(file.path, file.new).map_err(|e| fail(file.path, e, &[]))?;
        aside.push((file.path, temporary));
    }
    for file in files {
        let now = fs::read(file.path).map_err(|e| Error::read(file.path, e))?;
        // It holds private keys.
        let now = Zeroizing::new(now);
        if *now != file.old.as_bytes() {
            return Err(Error::Changed(file.path.to_owned()));
        }
    }
    let mut written = Vec::new();
    for (path, temporary) in aside {
        temporary
            .persist(path)
            .map_err(|e| fail(path, e.error, &written))?;
        written.push(path.to_owned());
        // The rename is only safe from a power cut once the folder is on disk.
        File::open(folder(path))
            .and_then(|dir| dir.sync_all())
            .map_err(|e| fail(path, e, &written))?;
    }
    Ok(())
}

/// What the names of files that are written aside end in.
pub(crate) const ASIDE: &str = ".pki-tools";

pub(crate) fn aside_prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

/// Removes what a run that was killed has left beside a file: it holds private keys, and under the lock of the
/// file nobody else is at work. That it cannot be removed is no reason not to go on.
fn remove_leftovers(path: &Path) {
    let prefix = aside_prefix(path);
    let Ok(entries) = fs::read_dir(folder(path)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(prefix.as_encoded_bytes()) && name.ends_with(ASIDE.as_bytes()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes a text next to a file, with the mode and owner of that file. It goes away if it isn't renamed.
fn write_aside(path: &Path, text: &str) -> io::Result<NamedTempFile> {
    let like = fs::metadata(path)?;
    // The file begins with mode 0600: nobody else can open it before owner and mode are right.
    let mut temporary = tempfile::Builder::new()
        .prefix(&aside_prefix(path))
        .suffix(ASIDE)
        .tempfile_in(folder(path))?;
    temporary.write_all(text.as_bytes())?;
    let mine = temporary.as_file().metadata()?;
    if (mine.uid(), mine.gid()) != (like.uid(), like.gid()) {
        fchown(temporary.as_file(), Some(like.uid()), Some(like.gid()))?;
    }
    temporary.as_file().set_permissions(like.permissions())?;
    temporary.as_file().sync_all()?;
    Ok(temporary)
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_changed_since_it_was_read_is_left_alone_and_so_are_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "old a").unwrap();
        fs::write(&b, "somebody else's").unwrap();
        let files = [
            Replacement {
                path: &a,
                old: "old a",
                new: "new a",
            },
            Replacement {
                path: &b,
                old: "old b",
                new: "new b",
            },
        ];
        let error = replace(&files).unwrap_err();
        assert!(matches!(error, Error::Changed(file) if file == b));
        assert_eq!(fs::read_to_string(&a).unwrap(), "old a");
        assert_eq!(fs::read_to_string(&b).unwrap(), "somebody else's");
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            2,
            "a temporary file was left behind"
        );
    }

    #[test]
    fn mode_and_owner_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before = fs::metadata(&path).unwrap();
        replace(&[Replacement {
            path: &path,
            old: "old",
            new: "new",
        }])
        .unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(
            (after.mode(), after.uid(), after.gid()),
            (before.mode(), before.uid(), before.gid())
        );
    }

    #[test]
    fn what_a_killed_run_left_beside_a_file_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "old").unwrap();
        for name in [".a.x1.pki-tools", ".ab.x1.pki-tools", ".a.swp"] {
            fs::write(dir.path().join(name), "keys").unwrap();
        }
        let files = [Replacement {
            path: &path,
            old: "old",
            new: "new",
        }];
        replace(&files).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, [".a.swp", ".ab.x1.pki-tools", "a"]);
    }

    #[test]
    fn a_locked_file_is_refused_until_the_lock_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "old").unwrap();
        let first = Locks::take(std::slice::from_ref(&path)).unwrap();
        let second = Locks::take(std::slice::from_ref(&path));
        assert!(matches!(second, Err(Error::Busy(file)) if file == path));
        drop(first);
        Locks::take(std::slice::from_ref(&path)).unwrap();
    }
}
