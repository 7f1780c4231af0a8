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

    /// Takes a key out, with its value: the lines on which they stand, or in braces just those.
    pub(super) fn remove(&self, entry: &Entry) -> Result<Patch, Error> {
        let text = self.document.text.as_str();
        let key = entry.key.scalar().unwrap_or_default();
        if self.mapping.is_flow() {
            return self.remove_flow(key, entry);
        }
        let start = line_start(text, entry.key.start.offset);
        let lead = text.get(start..entry.key.start.offset).unwrap_or_default();
        if !lead.bytes().all(|byte| byte == b' ') {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::super::{Change, apply, double_quoted, verify};
    use super::*;

    fn document(text: &str) -> Document {
        let path = Path::new("a.yaml");
        Document::parse(0, path, path, text.as_bytes().to_vec()).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    fn first(document: &Document) -> (&Node, &Entry) {
        let mapping = document.root.as_ref().unwrap();
        (mapping, mapping.entries().first().unwrap())
    }

    fn set(text: &str, value: NewValue, texts: &[&str]) -> String {
        let document = document(text);
        let (mapping, _) = first(&document);
        let mut change = Change::of(mapping);
        change.set.push((0, value));
        let changes = BTreeMap::from([(mapping.start.offset, change)]);
        let texts: Vec<_> = texts
            .iter()
            .map(|text| Zeroizing::new((*text).to_owned()))
            .collect();
        let edited = apply(&document, &changes, &texts).unwrap();
        verify(&document, &edited, &changes, &texts).unwrap_or_else(|e| panic!("{e}\n{}", *edited.text));
        edited.text.to_string()
    }

    fn verbatim(source: &str, value: &str) -> NewValue {
        NewValue::Verbatim {
            source: Zeroizing::new(source.to_owned()),
            value: Zeroizing::new(value.to_owned()),
        }
    }

    #[test]
    fn the_source_of_a_value_is_all_that_it_is_read_from_but_no_comment() {
        for (text, expected) in [
            ("a: |\n  t\nb: 1\n", "|\n  t"),
            (
                "a: &x !!str   |2-   # why\n\n    t\n   \nb: 1\n",
                "|2-\n\n    t\n   ",
            ),
            ("a: # why | not\n  >+\n  t\n\n\n# c\nb: 1\n", ">+\n  t\n\n"),
            ("a: |\r\n  t\r\n  u\r\n\r\nb: 1\r\n", "|\r\n  t\r\n  u"),
            ("a: |+\r\n  t\r\n\r\nb: 1\r\n", "|+\r\n  t\r\n"),
            ("a: |\n  t  ", "|\n  t  "),
            ("a: |\n  t", "|\n  t"),
            ("? a\n# c\n: |\n  t\n", "|\n  t"),
            ("'a' : \"t\n  u\"  # why\n", "\"t\n  u\""),
            ("a: t\n  u  # why\n", "t\n  u"),
            ("{a: t u , b: 1}", "t u"),
        ] {
            let document = document(text);
            assert_eq!(
                source(&document, first(&document).1).as_str(),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn ours_is_what_a_new_value_would_look_like() {
        for (text, expected) in [
            ("a: |\n  t\n  u\nb: 1\n", true),
            ("a: |  # why\n  t\n", true),
            ("a: |\n  t", true),
            ("a: |\r\n  t\r\n", true),
            ("{a: \"t\\nu\\n\"}", true),
            ("{a: \"t\\\"\\n\"}", true),
            ("a: |\n   t\n", false),
            ("a: |-\n  t\n", false),
            ("a: |\n  t  \n", false),
            ("a: |\n  t\n\n  u\n", false),
            ("a: |\r\n  t\n  u\r\n", false),
            ("a: \"t\\n\"\n", false),
            ("{a: \"t\"}", false),
            ("{a: 't'}", false),
        ] {
            let document = document(text);
            let (mapping, entry) = first(&document);
            assert_eq!(is_ours(&document, mapping, entry), expected, "{text:?}");
        }
    }

    #[test]
    fn a_comment_stays_on_the_line_of_its_value_whatever_the_forms() {
        for (old, value, texts, new) in [
            (
                "a: |  # why\n  t\nb: 1\n",
                verbatim("x", "x"),
                [""],
                "a: x  # why\nb: 1\n",
            ),
            (
                "a: x  # why\nb: 1\n",
                verbatim("|-\n   t", "t"),
                [""],
                "a: |-  # why\n   t\nb: 1\n",
            ),
            ("a: x # why", verbatim("|-\n   t", "t"), [""], "a: |- # why\n   t"),
            (
                "a: >+ # why\n  t\n\n",
                NewValue::Text(0),
                ["u\nv\n"],
                "a: | # why\n  u\n  v\n",
            ),
            (
                "a: 'x\n  y' # why\r\n",
                NewValue::Text(0),
                ["u"],
                "a: | # why\r\n  u\r\n",
            ),
            (
                "a: |\n  t\n # why\n",
                NewValue::Text(0),
                ["sealed.v1.x"],
                "a: sealed.v1.x\n # why\n",
            ),
            (
                "a: x\n    # deep\nb: 1\n",
                NewValue::Text(0),
                ["u"],
                "a: |\n     u\n    # deep\nb: 1\n",
            ),
            (
                "{a: x # why\n}",
                NewValue::Text(0),
                ["sealed.v1.x"],
                "{a: \"sealed.v1.x\" # why\n}",
            ),
        ] {
            assert_eq!(set(old, value, &texts), new, "{old:?}");
        }
    }

    #[test]
    fn every_text_can_stand_between_double_quotes_on_one_line() {
        let odd = "a\"b\\c\n\t\r\u{0}\u{7f}\u{85}\u{2028}\u{feff}ü🔑 # : {}[], ' \u{1b}";
        let quoted = double_quoted(odd);
        assert!(!quoted.contains(char::is_control), "{quoted:?}");
        for text in [format!("a: {}\n", *quoted), format!("{{\"a\":{}}}", *quoted)] {
            assert_eq!(first(&document(&text)).1.value.scalar(), Some(odd));
        }
    }

    #[test]
    fn lines_are_counted_through_what_was_replaced() {
        let text = "a: |\n  t\n  u\nb: x\nc: 1\n";
        let document = document(text);
        let (mapping, _) = first(&document);
        let mut change = Change::of(mapping);
        change.set.push((0, verbatim("x", "x")));
        change.set.push((1, verbatim("|\n  1\n  2\n  3", "1\n2\n3\n")));
        let changes = BTreeMap::from([(mapping.start.offset, change)]);
        let edited = apply(&document, &changes, &[]).unwrap();
        let marks: Vec<_> = mapping
            .entries()
            .iter()
            .map(|e| (e.key.start.offset, e.key.start.line))
            .collect();
        assert_eq!(edited.lines_now(&marks), [1, 2, 6], "{}", *edited.text);
    }
}
