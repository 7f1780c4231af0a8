//! msgpack as Salt writes and reads it.

use serde_json::Value as Json;

use super::{bytes, cases, file};
use crate::message::{Limits, Value};

#[test]
fn values_of_salt_are_read_and_written_again_byte_for_byte() {
    for case in cases(&file("msgpack"), "dumps") {
        let wire = bytes(&case, "zeromq_wire");
        let value = Value::decode(&wire, Limits::VERIFIED).unwrap();
        assert_eq!(value.encode(), wire, "{}", case["name"]);
        // The event bus tells text from binary; read from there, it is the same value.
        let from_bus = Value::decode(&bytes(&case, "event_bus"), Limits::VERIFIED).unwrap();
        assert_eq!(from_bus, value, "{}", case["name"]);
    }
}

#[test]
fn what_salt_loads_is_loaded_and_what_it_refuses_is_refused() {
    for case in cases(&file("msgpack"), "loads") {
        let loads = &case["loads"];
        let decoded = Value::decode(&bytes(&case, "wire"), Limits::VERIFIED);
        match loads.get("value") {
            Some(expected) => {
                assert_eq!(
                    &super::msgpack::json(&decoded.unwrap()),
                    expected,
                    "{}",
                    case["name"]
                );
            }
            None => assert!(decoded.is_err(), "{}", case["name"]),
        }
    }
}

/// A value in the notation of the vectors, with Salt's rule: raw bytes that are UTF-8 are text.
pub(super) fn json(value: &Value) -> Json {
    use base64::Engine as _;
    let raw = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Json::from(text),
        Err(_) => {
            use sha2::Digest as _;
            if bytes.len() > 64 {
                let digest = sha2::Sha256::digest(bytes);
                let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                serde_json::json!({"$bytes": bytes.len(), "sha256": hex})
            } else {
                serde_json::json!({"$b64": base64::engine::general_purpose::STANDARD.encode(bytes)})
            }
        }
    };
    match value {
        Value::Nil => Json::Null,
        Value::Bool(value) => Json::from(*value),
        Value::Int(number) => Json::from(*number),
        Value::UInt(number) => Json::from(*number),
        Value::Float(number) => serde_json::json!({"$float": python_float(*number)}),
        Value::Raw(bytes) => raw(bytes),
        Value::Ext(78, bytes) => serde_json::json!({"$datetime": String::from_utf8_lossy(bytes)}),
        Value::Ext(_, bytes) => raw(bytes),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            if entries.iter().all(|(key, _)| key.as_text().is_some()) {
                entries
                    .iter()
                    .map(|(key, value)| (key.as_text().unwrap().to_owned(), json(value)))
                    .collect()
            } else {
                let pairs: Vec<Json> = entries
                    .iter()
                    .map(|(key, value)| Json::from(vec![json(key), json(value)]))
                    .collect();
                serde_json::json!({"$map": pairs})
            }
        }
    }
}

fn python_float(number: f64) -> String {
    if number.abs() >= 1e16 {
        format!("{number:e}").replace('e', "e+")
    } else {
        format!("{number:?}")
    }
}
