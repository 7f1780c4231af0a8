//! Looking into a document by key, through aliases and `<<`, without losing the place.

use super::{Document, Entry, Kind, Node};
use crate::error::{Error, Place};

/// How deep `<<` is followed; a chain of more than a few is a mistake or an attack.
const MERGE_DEPTH: usize = 8;

/// A node of a document, and whether other places share it.
#[derive(Clone)]
pub(crate) struct View<'a> {
    pub(crate) document: &'a Document,
    /// Never an alias.
    pub(crate) node: &'a Node,
    /// Where the sharing comes from: an edit here would show elsewhere too.
    pub(crate) shared: Option<Place>,
}

/// An entry of a mapping that was looked up.
pub(crate) struct Found<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) value: View<'a>,
}

impl<'a> View<'a> {
    /// The document's root, if it isn't empty.
    pub(crate) fn root(document: &'a Document) -> Option<Self> {
        let root = document.root.as_ref()?;
        Some(Self {
            document,
            node: root,
            shared: None,
        })
    }

    /// Where it begins.
    pub(crate) fn place(&self) -> Place {
        self.document.place(self.node.start)
    }

    /// Steps down to a child.
    fn child(&self, node: &'a Node) -> Self {
        let target = self.document.resolve(node);
        let repeated = !std::ptr::eq(target, node) || self.document.is_repeated(node);
        let shared = self
            .shared
            .clone()
            .or_else(|| repeated.then(|| self.document.place(node.start)));
        Self {
            document: self.document,
            node: target,
            shared,
        }
    }

    /// The entry with this key, its own or one merged in with `<<`.
    pub(crate) fn find(&self, key: &str) -> Option<Found<'a>> {
        self.find_merged(key, 0)
    }

    /// The value of a key; nothing if it is null.
    pub(crate) fn get(&self, key: &str) -> Option<Self> {
        self.find(key)
            .map(|found| found.value)
            .filter(|value| !value.node.is_null())
    }

    fn find_merged(&self, key: &str, depth: usize) -> Option<Found<'a>> {
        let entries = self.node.entries();
        if let Some(entry) = entries.iter().find(|entry| entry.key.scalar() == Some(key)) {
            return Some(Found {
                entry,
                value: self.child(&entry.value),
            });
        }
        if depth == MERGE_DEPTH {
            return None;
        }
        let merged = entries.iter().filter(|entry| entry.key.scalar() == Some("<<"));
        merged.into_iter().find_map(|entry| {
            let mut from = self.child(&entry.value);
            from.shared
                .get_or_insert_with(|| self.document.place(entry.key.start));
            match &from.node.kind {
                Kind::Sequence { items, .. } => items
                    .iter()
                    .find_map(|item| from.child(item).find_merged(key, depth + 1)),
                _ => from.find_merged(key, depth + 1),
            }
        })
    }

    /// It must be a mapping.
    pub(crate) fn mapping(self, key: &str) -> Result<Self, Error> {
        if matches!(self.node.kind, Kind::Mapping { .. }) {
            Ok(self)
        } else {
            Err(self.wrong(key, "a mapping"))
        }
    }

    /// It must be a list; its items.
    pub(crate) fn items(&self, key: &str) -> Result<Vec<Self>, Error> {
        match &self.node.kind {
            Kind::Sequence { items, .. } => Ok(items.iter().map(|item| self.child(item)).collect()),
            _ => Err(self.wrong(key, "a list")),
        }
    }

    /// It must be a text or number.
    pub(crate) fn text(&self, key: &str) -> Result<&'a str, Error> {
        self.node.scalar().ok_or_else(|| self.wrong(key, "a text"))
    }

    /// The text of a key; nothing if it is absent or null.
    pub(crate) fn text_of(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.get(key).map(|value| value.text(key)).transpose()
    }

    /// A yes or no, in the spellings that PyYAML takes.
    pub(crate) fn flag_of(&self, key: &str, default: bool) -> Result<bool, Error> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        let plain = matches!(
            &value.node.kind,
            Kind::Scalar {
                style: granit_parser::ScalarStyle::Plain,
                ..
            }
        );
        match value.node.scalar().filter(|_| plain) {
            Some("true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON") => Ok(true),
            Some("false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF") => Ok(false),
            _ => Err(value.wrong(key, "True or False")),
        }
    }

    /// The error for a value of the wrong kind.
    pub(crate) fn wrong(&self, key: &str, expected: &'static str) -> Error {
        let found = self.node.describe();
        Error::WrongKind {
            place: self.place(),
            key: key.to_owned(),
            expected,
            found,
        }
    }
}
