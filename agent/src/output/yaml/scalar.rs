//! Scalars of YAML: in which style libyaml writes them, and how (`yaml_emitter_analyze_scalar` and the writers behind it
//! in `src/emitter.c`).

use std::borrow::Cow;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::emitter::{Emitter, WIDTH};
use super::resolver::is_taken_for_string;
use crate::output::python::{Object, float_repr};

/// A scalar as PyYAML's `SafeRepresenter` makes it of a Python object.
pub(super) struct Scalar<'a> {
    pub(super) text: Cow<'a, str>,
    /// Written only where the text alone would be read as something else.
    pub(super) tag: Option<&'static str>,
    kind: Kind,
    analysis: Analysis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Str,
    Binary,
    /// Whatever is written plainly and read back as what it was.
    Other,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
}

impl<'a> From<Object<'a>> for Scalar<'a> {
    fn from(object: Object<'a>) -> Self {
        let (kind, text): (_, Cow<'a, str>) = match object {
            Object::Str(text) => (Kind::Str, text.into()),
            Object::Bytes(bytes) => (Kind::Binary, base64_lines(bytes).into()),
            Object::None => (Kind::Other, "null".into()),
            Object::Bool(truth) => (Kind::Other, if truth { "true" } else { "false" }.into()),
            Object::Int(number) => (Kind::Other, number.to_string().into()),
            Object::Float(number) => (Kind::Other, float(number).into()),
            Object::Date(date) => {
                let mut text = String::new();
                // Writing into a String does not fail.
                let _ = date.fmt_iso(' ', &mut text);
                (Kind::Other, text.into())
            }
            // Salt's representer of what YAML does not know.
            Object::Constant(..) | Object::List(_) | Object::Dict(_) => (Kind::Other, "NULL".into()),
        };
        Self {
            analysis: Analysis::of(&text),
            tag: (kind == Kind::Binary).then_some("!!binary"),
            text,
            kind,
        }
    }
}

impl Scalar<'_> {
    pub(super) fn is_multiline(&self) -> bool {
        self.analysis.multiline
    }

    /// `yaml_emitter_select_scalar_style`
    pub(super) fn style(&self, is_simple_key: bool) -> Style {
        let analysis = &self.analysis;
        let mut style = if self.kind == Kind::Binary {
            Style::Literal
        } else {
            Style::Plain
        };
        if is_simple_key && analysis.multiline {
            style = Style::DoubleQuoted;
        }
        let is_ambiguous = self.kind == Kind::Str && !is_taken_for_string(&self.text);
        if style == Style::Plain
            && (!analysis.plain_allowed || self.text.is_empty() && is_simple_key || is_ambiguous)
        {
            style = Style::SingleQuoted;
        }
        if style == Style::SingleQuoted && !analysis.single_quoted_allowed {
            style = Style::DoubleQuoted;
        }
        style
    }
}

/// What the characters of a scalar allow, outside of flow collections.
#[derive(Debug)]
struct Analysis {
    multiline: bool,
    plain_allowed: bool,
    single_quoted_allowed: bool,
}

impl Analysis {
    fn of(text: &str) -> Self {
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let mut multiline = false;
        let mut special = false;
        let mut space_next_to_break = false;
        let mut previous = None;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let next = characters.peek().copied();
            let is_followed_by_blank = next.is_none_or(is_blank);
            indicators |= match (previous, character) {
                (
                    None,
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                    | '`',
                ) => true,
                (None, '?' | ':' | '-') | (Some(_), ':') => is_followed_by_blank,
                (Some(previous), '#') => is_blank(previous),
                _ => false,
            };
            special |= !is_printable(character);
            multiline |= is_break(character);
            space_next_to_break |= match previous {
                Some(' ') => is_break(character),
                Some(previous) => is_break(previous) && character == ' ',
                None => false,
            };
            previous = Some(character);
        }
        let is_bare = |end: Option<char>| !end.is_some_and(|end| end == ' ' || is_break(end));
        let has_bare_ends = is_bare(text.chars().next()) && is_bare(text.chars().next_back());
        Self {
            multiline,
            plain_allowed: has_bare_ends && !indicators && !multiline && !special && !space_next_to_break,
            single_quoted_allowed: !special && !space_next_to_break,
        }
    }
}

impl Emitter {
    pub(super) fn write_plain(&mut self, text: &str, may_break: bool) -> fmt::Result {
        if !text.is_empty() {
            self.write_gap()?;
        }
        let mut after_space = false;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let is_space = character == ' ';
            if is_space && may_break && !after_space && self.column > WIDTH && characters.peek() != Some(&' ')
            {
                self.write_indent()?;
            } else {
                self.write(character)?;
            }
            if !is_space {
                self.indention = false;
            }
            after_space = is_space;
        }
        self.whitespace = false;
        self.indention = false;
        Ok(())
    }

    pub(super) fn write_single_quoted(&mut self, text: &str, may_break: bool) -> fmt::Result {
        self.write_indicator("'", true, false, false)?;
        let mut after_space = false;
        let mut after_break = false;
        let mut is_first = true;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            if character == ' ' {
                let is_inside = !is_first && characters.peek().is_some_and(|&next| next != ' ');
                if may_break && !after_space && self.column > WIDTH && is_inside {
                    self.write_indent()?;
                } else {
                    self.write(' ')?;
                }
                after_space = true;
            } else if is_break(character) {
                if !after_break && character == '\n' {
                    self.write_break('\n')?;
                }
                self.write_break(character)?;
                self.indention = true;
                after_break = true;
            } else {
                if after_break {
                    self.write_indent()?;
                }
                if character == '\'' {
                    self.write('\'')?;
                }
                self.write(character)?;
                self.indention = false;
                after_space = false;
                after_break = false;
            }
            is_first = false;
        }
        if after_break {
            self.write_indent()?;
        }
        self.write_indicator("'", false, false, false)?;
        self.whitespace = false;
        self.indention = false;
        Ok(())
    }

    pub(super) fn write_double_quoted(&mut self, text: &str, may_break: bool) -> fmt::Result {
        self.write_indicator("\"", true, false, false)?;
        let mut after_space = false;
        let mut is_first = true;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            if !is_printable(character) || is_break(character) || matches!(character, '"' | '\\') {
                self.write_escaped(character)?;
                after_space = false;
            } else if character == ' ' {
                let is_inside = !is_first && characters.peek().is_some();
                if may_break && !after_space && self.column > WIDTH && is_inside {
                    self.write_indent()?;
                    if characters.peek() == Some(&' ') {
                        self.write('\\')?;
                    }
                } else {
                    self.write(' ')?;
                }
                after_space = true;
            } else {
                self.write(character)?;
                after_space = false;
            }
            is_first = false;
        }
        self.write_indicator("\"", false, false, false)?;
        self.whitespace = false;
        self.indention = false;
        Ok(())
    }

    fn write_escaped(&mut self, character: char) -> fmt::Result {
        let short = match character {
            '\0' => '0',
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            '\r' => 'r',
            '\u{1b}' => 'e',
            '"' | '\\' => character,
            '\u{85}' => 'N',
            '\u{a0}' => '_',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ => {
                return match u32::from(character) {
                    code @ ..=0xff => self.write_str(&format!("\\x{code:02X}")),
                    code @ ..=0xffff => self.write_str(&format!("\\u{code:04X}")),
                    code => self.write_str(&format!("\\U{code:08X}")),
                };
            }
        };
        self.write('\\')?;
        self.write(short)
    }

    /// Base64 alone is written this way: it begins with no blank and ends with one line break, so it needs no hints.
    pub(super) fn write_literal(&mut self, text: &str) -> fmt::Result {
        self.write_indicator("|", true, false, false)?;
        self.write_break('\n')?;
        self.whitespace = true;
        self.indention = true;
        let mut after_break = true;
        for character in text.chars() {
            if is_break(character) {
                self.write_break(character)?;
                self.indention = true;
            } else {
                if after_break {
                    self.write_indent()?;
                }
                self.write(character)?;
                self.indention = false;
            }
            after_break = is_break(character);
        }
        Ok(())
    }
}

/// `repr()`, with a fraction: YAML 1.1 takes `1e+16` for a string.
fn float(number: f64) -> String {
    if number.is_nan() {
        return ".nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let repr = float_repr(number);
    if repr.contains('.') {
        repr
    } else {
        repr.replacen('e', ".0e", 1)
    }
}

/// `base64.encodebytes`: lines of 76 characters.
fn base64_lines(bytes: &[u8]) -> String {
    let mut out = String::new();
    for line in bytes.chunks(57) {
        BASE64_STANDARD.encode_string(line, &mut out);
        out.push('\n');
    }
    out
}

/// What libyaml takes for printable. Characters beyond the first plane are not.
fn is_printable(character: char) -> bool {
    matches!(
        character,
        '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}'
    )
}

fn is_break(character: char) -> bool {
    matches!(character, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// White space, or a NUL, at which libyaml thinks that the text ends.
fn is_blank(character: char) -> bool {
    matches!(character, '\0' | ' ' | '\t') || is_break(character)
}
