//! When the minion was last restarted, kept over restarts of the sidecar itself: one that crashes again and again would restart the
//! minion each time.
//!
//! The time of day, as no other clock goes on from one process to the next. One that was set changes when the next restart is allowed,
//! but by no more than `restart_backoff` after our start.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use proto::message::MinionId;

use super::kept::Kept;

/// What its file is called by.
const NAME: &str = "restarted";

/// The place where it is kept.
#[derive(Debug)]
pub struct LastRestart(Kept);

impl LastRestart {
    /// Where a sidecar keeps things.
    #[must_use]
    pub fn of(minion: &MinionId) -> Self {
        Self(Kept::of(NAME, minion))
    }

    /// In one of these folders.
    pub fn in_folders(folders: impl IntoIterator<Item = PathBuf>, minion: &MinionId) -> Self {
        Self(Kept::in_folders(folders, NAME, minion))
    }

    /// How long ago it was, if there was one. A time in the future counts as now: the clock has been set.
    #[must_use]
    pub fn ago(&self, now: SystemTime) -> Option<Duration> {
        let times = self.0.lines().filter_map(|(file, line)| {
            let time = humantime::parse_rfc3339(&line);
            if let Err(error) = &time {
                tracing::warn!(file = %file.display(), %error, "the time of the last restart cannot be read");
            }
            time.ok()
        });
        times.map(|at| now.duration_since(at).unwrap_or_default()).min()
    }

    /// Notes that it is restarted now.
    ///
    /// # Errors
    /// No folder takes it: that of the last one.
    pub fn note(&self, now: SystemTime) -> io::Result<()> {
        self.0.write(&humantime::format_rfc3339_seconds(now).to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

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
