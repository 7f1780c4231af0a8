//! Makes the difference: everything is written aside first, then moved into place.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rand::Rng as _;

use super::Options;
use super::error::InstallError;
use super::folder::Folder;
use super::look::{Found, Look, Step};
use super::owner::Owner;
use super::plan::Place;
use super::tree::Tree;

/// How the names of files begin that are not in place yet. They lie beside accepted keys only if they must, and
/// then have a dot in front, as nothing that Salt takes for a key.
const ASIDE: &str = ".pki-tools-";

/// How many names are tried for an old file.
const TRIES: u32 = 100;

/// What was written, for the report.
pub(super) struct Written {
    /// Folders that were made.
    pub(super) made: Vec<PathBuf>,
    /// For each step, the name under which the old file was kept.
    pub(super) kept: Vec<Option<String>>,
}

impl Written {
    /// What would be written at this time.
    pub(super) fn nothing(tree: &Tree, look: &Look<'_>, now: SystemTime) -> Self {
        let kept = look.steps.iter().map(|step| match step.found {
            Found::Other(Some(_)) => {
                let names = names_beside(&step.name, now);
                let free = |name: &String| {
                    tree.folder(step.file.place)
                        .is_none_or(|folder| !folder.has(name))
                };
                names.into_iter().find(free)
            }
            _ => None,
        });
        Self {
            made: tree.missing(),
            kept: kept.collect(),
        }
    }
}

/// Writes what [`Look`] found to be missing or different.
///
/// # Errors
/// [`InstallError::Write`]. Until the first file is moved into place nothing has changed.
pub(super) fn write(
    tree: &mut Tree,
    look: &Look<'_>,
    options: &Options,
    now: SystemTime,
) -> Result<Written, InstallError> {
    let mut written = Vec::new();
    let result = write_all(tree, look, options, now, &mut written);
    // What has been written needs its folders, whatever came after it.
    let made = match (&result, written.is_empty()) {
        (Err(_), true) => Vec::new(),
        _ => tree.keep(),
    };
    match result {
        Ok(kept) => Ok(Written { made, kept }),
        Err((path, source)) => Err(InstallError::Write {
            path,
            source,
            written,
        }),
    }
}

type Failure = (PathBuf, io::Error);

fn write_all(
    tree: &Tree,
    look: &Look<'_>,
    options: &Options,
    now: SystemTime,
    written: &mut Vec<PathBuf>,
) -> Result<Vec<Option<String>>, Failure> {
    let folders = [Place::Minions, Place::Pki, Place::Config].map(|place| tree.folder(place));
    for folder in folders.into_iter().flatten() {
        sweep(folder);
    }
    let mut aside = Aside::default();
    for (number, step) in look.steps.iter().enumerate() {
        aside.step(tree, number, step)?;
    }
    // Old keys first: from here on nothing can be lost.
    let kept = aside.keep(look, now, written)?;
    for place in [Place::Minions, Place::Pki, Place::Config] {
        aside.place(tree, look, place, written)?;
    }
    if let (true, Some(minions)) = (options.prune, tree.folder(Place::Minions)) {
        for name in &look.strangers {
            let path = minions.path_of(name);
            minions.remove(name).map_err(|e| (path.clone(), e))?;
            written.push(path);
        }
    }
    if !written.is_empty() {
        for folder in folders.into_iter().flatten() {
            // Only from here on it survives a power cut.
            folder.sync().map_err(|e| (folder.path().to_owned(), e))?;
        }
    }
    Ok(kept)
}

/// Removes what a run has left that was killed. The folder is locked, so nobody needs it any more.
fn sweep(folder: &Folder) {
    for name in folder.names().unwrap_or_default() {
        if name.to_str().is_some_and(|name| name.starts_with(ASIDE)) {
            let _ = folder.remove(&name);
        }
    }
}

/// The files that are not in place yet. They go away with it.
#[derive(Default)]
struct Aside<'a> {
    files: Vec<AsideFile<'a>>,
}

struct AsideFile<'a> {
    folder: &'a Folder,
    name: String,
    /// The number of its step.
    step: usize,
    /// It is what was there until now.
    is_old: bool,
}

impl<'a> Aside<'a> {
    fn step(&mut self, tree: &'a Tree, number: usize, step: &Step<'_>) -> Result<(), Failure> {
        let file = step.file;
        let (new, old) = match &step.found {
            // Too long a file was refused.
            Found::Same | Found::Right | Found::TooLong => return Ok(()),
            Found::Nothing | Found::Flawed(_) => (file.text.as_bytes(), None),
            Found::Other(old) => (file.text.as_bytes(), old.as_ref()),
        };
        let owner = match file.place {
            Place::Config => tree.own,
            Place::Pki | Place::Minions => tree.owner,
        };
        let path = tree.path_of(file.place, &step.name);
        let Some(folder) = aside_of(tree, file.place) else {
            return Err((path, io::ErrorKind::NotFound.into()));
        };
        self.write(folder, &path, (number, false), new, file.mode, owner)?;
        if let Some(old) = old {
            self.write(folder, &path, (number, true), old, file.mode, owner)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        folder: &'a Folder,
        path: &Path,
        (step, is_old): (usize, bool),
        bytes: &[u8],
        mode: u32,
        owner: Option<Owner>,
    ) -> Result<(), Failure> {
        let name = format!("{ASIDE}{:016x}", rand::rng().next_u64());
        // Noted before it is there: it may be left half written.
        self.files.push(AsideFile {
            folder,
            name: name.clone(),
            step,
            is_old,
        });
        folder
            .write(&name, bytes, mode, owner)
            .map_err(|e| (path.to_owned(), e))
    }

    /// Puts old files beside the new ones, under names that are free.
    fn keep(
        &mut self,
        look: &Look<'_>,
        now: SystemTime,
        written: &mut Vec<PathBuf>,
    ) -> Result<Vec<Option<String>>, Failure> {
        let mut kept = vec![None; look.steps.len()];
        while let Some(at) = self.files.iter().position(|file| file.is_old) {
            let file = self.files.swap_remove(at);
            let Some(step) = look.steps.get(file.step) else {
                continue;
            };
            let moved = names_beside(&step.name, now)
                .into_iter()
                .find_map(|name| match file.folder.move_beside(&file.name, &name) {
                    Ok(true) => Some(Ok(name)),
                    Ok(false) => None,
                    Err(error) => Some(Err(error)),
                })
                .unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()));
            match moved {
                Ok(name) => {
                    written.push(file.folder.path_of(&name));
                    if let Some(slot) = kept.get_mut(file.step) {
                        *slot = Some(name);
                    }
                }
                Err(error) => {
                    let path = file.folder.path_of(&step.name);
                    self.files.push(file);
                    return Err((path, error));
                }
            }
        }
        Ok(kept)
    }

    /// Moves the new files of a folder into place.
    fn place(
        &mut self,
        tree: &Tree,
        look: &Look<'_>,
        place: Place,
        written: &mut Vec<PathBuf>,
    ) -> Result<(), Failure> {
        let Some(to) = tree.folder(place) else {
            return Ok(());
        };
        let is_there = |file: &AsideFile<'_>| {
            let step = look.steps.get(file.step);
            step.is_some_and(|step| step.file.place == place)
        };
        while let Some(at) = self.files.iter().position(is_there) {
            let file = self.files.remove(at);
            let Some(step) = look.steps.get(file.step) else {
                continue;
            };
            let path = to.path_of(&step.name);
            if let Err(error) = file.folder.move_over(&file.name, to, &step.name) {
                self.files.push(file);
                return Err((path, error));
            }
            written.push(path);
        }
        Ok(())
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        for file in &self.files {
            // One that was not even begun is not there.
            let _ = file.folder.remove(&file.name);
        }
    }
}

/// Where a file waits: every file among accepted keys is one, so those wait a level higher if they can be moved from
/// there.
fn aside_of(tree: &Tree, place: Place) -> Option<&Folder> {
    let folder = tree.folder(place)?;
    match (place, tree.folder(Place::Pki)) {
        (Place::Minions, Some(pki)) if pki.device() == folder.device() => Some(pki),
        _ => Some(folder),
    }
}

/// Names for an old file. They have the time in them, and do not end like a key's, because `salt-key` lists all that
/// do.
fn names_beside(name: &str, now: SystemTime) -> Vec<String> {
    let first = format!("{name}.{}", stamp(now));
    let others = (2..TRIES).map(|number| format!("{first}-{number}"));
    std::iter::once(first.clone()).chain(others).collect()
}

/// `20261121T154900Z`.
fn stamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // The Gregorian calendar repeats after 400 years; years begin in March, so that the leap day is the last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        // As `date -u -d @N +%Y%m%dT%H%M%SZ` prints them.
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_798_761_599, "20261231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
            (13_574_649_599, "24000229T235959Z"),
        ] {
            assert_eq!(
                stamp(UNIX_EPOCH + Duration::from_secs(seconds)),
                text,
                "{seconds}"
            );
        }
    }
}
