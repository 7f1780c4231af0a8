//! Returns as JSON and YAML.

use proto::message::{MinionId, Value};
use serde_json::{Map, Number, Value as Json};

use crate::cli::CliError;
use crate::cli::args::Out;

/// What one minion returned, for a person.
pub(super) fn block(minion: &MinionId, ret: &Value) -> String {
    let json = serde_json::to_string_pretty(&json(ret)).unwrap_or_default();
    format!("{minion}:\n{json}\n")
}

/// What all returned, in one document.
pub(super) fn document<'a>(
    returns: impl Iterator<Item = (&'a str, &'a Value)>,
    out: Out,
) -> Result<String, CliError> {
    let all: Map<String, Json> = returns.map(|(id, ret)| (id.to_owned(), json(ret))).collect();
    match out {
        Out::Yaml => serde_saphyr::to_string(&all).map_err(|error| CliError::Print(error.to_string())),
        Out::Json | Out::Text => serde_json::to_string_pretty(&all)
            .map(|text| text + "\n")
            .map_err(|error| CliError::Print(error.to_string())),
    }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Bool(is) => Json::Bool(*is),
        Value::Int(number) => Json::from(*number),
        Value::UInt(number) => Json::from(*number),
        Value::Float(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Raw(bytes) | Value::Ext(_, bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        Value::Array(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(entries) => {
            let key = |key: &Value| match json(key) {
                Json::String(text) => text,
                other => other.to_string(),
            };
            Json::Object(
                entries
                    .iter()
                    .map(|(name, value)| (key(name), json(value)))
                    .collect(),
            )
        }
    }
}
