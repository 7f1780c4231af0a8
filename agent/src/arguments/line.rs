//! `--base64`: a whole `FUNCTION ARG…` line in one word that no shell or CI variable can mangle.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A word longer than this, in bytes, is refused.
pub const LARGEST_LINE: usize = 1 << 20;

/// Padding is often lost on the way, and means nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the line holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// FUNCTION.
    pub function: String,
    /// The words behind it.
    pub words: Vec<String>,
}

/// Why there is no line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// See [`LARGEST_LINE`].
    #[error("is larger than {} KiB", LARGEST_LINE >> 10)]
    TooLarge,
    /// Not base64.
    #[error("is no base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Base64 of something else than text.
    #[error("holds no UTF-8 text: byte {0} of the decoded line")]
    Text(usize),
    /// A text cannot hold it on its way to a program.
    #[error("holds a NUL character")]
    Nul,
    /// A quote without its end.
    #[error("holds a line with a {0}")]
    Words(#[from] shell_words::ParseError),
    /// To a shell the rest is a comment; whoever wrote it may have meant otherwise.
    #[error("holds a line with a # that begins a comment to a shell: quote it")]
    Comment,
    /// An option of `salt`, or of nothing.
    #[error("holds {0:?}, which is an option to salt and no argument: leave it out, or put -- before it")]
    Option(String),
    /// Nothing.
    #[error("holds no FUNCTION")]
    Empty,
}

/// Decodes the word and splits the line as a POSIX shell would: quotes and backslashes count, nothing is expanded.
///
/// As with `salt`, `--` ends the options, of which there may be none.
///
/// # Errors
/// [`LineError`].
pub fn from_base64(word: &str) -> Result<Line, LineError> {
    if word.len() > LARGEST_LINE {
        return Err(LineError::TooLarge);
    }
    // `base64` breaks its output after 76 characters.
    let word: String = word.split_ascii_whitespace().collect();
    let line = String::from_utf8(BASE64.decode(word)?)
        .map_err(|error| LineError::Text(error.utf8_error().valid_up_to()))?;
    if line.contains('\0') {
        return Err(LineError::Nul);
    }
    let mut words = shell_words::split(&line)?;
    if has_comment(&line, &words)? {
        return Err(LineError::Comment);
    }
    let end = words.iter().position(|word| word == "--");
    let options = words.iter().take(end.unwrap_or(words.len()));
    // A lone `-` is an argument to optparse.
    if let Some(option) = options
        .into_iter()
        .find(|word| word.starts_with('-') && word.len() > 1)
    {
        return Err(LineError::Option(option.clone()));
    }
    if let Some(end) = end {
        words.remove(end);
    }
    if words.is_empty() {
        return Err(LineError::Empty);
    }
    let function = words.remove(0);
    Ok(Line { function, words })
}

/// Whether the splitter dropped a comment: a `#` at the beginning of a word is all that it sees in one.
fn has_comment(line: &str, words: &[String]) -> Result<bool, LineError> {
    // A private character means nothing to a shell; one that the line has already would only count as itself.
    let plain = shell_words::split(&line.replace('#', "\u{f8ff}"))?;
    let restored = plain.iter().map(|word| word.replace('\u{f8ff}', "#"));
    Ok(!restored.eq(words.iter().map(|word| word.replace('\u{f8ff}', "#"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<Vec<String>, LineError> {
        let Line { function, words } = from_base64(&BASE64.encode(line))?;
        Ok([vec![function], words].concat())
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (line, words) in [
            ("test.ping", &["test.ping"][..]),
            (
                "state.apply app  pillar='{\"v\": 3}'\n",
                &["state.apply", "app", "pillar={\"v\": 3}"],
            ),
            (
                r#"a "b \"c\" \x" d\ e '' f"g"'h'"#,
                &["a", r#"b "c" \x"#, "d e", "", "fgh"],
            ),
            ("a $HOME `id` ; b", &["a", "$HOME", "`id`", ";", "b"]),
            ("cmd.run -- ls -l -", &["cmd.run", "ls", "-l", "-"]),
            ("cmd.run - a#b '#c' \\#d", &["cmd.run", "-", "a#b", "#c", "#d"]),
            ("a 'é\n😀'", &["a", "é\n😀"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
    }

    #[test]
    fn breaks_and_missing_padding_do_no_harm() {
        let line = from_base64("dGVzdC5h\ncmcg YQ").unwrap();
        assert_eq!(
            (line.function.as_str(), line.words),
            ("test.arg", vec!["a".to_owned()])
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(
            from_base64("dGVzdC5waW5n*")
                .unwrap_err()
                .to_string()
                .contains("no base64")
        );
        assert_eq!(from_base64("/w=="), Err(LineError::Text(0)));
        assert_eq!(
            from_base64(&"A".repeat(LARGEST_LINE + 1)),
            Err(LineError::TooLarge)
        );
        assert_eq!(split("a 'b"), Err(LineError::Words(shell_words::ParseError)));
        assert_eq!(split("a # b"), Err(LineError::Comment));
        assert_eq!(split("#a\nb"), Err(LineError::Comment));
        assert_eq!(split("a -b"), Err(LineError::Option("-b".to_owned())));
        assert_eq!(split("a\0"), Err(LineError::Nul));
        for empty in ["", " \n", "--"] {
            assert_eq!(split(empty), Err(LineError::Empty));
        }
    }
}
