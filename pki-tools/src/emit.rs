//! YAML that we write anew, in forms that every parser reads alike, Salt's jinja in front of it or not.
//!
//! Jinja acts on `{{`, `{%` and `{#`, and nowhere else. So `{` is written as `\x7B`, which needs a quoted text.

use zeroize::Zeroizing;

/// How much deeper a nested mapping or text stands.
const STEP: usize = 2;

/// Data to be written.
pub(crate) enum Yaml<'a> {
    Text(&'a str),
    Number(u16),
    Map(Vec<(&'a str, Yaml<'a>)>),
    List(Vec<Yaml<'a>>),
}

impl Yaml<'_> {
    /// The document, after this line. Made in one piece: growing would leave copies of keys in freed memory.
    pub(crate) fn document(&self, first_line: &str) -> Zeroizing<String> {
        let mut length = first_line.len() + 1;
        self.emit(0, &mut |piece| length += piece.len());
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(first_line);
        text.push('\n');
        self.emit(0, &mut |piece| text.push_str(piece));
        text
    }

    /// Hands out the lines of a mapping or list, piece by piece.
    fn emit(&self, indent: usize, push: &mut dyn FnMut(&str)) {
        match self {
            Self::Map(entries) => {
                for (key, value) in entries {
                    blanks(indent, push);
                    entry(key, value, indent, push);
                }
            }
            Self::List(items) => {
                for item in items {
                    blanks(indent, push);
                    push("- ");
                    item.emit_item(indent + STEP, push);
                }
            }
            Self::Text(_) | Self::Number(_) => {
                blanks(indent, push);
                self.emit_item(indent, push);
            }
        }
    }

    /// The same with its first line begun already.
    fn emit_item(&self, indent: usize, push: &mut dyn FnMut(&str)) {
        match self {
            Self::Map(entries) => {
                for (number, (key, value)) in entries.iter().enumerate() {
                    if number > 0 {
                        blanks(indent, push);
                    }
                    entry(key, value, indent, push);
                }
            }
            Self::List(_) => {
                push("\n");
                self.emit(indent, push);
            }
            Self::Number(number) => push(&format!("{number}\n")),
            Self::Text(text) => scalar(text, indent, push),
        }
    }
}

/// A key and its value, from where the key begins.
fn entry(key: &str, value: &Yaml<'_>, indent: usize, push: &mut dyn FnMut(&str)) {
    if is_plain(key) {
        push(key);
    } else {
        quoted(key, push);
    }
    push(":");
    match value {
        Yaml::Map(entries) if entries.is_empty() => push(" {}\n"),
        Yaml::List(items) if items.is_empty() => push(" []\n"),
        Yaml::Map(_) | Yaml::List(_) => {
            push("\n");
            value.emit(indent + STEP, push);
        }
        Yaml::Text(_) | Yaml::Number(_) => {
            push(" ");
            value.emit_item(indent + STEP, push);
        }
    }
}

/// A text with its line end: literal lines at this indentation, a plain word, or quoted.
fn scalar(text: &str, indent: usize, push: &mut dyn FnMut(&str)) {
    if let Some((header, lines)) = literal(text) {
        push(header);
        for line in lines.split('\n') {
            blanks(indent, push);
            push(line);
            push("\n");
        }
    } else if is_plain(text) {
        push(text);
        push("\n");
    } else {
        quoted(text, push);
        push("\n");
    }
}

/// A text as literal lines, if it has several that need no care: every PEM does.
fn literal(text: &str) -> Option<(&'static str, &str)> {
    let (header, lines) = match text.strip_suffix('\n') {
        Some(lines) => ("|\n", lines),
        None => ("|-\n", text),
    };
    let careless = |line: &str| {
        !line.is_empty()
            && !line.starts_with(' ')
            && line
                .bytes()
                .all(|byte| matches!(byte, b' '..=b'~') && byte != b'{')
    };
    (text.contains('\n') && lines.split('\n').all(careless)).then_some((header, lines))
}

/// Whether a word is a text without quotes, in YAML 1.1 and 1.2. Numbers and dates begin with no letter.
fn is_plain(text: &str) -> bool {
    const OTHER_THAN_TEXT: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && !OTHER_THAN_TEXT.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// A text in double quotes, on one line, in ASCII.
pub(crate) fn quoted(text: &str, push: &mut dyn FnMut(&str)) {
    push("\"");
    for character in text.chars() {
        let mut plain = [0; 4];
        match character {
            '"' => push("\\\""),
            '\\' => push("\\\\"),
            '\n' => push("\\n"),
            ' '..='~' if character != '{' => push(character.encode_utf8(&mut plain)),
            _ => {
                let code = u32::from(character);
                push(&match code {
                    ..=0xff => format!("\\x{code:02X}"),
                    0x100..=0xffff => format!("\\u{code:04X}"),
                    _ => format!("\\U{code:08X}"),
                });
            }
        }
    }
    push("\"");
}

fn blanks(count: usize, push: &mut dyn FnMut(&str)) {
    for _ in 0..count {
        push(" ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const PEM: &str = "-----BEGIN PUBLIC KEY-----\nAbc+/=\n-----END PUBLIC KEY-----\n";

    fn write(yaml: &Yaml<'_>) -> String {
        yaml.document("# us").to_string()
    }

    fn read(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn keys_are_literal_lines_two_deeper_than_their_name() {
        let bare = PEM.trim_end();
        let masters = Yaml::List(vec![Yaml::Map(vec![
            ("name", Yaml::Text("salt1.xyz.example")),
            ("address", Yaml::Text("10.0.0.11")),
            ("master_port", Yaml::Number(14506)),
            ("master_pub", Yaml::Text(bare)),
        ])]);
        let yaml = Yaml::Map(vec![
            ("salt", Yaml::Map(vec![("pub", Yaml::Text(PEM))])),
            ("masters", masters),
            ("none", Yaml::Map(vec![])),
        ]);
        assert_eq!(
            write(&yaml),
            "# us\nsalt:\n  pub: |\n    -----BEGIN PUBLIC KEY-----\n    Abc+/=\n    -----END PUBLIC KEY-----\n\
             masters:\n  - name: salt1.xyz.example\n    address: \"10.0.0.11\"\n    master_port: 14506\n    \
             master_pub: |-\n      -----BEGIN PUBLIC KEY-----\n      Abc+/=\n      -----END PUBLIC KEY-----\nnone: {}\n"
        );
        assert_eq!(
            read(&write(&yaml)),
            json!({
                "salt": {"pub": PEM},
                "masters": [{"name": "salt1.xyz.example", "address": "10.0.0.11", "master_port": 14506, "master_pub": bare}],
                "none": {},
            })
        );
    }

    #[test]
    fn words_that_yaml_takes_for_something_else_are_quoted() {
        for word in [
            "yes",
            "No",
            "ON",
            "null",
            "~",
            "1",
            "0x10",
            "1e3",
            "1_000",
            "12:30:45",
            "2026-01-01",
            ".inf",
            "",
            " a",
            "a: b",
            "a #b",
            "- a",
            "[a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "'a",
            "\"a",
            "---",
            "<<",
            "=",
        ] {
            assert!(!is_plain(word), "{word}");
        }
        for word in ["minion01", "salt1.xyz.example", "e3", "x-1_y"] {
            assert!(is_plain(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_read_back_and_says_nothing_to_jinja(
            key in "\\PC{1,12}|[{%#}\"\\\\]{1,6}|[a-z0-9.]{1,6}",
            text in "[ -~\n]{0,60}|(?s).{0,30}|[{}%# \n]{0,20}|[a-z\n]{0,20}",
        ) {
            let yaml = Yaml::Map(vec![
                (key.as_str(), Yaml::Text(&text)),
                (" list", Yaml::List(vec![Yaml::Text(&text), Yaml::Map(vec![("deep", Yaml::Text(&text))])])),
            ]);
            let written = write(&yaml);
            prop_assert!(!written.contains('{'), "{written}");
            prop_assert_eq!(read(&written), json!({&key: text, " list": [text, {"deep": text}]}));
        }
    }
}
