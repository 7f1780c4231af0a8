//! JSON as msgpack values: order kept, no key twice, no integer made a float.

use std::fmt;

use proto::message::Value;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// One JSON value.
pub(super) struct Json(pub(super) Value);

/// A JSON object in the order in which it is written.
#[derive(Default)]
pub(super) struct Object(pub(super) Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::UInt(value), Value::Int))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Json(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        let Object(entries) = ObjectVisitor.visit_map(access)?;
        let entries = entries.into_iter().map(|(key, value)| (Value::text(key), value));
        Ok(Value::Map(entries.collect()))
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object, A::Error> {
        let mut seen = std::collections::HashSet::new();
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom(format_args!("the key {key:?} is there twice")));
            }
            let Json(value) = access.next_value()?;
            entries.push((key, value));
        }
        Ok(Object(entries))
    }
}

/// The first integer in a valid JSON text that does not fit 64 bits, with line and column.
///
/// `serde_json` makes a float of it, and then nobody can tell it from one.
pub(super) fn oversized_integer(json: &str) -> Option<(String, usize, usize)> {
    let mut in_text = false;
    let mut at = 0;
    while let Some(rest) = json.as_bytes().get(at..).filter(|rest| !rest.is_empty()) {
        let number = if in_text { "" } else { number_at(json, at) };
        if is_oversized(number) {
            let before = json.get(..at).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |end| end + 1);
            let line = before.matches('\n').count() + 1;
            return Some((number.to_owned(), line, at - line_start + 1));
        }
        at += match rest.first() {
            // What is escaped may be a quote.
            Some(b'\\') => 2,
            Some(b'"') => {
                in_text = !in_text;
                1
            }
            _ => number.len().max(1),
        };
    }
    None
}

/// The number that begins there, as it is written; empty if none does.
fn number_at(json: &str, start: usize) -> &str {
    let tail = json.get(start..).unwrap_or_default();
    let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
    let length = match tail.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => tail.bytes().take_while(is_part).count(),
        _ => 0,
    };
    tail.get(..length).unwrap_or_default()
}

fn is_oversized(number: &str) -> bool {
    let is_integer = !number.is_empty() && !number.contains(['.', 'e', 'E']);
    is_integer && number.parse::<i64>().is_err() && number.parse::<u64>().is_err()
}
