//! Salt's YAML outputter (`salt/output/yaml_out.py`): `yaml.dump` in block style through libyaml, which Salt uses
//! where it is there, as in all its packages.

mod emitter;
mod resolver;
mod scalar;

use std::fmt;

use proto::message::Value;

use super::text::Text;
use emitter::Emitter;

/// A mapping of minions to returns.
pub(super) fn of_minions(returns: &[(&str, &Value)]) -> Result<Text, fmt::Error> {
    let entries: Vec<(Value, &Value)> = returns
        .iter()
        .map(|(minion, value)| (Value::text(*minion), *value))
        .collect();
    let mut entries: Vec<(&Value, &Value)> = entries.iter().map(|(minion, value)| (minion, *value)).collect();
    entries.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(&b.as_bytes()));
    let mut text = Emitter::document(&entries)?;
    text.trim_end();
    Ok(text)
}
