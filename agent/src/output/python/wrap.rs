//! `textwrap.TextWrapper.fill`, for warnings.

use std::fmt::{self, Write};
use std::iter::Peekable;
use std::vec::IntoIter;

use super::is_space;
use crate::output::text::Text;

/// `TextWrapper(width=width, initial_indent=" " * indent, subsequent_indent=" " * indent).fill(text).lstrip()`
pub(in crate::output) fn fill(text: &str, width: usize, indent: usize, out: &mut Text) -> fmt::Result {
    let text = with_blanks_only(text);
    let mut chunks = Chunks(split(&text).into_iter().peekable());
    let width = width.saturating_sub(indent);
    let mut lines = 0_usize;
    let mut written = false;
    while let Some(line) = chunks.line(width, lines > 0) {
        lines = lines.saturating_add(usize::from(!line.is_empty()));
        let line: String = line.into_iter().collect();
        if written && !line.is_empty() {
            out.line_at(indent)?;
            out.write_str(&line)?;
        } else if !written {
            // `lstrip` takes away all blanks in front, wherever the first word is.
            let line = line.trim_start_matches(is_space);
            out.write_str(line)?;
            written = !line.is_empty();
        }
    }
    Ok(())
}

/// Tabs become blanks up to the next multiple of 8, other white space one blank each.
fn with_blanks_only(text: &str) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len());
    let mut column = 0_usize;
    for character in text.chars() {
        match character {
            '\t' => {
                let blanks = 8 - column % 8;
                out.extend(std::iter::repeat_n(' ', blanks));
                column = column.saturating_add(blanks);
            }
            '\n' | '\r' => {
                out.push(' ');
                column = 0;
            }
            _ => {
                out.push(if is_blank(character) { ' ' } else { character });
                column = column.saturating_add(1);
            }
        }
    }
    out
}

/// What is left to be put on lines: words, or parts of them, and the blanks between.
struct Chunks<'a>(Peekable<IntoIter<&'a [char]>>);

impl Chunks<'_> {
    /// The next line; an empty one is none. Nothing at the end.
    fn line(&mut self, width: usize, drop_first_blanks: bool) -> Option<Vec<char>> {
        self.0.peek()?;
        if drop_first_blanks {
            self.0.next_if(|chunk| is_empty(chunk));
        }
        let mut line: Vec<&[char]> = Vec::new();
        let mut length = 0_usize;
        while let Some(chunk) = self
            .0
            .next_if(|chunk| length.saturating_add(chunk.len()) <= width)
        {
            length = length.saturating_add(chunk.len());
            line.push(chunk);
        }
        if let Some(chunk) = self.0.peek_mut().filter(|chunk| chunk.len() > width) {
            let at = break_of(chunk, width.saturating_sub(length));
            let (fits, rest) = chunk.split_at_checked(at).unwrap_or((chunk, &[]));
            line.push(fits);
            *chunk = rest;
        }
        line.pop_if(|chunk| is_empty(chunk));
        Some(line.concat())
    }
}

/// Where a word that fits no line is broken: behind the last hyphen that still fits, or wherever the line is full.
fn break_of(word: &[char], space: usize) -> usize {
    let fits = word.get(..space).unwrap_or(word);
    let hyphen = fits.iter().rposition(|&character| character == '-');
    let before = hyphen.and_then(|hyphen| fits.get(..hyphen)).unwrap_or_default();
    match hyphen {
        Some(hyphen) if before.iter().any(|&character| character != '-') => hyphen.saturating_add(1),
        _ => fits.len(),
    }
}

/// `TextWrapper.wordsep_re`: blanks, dashes between words, and words up to a blank, a dash or behind a hyphen.
fn split(text: &[char]) -> Vec<&[char]> {
    let mut chunks = Vec::new();
    let mut start = 0_usize;
    while start < text.len() {
        let end = end_of_chunk(text, start);
        chunks.push(text.get(start..end).unwrap_or_default());
        start = end;
    }
    chunks
}

fn end_of_chunk(text: &[char], start: usize) -> usize {
    if is(text, start, is_blank) {
        return run(text, start, is_blank);
    }
    if let Some(end) = end_of_dash(text, start) {
        return end;
    }
    let mut at = start.saturating_add(1);
    while at < text.len() {
        if is_hyphen_in_word(text, at) {
            return at.saturating_add(1);
        }
        if is(text, at, is_blank) || end_of_dash(text, at).is_some() {
            return at;
        }
        at = at.saturating_add(1);
    }
    at
}

/// `(?<=[\w!"'&.,?]) -{2,} (?=\w)`
fn end_of_dash(text: &[char], at: usize) -> Option<usize> {
    if !is_before(text, at, 1, |character| {
        is_word(character) || "!\"'&.,?".contains(character)
    }) {
        return None;
    }
    let end = run(text, at, is_hyphen);
    (end.saturating_sub(at) >= 2 && is(text, end, is_word)).then_some(end)
}

/// `-(?: (?<=[^\d\W]{2}-) | (?<=[^\d\W]-[^\d\W]-)) (?= [^\d\W] -? [^\d\W])`
fn is_hyphen_in_word(text: &[char], at: usize) -> bool {
    let is_after = |ahead: usize, test| is(text, at.saturating_add(ahead), test);
    is(text, at, is_hyphen)
        && is_before(text, at, 1, is_letter)
        && (is_before(text, at, 2, is_letter)
            || is_before(text, at, 2, is_hyphen) && is_before(text, at, 3, is_letter))
        && is_after(1, is_letter)
        && (is_after(2, is_letter) || is_after(2, is_hyphen) && is_after(3, is_letter))
}

fn is(text: &[char], at: usize, test: fn(char) -> bool) -> bool {
    text.get(at).copied().is_some_and(test)
}

fn is_before(text: &[char], at: usize, back: usize, test: fn(char) -> bool) -> bool {
    at.checked_sub(back).is_some_and(|at| is(text, at, test))
}

/// The end of a run of such characters.
fn run(text: &[char], from: usize, test: fn(char) -> bool) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let length = rest.iter().take_while(|&&character| test(character)).count();
    from.saturating_add(length)
}

/// `strip() == ''`, which is also true of nothing.
fn is_empty(chunk: &[char]) -> bool {
    chunk.iter().all(|&character| is_space(character))
}

/// The white space that `textwrap` knows is that of ASCII.
fn is_blank(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

fn is_hyphen(character: char) -> bool {
    character == '-'
}

/// `\w`
fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// `[^\d\W]`
fn is_letter(character: char) -> bool {
    is_word(character) && !character.is_numeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_dashes_longer_than_a_line_do_not_take_quadratic_time() {
        for character in ["x", "-"] {
            let mut out = Text::new();
            fill(&character.repeat(1 << 20), 80, 14, &mut out).unwrap();
            assert_eq!(out.as_str().lines().count(), (1 << 20) / 66 + 1);
        }
    }
}
