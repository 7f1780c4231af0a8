//! Values and keys that are there: replaced or removed, with nothing else moved.

use std::ops::Range;

use zeroize::Zeroizing;

use super::change::{Chunk, NewValue, Patch, Planner, STEP, Value};
use super::flow::quoted;
use super::locate::{clear_indent, end_of, line_end, line_start, newline_at, next_line};
use super::{Document, Entry, Node};
use crate::error::Error;
use crate::seal::is_sealed;

/// A scalar as it stands in the text. What it does not cover, a comment behind the value or behind `|`, is not its own.
struct Written {
    /// The value; of a block scalar its header: `|` or `>` and what says more about indentation and line ends.
    head: Range<usize>,
    /// Of a block scalar everything from the end of its header's line to the end of its last line; else nothing, at
    /// the end of the value's last line.
    body: Range<usize>,
    /// Whether it is a block scalar.
    block: bool,
}

impl Written {
    fn of(document: &Document, entry: &Entry) -> Self {
        let text = document.text.as_str();
        let value = &entry.value;
        let header = value.is_block_scalar().then(|| header(text, entry)).flatten();
        let Some(head) = header else {
            let head = value.start.offset..value.end.offset.max(value.start.offset);
            let end = line_end(text, head.end);
            return Self {
                head,
                body: end..end,
                block: false,
            };
        };
        let body = line_end(text, head.end);
        let end = block_end(text, value).max(body);
        Self {
            head,
            body: body..end,
            block: true,
        }
    }
}

/// Where a block scalar's header is. The parser tells where its text begins, which is lines further down.
fn header(text: &str, entry: &Entry) -> Option<Range<usize>> {
    let mut at = entry.key.end.offset;
    loop {
        let rest = text.get(at..entry.value.start.offset)?;
        let first = rest.chars().next()?;
        at += match first {
            '|' | '>' => {
                let more = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-');
                let length = 1 + rest.chars().skip(1).take_while(|c| more(*c)).count();
                return Some(at..at + length);
            }
            // A tag, an anchor, a comment.
            '!' | '&' => rest.find(char::is_whitespace)?,
            '#' => rest.find(['\n', '\r'])?,
            ':' => 1,
            c if c.is_whitespace() => c.len_utf8(),
            _ => return None,
        };
    }
}

/// Where the last line of a block scalar ends. Lines after it that are no part of its text are left out.
fn block_end(text: &str, value: &Node) -> usize {
    let read = value.scalar().unwrap_or_default();
    let all = read.ends_with("\n\n") || read == "\n" || read.trim_end_matches('\n').ends_with([' ', '\t']);
    if !all {
        return end_of(text, value, value.start.offset);
    }
    let end = value.end.offset;
    if end >= text.len() && !text.ends_with('\n') {
        return text.len();
    }
    let line = line_start(text, end);
    let before = text.get(..line).unwrap_or_default();
    let before = before.strip_suffix('\n').unwrap_or(before);
    before.strip_suffix('\r').unwrap_or(before).len()
}

/// The bytes of an entry's scalar as they stand in the text, without the comment behind the header of a block scalar.
pub(crate) fn source(document: &Document, entry: &Entry) -> Zeroizing<String> {
    let written = Written::of(document, entry);
    let parts = match written.block {
        true => vec![written.head, written.body],
        false => vec![written.head],
    };
    let mut source = Zeroizing::new(String::with_capacity(parts.iter().map(Range::len).sum()));
    for part in parts {
        source.push_str(document.text.get(part).unwrap_or_default());
    }
    source
}

/// Whether an entry's value is written as we would write it.
pub(crate) fn is_ours(document: &Document, mapping: &Node, entry: &Entry) -> bool {
    let Some(text) = entry.value.scalar() else {
        return false;
    };
    // We end a text with one line end.
    if text.strip_suffix('\n') != Some(text.trim_end()) {
        return false;
    }
    let texts = [Zeroizing::new(text.to_owned())];
    let planner = Planner::new(document, mapping, &texts);
    let mut patches = Vec::new();
    planner.set(entry, &NewValue::Text(0), &mut patches);
    patches.iter().all(|patch| {
        let old = document.text.get(patch.at..patch.at + patch.remove);
        old == Some(patch.chunk.text.as_str())
    })
}

impl Planner<'_> {
    /// Another value for a scalar.
    pub(super) fn set(&self, entry: &Entry, value: &NewValue, patches: &mut Vec<Patch>) {
        let text = self.document.text.as_str();
        let old = Written::of(self.document, entry);
        let (mut head, mut body) = (Chunk::default(), Chunk::default());
        match value {
            NewValue::Verbatim { source, .. } => {
                let block = source.starts_with(['|', '>']);
                let end = match block {
                    true => source.find(['\n', '\r']).unwrap_or(source.len()),
                    false => source.len(),
                };
                head.push(source.get(..end).unwrap_or_default());
                body.push(source.get(end..).unwrap_or_default());
            }
            NewValue::Text(number) if self.mapping.is_flow() => {
                self.flow_value(&mut head, &Value::Text(*number), quoted(entry));
            }
            NewValue::Text(number) if is_sealed(self.text(*number)) => head.push(self.text(*number)),
            NewValue::Text(number) => {
                head.push("|");
                // Deeper than usual if a comment after it would join in.
                let indent = self.mapping.start.column + STEP;
                let indent = clear_indent(text, next_line(text, old.body.end), indent);
                let newline = newline_at(text, next_line(text, old.body.start));
                for line in self.text(*number).lines() {
                    body.push(newline);
                    body.push(&" ".repeat(indent));
                    body.push(line);
                }
            }
        }
        let mut put = |range: &Range<usize>, chunk: Chunk| {
            if !(range.is_empty() && chunk.text.is_empty()) {
                patches.push(Patch {
                    at: range.start,
                    remove: range.len(),
                    chunk,
                    rank: usize::MAX,
                });
            }
        };
        put(&old.head, head);
        put(&old.body, body);
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
