//! Files made of a client's keys: marked by their first line, for their owner's eyes, written aside and renamed.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::TempPath;
use zeroize::Zeroizing;

use crate::client::Client;
use crate::emit::quoted;
use crate::error::Error;
use crate::store::{ASIDE, aside_prefix};

/// No first line of ours is longer.
const LONGEST_LINE: u64 = 4096;

/// What a file of ours begins with: a comment that names the command and the client.
pub(crate) struct Mark {
    line: String,
    /// The same for any client.
    prefix: String,
}

impl Mark {
    pub(crate) fn new(command: &str, client: &Client) -> Self {
        let prefix = format!("# Written by pki-tools {command} for the client ");
        let mut line = prefix.clone();
        quoted(&client.name, &mut |piece| line.push_str(piece));
        line.push_str("; changes are lost.");
        Self { line, prefix }
    }

    /// The line, without its end.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    /// Who wrote a file that is there.
    pub(crate) fn author(&self, path: &Path) -> io::Result<Author> {
        let mut start = Vec::new();
        File::open(path)?.take(LONGEST_LINE).read_to_end(&mut start)?;
        let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(if line == self.line.as_bytes() {
            Author::Us
        } else if line.starts_with(self.prefix.as_bytes()) {
            Author::UsForAnotherClient
        } else {
            Author::Somebody
        })
    }
}

/// Who wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    /// The same command, for the same client.
    Us,
    /// The same command, for another client.
    UsForAnotherClient,
    Somebody,
}

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// There was none.
    Written,
    /// It had another text.
    Replaced,
    /// It had this text, but others could read it.
    Closed,
    /// It is as it should be.
    Unchanged,
}

/// A file that there should be.
pub(crate) struct Export {
    pub(crate) path: PathBuf,
    pub(crate) text: Zeroizing<String>,
}

impl Export {
    /// What is to be done, and who wrote what is there now.
    ///
    /// # Errors
    /// [`Error::NotRegular`]; [`Error::OwnFile`] for a file that the client itself is in; or it cannot be read.
    pub(crate) fn compare(&self, client: &Client, mark: &Mark) -> Result<(Change, Author), Error> {
        let unreadable = |source| Error::read(&self.path, source);
        let Some(metadata) = regular(&self.path)? else {
            return Ok((Change::Written, Author::Us));
        };
        if client.is_made_of(&self.path) {
            return Err(Error::OwnFile(self.path.clone()));
        }
        let length = u64::try_from(self.text.len()).unwrap_or(u64::MAX);
        let same = metadata.len() == length
            && Zeroizing::new(fs::read(&self.path).map_err(unreadable)?).as_slice() == self.text.as_bytes();
        let change = match same {
            true if metadata.permissions().mode() & 0o077 == 0 => Change::Unchanged,
            true => Change::Closed,
            false => Change::Replaced,
        };
        Ok((change, mark.author(&self.path).map_err(unreadable)?))
    }
}

/// Writes files, with mode 0600 and the owner of what was there: all aside, then each renamed. Folders must exist.
///
/// # Errors
/// [`Error::Write`], which names the files that have been replaced by then; without any, nothing has changed.
pub(crate) fn write(exports: &[Export]) -> Result<(), Error> {
    let fail = |file: &Path, source, written: &[PathBuf]| Error::Write {
        file: file.to_owned(),
        source,
        written: written.to_vec(),
    };
    let folders: BTreeSet<&Path> = exports.iter().map(|export| folder(&export.path)).collect();
    // One pki-tools at a time: what a killed one has left can be told from what another one is writing.
    let locks: Vec<File> = folders.iter().filter_map(|folder| lock(folder)).collect();
    if locks.len() == folders.len() {
        remove_leftovers(exports, &folders);
    }
    let mut aside = Vec::new();
    for export in exports {
        let temporary = write_aside(export).map_err(|e| fail(&export.path, e, &[]))?;
        aside.push((&export.path, temporary));
    }
    let mut written = Vec::new();
    for (path, temporary) in aside {
        temporary
            .persist(path)
            .map_err(|e| fail(path, e.error, &written))?;
        written.push(path.clone());
    }
    for folder in folders {
        // The renames are only safe from a power cut once the folder is on disk.
        File::open(folder)
            .and_then(|dir| dir.sync_all())
            .map_err(|e| fail(folder, e, &written))?;
    }
    Ok(())
}

/// Removes what killed runs have left beside these files; each folder is looked through once.
fn remove_leftovers(exports: &[Export], folders: &BTreeSet<&Path>) {
    // As a listing of the folder names them.
    let listed = |path: &Path| Some(folder(path).join(path.file_name()?));
    let meant: BTreeSet<PathBuf> = exports.iter().filter_map(|export| listed(&export.path)).collect();
    let entries = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten();
    for entry in entries.flatten() {
        let name = entry.file_name();
        // `.NAME.`, random letters, and our ending.
        let aside = name.to_str().and_then(|name| {
            let (file, _) = name.strip_prefix('.')?.strip_suffix(ASIDE)?.rsplit_once('.')?;
            Some(entry.path().with_file_name(file))
        });
        if aside.is_some_and(|file| meant.contains(&file)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The file that is there, if any.
pub(crate) fn regular(path: &Path) -> Result<Option<Metadata>, Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
        Ok(_) => Err(Error::NotRegular(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::read(path, error)),
    }
}

/// Writes a file next to its place. It is closed, since there may be thousands; it goes away if it isn't renamed.
fn write_aside(export: &Export) -> io::Result<TempPath> {
    // Made with mode 0600: nobody else can ever open it.
    let mut temporary = tempfile::Builder::new()
        .prefix(&aside_prefix(&export.path))
        .suffix(ASIDE)
        .tempfile_in(folder(&export.path))?;
    temporary.write_all(export.text.as_bytes())?;
    let mine = temporary.as_file().metadata()?;
    if let Ok(old) = fs::symlink_metadata(&export.path)
        && (mine.uid(), mine.gid()) != (old.uid(), old.gid())
    {
        fchown(temporary.as_file(), Some(old.uid()), Some(old.gid()))?;
    }
    temporary.as_file().sync_all()?;
    Ok(temporary.into_temp_path())
}

/// The lock on a folder, if its file system has locks.
fn lock(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    folder.lock().ok()?;
    Some(folder)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
