//! Text for those who would obey it: a terminal, and the log of a GitLab job, which has sections.

use super::color::Colors;

/// The text with `?` for each control character but the ends of lines, tabs, and the colours that are ours.
///
/// Salt does this to the escape characters in values alone (`salt.output.strip_esc_sequence`), not to keys and names.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let color = Colors::all().into_iter().find(|color| rest.starts_with(color));
        let taken = color.map_or(letter.len_utf8(), str::len);
        match color {
            Some(color) => clean.push_str(color),
            None if letter.is_control() && !matches!(letter, '\n' | '\t') => clean.push('?'),
            None => clean.push(letter),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_colours_is_left_to_obey() {
        for (text, clean) in [
            ("a:\n\tb\n", "a:\n\tb\n"),
            ("\u{1b}[0;1;33mTrue\u{1b}[0;0m", "\u{1b}[0;1;33mTrue\u{1b}[0;0m"),
            ("a\r\u{1b}[0Kb", "a??[0Kb"),
            ("\u{1b}[2Jm", "?[2Jm"),
            ("\u{1b}[0;8mx", "?[0;8mx"),
            ("\u{1b}]0;m\u{7}", "?]0;m?"),
            ("\u{9b}2J\u{7f}\u{0}", "?2J??"),
            ("\u{1b}", "?"),
            ("\u{1b}\u{1b}[0mx", "??[0mx"),
        ] {
            assert_eq!(harmless(text), clean, "{text:?}");
        }
    }
}
