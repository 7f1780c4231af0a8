//! The returns of functions that run states.

use proto::message::Value;

use super::exceptions::{one_line, reason};

/// The result of one state in a return.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StateResult<'a> {
    /// The key in the return: `file_|-ID_|-NAME_|-managed`.
    pub(crate) tag: &'a [u8],
    /// The map with `result`, `comment`, `changes` and more.
    pub(crate) fields: &'a Value,
}

/// What there is in a tag (`gen_tag` in salt/state.py).
pub(crate) struct Tag {
    /// `file.managed`.
    pub(crate) function: String,
    /// ID.
    pub(crate) id: String,
    /// What `name:` says, or the ID.
    pub(crate) name: String,
}

impl StateResult<'_> {
    /// Whether it is false; `None` (`test=True`) is not. `state.highstate` says it in a text when it is disabled.
    pub(crate) fn failed(&self) -> bool {
        match self.fields.get("result") {
            Some(Value::Bool(result)) => !result,
            Some(Value::Raw(text)) => text == b"False",
            _ => false,
        }
    }

    /// The parts of the tag; `None` if it is something else.
    pub(crate) fn parts(&self) -> Option<Tag> {
        let tag = String::from_utf8_lossy(self.tag);
        // A name may hold the separator; what is around it does not.
        let (state, rest) = tag.split_once("_|-")?;
        let (id, rest) = rest.split_once("_|-")?;
        let (name, function) = rest.rsplit_once("_|-")?;
        Some(Tag {
            function: format!("{state}.{function}"),
            id: id.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Its comment as text; Salt takes lists, too.
    pub(crate) fn comment(&self) -> String {
        match self.fields.get("comment") {
            Some(Value::Raw(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            Some(Value::Array(lines)) => {
                let lines = lines.iter().filter_map(Value::as_bytes);
                let lines: Vec<_> = lines.map(String::from_utf8_lossy).collect();
                lines.join("\n")
            }
            _ => String::new(),
        }
    }

    /// The order in which Salt ran it.
    fn run_number(&self) -> u64 {
        self.fields
            .get("__run_num__")
            .and_then(Value::as_u64)
            .unwrap_or(u64::MAX)
    }

    fn describe(&self) -> String {
        let comment = reason(&self.comment());
        let state = match self.parts() {
            Some(tag) => format!("{} ({})", one_line(&tag.id), one_line(&tag.function)),
            None => one_line(&String::from_utf8_lossy(self.tag)),
        };
        if comment.is_empty() {
            state
        } else {
            format!("{state}: {comment}")
        }
    }
}

/// The functions of salt/modules/state.py that run states and return their results.
pub(super) fn runs_states(function: &str) -> bool {
    let Some(name) = function.strip_prefix("state.") else {
        return false;
    };
    matches!(
        name,
        "apply"
            | "high"
            | "highstate"
            | "low"
            | "orchestrate"
            | "pkg"
            | "request"
            | "run_request"
            | "single"
            | "sls"
            | "sls_id"
            | "template"
            | "template_str"
            | "test"
            | "top"
    )
}

/// The results of the states in a return, in the order in which they ran; those of an orchestration's own states.
pub(crate) fn results(ret: &Value) -> Vec<StateResult<'_>> {
    let mut results = Vec::new();
    for (tag, fields) in runs(ret).into_iter().filter_map(Value::as_map).flatten() {
        if let (Some(tag), true) = (tag.as_bytes(), is_result(fields)) {
            results.push(StateResult { tag, fields });
        }
    }
    results.sort_by_key(StateResult::run_number);
    results
}

/// Why a run of states failed.
pub(super) fn check(function: &str, ret: &Value) -> Result<(), String> {
    // There was no request to run.
    if function == "state.run_request" && ret.as_map().is_some_and(<[_]>::is_empty) {
        return Ok(());
    }
    // The runner of `state.orchestrate` has its own idea of the retcode, which the minion does not heed.
    if is_orchestration(ret) && !matches!(ret.get("retcode"), None | Some(Value::Int(0))) {
        failed_results(ret)?;
        return Err("the orchestration failed".to_owned());
    }
    let runs = runs(ret);
    if runs.is_empty() {
        return Err("no state was run".to_owned());
    }
    for run in runs {
        check_run(function, run)?;
    }
    failed_results(ret)
}

/// `check_result` of salt/utils/state.py, but for results that are false, which [`failed_results`] finds.
fn check_run(function: &str, run: &Value) -> Result<(), String> {
    match run {
        // `state.low` gives the bare result of its state; elsewhere it stands for states that were not run.
        Value::Map(_) if is_result(run) && function == "state.low" => Ok(()),
        Value::Map(_) if is_result(run) => {
            let tag = run.get("name").and_then(Value::as_bytes).unwrap_or_default();
            Err(StateResult { tag, fields: run }.describe())
        }
        Value::Map(entries) if entries.is_empty() => Err("no state was run".to_owned()),
        Value::Map(entries) => entries.iter().try_for_each(|(key, value)| {
            let is_extend = key.as_bytes() == Some(b"__extend__");
            match value {
                Value::Map(fields) if !is_extend && !fields.is_empty() => Ok(()),
                Value::Array(_) if is_extend => Ok(()),
                _ => Err(format!("{}: {}", plain(key), plain(value))),
            }
        }),
        // Errors of the compiler, "No matching sls found", another run in progress.
        Value::Array(errors) => {
            let errors: Vec<String> = errors
                .iter()
                .map(plain)
                .filter(|error| !error.is_empty())
                .collect();
            Err(one_line(&errors.join("; ")))
        }
        other => Err(plain(other)),
    }
}

/// Every state result that is false, wherever it is: an orchestration has those of other minions in its changes.
fn failed_results(ret: &Value) -> Result<(), String> {
    let mut failed = Vec::new();
    find_failed(b"", ret, &mut failed);
    failed.sort_by_key(StateResult::run_number);
    match failed.as_slice() {
        [] => Ok(()),
        [only] => Err(only.describe()),
        [first, ..] => Err(format!(
            "{} states failed, first {}",
            failed.len(),
            first.describe()
        )),
    }
}

fn find_failed<'a>(tag: &'a [u8], value: &'a Value, failed: &mut Vec<StateResult<'a>>) {
    match value {
        Value::Map(entries) => {
            let result = StateResult { tag, fields: value };
            if is_result(value) && result.failed() {
                failed.push(result);
            }
            for (key, value) in entries {
                find_failed(key.as_bytes().unwrap_or_default(), value, failed);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| find_failed(tag, item, failed)),
        _ => {}
    }
}

/// What was run: one map of results, or one for each minion id in the answer of an orchestration.
fn runs(ret: &Value) -> Vec<&Value> {
    match ret.get("data").and_then(Value::as_map) {
        Some(data) if is_orchestration(ret) => data.iter().map(|(_, run)| run).collect(),
        _ => vec![ret],
    }
}

fn is_orchestration(ret: &Value) -> bool {
    ret.get("outputter").is_some() && ret.get("data").is_some()
}

/// Other maps may have a `result`, too: say, the changes of a `module.run`.
fn is_result(value: &Value) -> bool {
    value.get("result").is_some() && (value.get("comment").is_some() || value.get("changes").is_some())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Nil => "nothing was returned".to_owned(),
        Value::Bool(value) => format!("{value} was returned"),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Raw(bytes) => reason(&String::from_utf8_lossy(bytes)),
        Value::Array(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
        Value::Ext(..) => "a date".to_owned(),
    }
}
