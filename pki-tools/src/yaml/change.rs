//! New keys into a text: each one an insertion at an offset, the rest of the bytes as they were.
//!
//! What goes into braces is in `flow`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::flow::quoted;
use super::locate::{
    after_colon, clear_indent, end_of, ends_unterminated, line_start, newline_at, next_line, past_comments,
};
use super::{Document, Entry, Mark, Node};
use crate::error::Error;
use crate::seal::is_sealed;

/// How much deeper a child stands than its key.
pub(super) const STEP: usize = 2;

/// A new key.
pub(crate) struct Addition {
    pub(crate) key: &'static str,
    pub(crate) value: Value,
    /// What the report calls it by.
    pub(crate) item: Option<usize>,
}

/// What a new key gets.
pub(crate) enum Value {
    Map(Vec<Addition>),
    /// The number of a text in the table that [`apply`] is given: several lines, or one if it is sealed.
    Text(usize),
    /// A word that needs no quotes.
    Word(String),
}

/// A new value for a key that has one.
pub(crate) enum NewValue {
    /// The number of a text in the table that [`apply`] is given, to be written as new texts are.
    Text(usize),
    /// Written exactly so, and the text that it must be read as. The header of a block scalar has no comment:
    /// what follows the old value on its line stays behind it.
    Verbatim {
        source: Zeroizing<String>,
        value: Zeroizing<String>,
    },
}

/// What happens to one mapping.
pub(crate) struct Change<'a> {
    pub(crate) mapping: &'a Node,
    /// Keys that it doesn't have.
    pub(crate) add: Vec<Addition>,
    /// Keys that it has, with nothing as value: the entry's number and what goes there.
    pub(crate) fill: Vec<(usize, Addition)>,
    /// Keys that it has, with a scalar as value: the entry's number and what goes there instead.
    pub(crate) set: Vec<(usize, NewValue)>,
    /// Keys that go, with their values.
    pub(crate) remove: Vec<usize>,
}

impl<'a> Change<'a> {
    /// No change yet.
    pub(crate) fn of(mapping: &'a Node) -> Self {
        Self {
            mapping,
            add: Vec::new(),
            fill: Vec::new(),
            set: Vec::new(),
            remove: Vec::new(),
        }
    }
}

/// A text after its changes.
pub(crate) struct Edited {
    pub(crate) text: Zeroizing<String>,
    pub(crate) edits: Vec<Edit>,
    /// Item and line.
    pub(crate) lines: Vec<(usize, usize)>,
}

impl Edited {
    /// The lines of the new text in which these places of the old one, given by offset and line, are now.
    pub(crate) fn lines_now(&self, places: &[(usize, usize)]) -> Vec<usize> {
        // For each edit, where it ended in the old text, and how many lines there are more from there on.
        let (mut old, mut new, mut gained, mut lost) = (0, 0, 0, 0);
        let mut edits = Vec::with_capacity(self.edits.len());
        for edit in &self.edits {
            old += edit.offset - new + edit.replaced.len();
            new = edit.offset + edit.length;
            let chunk = self.text.get(edit.offset..new).unwrap_or_default();
            gained += chunk.matches('\n').count();
            lost += edit.replaced.matches('\n').count();
            edits.push((old, gained, lost));
        }
        let now = |(offset, line): &(usize, usize)| {
            let before = edits.partition_point(|(end, ..)| end <= offset);
            let (_, gained, lost) = before
                .checked_sub(1)
                .and_then(|last| edits.get(last))
                .copied()
                .unwrap_or_default();
            (line + gained).saturating_sub(lost)
        };
        places.iter().map(now).collect()
    }
}

/// One edit, in terms of the new text.
pub(crate) struct Edit {
    pub(crate) offset: usize,
    pub(crate) length: usize,
    /// What stood there instead; maybe a key, so it is wiped.
    pub(crate) replaced: Zeroizing<String>,
}

/// Puts new keys into a document; `changes` has the offset of each mapping as key.
pub(crate) fn apply(
    document: &Document,
    changes: &BTreeMap<usize, Change<'_>>,
    texts: &[Zeroizing<String>],
) -> Result<Edited, Error> {
    let mut patches = Vec::new();
    for change in changes.values() {
        let planner = Planner::new(document, change.mapping, texts);
        for (number, addition) in &change.fill {
            if let Some(entry) = change.mapping.entries().get(*number) {
                planner.fill(entry, addition, &mut patches)?;
            }
        }
        for (number, value) in &change.set {
            if let Some(entry) = change.mapping.entries().get(*number) {
                planner.set(entry, value, &mut patches);
            }
        }
        for number in &change.remove {
            if let Some(entry) = change.mapping.entries().get(*number) {
                patches.push(planner.remove(entry)?);
            }
        }
        if let Some(first) = change.add.first() {
            let patch = if change.mapping.is_flow() {
                planner.add_flow(first.key, &change.add)?
            } else {
                planner.add_block(first.key, &change.add)?
            };
            patches.push(patch);
        }
    }
    // Where two mappings end at the same place the inner one comes first.
    patches.sort_by_key(|patch| (patch.at, Reverse(patch.rank)));
    Ok(assemble(&document.text, &patches))
}

/// One insertion.
pub(super) struct Patch {
    pub(super) at: usize,
    /// How many of the old bytes go.
    pub(super) remove: usize,
    pub(super) chunk: Chunk,
    /// Among patches at one place the higher comes first.
    pub(super) rank: usize,
}

/// Text to be inserted, with the places of the items in it.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) text: Zeroizing<String>,
    pub(super) items: Vec<(usize, usize)>,
}

impl Chunk {
    /// Adds a text. A `String` that grows by itself would leave copies of keys in freed memory.
    pub(super) fn push(&mut self, more: &str) {
        let size = self.text.len() + more.len();
        if size > self.text.capacity() {
            let mut larger = Zeroizing::new(String::with_capacity(2 * size));
            larger.push_str(&self.text);
            self.text = larger;
        }
        self.text.push_str(more);
    }
}

fn assemble(old: &str, patches: &[Patch]) -> Edited {
    let added: usize = patches.iter().map(|patch| patch.chunk.text.len()).sum();
    // Of the final size from the beginning: growing would leave copies of keys in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(old.len() + added));
    let mut edits: Vec<Edit> = Vec::new();
    let mut lines = Vec::new();
    let mut from = 0;
    let (mut line, mut counted) = (1, 0);
    for patch in patches {
        text.push_str(old.get(from..patch.at).unwrap_or_default());
        let offset = text.len();
        text.push_str(&patch.chunk.text);
        for (item, at) in &patch.chunk.items {
            line += text
                .get(counted..offset + at)
                .unwrap_or_default()
                .matches('\n')
                .count();
            counted = offset + at;
            lines.push((*item, line));
        }
        from = patch.at + patch.remove;
        let replaced = Zeroizing::new(old.get(patch.at..from).unwrap_or_default().to_owned());
        edits.push(Edit {
            offset,
            length: patch.chunk.text.len(),
            replaced,
        });
    }
    text.push_str(old.get(from..).unwrap_or_default());
    Edited { text, edits, lines }
}

/// Works out the patches of one mapping.
pub(super) struct Planner<'a> {
    pub(super) document: &'a Document,
    pub(super) mapping: &'a Node,
    texts: &'a [Zeroizing<String>],
}

impl<'a> Planner<'a> {
    pub(super) fn new(document: &'a Document, mapping: &'a Node, texts: &'a [Zeroizing<String>]) -> Self {
        Self {
            document,
            mapping,
            texts,
        }
    }

    /// Lines after the last entry of a block mapping.
    fn add_block(&self, key: &str, additions: &[Addition]) -> Result<Patch, Error> {
        let text = self.document.text.as_str();
        let Some(last) = self.mapping.entries().last() else {
            return Err(self.no_room(self.mapping.start, key, "the mapping is empty; remove it"));
        };
        let indent = self.mapping.start.column;
        let at = if ends_unterminated(text, &last.value) {
            let start = line_start(text, last.key.start.offset);
            let lead = text.get(start..last.key.start.offset).unwrap_or_default();
            if !lead.bytes().all(|byte| byte == b' ') {
                let why = "the file ends in a text without a line end; add one";
                return Err(self.no_room(last.key.start, key, why));
            }
            start
        } else {
            let end = next_line(text, end_of(text, &last.value, last.key.end.offset));
            past_comments(text, end, indent + STEP)
        };
        Ok(Patch {
            at,
            remove: 0,
            chunk: self.blocks(at, indent, additions),
            rank: indent,
        })
    }

    /// Lines of block style that take the place of those from one offset to another.
    pub(super) fn lines(&self, at: usize, end: usize, write: impl FnOnce(&mut Chunk, &str)) -> Chunk {
        let text = self.document.text.as_str();
        let newline = newline_at(text, at);
        let mut chunk = Chunk::default();
        let unterminated = |offset| offset == text.len() && !text.ends_with('\n');
        if unterminated(at) {
            chunk.push(newline);
        }
        write(&mut chunk, newline);
        if unterminated(end) {
            // A file without a final line end stays one.
            let length = chunk.text.len() - newline.len();
            chunk.text.truncate(length);
        }
        chunk
    }

    fn blocks(&self, at: usize, indent: usize, additions: &[Addition]) -> Chunk {
        self.lines(at, at, |chunk, newline| {
            for addition in additions {
                self.block(chunk, indent, newline, addition);
            }
        })
    }

    fn block(&self, chunk: &mut Chunk, indent: usize, newline: &str, addition: &Addition) {
        if let Some(item) = addition.item {
            chunk.items.push((item, chunk.text.len()));
        }
        chunk.push(&" ".repeat(indent));
        chunk.push(addition.key);
        chunk.push(":");
        match &addition.value {
            Value::Map(inner) => {
                chunk.push(newline);
                for addition in inner {
                    self.block(chunk, indent + STEP, newline, addition);
                }
            }
            Value::Text(number) if is_sealed(self.text(*number)) => {
                for part in [" ", self.text(*number), newline] {
                    chunk.push(part);
                }
            }
            Value::Text(number) => {
                chunk.push(" |");
                chunk.push(newline);
                self.body(chunk, indent + STEP, newline, *number);
            }
            Value::Word(word) => {
                chunk.push(" ");
                chunk.push(word);
                chunk.push(newline);
            }
        }
    }

    pub(super) fn body(&self, chunk: &mut Chunk, indent: usize, newline: &str, number: usize) {
        for line in self.text(number).lines() {
            chunk.push(&" ".repeat(indent));
            chunk.push(line);
            chunk.push(newline);
        }
    }

    pub(super) fn text(&self, number: usize) -> &str {
        self.texts.get(number).map_or("", |text| text.as_str())
    }

    /// A value for a key that has none.
    fn fill(&self, entry: &Entry, addition: &Addition, patches: &mut Vec<Patch>) -> Result<(), Error> {
        let text = self.document.text.as_str();
        let value = &entry.value;
        if value.anchor != 0 || value.tag.is_some() {
            return Err(self.no_room(
                value.start,
                addition.key,
                "it has an anchor or a tag; remove the key",
            ));
        }
        let colon = after_colon(text, entry);
        let written = text.get(value.start.offset..value.end.offset).unwrap_or_default();
        let token = match (written.is_empty(), colon) {
            (false, _) => value.start.offset..value.end.offset,
            (true, Some(colon)) => colon..colon,
            (true, None) if self.mapping.is_flow() => entry.key.end.offset..entry.key.end.offset,
            (true, None) => {
                let why = "it is written as `? key`; write it as `key:`";
                return Err(self.no_room(entry.key.start, addition.key, why));
            }
        };
        if written.contains(['#', '\n']) {
            // Braces around a comment or a line end, which are not ours to remove.
            let Value::Map(inner) = &addition.value else {
                return Err(self.no_room(value.start, addition.key, "it has empty braces; remove them"));
            };
            let planner = Planner {
                mapping: value,
                ..*self
            };
            let mut patch = planner.add_flow(addition.key, inner)?;
            patch.chunk.items.extend(addition.item.map(|item| (item, 0)));
            patches.push(patch);
            return Ok(());
        }
        if self.mapping.is_flow() {
            let mut chunk = Chunk::default();
            if written.is_empty() {
                chunk.push(if colon.is_some() { " " } else { ": " });
            }
            if let Some(item) = addition.item {
                chunk.items.push((item, chunk.text.len()));
            }
            self.flow_value(&mut chunk, &addition.value, quoted(entry));
            patches.push(Patch {
                at: token.start,
                remove: token.len(),
                chunk,
                rank: usize::MAX,
            });
            return Ok(());
        }
        let indent = self.mapping.start.column + STEP;
        let end = next_line(text, token.end);
        let mut head = Chunk::default();
        if let Some(item) = addition.item {
            head.items.push((item, 0));
        }
        // The blanks between the colon and an empty value go with the value.
        let start = match colon {
            Some(colon)
                if text
                    .get(colon..token.start)
                    .is_some_and(|gap| gap.trim().is_empty()) =>
            {
                colon
            }
            _ => token.start,
        };
        let lines = match &addition.value {
            Value::Map(inner) => {
                let at = past_comments(text, end, indent + STEP);
                Some((at, self.blocks(at, indent, inner)))
            }
            Value::Text(number) if is_sealed(self.text(*number)) => {
                head.push(" ");
                head.push(self.text(*number));
                None
            }
            Value::Text(number) => {
                head.push(" |");
                // Its lines follow at once; deeper than usual if a comment after them would join in.
                let indent = clear_indent(text, end, indent);
                Some((
                    end,
                    self.lines(end, end, |chunk, newline| {
                        self.body(chunk, indent, newline, *number);
                    }),
                ))
            }
            Value::Word(word) => {
                head.push(" ");
                head.push(word);
                None
            }
        };
        patches.push(Patch {
            at: start,
            remove: token.end - start,
            chunk: head,
            rank: usize::MAX,
        });
        if let Some((at, chunk)) = lines {
            patches.push(Patch {
                at,
                remove: 0,
                chunk,
                rank: indent,
            });
        }
        Ok(())
    }

    pub(super) fn no_room(&self, at: Mark, key: &str, why: &'static str) -> Error {
        Error::NoRoom {
            place: self.document.place(at),
            key: key.to_owned(),
            why,
        }
    }
}
