//! `--arg-json`: arguments as a JSON document, `[…]` or `{"args": […], "kwargs": {…}}`, for what shells mangle.

mod json;

use proto::message::Value;
use serde::Deserialize;

use self::json::{Json, Object, oversized_integer};
use super::keyword::may_be_keyword;
use super::quoting::positional;

/// A document longer than this, in bytes, is refused: no job needs it, and every minion of a master receives it.
pub const LARGEST_DOCUMENT: usize = 4 << 20;

/// Salt's mark in the map of keyword arguments.
const KEYWORDS: &str = "__kwarg__";

/// Why a document gives no arguments.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// See [`LARGEST_DOCUMENT`].
    #[error("is larger than {} MiB", LARGEST_DOCUMENT >> 20)]
    TooLarge,
    /// Not JSON, or not of the shape; with line and column.
    #[error("{0}; expected a list, or {{\"args\": […], \"kwargs\": {{…}}}}")]
    Json(#[from] serde_json::Error),
    /// msgpack has no such integer, and Salt would send a text.
    #[error("{number} at line {line} column {column} does not fit 64 bits: write it as a text")]
    Integer {
        /// As written.
        number: String,
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
    },
    /// The minion looks for `name=value` in positional texts.
    #[error("args[{0}] looks like name=value, and the minion would take it so: give it in kwargs")]
    Keyword(usize),
    /// Salt takes it for a job id and sends a text.
    #[error(
        "args[{0}] has the 20 characters of a job id, and Salt would make a text of it: write it as a text"
    )]
    JobId(usize),
    /// The master or the minion would take the map for keyword arguments, or drop the key.
    #[error("{0} has the key {KEYWORDS:?}, which Salt keeps for itself")]
    Reserved(String),
}

/// The arguments in a document, which reach the function as they are written: a text stays a text.
///
/// # Errors
/// [`DocumentError`]; also for what Salt has no way to deliver unchanged.
pub fn from_document(text: &str) -> Result<Vec<Value>, DocumentError> {
    if text.len() > LARGEST_DOCUMENT {
        return Err(DocumentError::TooLarge);
    }
    let document = if text.trim_start().starts_with('[') {
        Document {
            args: serde_json::from_str(text)?,
            kwargs: Object::default(),
        }
    } else {
        serde_json::from_str(text)?
    };
    if let Some((number, line, column)) = oversized_integer(text) {
        return Err(DocumentError::Integer { number, line, column });
    }
    document.into_arguments()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    args: Vec<Json>,
    #[serde(default)]
    kwargs: Object,
}

impl Document {
    fn into_arguments(self) -> Result<Vec<Value>, DocumentError> {
        let args = self.args.into_iter().enumerate();
        let mut arguments: Vec<Value> = args
            .map(|(index, Json(value))| positional_value(index, value))
            .collect::<Result<_, _>>()?;
        let mut kwargs = self.kwargs.0;
        if kwargs.iter().any(|(name, _)| name == KEYWORDS) {
            return Err(DocumentError::Reserved("kwargs".to_owned()));
        }
        if !kwargs.is_empty() {
            kwargs.insert(0, (KEYWORDS.to_owned(), Value::Bool(true)));
            let entries = kwargs.into_iter().map(|(name, value)| (Value::text(name), value));
            arguments.push(Value::Map(entries.collect()));
        }
        Ok(arguments)
    }
}

fn positional_value(index: usize, value: Value) -> Result<Value, DocumentError> {
    if let Some(text) = value.as_text() {
        return if may_be_keyword(text) {
            Err(DocumentError::Keyword(index))
        } else {
            Ok(Value::text(positional(text)))
        };
    }
    if value.get(KEYWORDS).is_some() {
        return Err(DocumentError::Reserved(format!("args[{index}]")));
    }
    // `is_jid` of salt/utils/jid.py counts characters, a sign included.
    let digits = match &value {
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        _ => return Ok(value),
    };
    if digits.len() == 20 {
        Err(DocumentError::JobId(index))
    } else {
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        from_document(text).unwrap_err().to_string()
    }

    #[test]
    fn a_list_is_positional_and_an_object_has_both() {
        let args = vec![Value::text("app"), Value::Int(-1), Value::Nil];
        assert_eq!(from_document(r#"["app", -1, null]"#).unwrap(), args);
        let kwargs = Value::map([
            ("__kwarg__", Value::Bool(true)),
            ("test", Value::Bool(true)),
            ("pillar", Value::map([("v", Value::Float(1.5))])),
        ]);
        let both = r#" {"kwargs": {"test": true, "pillar": {"v": 1.5}}, "args": ["app"]}"#;
        assert_eq!(from_document(both).unwrap(), [Value::text("app"), kwargs]);
        assert_eq!(from_document("{}").unwrap(), []);
        assert_eq!(from_document(r#"{"kwargs": {}}"#).unwrap(), []);
    }

    #[test]
    fn a_positional_text_is_quoted_and_a_text_elsewhere_is_not() {
        let sent = from_document(r#"{"args": ["1", ["1"]], "kwargs": {"a": "1"}}"#).unwrap();
        let expected = [
            Value::text("\"1\""),
            Value::Array(vec![Value::text("1")]),
            Value::map([("__kwarg__", Value::Bool(true)), ("a", Value::text("1"))]),
        ];
        assert_eq!(sent, expected);
    }

    #[test]
    fn an_error_says_where() {
        for (text, part) in [
            ("[1,\n 2", "line 2 column 2"),
            ("", "line 1 column 0"),
            ("3", "expected struct Document"),
            (
                r#"{"pillar": {}}"#,
                "unknown field `pillar`, expected `args` or `kwargs` at line 1 column 9",
            ),
            (r#"{"args": {}}"#, "line 1 column 9"),
            (
                r#"{"kwargs": {"a": 1, "a": 2}}"#,
                r#"the key "a" is there twice at line 1 column 23"#,
            ),
            (
                "[\n18446744073709551616]",
                "18446744073709551616 at line 2 column 1",
            ),
            (
                r#"["\"1", {"x": [-9223372036854775809]}]"#,
                "-9223372036854775809 at line 1 column 16",
            ),
            ("[1e999]", "out of range"),
            (r#"["a", "b=c"]"#, "args[1] looks like name=value"),
            (
                "[12345678901234567890]",
                "args[0] has the 20 characters of a job id",
            ),
            ("[-9223372036854775808]", "args[0]"),
            (r#"[{"__kwarg__": false}]"#, "args[0] has the key"),
            (r#"{"kwargs": {"__kwarg__": 1}}"#, "kwargs has the key"),
        ] {
            let error = refused(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_that_fit_are_taken() {
        let sent = from_document(r#"{"kwargs": {"a": 18446744073709551615, "b": -9223372036854775808}}"#);
        let kwargs = Value::map([
            ("__kwarg__", Value::Bool(true)),
            ("a", Value::UInt(u64::MAX)),
            ("b", Value::Int(i64::MIN)),
        ]);
        assert_eq!(sent.unwrap(), [kwargs]);
        let floats = [Value::Float(1e300), Value::Float(1e20)];
        assert_eq!(from_document("[1e300, 100000000000000000000.0]").unwrap(), floats);
    }

    #[test]
    fn size_and_depth_are_bounded() {
        assert!(refused(&" ".repeat(LARGEST_DOCUMENT + 1)).contains("4 MiB"));
        assert!(refused(&"[".repeat(200_000)).contains("recursion limit"));
    }
}
