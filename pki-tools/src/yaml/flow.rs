//! New keys in flow style: `{pem: "…"}`, on the line where the braces are.

use granit_parser::ScalarStyle;

use super::change::{Addition, Chunk, Patch, Planner, Value};
use super::locate::{after_colon, after_comma};
use super::{Entry, Kind};
use crate::error::Error;

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
                let implied = last.value.start.offset == last.value.end.offset;
                let end = match after_colon(text, last) {
                    Some(colon) if implied => colon,
                    None if implied => last.key.end.offset,
                    _ => last.value.end.offset,
                };
                let close = self.mapping.end.offset.saturating_sub(1);
                match after_comma(text, end, close) {
                    Some(at) => {
                        chunk.text.push(' ');
                        (at, false)
                    }
                    None => (end, true),
                }
            }
        };
        let quote = last.is_some_and(quoted);
        for addition in additions {
            if comma {
                chunk.text.push_str(", ");
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

    fn flow_entry(&self, chunk: &mut Chunk, addition: &Addition, quote: bool) {
        if let Some(item) = addition.item {
            chunk.items.push((item, chunk.text.len()));
        }
        let mark = if quote { "\"" } else { "" };
        for part in [mark, addition.key, mark, ": "] {
            chunk.text.push_str(part);
        }
        self.flow_value(chunk, &addition.value, quote);
    }

    pub(super) fn flow_value(&self, chunk: &mut Chunk, value: &Value, quote: bool) {
        match value {
            Value::Map(inner) => {
                chunk.text.push('{');
                for (number, addition) in inner.iter().enumerate() {
                    if number > 0 {
                        chunk.text.push_str(", ");
                    }
                    self.flow_entry(chunk, addition, quote);
                }
                chunk.text.push('}');
            }
            Value::Text(number) => {
                // PEM and OpenSSH texts have nothing to escape but their line ends.
                chunk.text.push('"');
                for line in self.text(*number).lines() {
                    chunk.text.push_str(line);
                    chunk.text.push_str("\\n");
                }
                chunk.text.push('"');
            }
            Value::Word(word) => {
                let mark = if quote { "\"" } else { "" };
                for part in [mark, word.as_str(), mark] {
                    chunk.text.push_str(part);
                }
            }
        }
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
