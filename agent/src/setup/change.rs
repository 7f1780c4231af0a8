//! A file that is written whole, or taken away, with what was there kept beside.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use super::SetupError;
use crate::whole_file;

/// Configuration that a person writes is not longer.
const LIMIT: u64 = 1 << 20;
/// So many backups of one file, then the operator should look.
const MOST_BACKUPS: u32 = 100;

/// What is done to a file.
#[derive(Debug)]
pub struct Change {
    /// The file.
    pub file: PathBuf,
    /// What is done.
    pub kind: Kind,
    /// What is in it then; nothing if it is taken away.
    pub content: Option<String>,
    /// What is new in it.
    pub added: Option<String>,
    /// Where what is there now is kept.
    pub backup: Option<PathBuf>,
    before: Option<String>,
}

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is not there yet.
    Create,
    /// It says something else.
    Replace,
    /// It gets lines at its end.
    Append,
    /// It is taken away.
    Remove,
}

impl Change {
    /// To a file that is all ours; nothing if it says so already.
    pub(super) fn write(file: &Path, content: String, backup: &Path) -> Result<Option<Self>, SetupError> {
        let before = read(file)?;
        if before.as_ref() == Some(&content) {
            return Ok(None);
        }
        let kind = match before {
            Some(_) => Kind::Replace,
            None => Kind::Create,
        };
        Ok(Some(Self {
            file: file.to_owned(),
            kind,
            added: Some(content.clone()),
            content: Some(content),
            backup: before.as_ref().map(|before| free(backup, before)).transpose()?,
            before,
        }))
    }

    /// To a file that somebody wrote: every byte of it stays.
    pub(super) fn append(file: &Path, lines: &str, backup: &Path) -> Result<Self, SetupError> {
        let before = read(file)?.unwrap_or_default();
        let mut content = before.clone();
        if !content.is_empty() && !content.ends_with('\n') {
            content.push('\n');
        }
        let added = format!("\n# Added by `saltfo setup relay`.\n{lines}");
        content += &added;
        Ok(Self {
            file: file.to_owned(),
            kind: Kind::Append,
            content: Some(content),
            added: Some(added),
            backup: Some(free(backup, &before)?),
            before: Some(before),
        })
    }

    /// Of a file; nothing if it is not there.
    pub(super) fn removal(file: &Path, backup: &Path) -> Result<Option<Self>, SetupError> {
        let Some(before) = read(file)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            file: file.to_owned(),
            kind: Kind::Remove,
            content: None,
            added: None,
            backup: Some(free(backup, &before)?),
            before: Some(before),
        }))
    }

    /// Does it: what is there is kept first.
    pub(super) fn apply(&self) -> Result<(), SetupError> {
        if read(&self.file)? != self.before {
            let error = io::Error::other("it has changed meanwhile: run this again");
            return Err(failed(&self.file)(error));
        }
        if let (Some(before), Some(backup)) = (&self.before, &self.backup) {
            put(backup, before, &self.file).map_err(failed(backup))?;
        }
        let done = match &self.content {
            Some(content) => put(&self.file, content, &self.file),
            None => fs::remove_file(&self.file).and_then(|()| sync_folder(&self.file)),
        };
        done.map_err(failed(&self.file))
    }
}

fn failed(file: &Path) -> impl Fn(io::Error) -> SetupError {
    move |source| SetupError::Write {
        file: file.to_owned(),
        source,
    }
}

/// A file's text; nothing if it is not there.
fn read(path: &Path) -> Result<Option<String>, SetupError> {
    let read = || -> io::Result<Option<String>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut text = String::new();
        file.take(LIMIT + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LIMIT {
            return Err(io::Error::other("it is far too long"));
        }
        Ok(Some(text))
    };
    read().map_err(|source| {
        SetupError::Config(crate::config::ConfigError::Unreadable {
            file: path.to_owned(),
            what: "file to be changed",
            source,
        })
    })
}

/// The first name that is free, or that holds the same already: no backup takes another's place.
fn free(backup: &Path, before: &str) -> Result<PathBuf, SetupError> {
    for number in 0..MOST_BACKUPS {
        let mut name = backup.as_os_str().to_owned();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        let name = PathBuf::from(name);
        match read(&name)? {
            None => return Ok(name),
            Some(text) if text == before => return Ok(name),
            Some(_) => {}
        }
    }
    let error = io::Error::other(format!("there are {MOST_BACKUPS} backups of it: take some away"));
    Err(failed(backup)(error))
}

/// Writes it beside its place, to disk, and moves it there; with the owner and mode of that other file, if it is there.
fn put(path: &Path, content: &str, like: &Path) -> io::Result<()> {
    // Where a link leads, so that the link stays.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let model = fs::metadata(like).ok();
    let mode = model
        .as_ref()
        .map_or(0o644, |model| model.permissions().mode() & 0o7777);
    let mut aside = whole_file::beside(&path, mode)?;
    if let Some(model) = model {
        let ours = aside.as_file().metadata()?;
        if (ours.uid(), ours.gid()) != (model.uid(), model.gid()) {
            fchown(aside.as_file(), Some(model.uid()), Some(model.gid()))?;
        }
    }
    // Whatever the umask took away.
    aside
        .as_file()
        .set_permissions(fs::Permissions::from_mode(mode))?;
    aside.write_all(content.as_bytes())?;
    aside.as_file().sync_all()?;
    aside.persist(&path)?;
    sync_folder(&path)
}

/// The name, too, outlives a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
