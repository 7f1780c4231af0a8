//! How libyaml 0.2.5 lays out collections in block style (`src/emitter.c`): where lines break and blanks stand.

use std::fmt::{self, Write};

use proto::message::Value;

use super::scalar::{Scalar, Style};
use crate::output::python::{Object, sorted};
use crate::output::text::Text;

/// Columns of a level of nesting.
const STEP: usize = 2;
/// Scalars are broken at the first blank beyond this column.
pub(super) const WIDTH: usize = 80;
/// The longest key, in bytes, that can do without a question mark.
const LONGEST_SIMPLE_KEY: usize = 128;

/// The state of the output, in libyaml's words.
pub(super) struct Emitter {
    out: Text,
    pub(super) column: usize,
    /// None before the root.
    indent: Option<usize>,
    /// Whether white space was written last.
    pub(super) whitespace: bool,
    /// Whether nothing but indentation, `-`, `?` and `:` is on the line.
    pub(super) indention: bool,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Item,
    Value,
    Key,
    SimpleKey,
}

impl Emitter {
    /// A document with this mapping as its root.
    pub(super) fn document(root: &[(&Value, &Value)]) -> Result<Text, fmt::Error> {
        let mut emitter = Self {
            out: Text::new(),
            column: 0,
            indent: None,
            whitespace: true,
            indention: true,
        };
        emitter.mapping(root)?;
        emitter.write_indent()?;
        Ok(emitter.out)
    }

    fn node(&mut self, value: &Value, place: Place) -> fmt::Result {
        match Object::from(value) {
            Object::List(items) => self.sequence(items, place),
            Object::Dict(entries) => {
                let entries = sorted(entries).unwrap_or_else(|| entries.iter().collect());
                let entries: Vec<_> = entries.into_iter().map(|(key, value)| (key, value)).collect();
                self.mapping(&entries)
            }
            object => {
                let scalar = Scalar::from(object);
                let outer = self.increase_indent(false);
                let is_key = place == Place::SimpleKey;
                if let Some(tag) = scalar.tag {
                    self.write_indicator(tag, true, false, false)?;
                }
                match scalar.style(is_key) {
                    Style::Plain => self.write_plain(&scalar.text, !is_key)?,
                    Style::SingleQuoted => self.write_single_quoted(&scalar.text, !is_key)?,
                    Style::DoubleQuoted => self.write_double_quoted(&scalar.text, !is_key)?,
                    Style::Literal => self.write_literal(&scalar.text)?,
                }
                self.indent = outer;
                Ok(())
            }
        }
    }

    fn sequence(&mut self, items: &[Value], place: Place) -> fmt::Result {
        if items.is_empty() {
            return self.write_empty("[", "]");
        }
        // A sequence below a key begins in the key's own column.
        let is_in_mapping = place != Place::Item;
        let outer = self.increase_indent(is_in_mapping && !self.indention);
        for item in items {
            self.write_indent()?;
            self.write_indicator("-", true, false, true)?;
            self.node(item, Place::Item)?;
        }
        self.indent = outer;
        Ok(())
    }

    fn mapping(&mut self, entries: &[(&Value, &Value)]) -> fmt::Result {
        if entries.is_empty() {
            return self.write_empty("{", "}");
        }
        let outer = self.increase_indent(false);
        for (key, value) in entries {
            self.write_indent()?;
            if is_simple_key(key) {
                self.node(key, Place::SimpleKey)?;
                self.write_indicator(":", false, false, false)?;
            } else {
                self.write_indicator("?", true, false, true)?;
                self.node(key, Place::Key)?;
                self.write_indent()?;
                self.write_indicator(":", true, false, true)?;
            }
            self.node(value, Place::Value)?;
        }
        self.indent = outer;
        Ok(())
    }

    fn write_empty(&mut self, open: &str, close: &str) -> fmt::Result {
        self.write_indicator(open, true, true, false)?;
        self.write_indicator(close, false, false, false)
    }

    /// Goes one level deeper, unless `indentless`. Returns the indentation to go back to.
    fn increase_indent(&mut self, indentless: bool) -> Option<usize> {
        let outer = self.indent;
        self.indent = Some(match outer {
            None => 0,
            Some(indent) if indentless => indent,
            Some(indent) => indent.saturating_add(STEP),
        });
        outer
    }

    pub(super) fn write_indent(&mut self) -> fmt::Result {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || self.column == indent && !self.whitespace {
            self.write_break('\n')?;
        }
        self.out.blanks(indent.saturating_sub(self.column))?;
        self.column = self.column.max(indent);
        self.whitespace = true;
        self.indention = true;
        Ok(())
    }

    pub(super) fn write_indicator(
        &mut self,
        indicator: &str,
        needs_whitespace: bool,
        is_whitespace: bool,
        is_indention: bool,
    ) -> fmt::Result {
        if needs_whitespace && !self.whitespace {
            self.write(' ')?;
        }
        self.write_str(indicator)?;
        self.whitespace = is_whitespace;
        self.indention = self.indention && is_indention;
        Ok(())
    }

    /// Blanks between what was written and a plain scalar.
    pub(super) fn write_gap(&mut self) -> fmt::Result {
        if self.whitespace { Ok(()) } else { self.write(' ') }
    }

    pub(super) fn write(&mut self, character: char) -> fmt::Result {
        self.column = self.column.saturating_add(1);
        self.out.write_char(character)
    }

    /// Text of ASCII characters.
    pub(super) fn write_str(&mut self, text: &str) -> fmt::Result {
        self.column = self.column.saturating_add(text.len());
        self.out.write_str(text)
    }

    pub(super) fn write_break(&mut self, line_break: char) -> fmt::Result {
        self.column = 0;
        self.out.write_char(line_break)
    }
}

fn is_simple_key(key: &Value) -> bool {
    match Object::from(key) {
        Object::List(items) => items.is_empty(),
        Object::Dict(entries) => entries.is_empty(),
        object => {
            let scalar = Scalar::from(object);
            let tag = scalar.tag.map_or(0, str::len);
            !scalar.is_multiline() && scalar.text.len().saturating_add(tag) <= LONGEST_SIMPLE_KEY
        }
    }
}
