//! Values and keys that are there: replaced or removed, with nothing else moved.

use zeroize::Zeroizing;

use super::change::{Chunk, NewValue, Patch, Planner, STEP, Value};
use super::flow::quoted;
use super::locate::{clear_indent, end_of, line_start, next_line};
use super::{Document, Entry, Node};
use crate::error::Error;

/// The bytes of a scalar as they stand in the text: from its first to its last one that is not a blank.
pub(crate) fn source<'a>(document: &'a Document, value: &Node) -> &'a str {
    let start = value.start.offset;
    document
        .text
        .get(start..source_end(document, value))
        .unwrap_or_default()
}

fn source_end(document: &Document, value: &Node) -> usize {
    end_of(&document.text, value, value.start.offset).max(value.start.offset)
}

/// Whether an entry's value is written as we would write it.
pub(crate) fn is_ours(document: &Document, mapping: &Node, entry: &Entry) -> bool {
    let Some(text) = entry.value.scalar() else {
        return false;
    };
    let old = document.text.as_str();
    let end = source_end(document, &entry.value);
    let rest = old.get(end..next_line(old, end)).unwrap_or_default();
    let header = source(document, &entry.value);
    let plain = header.starts_with("|\n") || header.starts_with("|\r\n");
    if !mapping.is_flow() && !(plain && matches!(rest, "" | "\n" | "\r\n")) {
        return false;
    }
    let texts = [Zeroizing::new(text.to_owned())];
    let planner = Planner::new(document, mapping, &texts);
    let mut patches = Vec::new();
    planner.set(entry, &NewValue::Text(0), &mut patches);
    patches.iter().all(|patch| {
        let old = old.get(patch.at..patch.at + patch.remove);
        old == Some(patch.chunk.text.as_str())
    })
}

impl Planner<'_> {
    /// Another value for a scalar.
    pub(super) fn set(&self, entry: &Entry, value: &NewValue, patches: &mut Vec<Patch>) {
        let start = entry.value.start.offset;
        let end = source_end(self.document, &entry.value);
        let mut chunk = Chunk::default();
        match value {
            NewValue::Verbatim { source, .. } => chunk.text.push_str(source),
            NewValue::Text(number) if self.mapping.is_flow() => {
                self.flow_value(&mut chunk, &Value::Text(*number), quoted(entry));
            }
            NewValue::Text(number) => return self.set_block(&entry.value, *number, (start, end), patches),
        }
        patches.push(Patch {
            at: start,
            remove: end - start,
            chunk,
            rank: usize::MAX,
        });
    }

    /// A literal text instead of a value. What follows the old value on its line, a comment, say, stays there.
    fn set_block(&self, old: &Node, number: usize, (start, end): (usize, usize), patches: &mut Vec<Patch>) {
        let text = self.document.text.as_str();
        let indent = self.mapping.start.column + STEP;
        let mut head = Chunk::default();
        head.text.push('|');
        let mut head_end = end;
        if old.is_block_scalar() {
            // The comment behind `|`, if there is one, is somebody's.
            let header = text.get(start..end).unwrap_or_default();
            let header = header.lines().next().unwrap_or_default();
            if let Some(comment) = header.find([' ', '\t']) {
                head.text
                    .push_str(header.get(comment..).unwrap_or_default().trim_end());
            }
            head_end = start + header.trim_end().len();
        }
        patches.push(Patch {
            at: start,
            remove: head_end - start,
            chunk: head,
            rank: usize::MAX,
        });
        let at = next_line(text, head_end);
        let follows = next_line(text, end);
        // Deeper than usual if a comment after it would join in.
        let indent = clear_indent(text, follows, indent);
        patches.push(Patch {
            at,
            remove: follows - at,
            chunk: self.lines(at, follows, |chunk, newline| {
                self.body(chunk, indent, newline, number);
            }),
            rank: indent,
        });
    }

    /// Takes a key of a block mapping out, with its value: the lines on which they stand.
    pub(super) fn remove(&self, entry: &Entry) -> Result<Patch, Error> {
        let text = self.document.text.as_str();
        let key = entry.key.scalar().unwrap_or_default();
        let start = line_start(text, entry.key.start.offset);
        let lead = text.get(start..entry.key.start.offset).unwrap_or_default();
        if self.mapping.is_flow() || !lead.bytes().all(|byte| byte == b' ') {
            let why = "it does not stand on lines of its own; take it out by hand";
            return Err(self.no_room(entry.key.start, key, why));
        }
        let end = next_line(text, end_of(text, &entry.value, entry.key.end.offset));
        Ok(Patch {
            at: start,
            remove: end - start,
            chunk: Chunk::default(),
            rank: usize::MAX,
        })
    }
}
