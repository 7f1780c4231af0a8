//! Text that is built piece by piece and may not grow beyond a limit.
//!
//! Indentation multiplies: a return of 64 MiB that is all line breaks, or that is nested a hundred levels
//! deep, would print as gigabytes. So every printer writes into a [`Text`], which refuses to go on.

use std::fmt::{self, Write};

use super::python::is_space;

/// The longest text that is printed of one return, in bytes.
const LONGEST: usize = 256 << 20;

/// A string with a limit. Writing beyond it fails, and with `?` ends the printing.
#[derive(Debug)]
pub(super) struct Text {
    text: String,
    limit: usize,
}

impl Text {
    /// Empty, with the limit of what is printed.
    pub(super) fn new() -> Self {
        Self::up_to(LONGEST)
    }

    /// Empty, with a limit in bytes.
    pub(super) fn up_to(limit: usize) -> Self {
        Self {
            text: String::new(),
            limit,
        }
    }

    /// What was written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// What was written.
    pub(super) fn into_string(self) -> String {
        self.text
    }

    /// Starts a new line, unless nothing is written yet.
    pub(super) fn next_line(&mut self) -> fmt::Result {
        if self.text.is_empty() {
            Ok(())
        } else {
            self.write_char('\n')
        }
    }

    /// Blanks.
    pub(super) fn blanks(&mut self, count: usize) -> fmt::Result {
        const BLANKS: &str = "                                                                ";
        let mut left = count;
        while let Some(more) = left.checked_sub(BLANKS.len()) {
            self.write_str(BLANKS)?;
            left = more;
        }
        self.write_str(BLANKS.get(..left).unwrap_or_default())
    }

    /// Starts a new line in any case, and goes to this column.
    pub(super) fn line_at(&mut self, column: usize) -> fmt::Result {
        self.write_char('\n')?;
        self.blanks(column)
    }

    /// Drops white space at the end, as Python's `rstrip` does.
    pub(super) fn trim_end(&mut self) {
        let length = self.text.trim_end_matches(is_space).len();
        self.text.truncate(length);
    }
}

impl Write for Text {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if piece.len() > self.limit.saturating_sub(self.text.len()) {
            return Err(fmt::Error);
        }
        self.text.push_str(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_does_not_grow_beyond_its_limit() {
        let mut text = Text::up_to(4);
        assert_eq!(text.write_str("abc"), Ok(()));
        assert_eq!(text.write_str("de"), Err(fmt::Error));
        assert_eq!(text.blanks(2), Err(fmt::Error));
        assert!(text.as_str().len() <= 4);
    }
}
