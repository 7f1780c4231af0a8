//! Texts written so that the master's YAML reading gives them back.

use std::fmt::Write as _;

/// A positional text as it must be sent: itself where YAML surely reads it as that text, else in double quotes.
///
/// It is left alone where it can be, because argument rules under `peer:` are matched before it is read.
pub(super) fn positional(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        // Salt reads no YAML from an argument with a tab or a line break, and gives back one with a `#`
        // unread, so these are escaped; so is what libyaml does not take as it is.
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '#' => quoted.push_str("\\x23"),
            ' '..='~' => quoted.push(character),
            _ => {
                let code = u32::from(character);
                // Writing to a String cannot fail.
                let _ = match code {
                    0..=0xff => write!(quoted, "\\x{code:02x}"),
                    0x100..=0xffff => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Words of letters, digits and `_ . / -` that begin with a letter and mean nothing else in YAML 1.1.
fn is_plain(text: &str) -> bool {
    const MEANINGS: [&str; 8] = ["yes", "no", "true", "false", "on", "off", "null", "none"];
    let harmless =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '/' | '-');
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .split(' ')
            .all(|word| !word.is_empty() && word.chars().all(harmless))
        && !MEANINGS.iter().any(|meaning| text.eq_ignore_ascii_case(meaning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_yaml_gives_back_is_left_alone() {
        for text in ["app.deploy", "ls -l /tmp/x", "a", "yesterday", "e1"] {
            assert_eq!(positional(text), text);
        }
    }

    #[test]
    fn a_text_that_yaml_would_change_is_quoted() {
        for (text, quoted) in [
            ("", r#""""#),
            ("1", r#""1""#),
            ("None", r#""None""#),
            ("yes", r#""yes""#),
            (" a", r#"" a""#),
            ("a  b", r#""a  b""#),
            ("a: b", r#""a: b""#),
            ("a#b", r#""a\x23b""#),
            ("\"\\", r#""\"\\""#),
            ("a\tb\nc", r#""a\x09b\x0ac""#),
            ("é€😀", r#""\xe9\u20ac\U0001f600""#),
        ] {
            assert_eq!(positional(text), quoted);
        }
    }
}
