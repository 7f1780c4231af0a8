//! Salt's JSON outputter (`salt/output/json_out.py`): Python's `json.dumps` with an indent of 4 and Unicode as it is.

use std::fmt::{self, Write};

use proto::message::Value;

use super::python::{Object, float_repr, fmt_repr};
use super::text::Text;

/// `{"MINION": return, …}`.
pub(super) fn of_minions(returns: &[(&str, &Value)]) -> Result<Text, fmt::Error> {
    let mut json = Json { out: Text::new() };
    json.enclosed('{', '}', 0, returns, |json, (minion, value)| {
        json.string(minion)?;
        json.out.write_str(": ")?;
        json.value(value, 1)
    })?;
    Ok(json.out)
}

struct Json {
    out: Text,
}

impl Json {
    fn value(&mut self, value: &Value, depth: usize) -> fmt::Result {
        match Object::from(value) {
            Object::None => self.out.write_str("null"),
            Object::Bool(truth) => write!(self.out, "{truth}"),
            Object::Int(number) => write!(self.out, "{number}"),
            Object::Float(number) => self.float(number),
            Object::Str(text) => self.string(text),
            Object::List(items) => self.enclosed('[', ']', depth, items, |json, item| {
                json.value(item, depth.saturating_add(1))
            }),
            Object::Dict(entries) => self.enclosed('{', '}', depth, entries, |json, (key, value)| {
                json.key(key)?;
                json.out.write_str(": ")?;
                json.value(value, depth.saturating_add(1))
            }),
            // Salt passes `default=repr`.
            Object::Bytes(_) | Object::Date(_) | Object::Constant(..) => self.repr(value),
        }
    }

    /// Each item on a line of its own; nothing between the brackets if there is none.
    fn enclosed<T>(
        &mut self,
        open: char,
        close: char,
        depth: usize,
        items: &[T],
        write: impl Fn(&mut Self, &T) -> fmt::Result,
    ) -> fmt::Result {
        self.out.write_char(open)?;
        let mut separator = "";
        for item in items {
            self.out.write_str(separator)?;
            self.line(depth.saturating_add(1))?;
            write(self, item)?;
            separator = ",";
        }
        if !items.is_empty() {
            self.line(depth)?;
        }
        self.out.write_char(close)
    }

    fn line(&mut self, depth: usize) -> fmt::Result {
        self.out.line_at(depth.saturating_mul(4))
    }

    /// Keys of JSON are strings. Of a key that Python cannot turn into one (bytes, dates) Salt would make the whole
    /// document `{}`; we print what `default=repr` makes of such values.
    fn key(&mut self, key: &Value) -> fmt::Result {
        match Object::from(key) {
            Object::Str(text) => self.string(text),
            Object::None | Object::Bool(_) | Object::Int(_) | Object::Float(_) => {
                self.out.write_char('"')?;
                self.value(key, 0)?;
                self.out.write_char('"')
            }
            _ => self.repr(key),
        }
    }

    /// Python writes what JSON does not know, too.
    fn float(&mut self, number: f64) -> fmt::Result {
        if number.is_finite() {
            return self.out.write_str(&float_repr(number));
        }
        let name = if number.is_nan() { "NaN" } else { "Infinity" };
        let sign = if number < 0.0 { "-" } else { "" };
        write!(self.out, "{sign}{name}")
    }

    fn repr(&mut self, value: &Value) -> fmt::Result {
        let mut repr = String::new();
        fmt_repr(value, &mut repr)?;
        self.string(&repr)
    }

    fn string(&mut self, text: &str) -> fmt::Result {
        self.out.write_char('"')?;
        let mut rest = text;
        while let Some((at, character)) = rest
            .char_indices()
            .find(|(_, character)| must_be_escaped(*character))
        {
            let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
            self.out.write_str(plain)?;
            match character {
                '"' | '\\' => write!(self.out, "\\{character}")?,
                '\n' => self.out.write_str("\\n")?,
                '\r' => self.out.write_str("\\r")?,
                '\t' => self.out.write_str("\\t")?,
                '\u{8}' => self.out.write_str("\\b")?,
                '\u{c}' => self.out.write_str("\\f")?,
                _ => write!(self.out, "\\u{:04x}", u32::from(character))?,
            }
            rest = special.strip_prefix(character).unwrap_or("");
        }
        self.out.write_str(rest)?;
        self.out.write_char('"')
    }
}

fn must_be_escaped(character: char) -> bool {
    matches!(character, '"' | '\\' | '\0'..='\u{1f}')
}
