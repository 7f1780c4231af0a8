//! `seal`: private halves become sealed texts where they stand, and nothing else changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rand::Rng as _;
use zeroize::Zeroizing;

use super::halves::{Half, halves, open_all, reported, strays};
use super::report::{Check, Report, readable};
use super::restore::restore;
use super::{Keyring, Options, Secret};
use crate::edit::{Changes, locked, write};
use crate::error::Error;
use crate::include::Sources;
use crate::yaml::{Differs, Document, Edited, NewValue};

/// Seals every private half of these clients and what they include. Those that are sealed already stay, and must
/// open with the same passphrase or key file: a file never has two.
///
/// Nothing is written before the edited texts were unsealed again and were, byte for byte, what they had been.
///
/// # Errors
/// [`Error`], with the place and the remedy. No file has changed then, unless [`Error::Write`] names it.
pub fn seal(files: &[PathBuf], keyring: &Keyring, options: Options) -> Result<Report, Error> {
    if options.dry_run {
        return run(&Sources::load(files)?, &throw_away(), options);
    }
    locked(files, |sources| run(sources, keyring, options))
}

/// Names the private halves that are not sealed. Opens nothing.
///
/// # Errors
/// A file that cannot be read or is not a client's.
pub fn check(files: &[PathBuf]) -> Result<Check, Error> {
    let sources = Sources::load(files)?;
    let halves = halves(&sources)?;
    let (sealed, open): (Vec<_>, Vec<_>) = halves.iter().partition(|half| half.private.is_sealed());
    Ok(Check {
        unsealed: reported(&open, &BTreeMap::new()),
        sealed: sealed.len(),
        strays: strays(&sources, &halves, &BTreeMap::new()),
    })
}

/// For a dry run, which needs no passphrase: what it seals is shown to nobody.
fn throw_away() -> Keyring {
    let mut bytes = Zeroizing::new(vec![0; 32]);
    rand::rng().fill_bytes(&mut bytes);
    Keyring::new(Secret::KeyFile(bytes))
}

fn run(sources: &Sources, keyring: &Keyring, options: Options) -> Result<Report, Error> {
    for document in &sources.documents {
        // That everybody could read them is no reason not to seal them.
        options
            .permissions
            .check_file(&document.path, &document.name, false)?;
    }
    let all = halves(sources)?;
    let (sealed, open): (Vec<_>, Vec<_>) = all.iter().partition(|half| half.private.is_sealed());
    for half in &open {
        half.editable()?;
    }
    if !options.dry_run {
        open_all(&sealed, keyring)?;
    }
    let edited = edit(sources, &open, keyring)?;
    if !options.dry_run {
        write(sources, &edited)?;
    }
    let touched = || {
        let documents = sources.documents.iter();
        documents.filter(|document| edited.contains_key(&document.index))
    };
    Ok(Report {
        dry_run: options.dry_run,
        keys: reported(&open, &edited),
        left: sealed.len(),
        edited: touched().map(|document| document.name.clone()).collect(),
        strays: strays(sources, &all, &edited),
        readable_by_others: touched().filter_map(readable).collect(),
    })
}

/// The new texts, of which [`restore`] makes the old ones.
pub(super) fn edit(
    sources: &Sources,
    open: &[&Half<'_>],
    keyring: &Keyring,
) -> Result<BTreeMap<usize, Edited>, Error> {
    let edited = seal_all(sources, open, keyring, false)?;
    if differs(sources, open, keyring, &edited)?.is_none() {
        return Ok(edited);
    }
    // What looks like ours where it stands may look otherwise once it has stood elsewhere: its bytes are sealed
    // then, instead of a word that they are ours.
    let edited = seal_all(sources, open, keyring, true)?;
    match differs(sources, open, keyring, &edited)? {
        None => Ok(edited),
        Some((document, near)) => Err(Differs::Near(near).error(document)),
    }
}

fn seal_all(
    sources: &Sources,
    open: &[&Half<'_>],
    keyring: &Keyring,
    as_written: bool,
) -> Result<BTreeMap<usize, Edited>, Error> {
    let mut changes = Changes::default();
    let mut texts = Vec::with_capacity(open.len());
    for half in open {
        let text = keyring
            .seal(&half.to_be_sealed(as_written), &half.owner, half.role)
            .map_err(|source| half.fail_to_seal(source))?;
        let value = NewValue::Text(texts.len());
        changes.of(&half.pair).set.push((half.editable()?, value));
        texts.push(Zeroizing::new(text));
    }
    changes.apply(sources, &texts)
}

/// Unseals what was just sealed. Returns the first document that would not be what it was, and the first of its keys.
fn differs<'a>(
    sources: &'a Sources,
    open: &[&Half<'_>],
    keyring: &Keyring,
    edited: &BTreeMap<usize, Edited>,
) -> Result<Option<(&'a Document, String)>, Error> {
    let new: BTreeSet<_> = open.iter().map(|half| half.id()).collect();
    let after = sources.edited(edited)?;
    let halves = halves(&after)?;
    let halves: Vec<_> = halves.iter().filter(|half| new.contains(&half.id())).collect();
    let opened = open_all(&halves, keyring)?;
    let restored = restore(&halves, opened)?;
    let differs = |document: &&Document| {
        let restored = restored.get(&document.index).map(|restored| &restored.text);
        edited.contains_key(&document.index) && restored != Some(&document.text)
    };
    Ok(sources.documents.iter().find(differs).map(|document| {
        let first = open.iter().find(|half| half.document().index == document.index);
        (document, first.map(|half| half.role.path()).unwrap_or_default())
    }))
}
