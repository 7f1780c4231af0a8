//! Salt's highstate outputter (`salt/output/highstate.py`): what is printed of states.
//!
//! Where that raises an exception, Salt prints the return with the nested outputter instead. So do we
//! ([`Unprinted::NotStates`]); Salt has by then overwritten comments and durations of the states that it had
//! formatted before, which we do not imitate.

mod state;
mod summary;

use std::fmt::{self, Write};

use proto::message::Value;

use self::state::Printer;
use self::summary::Tally;
use super::color::Colors;
use super::nested::write_harmless;
use super::python::{Object, compare, fmt_str, lines, pretty};
use super::text::Text;
use super::{Look, TooLong};

/// Why the text does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unprinted {
    /// The data are no states, or Salt's outputter would fail on them.
    NotStates,
    /// The text would be longer than is printed.
    TooLong,
}

impl From<fmt::Error> for Unprinted {
    /// Writing fails at the limit only.
    fn from(_: fmt::Error) -> Self {
        Self::TooLong
    }
}

impl From<TooLong> for Unprinted {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

/// What one minion returned, under its name.
pub(super) fn of_minion(minion: &str, value: &Value, look: &Look) -> Result<Text, Unprinted> {
    let minion = Value::text(minion);
    let mut text = Highstate::new(look).output(&Data::Entries(vec![(&minion, value)]), 1)?;
    text.trim_end();
    Ok(text)
}

/// What the outputter is given: states by name, by host.
enum Data<'a> {
    Entries(Vec<(&'a Value, &'a Value)>),
    Other(&'a Value),
}

impl<'a> From<&'a Value> for Data<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Map(entries) => Self::Entries(entries.iter().map(|(key, value)| (key, value)).collect()),
            _ => Self::Other(value),
        }
    }
}

impl<'a> Data<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        match self {
            Self::Entries(entries) => entries
                .iter()
                .rev()
                .find(|(key, _)| key.as_text() == Some(name))
                .map(|(_, value)| *value),
            Self::Other(_) => None,
        }
    }

    /// Out of the wrappings that runners and the job cache put around states.
    fn unwrapped(&self) -> Result<Option<Self>, Unprinted> {
        let inner = self.get("return").map(Self::from);
        let data = inner.as_ref().unwrap_or(self);
        let inner = data.get("data").map(Self::from).or(inner);
        let data = inner.as_ref().unwrap_or(self);
        if let Self::Entries(entries) = data
            && let [(_, job)] = entries.as_slice()
            && job.get("jid").is_some()
            && job.get("fun").is_some()
        {
            let states = match job.get("return") {
                None => None,
                Some(returned @ Value::Map(_)) => returned.get("data"),
                Some(_) => return Err(Unprinted::NotStates),
            };
            return Ok(states.map(Self::from).or(inner));
        }
        Ok(inner)
    }
}

/// The outputter, which calls itself for states inside of states.
struct Highstate<'a> {
    look: &'a Look,
    colors: Colors,
}

impl<'a> Highstate<'a> {
    fn new(look: &'a Look) -> Self {
        Self {
            look,
            colors: Colors::new(look.color),
        }
    }

    /// `output()`. `level` is 1 for the outermost states and grows with each orchestration inside another.
    fn output(&self, data: &Data<'_>, level: usize) -> Result<Text, Unprinted> {
        let unwrapped = data.unwrapped()?;
        let mut out = Text::new();
        let entries = match unwrapped.as_ref().unwrap_or(data) {
            Data::Entries(entries) => entries,
            Data::Other(other) => match Object::from(*other) {
                Object::Str(_) | Object::None => {
                    fmt_str(other, &mut out)?;
                    return Ok(out);
                }
                _ => return Err(Unprinted::NotStates),
            },
        };
        let mut masters = 0_usize;
        for (key, _) in entries {
            let name = key.as_text().ok_or(Unprinted::NotStates)?;
            masters = masters.saturating_add(usize::from(name.ends_with("_master")));
        }
        // An orchestration returns its retcode beside the states of its one master.
        let is_extra = |key: &Value| masters == 1 && key.as_text() == Some("retcode");
        for (host, states) in entries.iter().filter(|(key, _)| !is_extra(key)) {
            let (text, _) = self.host(host, states, level)?;
            out.next_line()?;
            out.write_str(text.as_str())?;
        }
        Ok(out)
    }

    /// `_format_host()`: the text, and whether there are changes.
    fn host(&self, host: &Value, data: &Value, level: usize) -> Result<(Text, bool), Unprinted> {
        let Colors {
            green,
            cyan,
            light_red,
            end,
            ..
        } = self.colors;
        let mut name = String::new();
        match Object::from(host) {
            Object::Bytes(_) => return Err(Unprinted::NotStates),
            Object::Date(date) => date.fmt_iso('T', &mut name)?,
            _ => fmt_str(host, &mut name)?,
        }
        let mut body = Text::new();
        let (color, is_changed) = match Object::from(data) {
            Object::Bool(_) | Object::Int(_) => {
                write!(body, "{green}    ")?;
                fmt_str(data, &mut body)?;
                body.write_str(end)?;
                (cyan, true)
            }
            Object::Str(text) => {
                for line in lines(text) {
                    body.next_line()?;
                    write!(body, "{green}    {line}{end}")?;
                }
                (cyan, true)
            }
            Object::List(errors) => {
                write!(body, "    {light_red}Data failed to compile:{end}")?;
                for error in errors {
                    write!(body, "\n{light_red}----------\n    ")?;
                    match Object::from(error) {
                        Object::Str(text) => write_harmless(text, &mut body)?,
                        Object::Date(date) => date.fmt_iso('T', &mut body)?,
                        _ => fmt_str(error, &mut body)?,
                    }
                    body.write_str(end)?;
                }
                (light_red, false)
            }
            Object::Dict(states) => self.states(&name, states, level, &mut body)?,
            _ => (green, false),
        };
        let mut out = Text::new();
        out.write_str(color)?;
        write_harmless(&name, &mut out)?;
        write!(out, ":{end}")?;
        if !body.as_str().is_empty() {
            out.write_char('\n')?;
            out.write_str(body.as_str())?;
        }
        Ok((out, is_changed))
    }

    /// All states of a host, and the summary. Returns the colour of the host's name, and whether there are changes.
    fn states(
        &self,
        host: &str,
        entries: &[(Value, Value)],
        level: usize,
        body: &mut Text,
    ) -> Result<(&'static str, bool), Unprinted> {
        for (_, state) in entries
            .iter()
            .rev()
            .filter(|(name, state)| is_incomplete(name, state))
        {
            body.next_line()?;
            body.write_str(
                "The State execution failed to record the order in which all states were executed. The state \
                 return missing data is:\n",
            )?;
            pretty(state, body)?;
        }
        let mut color = self.colors.green;
        let mut tally = Tally::default();
        for (name, state) in in_order_of_execution(entries)? {
            let result = state.get("result").ok_or(Unprinted::NotStates)?;
            tally.add(result, state)?;
            let printer = Printer::new(self, name, state, result, level)?;
            tally.add_changes(printer.is_changed());
            if !printer.is_shown() {
                continue;
            }
            color = printer.host_color().unwrap_or(color);
            let is_warned = printer.print(body)?;
            tally.add_warnings(is_warned);
        }
        body.next_line()?;
        tally.summarize(host, self.colors, body)?;
        Ok((color, tally.has_changes()))
    }
}

/// Salt asks for the order of every map that is returned, unless it is called `changes`.
fn is_incomplete(name: &Value, state: &Value) -> bool {
    let is_filled = state.as_map().is_some_and(|state| !state.is_empty());
    is_filled && name.as_text() != Some("changes") && state.get("__run_num__").is_none()
}

/// What has a result, by its number.
fn in_order_of_execution(entries: &[(Value, Value)]) -> Result<Vec<(&Value, &Value)>, Unprinted> {
    let mut numbered: Vec<(Object<'_>, &Value, &Value)> = entries
        .iter()
        .filter(|(_, state)| state.get("result").is_some())
        .map(|(name, state)| {
            let number = state.get("__run_num__").map_or(Object::Int(0), Object::from);
            (number, name, state)
        })
        .collect();
    if let [(first, ..), rest @ ..] = numbered.as_slice()
        && rest.iter().any(|(other, ..)| compare(first, other).is_none())
    {
        return Err(Unprinted::NotStates);
    }
    numbered.sort_by(|(a, ..), (b, ..)| compare(a, b).unwrap_or(std::cmp::Ordering::Equal));
    Ok(numbered
        .into_iter()
        .map(|(_, name, state)| (name, state))
        .collect())
}
