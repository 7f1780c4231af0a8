//! `--arg-json`: arguments that a shell would mangle.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use proto::message::Value;
use serde_json::Value as Json;

use crate::cli::CliError;

/// The longest document that is taken, in bytes.
const LONGEST: u64 = 8 << 20;

/// Reads arguments from a file, or from stdin for `-`: a list, or a map with `args` and `kwargs`.
pub(super) fn read(file: &Path) -> Result<Vec<Value>, CliError> {
    let failed = |source| CliError::Read {
        file: file.to_owned(),
        source,
    };
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(LONGEST + 1).read_to_string(&mut text)
    } else {
        let open = File::open(file).map_err(failed)?;
        open.take(LONGEST + 1).read_to_string(&mut text)
    }
    .map_err(failed)?;
    let wrong = |why: String| CliError::ArgJson {
        file: file.to_owned(),
        why,
    };
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > LONGEST {
        return Err(wrong(format!("longer than {LONGEST} bytes")));
    }
    let json = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    arguments(json).map_err(|why| wrong(why.to_owned()))
}

fn arguments(json: Json) -> Result<Vec<Value>, &'static str> {
    let wanted = "expected a list of arguments, or {\"args\": […], \"kwargs\": {…}}";
    match json {
        Json::Array(items) => items.into_iter().map(value).collect(),
        Json::Object(mut map) => {
            let mut arguments = match map.remove("args") {
                None => Vec::new(),
                Some(Json::Array(items)) => items.into_iter().map(value).collect::<Result<_, _>>()?,
                Some(_) => return Err(wanted),
            };
            match map.remove("kwargs") {
                None => {}
                Some(Json::Object(kwargs)) => {
                    let Value::Map(mut entries) = value(Json::Object(kwargs))? else {
                        return Err(wanted);
                    };
                    entries.push((Value::text("__kwarg__"), Value::Bool(true)));
                    arguments.push(Value::Map(entries));
                }
                Some(_) => return Err(wanted),
            }
            if map.is_empty() {
                Ok(arguments)
            } else {
                Err(wanted)
            }
        }
        _ => Err(wanted),
    }
}

fn value(json: Json) -> Result<Value, &'static str> {
    Ok(match json {
        Json::Null => Value::Nil,
        Json::Bool(is) => Value::Bool(is),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Value::Int(number),
            (_, Some(number), _) => Value::UInt(number),
            (_, _, Some(number)) => Value::Float(number),
            _ => return Err("a number that msgpack does not hold"),
        },
        Json::String(text) => Value::text(text),
        Json::Array(items) => Value::Array(items.into_iter().map(value).collect::<Result<_, _>>()?),
        Json::Object(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(name, of)| Ok((Value::text(name), value(of)?)))
                .collect::<Result<_, &'static str>>()?,
        ),
    })
}
