//! One YAML file: its bytes, its tree, and what its anchors are used for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::tree::{DuplicateKey, Kind, Mark, NoTree, Node};
use crate::error::{Error, Place};
use crate::tolerance::Tolerance;

/// A file that was read.
pub(crate) struct Document {
    /// Its number among the files of the run.
    pub(crate) index: usize,
    /// As it was named on the command line or in `include:`.
    pub(crate) name: PathBuf,
    /// Where it really is: absolute, without symbolic links.
    pub(crate) path: PathBuf,
    pub(crate) text: Zeroizing<String>,
    /// Nothing for an empty file.
    pub(crate) root: Option<Node>,
    /// The anchors that an alias refers to.
    used_anchors: BTreeSet<usize>,
}

impl Document {
    /// Takes the bytes of a file apart.
    pub(crate) fn parse(index: usize, name: &Path, path: &Path, bytes: Vec<u8>) -> Result<Self, Error> {
        Self::read(index, name, path, bytes, &mut Tolerance::None)
    }

    /// The same, where a key that is used twice may be tolerated: the first one counts.
    pub(crate) fn read(
        index: usize,
        name: &Path,
        path: &Path,
        bytes: Vec<u8>,
        tolerance: &mut Tolerance<'_>,
    ) -> Result<Self, Error> {
        let text = String::from_utf8(bytes).map(Zeroizing::new).map_err(|e| {
            let good = e
                .as_bytes()
                .get(..e.utf8_error().valid_up_to())
                .unwrap_or_default();
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            let rest = good.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
            let column = 1 + String::from_utf8_lossy(rest).chars().count();
            Error::NotUtf8(Place {
                file: name.to_owned(),
                line,
                column,
            })
        })?;
        let place = |mark: Mark| Place {
            file: name.to_owned(),
            line: mark.line,
            column: mark.column + 1,
        };
        let duplicate = |DuplicateKey { key, first, second }| Error::DuplicateKey {
            key,
            first: place(first),
            second: place(second),
        };
        let (root, duplicates) = Node::parse_noting(&text);
        for found in duplicates {
            tolerance.fault(duplicate(found))?;
        }
        let root = root.map_err(|e| match e {
            NoTree::Syntax { at, what } => match tab_near(&text, at.line) {
                Some((line, column)) => Error::Syntax {
                    place: Place {
                        file: name.to_owned(),
                        line,
                        column,
                    },
                    what,
                    tab: true,
                },
                None => Error::Syntax {
                    place: place(at),
                    what,
                    tab: false,
                },
            },
            NoTree::SeveralDocuments(at) => Error::SeveralDocuments(place(at)),
            NoTree::DuplicateKey(found) => duplicate(found),
        })?;
        let mut used_anchors = BTreeSet::new();
        if let Some(root) = &root {
            collect_aliases(root, &mut used_anchors);
        }
        Ok(Self {
            index,
            name: name.to_owned(),
            path: path.to_owned(),
            text,
            root,
            used_anchors,
        })
    }

    /// A mark of this file, for messages.
    pub(crate) fn place(&self, mark: Mark) -> Place {
        Place {
            file: self.name.clone(),
            line: mark.line,
            column: mark.column + 1,
        }
    }

    /// Its beginning, for messages about the file as a whole.
    pub(crate) fn top(&self) -> Place {
        Place {
            file: self.name.clone(),
            line: 1,
            column: 1,
        }
    }

    /// Whether an alias repeats this node elsewhere.
    pub(crate) fn is_repeated(&self, node: &Node) -> bool {
        node.anchor != 0 && self.used_anchors.contains(&node.anchor)
    }

    /// What an alias stands for; any other node stands for itself.
    pub(crate) fn resolve<'a>(&'a self, node: &'a Node) -> &'a Node {
        match node.kind {
            Kind::Alias(anchor) => self
                .root
                .as_ref()
                .and_then(|root| anchored(root, anchor))
                .unwrap_or(node),
            _ => node,
        }
    }
}

/// The place of a tab in the indentation of this line or the next: the parser may stop before it.
fn tab_near(text: &str, line: usize) -> Option<(usize, usize)> {
    let lines = text.lines().enumerate().skip(line.saturating_sub(1)).take(2);
    lines.into_iter().find_map(|(number, line)| {
        let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
        let column = line.get(..blank)?.find('\t')?;
        Some((number + 1, column + 1))
    })
}

fn children(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::Sequence { items, .. } => items.iter().collect(),
        Kind::Mapping { entries, .. } => entries.iter().flat_map(|e| [&e.key, &e.value]).collect(),
        Kind::Scalar { .. } | Kind::Alias(_) => Vec::new(),
    }
}

// The parser limits nesting to 255 levels, so recursion is bounded.
fn collect_aliases(node: &Node, found: &mut BTreeSet<usize>) {
    if let Kind::Alias(anchor) = node.kind {
        found.insert(anchor);
    }
    for child in children(node) {
        collect_aliases(child, found);
    }
}

fn anchored(node: &Node, anchor: usize) -> Option<&Node> {
    if node.anchor == anchor {
        return Some(node);
    }
    children(node)
        .into_iter()
        .find_map(|child| anchored(child, anchor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Document, Error> {
        Document::parse(
            0,
            Path::new("a.yaml"),
            Path::new("/a.yaml"),
            text.as_bytes().to_vec(),
        )
    }

    fn message(text: &str) -> String {
        parse(text).err().unwrap().to_string()
    }

    #[test]
    fn a_key_used_twice_is_refused_with_both_places() {
        assert_eq!(
            message("a:\n  b: 1\n  c: 2\n  'b': 3\n"),
            "a.yaml:4:3: `b` is used twice in this mapping, first at a.yaml:2:3; remove one of them"
        );
        assert!(message("{b: 1, b: 2}").starts_with("a.yaml:1:8: "));
    }

    #[test]
    fn with_tolerance_every_key_used_twice_is_noted_and_the_first_counts() {
        let mut faults = Vec::new();
        let document = Document::read(
            0,
            Path::new("a.yaml"),
            Path::new("/a.yaml"),
            b"a: 1\na: 2\nb: {c: 1, c: 2}\n".to_vec(),
            &mut Tolerance::Noting(&mut faults),
        );
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(lines[0].starts_with("a.yaml:2:1: `a` is used twice"), "{lines:?}");
        assert!(
            lines[1].starts_with("a.yaml:3:11: `c` is used twice"),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 2);
        let document = document.unwrap();
        let root = crate::yaml::View::root(&document).unwrap();
        assert_eq!(root.text_of("a").unwrap(), Some("1"));
    }

    #[test]
    fn a_tab_in_the_indentation_is_named_with_its_place() {
        let message = message("a:\n  b: 1\n\tc: 2\n");
        assert!(message.starts_with("a.yaml:3:1: "), "{message}");
        assert!(message.ends_with("; indent with spaces"), "{message}");
    }

    #[test]
    fn a_second_document_and_bytes_that_are_not_utf8_are_refused() {
        assert!(message("a: 1\n---\nb: 1\n").starts_with("a.yaml:2:1: a second YAML document"));
        let error = Document::parse(
            0,
            Path::new("a.yaml"),
            Path::new("/a"),
            b"a: 1\n\xc3\xa9: \xff".to_vec(),
        );
        assert_eq!(
            error.err().unwrap().to_string(),
            "a.yaml:2:4: not UTF-8; save the file as UTF-8"
        );
    }

    #[test]
    fn an_alias_stands_for_its_anchor_and_makes_it_repeated() {
        let document = parse("a: &x {k: 1}\nb: *x\nc: &y 2\n").unwrap();
        let entries = document.root.as_ref().unwrap().entries();
        assert!(document.is_repeated(&entries[0].value));
        assert!(!document.is_repeated(&entries[2].value));
        assert_eq!(document.resolve(&entries[1].value).start, entries[0].value.start);
    }

    #[test]
    fn offsets_count_bytes_after_a_byte_order_mark_and_umlauts() {
        let document = parse("\u{feff}# ü\nä: ö\n").unwrap();
        let entry = &document.root.as_ref().unwrap().entries()[0];
        let range = entry.value.start.offset..entry.value.end.offset;
        assert_eq!(document.text.get(range), Some("ö"));
    }
}
