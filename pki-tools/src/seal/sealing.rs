//! Which files of a run keep their private halves sealed, and the sealing of new ones that go into them.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Keyring, Opened, Owner, form};
use crate::error::{Error, Place};
use crate::include::Sources;
use crate::keys::{self, Private, Role};
use crate::layout::Layout;

/// The sealed files of a run. A file is one if it holds a sealed private half; or if it holds none at all, but
/// another file of its client is one.
pub(crate) struct Sealing<'a> {
    keyring: &'a Keyring,
    /// For each of them a sealed half, to try the passphrase on.
    samples: BTreeMap<usize, Private>,
}

impl<'a> Sealing<'a> {
    /// Looks through the files. Opens nothing.
    pub(crate) fn of(sources: &Sources, keyring: &'a Keyring) -> Result<Self, Error> {
        let mut samples = BTreeMap::new();
        for documents in sources.clients() {
            if !documents
                .iter()
                .any(|document| document.text.contains(form::PREFIX))
            {
                continue;
            }
            let layout = Layout::of(&documents)?;
            let mut with_keys = Vec::new();
            let mut first = None;
            for key in keys::all_with_superseded(&layout)? {
                let (Some(private), Some(found)) = (key.private(), &key.private) else {
                    continue;
                };
                let document = found.value.document.index;
                with_keys.push(document);
                if private.is_sealed() {
                    first.get_or_insert_with(|| private.clone());
                    samples.entry(document).or_insert(private);
                }
            }
            let without = documents
                .iter()
                .filter(|document| !with_keys.contains(&document.index));
            if let Some(first) = first {
                for document in without {
                    samples.entry(document.index).or_insert_with(|| first.clone());
                }
            }
        }
        Ok(Self { keyring, samples })
    }

    /// Whether the private halves in this document are sealed.
    pub(crate) fn covers(&self, document: usize) -> bool {
        self.samples.contains_key(&document)
    }

    /// Tries the passphrase on a value of this document, if it is a sealed one: to be done before any key is made.
    ///
    /// # Errors
    /// [`Error::Sealed`]: there is none, or the wrong one.
    pub(crate) fn prove(&self, document: usize) -> Result<(), Error> {
        match self.samples.get(&document) {
            Some(sample) => sample.open(self.keyring).map(drop),
            None => Ok(()),
        }
    }

    /// Opens a private half, if it is sealed.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub(crate) fn open(&self, private: &Private) -> Result<Zeroizing<String>, Error> {
        private.open(self.keyring)
    }

    /// A new private half as it is to stand in this document, in the table of texts that the edit gets: sealed if
    /// the document is a sealed one. `place` is where it will be, for messages.
    ///
    /// # Errors
    /// [`Error::Unsealed`].
    pub(crate) fn ready(
        &self,
        document: usize,
        text: Zeroizing<String>,
        owner: &Owner,
        role: Role,
        place: &Place,
    ) -> Result<Zeroizing<String>, Error> {
        if !self.covers(document) {
            return Ok(text);
        }
        let mut value = Zeroizing::new(String::with_capacity(text.len() + 1));
        // As it will be read when it is unsealed.
        value.push_str(text.trim_end());
        value.push('\n');
        let sealed = self.keyring.seal(&Opened::plain(value), owner, role);
        sealed.map(Zeroizing::new).map_err(|source| Error::Unsealed {
            place: place.clone(),
            owner: owner.clone(),
            role,
            source,
        })
    }

    /// A text in place of a sealed one, for a dry run.
    pub(crate) fn sample() -> Zeroizing<String> {
        Zeroizing::new(format!("{}1.dry-run", form::PREFIX))
    }
}
