//! New keys in flow style: `{pem: "…"}`, on the line where the braces are.

use granit_parser::ScalarStyle;
use zeroize::Zeroizing;

use super::change::{Addition, Chunk, Patch, Planner, Value};
use super::locate::{after_colon, after_comma};
use super::{Entry, Kind};
use crate::error::Error;
use crate::seal::is_sealed;

impl Planner<'_> {
    /// Entries before the closing brace of a flow mapping.
    pub(super) fn add_flow(&self, key: &str, additions: &[Addition]) -> Result<Patch, Error> {
        let text = self.document.text.as_str();
        let open = self.mapping.start.offset;
        if !text.get(open..).is_some_and(|rest| rest.starts_with('{')) {
            let why = "it is a single pair in a list; put it in braces";
            return Err(self.no_room(self.mapping.start, key, why));
        }
        let mut chunk = Chunk::default();
        let last = self.mapping.entries().last();
        let (at, mut comma) = match last {
            None => (open + 1, false),
            Some(last) => {
                let end = end_of(text, last);
                let close = self.mapping.end.offset.saturating_sub(1);
                match after_comma(text, end, close) {
                    Some(at) => {
                        chunk.push(" ");
                        (at, false)
                    }
                    None => (end, true),
                }
            }
        };
        let quote = last.is_some_and(quoted);
        for addition in additions {
            if comma {
                chunk.push(", ");
            }
            comma = true;
            self.flow_entry(&mut chunk, addition, quote);
        }
        Ok(Patch {
            at,
            remove: 0,
            chunk,
            rank: 0,
        })
    }

    /// Takes an entry out of braces, with the comma that parts it from its neighbour.
    pub(super) fn remove_flow(&self, key: &str, entry: &Entry) -> Result<Patch, Error> {
        let text = self.document.text.as_str();
        let entries = self.mapping.entries();
        let number = entries.iter().position(|other| std::ptr::eq(other, entry));
        let next = number.and_then(|number| entries.get(number + 1));
        let previous = number.and_then(|number| entries.get(number.checked_sub(1)?));
        let (start, end) = (entry.key.start.offset, end_of(text, entry));
        let (at, to, gap) = match (next, previous) {
            (Some(next), _) => (start, next.key.start.offset, end..next.key.start.offset),
            (None, Some(previous)) => (end_of(text, previous), end, end_of(text, previous)..start),
            (None, None) => (start, end, end..end),
        };
        let between = text.get(gap).unwrap_or("#");
        if !between.chars().all(|c| c == ',' || c.is_whitespace()) {
            let why = "something else stands beside it in the braces; take it out by hand";
            return Err(self.no_room(entry.key.start, key, why));
        }
        Ok(Patch {
            at,
            remove: to.saturating_sub(at),
            chunk: Chunk::default(),
            rank: usize::MAX,
        })
    }

    fn flow_entry(&self, chunk: &mut Chunk, addition: &Addition, quote: bool) {
        if let Some(item) = addition.item {
            chunk.items.push((item, chunk.text.len()));
        }
        let mark = if quote { "\"" } else { "" };
        for part in [mark, addition.key, mark, ": "] {
            chunk.push(part);
        }
        self.flow_value(chunk, &addition.value, quote);
    }

    pub(super) fn flow_value(&self, chunk: &mut Chunk, value: &Value, quote: bool) {
        match value {
            Value::Map(inner) => {
                chunk.push("{");
                for (number, addition) in inner.iter().enumerate() {
                    if number > 0 {
                        chunk.push(", ");
                    }
                    self.flow_entry(chunk, addition, quote);
                }
                chunk.push("}");
            }
            Value::Text(number) if is_sealed(self.text(*number)) => {
                for part in ["\"", self.text(*number), "\""] {
                    chunk.push(part);
                }
            }
            Value::Text(number) => {
                chunk.push("\"");
                for line in self.text(*number).lines() {
                    escape(line, |part| chunk.push(part));
                    chunk.push("\\n");
                }
                chunk.push("\"");
            }
            Value::Word(word) => {
                let mark = if quote { "\"" } else { "" };
                for part in [mark, word.as_str(), mark] {
                    chunk.push(part);
                }
            }
        }
    }
}

/// A text in double quotes, on one line: a form that every text has, wherever it stands.
pub(crate) fn double_quoted(text: &str) -> Zeroizing<String> {
    let mut chunk = Chunk::default();
    chunk.push("\"");
    escape(text, |part| chunk.push(part));
    chunk.push("\"");
    chunk.text
}

/// Hands over a text as it stands between double quotes, part by part.
fn escape(text: &str, mut put: impl FnMut(&str)) {
    let special = |c: char| {
        matches!(
            c,
            '"' | '\\' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        ) || c.is_control()
    };
    for part in text.split_inclusive(special) {
        let Some(last) = part.chars().next_back().filter(|c| special(*c)) else {
            put(part);
            continue;
        };
        put(part.strip_suffix(last).unwrap_or_default());
        match last {
            '"' => put("\\\""),
            '\\' => put("\\\\"),
            '\n' => put("\\n"),
            '\t' => put("\\t"),
            '\r' => put("\\r"),
            other => put(&format!("\\u{:04x}", u32::from(other))),
        }
    }
}

/// Where an entry of braces has its end, also if its value isn't written.
fn end_of(text: &str, entry: &Entry) -> usize {
    let implied = entry.value.start.offset == entry.value.end.offset;
    match after_colon(text, entry) {
        Some(colon) if implied => colon,
        None if implied => entry.key.end.offset,
        _ => entry.value.end.offset,
    }
}

/// Whether an entry is written as in JSON.
pub(super) fn quoted(entry: &Entry) -> bool {
    matches!(
        entry.key.kind,
        Kind::Scalar {
            style: ScalarStyle::DoubleQuoted,
            ..
        }
    )
}
