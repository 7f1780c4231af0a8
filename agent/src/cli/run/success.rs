//! Whether a job succeeded.

use proto::message::Value;

/// Whether the return alone tells: states say of themselves whether they worked.
pub(super) fn tells(function: Option<&str>, ret: &Value) -> bool {
    match ret {
        Value::Bool(true) => true,
        _ => function.is_some_and(|function| function.starts_with("state.")) && is_states(ret),
    }
}

/// The reason, if the job failed.
pub(super) fn of(function: Option<&str>, ret: &Value, retcode: Option<&Value>) -> Result<(), String> {
    // In Python, `False == 0`.
    match retcode {
        None | Some(Value::Int(0) | Value::Bool(false)) => {}
        Some(Value::Int(code)) => return Err(format!("retcode {code}")),
        Some(_) => return Err("it has no retcode".to_owned()),
    }
    if !function.is_some_and(|function| function.starts_with("state.")) {
        return Ok(());
    }
    if !is_states(ret) {
        return match retcode {
            Some(_) => Ok(()),
            None => Err("the return holds no states".to_owned()),
        };
    }
    let states = ret.as_map().unwrap_or_default();
    let failed = states
        .iter()
        .find(|(_, state)| state.get("result") == Some(&Value::Bool(false)));
    match failed {
        Some((name, _)) => Err(format!(
            "a state has the result False: {}",
            name.as_text().unwrap_or("?")
        )),
        None => Ok(()),
    }
}

fn is_states(ret: &Value) -> bool {
    ret.as_map().is_some_and(|states| {
        !states.is_empty() && states.iter().all(|(_, state)| state.get("result").is_some())
    })
}
