//! Text and times in XML 1.0.

use std::borrow::Cow;
use std::time::Duration;

/// An attribute, with what XML cannot hold replaced.
pub(super) fn attribute<'a>((name, value): &'a (&'static str, String)) -> (&'a str, Cow<'a, str>) {
    (name, clean(value))
}

/// Text without the characters that XML 1.0 does not allow, not even as references (section 2.2).
///
/// A control character becomes its picture: an escape sequence in the output of a command stays readable.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_allowed) {
        return Cow::Borrowed(text);
    }
    let picture = |character: char| match u32::from(character) {
        _ if is_allowed(character) => character,
        code @ 0..=0x1f => char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER),
        _ => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(text.chars().map(picture).collect())
}

fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// As JUnit writes a time: seconds with milliseconds.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}
