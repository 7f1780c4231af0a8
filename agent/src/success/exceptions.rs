//! How a minion says that a function raised an exception, does not exist, or calls itself unsuccessful.
//!
//! The texts are those of `_thread_return` in salt/minion.py and `missing_fun_string` in salt/loader/lazy.py.

use proto::message::Value;

/// What a return looks like without its retcode.
pub(super) enum Looks {
    /// Nothing speaks against it.
    Normal,
    /// A failure, unless the function returned this very text by itself.
    Suspicious(String),
    /// A failure.
    Failed(String),
}

/// Looks at the return of any function.
pub(super) fn looks(function: &str, ret: &Value) -> Looks {
    match ret {
        Value::Raw(bytes) => looks_text(function, &String::from_utf8_lossy(bytes)),
        Value::Map(_) => looks_map(function, ret),
        _ => Looks::Normal,
    }
}

fn looks_text(function: &str, text: &str) -> Looks {
    let reason = reason(text);
    if is_exception(function, text) {
        // What a command printed can be anything.
        let foreign = function.starts_with("cmd.");
        return if foreign {
            Looks::Suspicious(reason)
        } else {
            Looks::Failed(reason)
        };
    }
    // A `CommandExecutionError`, or a text that begins like one.
    if text.starts_with("ERROR: ") {
        return Looks::Suspicious(reason);
    }
    Looks::Normal
}

fn looks_map(function: &str, ret: &Value) -> Looks {
    // A missing function of a module that is there comes with the module's documentation.
    let missing = ret.get(function).and_then(Value::as_text);
    if let Some(text) = missing.filter(|text| is_missing(function, text)) {
        return Looks::Failed(reason(text));
    }
    for key in ["result", "success"] {
        if ret.get(key).is_some_and(is_false) {
            let comment = ret.get("comment").and_then(Value::as_text).map(one_line);
            let comment = comment.filter(|comment| !comment.is_empty());
            return Looks::Failed(comment.unwrap_or_else(|| format!("its {key} is not true")));
        }
    }
    Looks::Normal
}

fn is_exception(function: &str, text: &str) -> bool {
    is_missing(function, text)
        || [
            "The minion function caused an exception: ".to_owned(),
            format!("Passed invalid arguments to {function}: "),
            format!("ERROR executing '{function}': "),
            format!("Command required for '{function}' not found: "),
            // 3008, for resources.
            format!("ERROR running {function} for '"),
            format!("Function '{function}' is not supported for resource type '"),
            "No resource loader available for type '".to_owned(),
            "No resource loader for type '".to_owned(),
        ]
        .iter()
        .any(|beginning| text.starts_with(beginning))
}

fn is_missing(function: &str, text: &str) -> bool {
    let module = function.split('.').next().unwrap_or(function);
    text.starts_with(&format!("'{function}' is not available."))
        || text.starts_with(&format!("'{module}' __virtual__ returned False"))
}

/// Python's `not value`.
fn is_false(value: &Value) -> bool {
    match value {
        Value::Nil | Value::Bool(false) | Value::Int(0) => true,
        Value::Float(number) => *number == 0.0,
        Value::Raw(bytes) => bytes.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        Value::Bool(true) | Value::Int(_) | Value::UInt(_) | Value::Ext(..) => false,
    }
}

/// An error text in one line: of a traceback, the one that names the exception.
pub(crate) fn reason(text: &str) -> String {
    let first = one_line(text);
    let Some(said) = first.strip_suffix("Traceback (most recent call last):") else {
        return announced(text);
    };
    // It stands behind the indented frames, and its message may go on for lines.
    let pairs = text.lines().zip(text.lines().skip(1));
    let named = pairs.filter(|(frame, line)| frame.starts_with(' ') && !line.starts_with(' '));
    let exception = named.last().map_or("an unknown one", |(_, line)| line);
    one_line(&format!("{said}{exception}"))
}

/// The first line that says something, with the lines that it announces: Salt lists missing requisites
/// behind `The following requisites were not found:`, `require:`.
fn announced(text: &str) -> String {
    let mut said = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !said.is_empty() {
            said.push(' ');
        }
        said.push_str(line);
        if !line.ends_with(':') {
            break;
        }
    }
    one_line(&said)
}

/// The first line that says something, not too long for a message.
pub(super) fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let clean = |character: char| {
        if character.is_control() {
            '\u{fffd}'
        } else {
            character
        }
    };
    let mut short: String = line.chars().take(LONGEST).map(clean).collect();
    if line.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn a_reason_goes_on_while_a_line_announces_the_next() {
        let missing =
            "The following requisites were not found:\n      require:\n          cmd: nowhere\nand more";
        assert_eq!(
            reason(missing),
            "The following requisites were not found: require: cmd: nowhere"
        );
        assert_eq!(reason("announces nothing:\n\n"), "announces nothing:");
    }
}
