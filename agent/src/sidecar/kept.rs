//! What a sidecar keeps for the one after it: a line in a small file, in the folder that systemd gives to us; else where saltfo's lock
//! files are.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use proto::message::MinionId;

use crate::{traffic, whole_file};

/// What systemd.exec(5) names the folders of a service: `StateDirectory=`, `RuntimeDirectory=`.
const VARIABLES: [&str; 2] = ["STATE_DIRECTORY", "RUNTIME_DIRECTORY"];
/// More than a time or a master's name takes.
const LONGEST: u64 = 512;

/// The place where one such line is kept.
#[derive(Debug)]
pub struct Kept {
    /// Written in the first that takes it, looked for in all.
    files: Vec<PathBuf>,
}

impl Kept {
    /// In the folders of this system. `what` is a word for the file's name; each minion of a host has its own.
    #[must_use]
    pub fn of(what: &str, minion: &MinionId) -> Self {
        let given = VARIABLES.into_iter().filter_map(std::env::var_os);
        // Several folders stand there with colons between.
        let given = given.filter_map(|folders| std::env::split_paths(&folders).next());
        let given = given.filter(|folder| folder.is_absolute());
        Self::in_folders(given.chain(traffic::folders()), what, minion)
    }

    /// In one of these folders.
    pub fn in_folders(folders: impl IntoIterator<Item = PathBuf>, what: &str, minion: &MinionId) -> Self {
        let name = format!("saltfo-{what}-{minion}");
        Self {
            files: folders.into_iter().map(|folder| folder.join(&name)).collect(),
        }
    }

    /// The lines that are there, without their ends, each with its file. What is no file of ours is told and left out.
    pub fn lines(&self) -> impl Iterator<Item = (&Path, String)> {
        self.files.iter().filter_map(|file| match read(file) {
            Ok(line) => Some((file.as_path(), line)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "what the sidecar before this one kept cannot be read");
                None
            }
        })
    }

    /// Keeps a line instead of the one before.
    ///
    /// # Errors
    /// No folder takes it: that of the last one.
    pub fn write(&self, line: &str) -> io::Result<()> {
        let mut result = Err(io::ErrorKind::NotFound.into());
        for file in &self.files {
            result = whole_file::write(file, format!("{line}\n").as_bytes());
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

fn read(file: &Path) -> io::Result<String> {
    // The folder may be everybody's.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(file)?;
    let metadata = opened.metadata()?;
    let trusted = [0, rustix::process::geteuid().as_raw()];
    if !metadata.is_file() || !trusted.contains(&metadata.uid()) {
        return Err(io::Error::other("it is not a file of ours: remove it"));
    }
    let mut text = String::new();
    opened.take(LONGEST).read_to_string(&mut text)?;
    Ok(text.trim_end().to_owned())
}
