//! When the minion was last restarted, kept over restarts of the sidecar itself: one that crashes again and again would restart the
//! minion each time.
//!
//! The time of day, as no other clock goes on from one process to the next. One that was set changes when the next restart is allowed,
//! but by no more than `restart_backoff` after our start.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proto::message::MinionId;

use crate::{traffic, whole_file};

/// What systemd.exec(5) names the folders of a service: `StateDirectory=`, `RuntimeDirectory=`.
const VARIABLES: [&str; 2] = ["STATE_DIRECTORY", "RUNTIME_DIRECTORY"];
/// More than a time takes.
const LONGEST: u64 = 64;

/// The place where it is kept.
#[derive(Debug)]
pub struct LastRestart {
    /// Written in the first that takes it, looked for in all.
    files: Vec<PathBuf>,
}

impl LastRestart {
    /// In the folder that systemd gives to us; else where saltfo's lock files are.
    #[must_use]
    pub fn of(minion: &MinionId) -> Self {
        let given = VARIABLES.into_iter().filter_map(std::env::var_os);
        // Several folders stand there with colons between.
        let given = given.filter_map(|folders| std::env::split_paths(&folders).next());
        let given = given.filter(|folder| folder.is_absolute());
        Self::in_folders(given.chain(traffic::folders()), minion)
    }

    /// In one of these folders.
    pub fn in_folders(folders: impl IntoIterator<Item = PathBuf>, minion: &MinionId) -> Self {
        let name = format!("saltfo-restarted-{minion}");
        Self {
            files: folders.into_iter().map(|folder| folder.join(&name)).collect(),
        }
    }

    /// How long ago it was, if there was one. A time in the future counts as now: the clock has been set.
    #[must_use]
    pub fn ago(&self, now: SystemTime) -> Option<Duration> {
        let times = self.files.iter().filter_map(|file| match read(file) {
            Ok(at) => Some(at),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the time of the last restart cannot be read");
                None
            }
        });
        times.map(|at| now.duration_since(at).unwrap_or_default()).min()
    }

    /// Notes that it is restarted now.
    ///
    /// # Errors
    /// No folder takes it: that of the last one.
    pub fn note(&self, now: SystemTime) -> io::Result<()> {
        let mut result = Err(io::ErrorKind::NotFound.into());
        for file in &self.files {
            let line = format!("{}\n", humantime::format_rfc3339_seconds(now));
            result = whole_file::write(file, line.as_bytes());
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

fn read(file: &Path) -> io::Result<SystemTime> {
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
    humantime::parse_rfc3339(text.trim_end())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn kept_in(folders: &[&Path]) -> LastRestart {
        let folders = folders.iter().map(|folder| folder.to_path_buf());
        LastRestart::in_folders(folders, &MinionId::parse("minion01").unwrap())
    }

    /// A moment without fractions of a second, which are not kept.
    fn moment() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_287_600)
    }

    #[test]
    fn who_comes_after_us_knows_when_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(kept_in(&[folder.path()]).ago(moment()), None);
        kept_in(&[folder.path()]).note(moment() - HOUR).unwrap();
        kept_in(&[folder.path()]).note(moment()).unwrap();
        assert_eq!(kept_in(&[folder.path()]).ago(moment() + HOUR), Some(HOUR));
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "left something behind"
        );
        let other = MinionId::parse("minion02").unwrap();
        let other = LastRestart::in_folders([folder.path().to_owned()], &other);
        assert_eq!(other.ago(moment()), None);
    }

    #[test]
    fn a_time_in_the_future_counts_as_now() {
        let folder = tempfile::tempdir().unwrap();
        kept_in(&[folder.path()]).note(moment() + 1000 * HOUR).unwrap();
        assert_eq!(kept_in(&[folder.path()]).ago(moment()), Some(Duration::ZERO));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept_in(&[&folder.path().join("missing"), folder.path()]);
        kept.note(moment()).unwrap();
        assert_eq!(kept.ago(moment() + HOUR), Some(HOUR));
        assert!(kept_in(&[&folder.path().join("missing")]).note(moment()).is_err());
    }

    #[test]
    fn what_is_no_time_of_ours_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("saltfo-restarted-minion01");
        let kept = kept_in(&[folder.path()]);
        for text in [
            "",
            "yesterday\n",
            "\u{0}\u{0}",
            &"2026-11-21T19:00:00Z".repeat(1000),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(kept.ago(moment()), None, "{text:?}");
        }
        fs::remove_file(&file).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "2026-11-21T19:00:00Z\n").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert_eq!(kept.ago(moment()), None);
        // A link is replaced, not followed.
        kept.note(moment()).unwrap();
        assert_eq!(kept.ago(moment()), Some(Duration::ZERO));
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "2026-11-21T19:00:00Z\n");
    }
}
