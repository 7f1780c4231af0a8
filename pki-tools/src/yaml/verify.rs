//! The check after an edit: the new text says what the old one said, but for what was to change.

use std::cell::RefCell;
use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Addition, Change, Document, Edited, Entry, Kind, NewValue, Node, Value};
use crate::error::Error;
use crate::seal::is_sealed;

/// Compares an edited text with the document that it comes from: its bytes without the edits, and its data.
///
/// # Errors
/// [`Error::NotLossless`], which names the key near which they differ.
pub(crate) fn verify(
    document: &Document,
    edited: &Edited,
    changes: &BTreeMap<usize, Change<'_>>,
    texts: &[Zeroizing<String>],
) -> Result<(), Error> {
    compare(document, edited, changes, texts).map_err(|differs| differs.error(document))
}

/// Where an edited text does not say what it should.
pub(crate) enum Differs {
    /// In these replaced values alone: the offset of the key in the document, and its path.
    Values(Vec<(usize, String)>),
    /// Near this key.
    Near(String),
}

impl Differs {
    pub(crate) fn error(self, document: &Document) -> Error {
        let near = match self {
            Self::Values(values) => values.into_iter().next().map(|(.., path)| path),
            Self::Near(path) => Some(path),
        };
        Error::NotLossless {
            file: document.name.clone(),
            near: near.unwrap_or_default(),
        }
    }
}

/// As [`verify`], for those who know another way.
pub(crate) fn compare(
    document: &Document,
    edited: &Edited,
    changes: &BTreeMap<usize, Change<'_>>,
    texts: &[Zeroizing<String>],
) -> Result<(), Differs> {
    if undo(edited).is_none_or(|old| *old != *document.text) {
        return Err(Differs::Near("the beginning".to_owned()));
    }
    let after = match Node::parse(&edited.text) {
        Ok(after) => after,
        Err(_) => return Err(Differs::Near("the end".to_owned())),
    };
    let check = Check {
        changes,
        texts,
        values: RefCell::default(),
    };
    match (&document.root, &after) {
        (None, None) => {}
        (Some(old), Some(new)) => check.same(old, new, "").map_err(Differs::Near)?,
        _ => return Err(Differs::Near("the beginning".to_owned())),
    }
    let values = check.values.into_inner();
    if values.is_empty() {
        Ok(())
    } else {
        Err(Differs::Values(values))
    }
}

/// The old text, recovered from the new one.
fn undo(edited: &Edited) -> Option<Zeroizing<String>> {
    // Of the final size from the beginning: growing would leave copies of keys in freed memory.
    let replaced: usize = edited.edits.iter().map(|edit| edit.replaced.len()).sum();
    let mut old = Zeroizing::new(String::with_capacity(edited.text.len() + replaced));
    let mut from = 0;
    for edit in &edited.edits {
        old.push_str(edited.text.get(from..edit.offset)?);
        old.push_str(&edit.replaced);
        from = edit.offset + edit.length;
    }
    old.push_str(edited.text.get(from..)?);
    Some(old)
}

struct Check<'a> {
    changes: &'a BTreeMap<usize, Change<'a>>,
    texts: &'a [Zeroizing<String>],
    /// Replaced values that are not read as they should.
    values: RefCell<Vec<(usize, String)>>,
}

impl Check<'_> {
    /// Compares two nodes; an error is the key path at which they differ.
    fn same(&self, old: &Node, new: &Node, path: &str) -> Result<(), String> {
        let differ = || Err(path.to_owned());
        if (old.anchor, &old.tag) != (new.anchor, &new.tag) {
            return differ();
        }
        match (&old.kind, &new.kind) {
            (Kind::Scalar { value: a, style: s }, Kind::Scalar { value: b, style: t })
                if a == b && s == t =>
            {
                Ok(())
            }
            (Kind::Alias(a), Kind::Alias(b)) if a == b => Ok(()),
            (Kind::Sequence { flow: f, items: a }, Kind::Sequence { flow: g, items: b })
                if f == g && a.len() == b.len() =>
            {
                let mut pairs = a.iter().zip(b).enumerate();
                pairs.try_for_each(|(n, (a, b))| self.same(a, b, &format!("{path}[{n}]")))
            }
            (Kind::Mapping { flow: f, entries: a }, Kind::Mapping { flow: g, entries: b }) if f == g => {
                self.same_entries(self.changes.get(&old.start.offset), a, b, path)
            }
            _ => differ(),
        }
    }

    fn same_entries(
        &self,
        change: Option<&Change<'_>>,
        old: &[Entry],
        new: &[Entry],
        path: &str,
    ) -> Result<(), String> {
        let mut added = change
            .map(|change| change.add.as_slice())
            .unwrap_or_default()
            .iter();
        let removed = |number: usize| change.is_some_and(|change| change.remove.contains(&number));
        let stays = old.iter().enumerate().filter(|(number, _)| !removed(*number));
        let mut old = stays.peekable();
        for entry in new {
            let key = entry.key.scalar().unwrap_or("?");
            let path = if path.is_empty() {
                key.to_owned()
            } else {
                format!("{path}.{key}")
            };
            let known = old
                .peek()
                .is_some_and(|(_, old)| self.same(&old.key, &entry.key, &path).is_ok());
            match old.next_if(|_| known) {
                Some((number, old)) => {
                    let fill = change.and_then(|c| c.fill.iter().find(|(n, _)| *n == number));
                    let set = change.and_then(|c| c.set.iter().find(|(n, _)| *n == number));
                    match (fill, set) {
                        (Some((_, addition)), _) => self.is(&addition.value, &entry.value, &path)?,
                        (_, Some((_, value))) => {
                            let properties = (old.value.anchor, &old.value.tag);
                            let same = properties == (entry.value.anchor, &entry.value.tag);
                            if !same || self.is_set(value, &entry.value, &path).is_err() {
                                self.values.borrow_mut().push((old.key.start.offset, path));
                            }
                        }
                        _ => self.same(&old.value, &entry.value, &path)?,
                    }
                }
                None => match added.next() {
                    Some(addition) if addition.key == key => self.is(&addition.value, &entry.value, &path)?,
                    _ => return Err(path),
                },
            }
        }
        match (old.next(), added.next()) {
            (None, None) => Ok(()),
            _ => Err(path.to_owned()),
        }
    }

    /// Compares a replaced value with what it should be.
    fn is_set(&self, wanted: &NewValue, node: &Node, path: &str) -> Result<(), String> {
        match wanted {
            NewValue::Text(number) => self.is(&Value::Text(*number), node, path),
            NewValue::Verbatim { value, .. } if node.scalar() == Some(value.as_str()) => Ok(()),
            NewValue::Verbatim { .. } => Err(path.to_owned()),
        }
    }

    /// Compares a new value with what it should be.
    fn is(&self, wanted: &Value, node: &Node, path: &str) -> Result<(), String> {
        let same = match (wanted, &node.kind) {
            (Value::Map(wanted), Kind::Mapping { entries, .. }) => {
                if wanted.len() != entries.len() {
                    return Err(path.to_owned());
                }
                return wanted
                    .iter()
                    .zip(entries)
                    .try_for_each(|(Addition { key, value, .. }, entry)| {
                        if entry.key.scalar() != Some(key) {
                            return Err(path.to_owned());
                        }
                        self.is(value, &entry.value, &format!("{path}.{key}"))
                    });
            }
            (Value::Text(number), Kind::Scalar { value, .. }) => match self.texts.get(*number) {
                Some(wanted) if is_sealed(wanted) => value == wanted,
                Some(wanted) => value.strip_suffix('\n') == Some(wanted.trim_end()),
                None => false,
            },
            (Value::Word(word), Kind::Scalar { value, .. }) => value.as_str() == word,
            _ => false,
        };
        if same { Ok(()) } else { Err(path.to_owned()) }
    }
}
