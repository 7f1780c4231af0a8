//! The nodes of a YAML document, each with the place in the text that it came from.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StructureStyle};
use zeroize::Zeroizing;

/// A position in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// In bytes, from the beginning of the file.
    pub(crate) offset: usize,
    /// Counted from 1.
    pub(crate) line: usize,
    /// In characters, counted from 0: what YAML calls indentation.
    pub(crate) column: usize,
}

/// A scalar, sequence, mapping or alias.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) start: Mark,
    pub(crate) end: Mark,
    /// The number of its anchor, 0 for none.
    pub(crate) anchor: usize,
    /// The tag as `handle` and `suffix`.
    pub(crate) tag: Option<(String, String)>,
}

/// What a node is.
pub(crate) enum Kind {
    /// Wiped on drop: it may be a private key.
    Scalar {
        value: Zeroizing<String>,
        style: ScalarStyle,
    },
    Sequence {
        flow: bool,
        items: Vec<Node>,
    },
    Mapping {
        flow: bool,
        entries: Vec<Entry>,
    },
    /// The number of the anchor that it refers to.
    Alias(usize),
}

/// One key of a mapping with its value.
pub(crate) struct Entry {
    pub(crate) key: Node,
    pub(crate) value: Node,
}

/// Why there is no tree.
pub(crate) enum NoTree {
    Syntax { at: Mark, what: String },
    SeveralDocuments(Mark),
    DuplicateKey(DuplicateKey),
}

/// A key that is used twice in one mapping.
pub(crate) struct DuplicateKey {
    pub(crate) key: String,
    pub(crate) first: Mark,
    pub(crate) second: Mark,
}

impl Node {
    /// Reads one document; `None` if the text holds none.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, NoTree> {
        let (root, duplicates) = Self::parse_noting(text);
        match duplicates.into_iter().next() {
            Some(duplicate) => Err(NoTree::DuplicateKey(duplicate)),
            None => root,
        }
    }

    /// The same, with all keys that are used twice, also if the text is no YAML further on. The tree has both.
    pub(super) fn parse_noting(text: &str) -> (Result<Option<Self>, NoTree>, Vec<DuplicateKey>) {
        let options = granit_parser::options! { emit_comments: false };
        let mut builder = Builder::default();
        for event in Parser::new_from_str_with_options(text, options) {
            let taken = match event {
                Ok((event, span)) => builder.take(event, &span),
                Err(e) => Err(NoTree::Syntax {
                    at: Mark::from(e.marker()),
                    what: e.kind().to_string(),
                }),
            };
            if let Err(error) = taken {
                return (Err(error), builder.duplicates);
            }
        }
        (Ok(builder.root), builder.duplicates)
    }

    /// The text of a scalar, `None` for anything else.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The entries of a mapping, none for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Mapping { entries, .. } => entries,
            _ => &[],
        }
    }

    /// A mapping in braces.
    pub(crate) fn is_flow(&self) -> bool {
        matches!(
            self.kind,
            Kind::Mapping { flow: true, .. } | Kind::Sequence { flow: true, .. }
        )
    }

    /// A literal or folded scalar.
    pub(crate) fn is_block_scalar(&self) -> bool {
        matches!(
            self.kind,
            Kind::Scalar {
                style: ScalarStyle::Literal | ScalarStyle::Folded,
                ..
            }
        )
    }

    /// A null, written or not.
    pub(crate) fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar {
                value,
                style: ScalarStyle::Plain,
            } => self.tag.is_none() && matches!(value.as_str(), "" | "~" | "null" | "Null" | "NULL"),
            _ => false,
        }
    }

    /// An empty mapping.
    pub(crate) fn is_empty_mapping(&self) -> bool {
        matches!(&self.kind, Kind::Mapping { entries, .. } if entries.is_empty())
    }

    /// What it is, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.kind {
            _ if self.is_null() => "empty",
            Kind::Scalar { value, .. } if value.is_empty() => "an empty text",
            Kind::Scalar { .. } => "a text or number",
            Kind::Sequence { .. } => "a list",
            Kind::Mapping { .. } => "a mapping",
            Kind::Alias(_) => "an alias",
        }
    }
}

impl From<&Marker> for Mark {
    fn from(marker: &Marker) -> Self {
        // The parser of a `&str` always knows byte offsets.
        let offset = marker.byte_offset().unwrap_or(marker.index());
        Self {
            offset,
            line: marker.line(),
            column: marker.col(),
        }
    }
}

/// A collection whose end has not come yet.
struct Open {
    node: Node,
    /// A key that waits for its value.
    key: Option<Node>,
    /// The scalar keys so far.
    seen: HashMap<String, Mark>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    duplicates: Vec<DuplicateKey>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), NoTree> {
        let start = Mark::from(&span.start);
        let end = Mark::from(&span.end);
        let node = |kind, anchor, tag: Option<(String, String)>| Node {
            kind,
            start,
            end,
            anchor,
            tag,
        };
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(NoTree::SeveralDocuments(start));
                }
            }
            Event::Alias(anchor) => self.push(node(Kind::Alias(anchor), 0, None)),
            Event::Scalar(value, style, anchor, tag) => {
                // A value that is not written is given as a plain `~` without width.
                let implied = start.offset == end.offset && style == ScalarStyle::Plain;
                let value = if implied {
                    String::new()
                } else {
                    value.into_owned()
                };
                let tag = tag.map(|tag| (tag.handle().to_owned(), tag.suffix().to_owned()));
                self.push(node(
                    Kind::Scalar {
                        value: Zeroizing::new(value),
                        style,
                    },
                    anchor,
                    tag,
                ));
            }
            Event::SequenceStart(style, anchor, tag) => {
                let kind = Kind::Sequence {
                    flow: style == StructureStyle::Flow,
                    items: Vec::new(),
                };
                let tag = tag.map(|tag| (tag.handle().to_owned(), tag.suffix().to_owned()));
                self.begin(node(kind, anchor, tag));
            }
            Event::MappingStart(style, anchor, tag) => {
                let kind = Kind::Mapping {
                    flow: style == StructureStyle::Flow,
                    entries: Vec::new(),
                };
                let tag = tag.map(|tag| (tag.handle().to_owned(), tag.suffix().to_owned()));
                self.begin(node(kind, anchor, tag));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(mut open) = self.open.pop() {
                    open.node.end = end;
                    self.push(open.node);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, node: Node) {
        self.open.push(Open {
            node,
            key: None,
            seen: HashMap::new(),
        });
    }

    fn push(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut open.node.kind {
            Kind::Sequence { items, .. } => items.push(node),
            Kind::Mapping { entries, .. } => match open.key.take() {
                Some(key) => entries.push(Entry { key, value: node }),
                None => {
                    if let Some(key) = node.scalar()
                        && let Some(first) = open.seen.insert(key.to_owned(), node.start)
                    {
                        self.duplicates.push(DuplicateKey {
                            key: key.to_owned(),
                            first,
                            second: node.start,
                        });
                    }
                    open.key = Some(node);
                }
            },
            Kind::Scalar { .. } | Kind::Alias(_) => {}
        }
    }
}
