//! What follows FUNCTION, as the `arg` list of a `minion_pub`: words, a JSON document, or one base64 line.
//!
//! `salt` reads its words with `parse_input` (salt/utils/args.py): `name=value` becomes a keyword argument,
//! values are read as YAML, and whatever is no YAML stays text. The master runs that very function over the
//! `arg` list of a `minion_pub` (salt/daemons/masterapi.py, 3006 to 3008). So words are sent as they are,
//! and mean what they mean to `salt` on that master, down to the quirks of its YAML library. What is exact
//! already, a [document](from_document), is written so that the master's reading gives it back.

mod document;
mod keyword;
mod line;
mod pillar;
mod quoting;

use proto::message::Value;

pub use document::{DocumentError, LARGEST_DOCUMENT, from_document};
pub use line::{LARGEST_LINE, Line, LineError, from_base64};
pub use pillar::PillarError;

/// The words after FUNCTION, as `salt FUNCTION WORD…` takes them.
///
/// # Errors
/// [`PillarError`] for a `pillar=` of a `state.*` function that Salt would take for text and then refuse.
pub fn from_words<S: AsRef<str>>(function: &str, words: &[S]) -> Result<Vec<Value>, PillarError> {
    pillar::check(function, words)?;
    Ok(words.iter().map(|word| Value::text(word.as_ref())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_left_to_the_master_to_read() {
        let words = ["app.deploy", "test=True", "'1'", "[1, 2]", "", "pillar={v: 3}"];
        let sent = from_words("state.apply", &words).unwrap();
        assert_eq!(sent, words.map(Value::text));
    }
}
