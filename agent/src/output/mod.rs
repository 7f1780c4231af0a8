//! What is printed of a return: as Salt's outputters do (highstate, nested, JSON and YAML, to the byte), as JUnit, in GitLab's sections.
//!
//! Written after `salt/output/*.py` of 3006.25 and 3008.1, which print the same, and compared with them in
//! `agent/tests/output.rs`. Pure functions from values to text.

mod color;
pub mod gitlab;
mod harmless;
mod highstate;
mod json;
pub mod junit;
mod nested;
mod python;
mod text;
mod yaml;

use std::fmt;

use proto::message::Value;

pub use self::harmless::harmless;

use self::color::Colors;
use self::highstate::Unprinted;
use self::text::Text;

/// How a return is shown as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Escape sequences for colours.
    pub color: bool,
    /// How much is said of each state.
    pub state_output: StateOutput,
    /// Whether states are shown that succeeded and changed nothing.
    pub state_verbose: bool,
}

impl Default for Look {
    /// Salt's defaults, without colours.
    fn default() -> Self {
        Self {
            color: false,
            state_output: StateOutput::Full,
            state_verbose: true,
        }
    }
}

/// Salt's `state_output`, without its `filter`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum StateOutput {
    /// Many lines for each state
    #[default]
    Full,
    /// One line for each state
    Terse,
    /// One line for each state, many for those that failed
    Mixed,
    /// One line for each state, many for those that failed or changed something
    Changes,
    /// As full, with the id as name
    FullId,
    /// As terse, with the id as name
    TerseId,
    /// As mixed, with the id as name
    MixedId,
    /// As changes, with the id as name
    ChangesId,
}

/// How much is said of a state, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Full,
    Terse,
    Mixed,
    Changes,
}

impl StateOutput {
    fn detail(self) -> Detail {
        match self {
            Self::Full | Self::FullId => Detail::Full,
            Self::Terse | Self::TerseId => Detail::Terse,
            Self::Mixed | Self::MixedId => Detail::Mixed,
            Self::Changes | Self::ChangesId => Detail::Changes,
        }
    }

    fn shows_ids(self) -> bool {
        matches!(
            self,
            Self::FullId | Self::TerseId | Self::MixedId | Self::ChangesId
        )
    }
}

/// What a minion returned of a job, as far as it decides how it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Returned<'a> {
    /// The minion's id.
    pub minion: &'a str,
    /// The function that ran.
    pub function: &'a str,
    /// What it returned.
    pub value: &'a Value,
    /// The outputter that the minion asks for: `out` of `pub_ret`, where it is known.
    pub outputter: Option<&'a str>,
    /// Where it is known.
    pub retcode: Option<i64>,
}

/// The text would be longer than is printed of one return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the return is not printed: it would take more than 256 MiB")]
pub struct TooLong;

impl From<fmt::Error> for TooLong {
    /// Writing fails at the limit only.
    fn from(_: fmt::Error) -> Self {
        Self
    }
}

/// What `salt` prints of one minion's return: states as its highstate outputter does, the rest as its nested one.
///
/// # Errors
/// [`TooLong`]
pub fn of_minion(returned: &Returned<'_>, look: &Look) -> Result<String, TooLong> {
    if returned.is_states() {
        match highstate::of_minion(returned.minion, returned.value, look) {
            Ok(text) => return Ok(printed(text)),
            Err(Unprinted::TooLong) => return Err(TooLong),
            // Salt falls back to nested, too.
            Err(Unprinted::NotStates) => {}
        }
    }
    let failed = returned.retcode.is_some_and(|retcode| retcode != 0);
    let text = nested::of_minion(returned.minion, returned.value, Colors::new(look.color), failed)?;
    Ok(printed(text))
}

/// What `salt --out json` prints, except that the returns of several minions are one document.
///
/// # Errors
/// [`TooLong`]
pub fn json(returns: &[(&str, &Value)]) -> Result<String, TooLong> {
    Ok(printed(json::of_minions(returns)?))
}

/// What `salt --out yaml` prints, except that the returns of several minions are one document.
///
/// # Errors
/// [`TooLong`]
pub fn yaml(returns: &[(&str, &Value)]) -> Result<String, TooLong> {
    Ok(printed(yaml::of_minions(returns)?))
}

/// Data as Salt's nested outputter prints it, without colours and without a minion's name.
///
/// # Errors
/// [`TooLong`]
pub fn of_value(value: &Value) -> Result<String, TooLong> {
    Ok(nested::at_indent(value, 0, Colors::new(false))?.into_string())
}

impl Returned<'_> {
    /// Whether the highstate outputter is the one.
    ///
    /// The minion says so, for the functions of its `state` module that have it in their `__outputter__`, unless an
    /// exception ended the function: then it returns text and asks for `nested` (`_thread_return` in `salt/minion.py`).
    fn is_states(&self) -> bool {
        match self.outputter {
            Some(outputter) => outputter == "highstate",
            None => is_state_function(self.function) && self.value.as_bytes().is_none(),
        }
    }
}

/// `__outputter__` of `salt/modules/state.py`, the same in 3006.25 and 3008.1.
fn is_state_function(function: &str) -> bool {
    let Some(name) = function.strip_prefix("state.") else {
        return false;
    };
    matches!(
        name,
        "sls"
            | "sls_id"
            | "pkg"
            | "top"
            | "single"
            | "highstate"
            | "template"
            | "template_str"
            | "apply"
            | "apply_"
            | "test"
            | "request"
            | "check_request"
            | "run_request"
    )
}

/// With the line break behind it. Of an empty text Salt prints nothing at all.
fn printed(text: Text) -> String {
    let mut text = text.into_string();
    if !text.is_empty() {
        text.push('\n');
    }
    text
}
