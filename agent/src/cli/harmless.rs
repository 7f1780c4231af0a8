//! What others have said, before it is printed: without characters that steer a terminal.

use serde_json::Value as Json;

/// Control characters, those of ISO 6429's second set (U+0080 to U+009F) among them, become replacement characters.
pub(super) fn text(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// The same in all keys and strings of a document.
pub(super) fn document(document: Json) -> Json {
    match document {
        Json::String(string) => Json::String(text(&string)),
        Json::Array(items) => items.into_iter().map(self::document).collect(),
        Json::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (text(&key), self::document(value)))
            .collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) => document,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let said = serde_json::json!({
            "masters": [{"name": "salt1\u{1b}[2J", "why": "ä\u{9b}31m\r\nready", "ms": 1.5}],
            "\u{7}key": true,
        });
        let cleaned = serde_json::json!({
            "masters": [{"name": "salt1\u{fffd}[2J", "why": "ä\u{fffd}31m\u{fffd}\u{fffd}ready", "ms": 1.5}],
            "\u{fffd}key": true,
        });
        assert_eq!(document(said), cleaned);
    }
}
