//! A folder as an open handle: what lies in it is reached from there by its name, and links are never followed.
//!
//! Who owns a folder can exchange what lies in it at any moment. From one handle to the next there is no path
//! that could lead elsewhere meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, RawMode, RenameFlags, ResolveFlags, Stat, Uid,
};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::error::InstallError;
use super::owner::Owner;

/// No key and no configuration file is longer; of a longer one it is enough to know that it differs.
pub(super) const LONGEST: usize = 1024 * 1024;

/// The same for `passwd` and `group`, which have a line for each user.
const LONGEST_DATABASE: u64 = 64 * 1024 * 1024;

/// An open folder.
pub(super) struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

/// What lies under a name.
pub(super) enum Entry {
    Absent,
    File(Content),
    Link(PathBuf),
    /// A folder, a pipe, a device.
    Other,
}

/// A file that was read.
pub(super) struct Content {
    /// Nothing if it is too long to be what we look for.
    pub(super) bytes: Option<Zeroizing<Vec<u8>>>,
    pub(super) mode: u32,
    pub(super) owner: Owner,
}

impl Folder {
    /// Opens the folder that is `/` on the host. The operator named it, so here links are followed.
    pub(super) fn open_root(path: &Path) -> Result<Self, InstallError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| InstallError::at(path, e))?;
        let path = path.to_owned();
        Ok(Self { handle, path })
    }

    /// Its path, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn path_of(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a folder several levels below. Links in between are followed as the host follows them: an absolute
    /// one begins at this folder, and none leads out of it.
    pub(super) fn open_below(&self, path: &str) -> Result<Option<Self>, InstallError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match self.resolve(path, flags) {
            Ok(handle) => Ok(Some(Self {
                handle,
                path: self.path_of(path),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(InstallError::at(&self.path_of(path), error)),
        }
    }

    /// The text of a file several levels below, found in the same way.
    pub(super) fn read_below(&self, path: &str) -> Result<Option<String>, InstallError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let handle = match self.resolve(path, flags) {
            Ok(handle) => handle,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(InstallError::at(&self.path_of(path), error)),
        };
        let mut bytes = Vec::new();
        File::from(handle)
            .take(LONGEST_DATABASE)
            .read_to_end(&mut bytes)
            .map_err(|e| InstallError::at(&self.path_of(path), e))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn resolve(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.handle, path, flags, Mode::empty(), resolve) {
            // Linux before 5.6, or a container that does not know the call: step by step, without any link.
            Err(Errno::NOSYS | Errno::PERM) => self.resolve_step_by_step(path, flags),
            result => result,
        }
    }

    fn resolve_step_by_step(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut names = path.split('/').peekable();
        let mut handle = self.handle.try_clone().map_err(|_| Errno::MFILE)?;
        while let Some(name) = names.next() {
            let flags = match names.peek() {
                Some(_) => OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                None => flags,
            };
            handle = rustix::fs::openat(&handle, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(handle)
    }

    /// Opens a folder in it; nothing if there is none of that name.
    pub(super) fn open(&self, name: &str) -> Result<Option<Self>, InstallError> {
        let path = self.path_of(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => Ok(Some(Self { handle, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(InstallError::NotAFolder {
                path,
                is_link: self.stat(name).is_ok_and(|stat| kind(&stat) == FileType::Symlink),
            }),
            Err(error) => Err(InstallError::at(&path, error)),
        }
    }

    /// Makes a folder in it, of this owner and mode.
    pub(super) fn make(&self, name: &str, mode: u32, owner: Option<Owner>) -> Result<Self, InstallError> {
        let path = self.path_of(name);
        rustix::fs::mkdirat(&self.handle, name, Mode::RWXU).map_err(|e| InstallError::at(&path, e))?;
        let made = self
            .open(name)?
            .ok_or_else(|| InstallError::at(&path, Errno::NOENT));
        let made = made.and_then(|made| made.give(mode, owner).map(|()| made));
        if made.is_err() {
            self.remove_folder(name);
        }
        made
    }

    /// Takes a folder away that has just been made and is empty.
    pub(super) fn remove_folder(&self, name: &str) {
        // What cannot be taken away is in nobody's way.
        let _ = rustix::fs::unlinkat(&self.handle, name, AtFlags::REMOVEDIR);
    }

    /// Its mode and owner.
    pub(super) fn state(&self) -> Result<(u32, Owner), InstallError> {
        let stat = rustix::fs::fstat(&self.handle).map_err(|e| InstallError::at(&self.path, e))?;
        Ok((mode(&stat), owner(&stat)))
    }

    /// Gives it to this owner, with this mode.
    pub(super) fn give(&self, mode: u32, owner: Option<Owner>) -> Result<(), InstallError> {
        give(&self.handle, mode, owner).map_err(|e| InstallError::at(&self.path, e))
    }

    /// The file system that it is on.
    pub(super) fn device(&self) -> Option<u64> {
        #[allow(
            clippy::useless_conversion,
            reason = "its type differs from machine to machine"
        )]
        rustix::fs::fstat(&self.handle)
            .ok()
            .map(|stat| stat.st_dev.into())
    }

    /// Takes a lock that other runs on this folder wait for; false if another one has it.
    pub(super) fn lock(&self) -> Result<bool, InstallError> {
        match rustix::fs::flock(&self.handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(InstallError::at(&self.path, error)),
        }
    }

    /// The names of all that lies in it, sorted.
    pub(super) fn names(&self) -> Result<Vec<OsString>, InstallError> {
        let fail = |error: Errno| InstallError::at(&self.path, error);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle).map_err(fail)? {
            let name = OsString::from_vec(entry.map_err(fail)?.file_name().to_bytes().to_vec());
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// What lies under a name. A file is read.
    pub(super) fn look(&self, name: impl AsRef<OsStr>) -> Result<Entry, InstallError> {
        let name = name.as_ref();
        let path = self.path_of(name);
        let fail = |error: io::Error| InstallError::at(&path, error);
        let stat = match self.stat(name) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Entry::Absent),
            Err(error) => return Err(fail(error.into())),
        };
        match kind(&stat) {
            FileType::RegularFile => {}
            FileType::Symlink => {
                let target =
                    rustix::fs::readlinkat(&self.handle, name, Vec::new()).map_err(|e| fail(e.into()))?;
                return Ok(Entry::Link(OsString::from_vec(target.into_bytes()).into()));
            }
            _ => return Ok(Entry::Other),
        }
        // It may be something else by now; a pipe must not keep us waiting.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let handle = match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::LOOP | Errno::NXIO) => return Ok(Entry::Other),
            Err(error) => return Err(fail(error.into())),
        };
        let stat = rustix::fs::fstat(&handle).map_err(|e| fail(e.into()))?;
        if kind(&stat) != FileType::RegularFile {
            return Ok(Entry::Other);
        }
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        let bytes = if size > LONGEST {
            None
        } else {
            // The room is there before reading, so that no copy is left behind by growing.
            let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
            let limit = u64::try_from(size).unwrap_or(u64::MAX);
            File::from(handle)
                .take(limit)
                .read_to_end(&mut bytes)
                .map_err(fail)?;
            Some(bytes)
        };
        Ok(Entry::File(Content {
            bytes,
            mode: mode(&stat),
            owner: owner(&stat),
        }))
    }

    /// Whether something lies under a name, whatever it is.
    pub(super) fn has(&self, name: impl AsRef<OsStr>) -> bool {
        self.stat(name.as_ref()).is_ok()
    }

    /// Whose it is what lies under a name.
    pub(super) fn owner_of(&self, name: impl AsRef<OsStr>) -> Option<Owner> {
        self.stat(name).ok().map(|stat| owner(&stat))
    }

    /// Writes a new file and brings it to disk. Nobody else can open it before owner and mode are right.
    pub(super) fn write(&self, name: &str, bytes: &[u8], mode: u32, owner: Option<Owner>) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(handle);
        file.write_all(bytes)?;
        give(&file, mode, owner)?;
        file.sync_all()
    }

    /// Moves a file from here to another folder of the same file system, there over what lies under that name.
    pub(super) fn move_over(&self, from: &str, to: &Self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, from, &to.handle, name)?)
    }

    /// The same within the folder, but never over anything; false if the name is taken.
    pub(super) fn move_beside(&self, from: &str, name: &str) -> io::Result<bool> {
        let no_replace = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(&self.handle, from, &self.handle, name, no_replace) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            // File systems and kernels that cannot promise it; the folder is locked against other runs.
            Err(Errno::INVAL | Errno::NOSYS) if self.has(name) => Ok(false),
            Err(Errno::INVAL | Errno::NOSYS) => self.move_over(from, self, name).map(|()| true),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file, or a link itself.
    pub(super) fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(
            &self.handle,
            name.as_ref(),
            AtFlags::empty(),
        )?)
    }

    /// Brings renames and removals to disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.handle)?)
    }

    fn stat(&self, name: impl AsRef<OsStr>) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.handle, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW)
    }
}

fn give(handle: impl AsFd, bits: u32, owner: Option<Owner>) -> io::Result<()> {
    let handle = handle.as_fd();
    if let Some(Owner { user, group }) = owner {
        rustix::fs::fchown(handle, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
    }
    // After the owner: chown(2) takes bits away.
    Ok(rustix::fs::fchmod(handle, Mode::from_raw_mode(bits as RawMode))?)
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn mode(stat: &Stat) -> u32 {
    Mode::from_raw_mode(stat.st_mode).as_raw_mode() & 0o7777
}

fn owner(stat: &Stat) -> Owner {
    Owner {
        user: stat.st_uid,
        group: stat.st_gid,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn without_openat2_folders_are_found_step_by_step_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("etc/salt")).unwrap();
        fs::write(dir.path().join("etc/passwd"), "root").unwrap();
        symlink("etc", dir.path().join("link")).unwrap();
        symlink("passwd", dir.path().join("etc/linked")).unwrap();
        let root = Folder::open_root(dir.path()).unwrap();
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = OFlags::RDONLY | OFlags::CLOEXEC;
        assert!(root.resolve_step_by_step("etc/salt", folder).is_ok());
        assert!(root.resolve_step_by_step("etc/passwd", file).is_ok());
        for (path, flags) in [("link/salt", folder), ("etc/linked", file), ("link", folder)] {
            let error = root.resolve_step_by_step(path, flags).err();
            assert!(
                matches!(error, Some(Errno::LOOP | Errno::NOTDIR)),
                "{path}: {error:?}"
            );
        }
        assert_eq!(
            root.resolve_step_by_step("etc/none", file).err(),
            Some(Errno::NOENT)
        );
    }
}
