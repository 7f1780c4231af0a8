//! `str()` and `repr()`.

use std::fmt::{self, Write};

use proto::message::Value;

use super::{Object, float_repr};

/// `str()`: what `"{}".format(…)` prints.
pub(in crate::output) fn fmt_str(value: &Value, out: &mut impl Write) -> fmt::Result {
    match Object::from(value) {
        Object::Str(text) => out.write_str(text),
        Object::Date(date) => date.fmt_iso(' ', out),
        _ => fmt_repr(value, out),
    }
}

/// `str()`, as a string of its own.
pub(in crate::output) fn to_str(value: &Value) -> String {
    let mut text = String::new();
    // Writing into a String does not fail.
    let _ = fmt_str(value, &mut text);
    text
}

/// `repr()`.
pub(in crate::output) fn fmt_repr(value: &Value, out: &mut impl Write) -> fmt::Result {
    match Object::from(value) {
        Object::None => out.write_str("None"),
        Object::Bool(truth) => out.write_str(if truth { "True" } else { "False" }),
        Object::Int(number) => write!(out, "{number}"),
        Object::Float(number) => out.write_str(&float_repr(number)),
        Object::Str(text) => fmt_repr_str(text, out),
        Object::Bytes(bytes) => fmt_repr_bytes(bytes, out),
        Object::List(items) => {
            out.write_char('[')?;
            let mut separator = "";
            for item in items {
                out.write_str(separator)?;
                fmt_repr(item, out)?;
                separator = ", ";
            }
            out.write_char(']')
        }
        Object::Dict(entries) => {
            out.write_char('{')?;
            let mut separator = "";
            for (key, value) in entries {
                out.write_str(separator)?;
                fmt_repr(key, out)?;
                out.write_str(": ")?;
                fmt_repr(value, out)?;
                separator = ", ";
            }
            out.write_char('}')
        }
        Object::Date(date) => date.fmt_repr(out),
        Object::Constant(name, value) => {
            write!(out, "<Constant.{name}")?;
            if Object::from(&value).is_true() {
                out.write_str(" value=")?;
                fmt_str(&value, out)?;
            }
            out.write_char('>')
        }
    }
}

/// `repr()` of a `str`.
pub(in crate::output) fn fmt_repr_str(text: &str, out: &mut impl Write) -> fmt::Result {
    let quote = quote_for(text.contains('\''), text.contains('"'));
    out.write_char(quote)?;
    for character in text.chars() {
        match character {
            _ if character == quote || character == '\\' => write!(out, "\\{character}")?,
            '\t' => out.write_str("\\t")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            ' '..='~' => out.write_char(character)?,
            _ if is_printable(character) => out.write_char(character)?,
            _ => match u32::from(character) {
                code @ ..=0xff => write!(out, "\\x{code:02x}")?,
                code @ ..=0xffff => write!(out, "\\u{code:04x}")?,
                code => write!(out, "\\U{code:08x}")?,
            },
        }
    }
    out.write_char(quote)
}

/// `repr()` of `bytes`.
pub(in crate::output) fn fmt_repr_bytes(bytes: &[u8], out: &mut impl Write) -> fmt::Result {
    let quote = quote_for(bytes.contains(&b'\''), bytes.contains(&b'"'));
    write!(out, "b{quote}")?;
    for &byte in bytes {
        match byte {
            _ if char::from(byte) == quote || byte == b'\\' => write!(out, "\\{}", char::from(byte))?,
            b'\t' => out.write_str("\\t")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b' '..=b'~' => out.write_char(char::from(byte))?,
            _ => {
                out.write_str("\\x")?;
                out.write_char(hex_digit(byte >> 4))?;
                out.write_char(hex_digit(byte & 0xf))?;
            }
        }
    }
    out.write_char(quote)
}

/// Binary data are long, and `write!` takes its time.
fn hex_digit(number: u8) -> char {
    char::from_digit(u32::from(number), 16).unwrap_or('0')
}

fn quote_for(single: bool, double: bool) -> char {
    if single && !double { '"' } else { '\'' }
}

/// `str.isprintable()` of one character beyond ASCII: assigned, and neither control, format, separator nor private.
fn is_printable(character: char) -> bool {
    // Rust escapes the same categories for `{:?}`, but tells nobody. In front of the string it would also escape
    // combining characters, hence the letter.
    let text: String = ['a', character].iter().collect();
    text.escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repr(text: &str) -> String {
        let mut out = String::new();
        fmt_repr_str(text, &mut out).unwrap();
        out
    }

    #[test]
    fn strings_are_quoted_as_python_quotes_them() {
        assert_eq!(repr("it's"), r#""it's""#);
        assert_eq!(repr(r#"it's "so""#), r#"'it\'s "so"'"#);
        assert_eq!(repr("a\\b\n\t\r\0\u{7f}"), r"'a\\b\n\t\r\x00\x7f'");
        assert_eq!(
            repr("é\u{301}中😀\u{85}\u{a0}\u{200b}\u{2028}\u{3000}\u{e000}\u{ad}"),
            r"'é́中😀\x85\xa0\u200b\u2028\u3000\ue000\xad'"
        );
        assert_eq!(repr("\u{f0000}"), r"'\U000f0000'");
    }

    #[test]
    fn bytes_are_quoted_as_python_quotes_them() {
        let mut out = String::new();
        fmt_repr_bytes(b"\xff'\n\x00a\\", &mut out).unwrap();
        assert_eq!(out, r#"b"\xff'\n\x00a\\""#);
    }
}
