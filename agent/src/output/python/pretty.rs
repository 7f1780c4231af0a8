//! `pprint.pformat`, for state returns that the highstate outputter finds incomplete.

use std::fmt::{self, Write};

use proto::message::Value;

use super::Object;
use super::order::{Entry, safely_sorted};
use super::repr::{fmt_repr, fmt_repr_bytes, fmt_repr_str};
use super::strings::{is_space, lines_with_ends};
use crate::output::text::Text;

/// The width that `pprint` keeps to.
const WIDTH: usize = 80;
/// Bytes are wrapped in groups of so many.
const GROUP: usize = 4;

/// `pprint.pformat(value)`. Text at the outermost level is not put into parentheses: only dicts are printed here.
pub(in crate::output) fn pretty(value: &Value, out: &mut Text) -> fmt::Result {
    format(value, 0, 0, out)
}

/// `indent` is the column where the value begins, `allowance` what has to follow it on its last line.
fn format(value: &Value, indent: usize, allowance: usize, out: &mut Text) -> fmt::Result {
    let width = WIDTH.checked_sub(indent.saturating_add(allowance));
    if let Some(repr) = width.and_then(|width| short(width, |out| sorted_repr(value, out))) {
        return out.write_str(&repr);
    }
    match Object::from(value) {
        Object::Dict(entries) if !entries.is_empty() => {
            out.write_char('{')?;
            format_entries(
                &safely_sorted(entries),
                indent.saturating_add(1),
                allowance.saturating_add(1),
                out,
            )?;
            out.write_char('}')
        }
        Object::List(items) if !items.is_empty() => {
            out.write_char('[')?;
            let indent = indent.saturating_add(1);
            for (at, item) in items.iter().enumerate() {
                let is_last = at.saturating_add(1) == items.len();
                format(
                    item,
                    indent,
                    if is_last { allowance.saturating_add(1) } else { 1 },
                    out,
                )?;
                if !is_last {
                    out.write_char(',')?;
                    out.line_at(indent)?;
                }
            }
            out.write_char(']')
        }
        Object::Str(text) if !text.is_empty() => {
            let chunks = wrapped_str(text, indent, allowance);
            join(
                chunks
                    .iter()
                    .map(|chunk| |out: &mut Text| fmt_repr_str(chunk, out)),
                indent,
                out,
            )
        }
        Object::Bytes(bytes) if bytes.len() > GROUP => {
            let chunks = wrapped_bytes(bytes, indent, allowance);
            join(
                chunks
                    .iter()
                    .map(|chunk| |out: &mut Text| fmt_repr_bytes(chunk, out)),
                indent,
                out,
            )
        }
        _ => sorted_repr(value, out),
    }
}

fn format_entries(entries: &[Entry<'_>], indent: usize, allowance: usize, out: &mut Text) -> fmt::Result {
    for (at, (key, value)) in entries.iter().enumerate() {
        let is_last = at.saturating_add(1) == entries.len();
        let before = out.as_str().len();
        sorted_repr(key, out)?;
        out.write_str(": ")?;
        let key = out.as_str().get(before..).unwrap_or_default().chars().count();
        format(
            value,
            indent.saturating_add(key),
            if is_last { allowance } else { 1 },
            out,
        )?;
        if !is_last {
            out.write_char(',')?;
            out.line_at(indent)?;
        }
    }
    Ok(())
}

/// `_pprint_str`: a piece for each line, and for as many words as fit of a line that is too long.
fn wrapped_str(text: &str, indent: usize, allowance: usize) -> Vec<&str> {
    let mut chunks = Vec::new();
    let width = WIDTH.saturating_sub(indent);
    let mut lines = lines_with_ends(text).peekable();
    while let Some(line) = lines.next() {
        let is_last_line = lines.peek().is_none();
        let line_width = if is_last_line {
            width.saturating_sub(allowance)
        } else {
            width
        };
        if short(line_width, |out| fmt_repr_str(line, out)).is_some() {
            chunks.push(line);
            continue;
        }
        let mut start = 0_usize;
        let mut end = 0_usize;
        let mut words = words(line).peekable();
        while let Some(word) = words.next() {
            let is_last = is_last_line && words.peek().is_none();
            let width = if is_last {
                width.saturating_sub(allowance)
            } else {
                width
            };
            let longer = end.saturating_add(word.len());
            let candidate = line.get(start..longer).unwrap_or_default();
            if short(width, |out| fmt_repr_str(candidate, out)).is_none() {
                chunks.extend(line.get(start..end).filter(|chunk| !chunk.is_empty()));
                start = end;
            }
            end = longer;
        }
        chunks.extend(line.get(start..end).filter(|chunk| !chunk.is_empty()));
    }
    chunks
}

/// `re.findall(r'\S*\s*', line)` without the empty match at the end.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let blanks = rest.find(is_space).unwrap_or(rest.len());
        let (_, after) = rest.split_at_checked(blanks)?;
        let length = rest
            .len()
            .saturating_sub(after.trim_start_matches(is_space).len());
        let (word, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(word)
    })
}

/// `_wrap_bytes_repr`
fn wrapped_bytes(bytes: &[u8], indent: usize, allowance: usize) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    let mut width = WIDTH.saturating_sub(indent);
    let whole_groups = bytes.len() / GROUP * GROUP;
    let mut start = 0_usize;
    let mut end = 0_usize;
    for group in bytes.chunks(GROUP) {
        if end == whole_groups {
            width = width.saturating_sub(allowance);
        }
        let longer = end.saturating_add(group.len());
        let candidate = bytes.get(start..longer).unwrap_or_default();
        if short(width, |out| fmt_repr_bytes(candidate, out)).is_none() {
            chunks.extend(bytes.get(start..end).filter(|chunk| !chunk.is_empty()));
            start = end;
        }
        end = longer;
    }
    chunks.extend(bytes.get(start..end).filter(|chunk| !chunk.is_empty()));
    chunks
}

/// Pieces below each other.
fn join<W>(pieces: impl Iterator<Item = W>, indent: usize, out: &mut Text) -> fmt::Result
where
    W: FnOnce(&mut Text) -> fmt::Result,
{
    for (at, write) in pieces.enumerate() {
        if at > 0 {
            out.line_at(indent)?;
        }
        write(out)?;
    }
    Ok(())
}

/// `repr()` with the keys of dicts sorted.
fn sorted_repr(value: &Value, out: &mut Text) -> fmt::Result {
    match Object::from(value) {
        Object::List(items) => {
            out.write_char('[')?;
            for (at, item) in items.iter().enumerate() {
                out.write_str(if at == 0 { "" } else { ", " })?;
                sorted_repr(item, out)?;
            }
            out.write_char(']')
        }
        Object::Dict(entries) => {
            out.write_char('{')?;
            for (at, (key, value)) in safely_sorted(entries).into_iter().enumerate() {
                out.write_str(if at == 0 { "" } else { ", " })?;
                sorted_repr(key, out)?;
                out.write_str(": ")?;
                sorted_repr(value, out)?;
            }
            out.write_char('}')
        }
        _ => fmt_repr(value, out),
    }
}

/// What is written, if it is not wider than that. Long values are given up early: this is asked at every level.
fn short(width: usize, write: impl Fn(&mut Text) -> fmt::Result) -> Option<String> {
    // A character has at most 4 bytes.
    let mut out = Text::up_to(width.saturating_mul(4));
    write(&mut out).ok()?;
    let repr = out.into_string();
    (repr.chars().count() <= width).then_some(repr)
}
