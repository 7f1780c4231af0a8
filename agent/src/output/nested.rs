//! Salt's nested outputter (`salt/output/nested.py`): what is printed of everything that is not states.

use std::fmt::{self, Write};

use proto::message::Value;

use super::color::Colors;
use super::python::{Object, fmt_repr, lines, sorted, to_str};
use super::text::Text;

/// What one minion returned, under its name. `failed` is a retcode other than 0, which makes keys red.
pub(super) fn of_minion(
    minion: &str,
    value: &Value,
    colors: Colors,
    failed: bool,
) -> Result<Text, fmt::Error> {
    let mut nested = Nested::new(colors, failed);
    nested.key(0, minion)?;
    nested.display(value, 4, "")?;
    nested.out.trim_end();
    Ok(nested.out)
}

/// Data inside another outputter's text, so far to the right.
pub(super) fn at_indent(value: &Value, indent: usize, colors: Colors) -> Result<Text, fmt::Error> {
    let mut nested = Nested::new(colors, false);
    nested.display(value, indent, "")?;
    nested.out.trim_end();
    Ok(nested.out)
}

struct Nested {
    out: Text,
    colors: Colors,
    /// Of keys, and of what encloses lists and dicts.
    key_color: &'static str,
    list_color: &'static str,
}

impl Nested {
    fn new(colors: Colors, failed: bool) -> Self {
        Self {
            out: Text::new(),
            colors,
            key_color: if failed { colors.red } else { colors.cyan },
            list_color: if failed { colors.red } else { colors.green },
        }
    }

    fn display(&mut self, value: &Value, indent: usize, prefix: &str) -> fmt::Result {
        match Object::from(value) {
            Object::None | Object::Bool(_) | Object::Int(_) | Object::Float(_) => {
                self.start(indent, self.colors.light_yellow)?;
                self.out.write_str(prefix)?;
                fmt_repr(value, &mut self.out)?;
                self.out.write_str(self.colors.end)
            }
            Object::Str(text) => self.display_str(text, indent, prefix),
            Object::List(items) => self.display_list(items, indent),
            Object::Dict(entries) => self.display_dict(entries, indent),
            // Salt prints nothing at all for what is none of these.
            Object::Bytes(_) | Object::Date(_) | Object::Constant(..) => Ok(()),
        }
    }

    fn display_str(&mut self, text: &str, indent: usize, prefix: &str) -> fmt::Result {
        let mut prefix = Some(prefix);
        let width = prefix.map_or(0, str::len);
        for line in lines(text) {
            self.start(indent, self.colors.green)?;
            match prefix.take() {
                Some(prefix) => self.out.write_str(prefix)?,
                None => self.out.blanks(width)?,
            }
            write_harmless(line, &mut self.out)?;
            self.out.write_str(self.colors.end)?;
        }
        Ok(())
    }

    fn display_list(&mut self, items: &[Value], indent: usize) -> fmt::Result {
        for item in items {
            if matches!(item, Value::Array(_) | Value::Map(_)) {
                self.start(indent, self.list_color)?;
                self.out.write_str("|_")?;
                self.out.write_str(self.colors.end)?;
                self.display(item, indent.saturating_add(2), "")?;
            } else {
                self.display(item, indent, "- ")?;
            }
        }
        Ok(())
    }

    fn display_dict(&mut self, entries: &[(Value, Value)], indent: usize) -> fmt::Result {
        if indent > 0 {
            self.start(indent, self.key_color)?;
            self.out.write_str("----------")?;
            self.out.write_str(self.colors.end)?;
        }
        let below = indent.saturating_add(4);
        if let Some(entries) = sorted(entries) {
            for (key, value) in entries {
                self.key(indent, &to_str(key))?;
                self.display(value, below, "")?;
            }
            return Ok(());
        }
        for (key, value) in sorted_as_text(entries) {
            self.key(indent, &key)?;
            self.display(value, below, "")?;
        }
        Ok(())
    }

    fn key(&mut self, indent: usize, key: &str) -> fmt::Result {
        self.start(indent, self.key_color)?;
        self.out.write_str(key)?;
        self.out.write_str(self.colors.end)?;
        self.out.write_char(':')
    }

    /// Begins a line, in this colour.
    fn start(&mut self, indent: usize, color: &str) -> fmt::Result {
        self.out.next_line()?;
        self.out.blanks(indent)?;
        self.out.write_str(color)
    }
}

/// What Salt makes of keys that cannot be compared: text. Of keys that become the same text the last one counts.
fn sorted_as_text(entries: &[(Value, Value)]) -> Vec<(String, &Value)> {
    let mut named: Vec<(String, &Value)> = entries.iter().map(|(key, value)| (to_str(key), value)).collect();
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    named.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 = later.1;
        }
        same
    });
    named
}

/// A line without escape characters: a minion may not steer the terminal (`salt.output.strip_esc_sequence`).
pub(super) fn write_harmless(line: &str, out: &mut impl Write) -> fmt::Result {
    let mut separator = "";
    for part in line.split('\x1b') {
        out.write_str(separator)?;
        out.write_str(part)?;
        separator = "?";
    }
    Ok(())
}
