//! Where minions answered last: a hint that spares the other masters, never an answer.
//!
//! Each minion has a small file of its own in the user's cache folder. Whoever changes it makes a lookup slower by a moment; whoever
//! deletes it, too.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use proto::message::MinionId;
use sha2::{Digest as _, Sha256};

use crate::config::{Config, MasterConfig};
use crate::whole_file;

/// More than any `address:port`.
const LONGEST: u64 = 300;

/// The hints for the minions of one configuration; none where there is no cache folder.
#[derive(Debug)]
pub(super) struct LastSeen {
    folder: Option<PathBuf>,
    /// The masters' `address:port`, in the order of the configuration.
    masters: Vec<String>,
}

impl LastSeen {
    /// `$XDG_CACHE_HOME/saltfo/last-seen`, or `~/.cache/saltfo/last-seen`.
    pub(super) fn of_this_user(config: &Config) -> Self {
        let absolute = |path: PathBuf| path.is_absolute().then_some(path);
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .and_then(absolute)
            .or_else(|| Some(std::env::home_dir().and_then(absolute)?.join(".cache")));
        let place = |master: &MasterConfig| format!("{}:{}", master.address, master.master_port);
        Self::new(
            cache.map(|cache| cache.join("saltfo/last-seen")),
            config.masters.iter().map(place).collect(),
        )
    }

    /// In this folder, for the masters with these `address:port`.
    pub(super) const fn new(folder: Option<PathBuf>, masters: Vec<String>) -> Self {
        Self { folder, masters }
    }

    /// The master, by index, through which all of these minions answered last.
    pub(super) fn of_all(&self, minions: &[MinionId]) -> Option<usize> {
        let mut seen = minions.iter().map(|minion| self.of(minion));
        let first = seen.next()??;
        seen.all(|other| other == Some(first)).then_some(first)
    }

    fn of(&self, minion: &MinionId) -> Option<usize> {
        let mut place = String::new();
        let file = File::open(self.file(minion)?).ok()?;
        file.take(LONGEST).read_to_string(&mut place).ok()?;
        self.masters.iter().position(|master| *master == place)
    }

    /// This minion has answered through this master.
    pub(super) fn note(&self, minion: &MinionId, master: usize) {
        let (Some(folder), Some(file)) = (&self.folder, self.file(minion)) else {
            return;
        };
        if self.of(minion) == Some(master) {
            return;
        }
        let Some(master) = self.masters.get(master) else {
            return;
        };
        if let Err(error) = write(folder, &file, master) {
            tracing::debug!(file = %file.display(), %error, "cannot note where the minion is");
        }
    }

    /// Minions of different clients may have the same id: the masters tell them apart.
    fn file(&self, minion: &MinionId) -> Option<PathBuf> {
        let mut digest = Sha256::new();
        for master in &self.masters {
            digest.update(master);
            digest.update([0]);
        }
        digest.update(minion.as_str());
        let digest = digest.finalize();
        let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Some(self.folder.as_ref()?.join(name))
    }
}

fn write(folder: &Path, file: &Path, place: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // What a power cut takes is found again.
    whole_file::write(file, place.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(folder: Option<&Path>, masters: &[&str]) -> LastSeen {
        LastSeen::new(
            folder.map(Path::to_owned),
            masters.iter().map(|&master| master.to_owned()).collect(),
        )
    }

    fn minions(ids: &[&str]) -> Vec<MinionId> {
        ids.iter().map(|id| MinionId::parse(id).unwrap()).collect()
    }

    #[test]
    fn what_was_noted_is_known_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        let (seen, ids) = (seen(Some(&inner), &["a:4506", "b:4506"]), minions(&["minion01"]));
        assert_eq!(seen.of_all(&ids), None);
        seen.note(&ids[0], 1);
        assert_eq!(seen.of_all(&ids), Some(1));
        seen.note(&ids[0], 0);
        assert_eq!(seen.of_all(&ids), Some(0));
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 1);
    }

    #[test]
    fn only_minions_that_were_all_at_one_master_have_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let (seen, ids) = (
            seen(Some(folder.path()), &["a:4506", "b:4506"]),
            minions(&["minion01", "minion02"]),
        );
        seen.note(&ids[0], 1);
        assert_eq!(seen.of_all(&ids), None);
        seen.note(&ids[1], 1);
        assert_eq!(seen.of_all(&ids), Some(1));
        seen.note(&ids[1], 0);
        assert_eq!(seen.of_all(&ids), None);
        assert_eq!(seen.of_all(&[]), None);
    }

    #[test]
    fn minions_of_the_same_name_at_other_masters_are_others() {
        let folder = tempfile::tempdir().unwrap();
        let ids = minions(&["minion01"]);
        seen(Some(folder.path()), &["a:4506", "b:4506"]).note(&ids[0], 1);
        assert_eq!(
            seen(Some(folder.path()), &["c:4506", "b:4506"]).of_all(&ids),
            None
        );
    }

    #[test]
    fn rubbish_or_no_folder_is_no_hint() {
        let folder = tempfile::tempdir().unwrap();
        let (seen_here, ids) = (seen(Some(folder.path()), &["a:4506"]), minions(&["minion01"]));
        let file = seen_here.file(&ids[0]).unwrap();
        for rubbish in [b"".as_slice(), b"z:4506", b"\xff\xfe", &[b'a'; 100_000]] {
            std::fs::write(&file, rubbish).unwrap();
            assert_eq!(seen_here.of_all(&ids), None);
        }
        let nowhere = seen(None, &["a:4506"]);
        nowhere.note(&ids[0], 0);
        assert_eq!(nowhere.of_all(&ids), None);
    }
}
