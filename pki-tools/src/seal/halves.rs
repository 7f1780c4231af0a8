//! Every private half in the files of a run: where it stands, whose it is, and what stands in the way of an edit.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::report::{Half as Reported, Stray};
use super::{Keyring, Opened, Owner, SealError, form::same_key};
use crate::error::{Error, Place};
use crate::include::Sources;
use crate::keys::{self, Private, Role};
use crate::layout::Layout;
use crate::yaml::{Document, Edited, Entry, View, is_ours, source};

/// A private half where it stands.
pub(super) struct Half<'a> {
    pub(super) private: Private,
    pub(super) owner: Owner,
    pub(super) role: Role,
    /// The mapping with both halves.
    pub(super) pair: View<'a>,
    pub(super) entry: &'a Entry,
    /// The number of the entry in the mapping; nothing if it was merged in from elsewhere.
    number: Option<usize>,
    /// What else uses it.
    shared: Option<(Place, &'static str)>,
}

/// All private halves, those too that a later file supersedes, in the order of the files.
pub(super) fn halves(sources: &Sources) -> Result<Vec<Half<'_>>, Error> {
    let mut halves: Vec<Half<'_>> = Vec::new();
    let mut seen: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for documents in sources.clients() {
        let layout = Layout::of(&documents)?;
        for key in keys::all_with_superseded(&layout)? {
            let (Some(private), Some(found)) = (key.private(), &key.private) else {
                continue;
            };
            let at = (found.value.document.index, found.value.node.start.offset);
            if let Some(known) = seen.get(&at).and_then(|number| halves.get_mut(*number)) {
                if (&known.owner, known.role) != (&key.owner, key.role) {
                    let why = "two owners share it; write it out for each";
                    known.shared.get_or_insert((found.value.place(), why));
                }
                continue;
            }
            let shared = found.value.shared.clone().map(|place| {
                let why = "an anchor, alias or `<<` shares it with other places; write it out";
                (place, why)
            });
            seen.insert(at, halves.len());
            halves.push(Half {
                private,
                owner: key.owner.clone(),
                role: key.role,
                entry: found.entry,
                number: key.number_of(found.entry),
                shared,
                pair: key.pair,
            });
        }
    }
    halves.sort_by_key(|half| (half.document().index, half.entry.key.start.offset));
    Ok(halves)
}

impl<'a> Half<'a> {
    pub(super) fn document(&self) -> &'a Document {
        self.pair.document
    }

    /// Which one it is among all of a run.
    pub(super) fn id(&self) -> (usize, Owner, Role) {
        (self.document().index, self.owner.clone(), self.role)
    }

    /// The number of its entry, if its text can be replaced without a change elsewhere.
    pub(super) fn editable(&self) -> Result<usize, Error> {
        let fail = |place: Place, why| Error::Unsealable {
            place,
            owner: self.owner.clone(),
            role: self.role,
            why,
        };
        if let Some((place, why)) = &self.shared {
            return Err(fail(place.clone(), why));
        }
        let here = || self.document().place(self.entry.key.start);
        let tag = self.entry.value.tag.as_ref();
        if tag.is_some_and(|(handle, suffix)| {
            !matches!((handle.as_str(), suffix.as_str()), ("", "!") | (CORE, "str"))
        }) {
            return Err(fail(here(), "its tag says that it is no text; remove the tag"));
        }
        self.number
            .ok_or_else(|| fail(here(), "it is merged in with `<<`; write it out"))
    }

    /// What is to be sealed; `as_written` keeps the form that it has in the file even if it is ours.
    pub(super) fn to_be_sealed(&self, as_written: bool) -> Opened {
        let value = Zeroizing::new(self.private.text().to_owned());
        let document = self.document();
        if !as_written && is_ours(document, self.pair.node, self.entry) {
            return Opened::plain(value);
        }
        let column = self.pair.node.start.column;
        Opened::written(value, column, source(document, self.entry))
    }

    /// The error for a half that cannot be sealed.
    pub(super) fn fail_to_seal(&self, source: SealError) -> Error {
        Error::Unsealed {
            place: self.document().place(self.entry.key.start),
            owner: self.owner.clone(),
            role: self.role,
            source,
        }
    }

    fn open(&self, keyring: &Keyring) -> Result<Opened, SealError> {
        keyring.open(self.private.text(), &self.owner, self.role)
    }

    /// The bytes of its text in the file.
    fn range(&self) -> std::ops::Range<usize> {
        self.entry.value.start.offset..self.entry.value.end.offset
    }
}

/// The handle of YAML's own tags.
const CORE: &str = "tag:yaml.org,2002:";

/// Opens sealed halves; the error names the first one that does not open.
pub(super) fn open_all(halves: &[&Half<'_>], keyring: &Keyring) -> Result<Vec<Opened>, Error> {
    let open = |half: &&Half<'_>| {
        half.open(keyring).map_err(|mut error| {
            // Whether the passphrase is wrong or this value alone: others under the same key tell.
            let others = halves
                .iter()
                .filter(|other| same_key(half.private.text(), other.private.text()));
            if error == SealError::Refused && others.into_iter().any(|other| other.open(keyring).is_ok()) {
                error = SealError::Tampered;
            }
            half.private.fail(error)
        })
    };
    halves.iter().map(open).collect()
}

/// These halves, for a report, with their lines in the edited files.
pub(super) fn reported(halves: &[&Half<'_>], edited: &BTreeMap<usize, Edited>) -> Vec<Reported> {
    let mut all = Vec::with_capacity(halves.len());
    for of_document in halves.chunk_by(|a, b| a.document().index == b.document().index) {
        let marks = of_document.iter().map(|half| half.entry.key.start);
        let marks: Vec<_> = marks.map(|mark| (mark.offset, mark.line)).collect();
        let Some(document) = of_document.first().map(|half| half.document()) else {
            continue;
        };
        let lines = lines(document, &marks, edited);
        all.extend(of_document.iter().zip(lines).map(|(half, line)| Reported {
            file: document.name.clone(),
            line,
            owner: half.owner.to_string(),
            key: half.role.path(),
        }));
    }
    all
}

fn lines(document: &Document, marks: &[(usize, usize)], edited: &BTreeMap<usize, Edited>) -> Vec<usize> {
    match edited.get(&document.index) {
        Some(edited) => edited.lines_now(marks),
        None => marks.iter().map(|(_, line)| *line).collect(),
    }
}

/// Private keys that are no key of a client, in a comment, say, with their lines in the edited files.
pub(super) fn strays(sources: &Sources, halves: &[Half<'_>], edited: &BTreeMap<usize, Edited>) -> Vec<Stray> {
    let mut all = Vec::new();
    for document in &sources.documents {
        let known: Vec<_> = halves
            .iter()
            .filter(|half| half.document().index == document.index)
            .map(Half::range)
            .collect();
        let mut marks = Vec::new();
        let (mut line, mut counted) = (1, 0);
        for (at, _) in document.text.match_indices(BEGIN) {
            line += document
                .text
                .get(counted..at)
                .unwrap_or_default()
                .matches('\n')
                .count();
            counted = at;
            let label = document.text.get(at + BEGIN.len()..).unwrap_or_default();
            let label = label.split("-----").next().unwrap_or_default();
            // A folded text may break the line here.
            let words: Vec<&str> = label.split_whitespace().take(8).collect();
            // Halves come in the order of the file.
            let next = known.partition_point(|range| range.end <= at);
            let own = known.get(next).is_some_and(|range| range.contains(&at));
            if words.ends_with(&["PRIVATE", "KEY"]) && !own {
                marks.push((at, line));
            }
        }
        all.extend(lines(document, &marks, edited).into_iter().map(|line| Stray {
            file: document.name.clone(),
            line,
        }));
    }
    all
}

const BEGIN: &str = "-----BEGIN ";
