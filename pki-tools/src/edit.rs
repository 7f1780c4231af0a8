//! Edits of a client's files: planned on what was read under a lock, verified, written all or none.

use std::collections::BTreeMap;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::error::Error;
use crate::include::Sources;
use crate::store::{Locks, Replacement, replace};
use crate::yaml::{Change, Edited, View, apply, verify};

/// The changes to all files of a run.
#[derive(Default)]
pub(crate) struct Changes<'a> {
    /// For each document, for the offset of each mapping.
    documents: BTreeMap<usize, BTreeMap<usize, Change<'a>>>,
}

impl<'a> Changes<'a> {
    /// The change to a mapping, to be added to.
    pub(crate) fn of(&mut self, mapping: &View<'a>) -> &mut Change<'a> {
        self.documents
            .entry(mapping.document.index)
            .or_default()
            .entry(mapping.node.start.offset)
            .or_insert_with(|| Change::of(mapping.node))
    }

    /// Whether this document is changed.
    pub(crate) fn touch(&self, document: usize) -> bool {
        self.documents.contains_key(&document)
    }

    /// Every document that is changed, with its new text, parsed again and compared with the old one.
    ///
    /// # Errors
    /// [`Error::NoRoom`], [`Error::NotLossless`].
    pub(crate) fn apply(
        &self,
        sources: &Sources,
        texts: &[Zeroizing<String>],
    ) -> Result<BTreeMap<usize, Edited>, Error> {
        let mut all = BTreeMap::new();
        for document in &sources.documents {
            if let Some(changes) = self.documents.get(&document.index) {
                let edited = apply(document, changes, texts)?;
                verify(document, &edited, changes, texts)?;
                all.insert(document.index, edited);
            }
        }
        Ok(all)
    }
}

/// Does something with these clients and what they include, while no other process may edit the files.
pub(crate) fn locked<T>(
    files: &[PathBuf],
    work: impl FnOnce(&Sources) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut paths = Sources::load(files)?.paths();
    loop {
        let locks = Locks::take(&paths)?;
        // What was read before the lock was ours may be old.
        let sources = Sources::load(files)?;
        let now = sources.paths();
        if now == paths {
            let done = work(&sources);
            drop(locks);
            return done;
        }
        // Somebody changed an `include:`; the locks are taken anew, for the files that count now.
        paths = now;
    }
}

/// Writes what [`Changes::apply`] made.
pub(crate) fn write(sources: &Sources, edited: &BTreeMap<usize, Edited>) -> Result<(), Error> {
    let files = edited.iter().filter_map(|(index, edited)| {
        let document = sources.documents.get(*index)?;
        Some(Replacement {
            path: &document.path,
            old: &document.text,
            new: &edited.text,
        })
    });
    replace(&files.collect::<Vec<_>>())
}
