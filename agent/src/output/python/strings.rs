//! White space and lines, as Python's `str` sees them.

/// `str.isspace()` of one character: Unicode's white space, and four separators of ASCII that Unicode leaves out.
pub(in crate::output) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// `str.splitlines()`.
pub(in crate::output) fn lines(text: &str) -> impl Iterator<Item = &str> {
    lines_with_ends(text).map(|line| {
        let line = line.strip_suffix('\n').unwrap_or(line);
        line.strip_suffix(|end| end != '\n' && is_break(end))
            .unwrap_or(line)
    })
}

/// `str.splitlines(keepends=True)`.
pub(in crate::output) fn lines_with_ends(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().find(|(_, character)| is_break(*character));
        let length = end.map_or(rest.len(), |(at, character)| {
            let after = at.saturating_add(character.len_utf8());
            let is_crlf = character == '\r' && rest.as_bytes().get(after) == Some(&b'\n');
            after.saturating_add(usize::from(is_crlf))
        });
        let (line, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        rest = after;
        Some(line)
    })
}

fn is_break(character: char) -> bool {
    matches!(
        character,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_python_ends_them() {
        let text = "a\r\nb\rc\n\nd\u{2028}e\u{1e}\u{85}f\u{1f}g\n\r";
        let found: Vec<_> = lines(text).collect();
        assert_eq!(found, ["a", "b", "c", "", "d", "e", "", "f\u{1f}g", ""]);
        assert_eq!(lines_with_ends(text).collect::<String>(), text);
        assert_eq!(lines("").count(), 0);
    }
}
