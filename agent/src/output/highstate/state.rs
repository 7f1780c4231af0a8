//! One state in the highstate outputter: full or on one line.

use std::fmt::{self, Write};

use proto::message::Value;

use super::{Data, Highstate, Unprinted};
use crate::output::nested;
use crate::output::python::{Object, fill, fmt_str, is_space, lines, to_str};
use crate::output::text::Text;
use crate::output::{Detail, StateOutput};

/// The column of comments, changes and warnings.
const COLUMN: usize = 14;
/// Functions that return states of their own in their changes.
const ORCHESTRATIONS: [&str; 3] = ["state.orch", "state.orchestrate", "state.sls"];

/// A state, ready to be printed.
pub(super) struct Printer<'a> {
    highstate: &'a Highstate<'a>,
    name: &'a Value,
    state: &'a Value,
    result: &'a Value,
    changes: &'a Value,
    is_changed: bool,
    /// What is printed of the changes.
    changes_text: Text,
}

impl<'a> Printer<'a> {
    pub(super) fn new(
        highstate: &'a Highstate<'a>,
        name: &'a Value,
        state: &'a Value,
        result: &'a Value,
        level: usize,
    ) -> Result<Self, Unprinted> {
        let changes = state.get("changes").ok_or(Unprinted::NotStates)?;
        let function = state.get("name").and_then(Value::as_text);
        let (is_changed, changes_text) = if function.is_some_and(|name| ORCHESTRATIONS.contains(&name)) {
            let inner = highstate.output(&Data::from(changes), level.saturating_add(1))?;
            (true, indented(inner.as_str(), COLUMN.saturating_mul(level))?)
        } else {
            highstate.changes(changes)?
        };
        Ok(Self {
            highstate,
            name,
            state,
            result,
            changes,
            is_changed,
            changes_text,
        })
    }

    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Whether there is anything to be said of it.
    pub(super) fn is_shown(&self) -> bool {
        self.highstate.look.state_verbose || self.is_changed || !Object::from(self.result).is_true()
    }

    /// The colour that this state gives to the name of its host.
    pub(super) fn host_color(&self) -> Option<&'static str> {
        match self.result {
            Value::Bool(false) => Some(self.highstate.colors.red),
            Value::Nil => Some(self.highstate.colors.light_yellow),
            _ => None,
        }
    }

    fn color(&self) -> &'static str {
        let colors = &self.highstate.colors;
        let unless_bad = if self.is_changed {
            colors.cyan
        } else {
            colors.green
        };
        self.host_color().unwrap_or(unless_bad)
    }

    /// Returns whether warnings were printed in a place of their own.
    pub(super) fn print(&self, out: &mut Text) -> Result<bool, Unprinted> {
        let parts = self.name.as_text().ok_or(Unprinted::NotStates)?;
        let parts: Vec<&str> = parts.split("_|-").collect();
        let [module, id, name, rest @ ..] = parts.as_slice() else {
            return Err(Unprinted::NotStates);
        };
        let look = self.highstate.look.state_output;
        let name = if look.shows_ids() { id } else { name };
        out.next_line()?;
        if self.is_terse(look) {
            let function = rest.last().unwrap_or(name);
            self.print_line(module, function, name, out)?;
            return Ok(false);
        }
        let [function, ..] = rest else {
            return Err(Unprinted::NotStates);
        };
        self.print_block(module, function, id, name, out)?;
        self.print_warnings(out)
    }

    fn is_terse(&self, look: StateOutput) -> bool {
        match look.detail() {
            Detail::Full => false,
            Detail::Terse => true,
            Detail::Mixed => *self.result != Value::Bool(false),
            Detail::Changes => Object::from(self.result).is_true() && !self.is_changed,
        }
    }

    /// `_format_terse()`. Salt passes warnings through `str.format` here, and fails if they have braces.
    fn print_line(&self, module: &str, function: &str, name: &str, out: &mut Text) -> Result<(), Unprinted> {
        let light_red = self.highstate.colors.light_red;
        let end = self.highstate.colors.end;
        if let Some(warnings) = self.state.get("warnings") {
            write!(out, "{light_red}Warnings:\n{}{end}", joined(warnings)?)?;
        }
        let result = match self.result {
            Value::Bool(false) => "Failed",
            Value::Nil => "Differs",
            _ if Object::from(self.changes).is_true() => "Changed",
            _ => "Clean",
        };
        let color = self.color();
        write!(
            out,
            " {color} Name: {name} - Function: {module}.{function} - Result: {result}"
        )?;
        if let Some(start) = self.state.get("start_time") {
            let duration = self.state.get("duration").ok_or(Unprinted::NotStates)?;
            out.write_str(" - Started: ")?;
            fmt_str(start, out)?;
            out.write_str(" - Duration: ")?;
            fmt_str(duration, out)?;
            out.write_str(" ms")?;
        }
        out.write_str(end)?;
        Ok(())
    }

    fn print_block(
        &self,
        module: &str,
        function: &str,
        id: &str,
        name: &str,
        out: &mut Text,
    ) -> Result<(), Unprinted> {
        let color = self.color();
        let end = self.highstate.colors.end;
        write!(out, "{color}----------{end}")?;
        write!(out, "\n    {color}      ID: {id}{end}")?;
        write!(out, "\n    {color}Function: {module}.{function}{end}")?;
        if id != name {
            write!(out, "\n    {color}    Name: {name}{end}")?;
        }
        write!(out, "\n    {color}  Result: ")?;
        fmt_str(self.result, out)?;
        write!(out, "{end}\n    {color} Comment: ")?;
        self.print_comment(out)?;
        out.write_str(end)?;
        if let Some(start) = self.state.get("start_time") {
            write!(out, "\n    {color} Started: ")?;
            fmt_str(start, out)?;
            write!(out, "{end}\n    {color}Duration: ")?;
            if let Some(duration) = self
                .state
                .get("duration")
                .filter(|duration| duration.as_text() != Some(""))
            {
                fmt_str(duration, out)?;
                out.write_str(" ms")?;
            }
            out.write_str(end)?;
        }
        write!(
            out,
            "\n{color}     Changes:   {}{end}",
            self.changes_text.as_str()
        )?;
        Ok(())
    }

    fn print_comment(&self, out: &mut Text) -> Result<(), Unprinted> {
        let comment = to_str(self.state.get("comment").ok_or(Unprinted::NotStates)?);
        for (at, line) in comment.trim_matches(is_space).split('\n').enumerate() {
            if at > 0 {
                out.line_at(COLUMN)?;
            }
            out.write_str(line)?;
        }
        let Some(data) = self.state.get("data") else {
            return Ok(());
        };
        match Object::from(data) {
            Object::List(items) => {
                for item in items {
                    out.write_char(' ')?;
                    fmt_str(item, out)?;
                }
            }
            Object::Dict(entries) => {
                for (key, value) in entries {
                    out.write_str("\n\t\t")?;
                    fmt_str(key, out)?;
                    out.write_str(": ")?;
                    fmt_str(value, out)?;
                }
            }
            _ => {
                out.write_char(' ')?;
                fmt_str(data, out)?;
            }
        }
        Ok(())
    }

    fn print_warnings(&self, out: &mut Text) -> Result<bool, Unprinted> {
        let Some(warnings) = self.state.get("warnings") else {
            return Ok(false);
        };
        write!(out, "\n   {} Warnings: ", self.highstate.colors.light_red)?;
        fill(&joined(warnings)?, 80, COLUMN, out)?;
        out.write_str(self.highstate.colors.end)?;
        Ok(true)
    }
}

impl Highstate<'_> {
    /// `_format_changes()`: whether there are any, and what is printed of them.
    fn changes(&self, changes: &Value) -> Result<(bool, Text), Unprinted> {
        let mut out = Text::new();
        if !Object::from(changes).is_true() {
            return Ok((false, out));
        }
        if changes.as_map().is_none() {
            out.write_str("Invalid Changes data: ")?;
            fmt_str(changes, &mut out)?;
            return Ok((true, out));
        }
        let is_highstate = changes.get("out").and_then(Value::as_text) == Some("highstate");
        let Some(hosts) = changes
            .get("ret")
            .filter(|ret| is_highstate && **ret != Value::Nil)
        else {
            out.write_char('\n')?;
            out.write_str(nested::at_indent(changes, COLUMN, self.colors)?.as_str())?;
            return Ok((true, out));
        };
        let mut is_changed = false;
        for (host, states) in hosts.as_map().ok_or(Unprinted::NotStates)? {
            let (text, has_changes) = self.host(host, states, 1)?;
            for line in lines(text.as_str()) {
                out.line_at(COLUMN)?;
                out.write_str(line)?;
            }
            is_changed |= has_changes;
        }
        Ok((is_changed, out))
    }
}

/// `re.sub("^", " " * indent, "\n" + text, flags=re.MULTILINE)`
fn indented(text: &str, indent: usize) -> Result<Text, fmt::Error> {
    let mut out = Text::new();
    out.blanks(indent)?;
    for line in text.split('\n') {
        out.line_at(indent)?;
        out.write_str(line)?;
    }
    Ok(out)
}

/// `"\n".join(warnings)`, which takes text apart and the keys of a dict.
fn joined(warnings: &Value) -> Result<String, Unprinted> {
    let texts: Option<Vec<&str>> = match Object::from(warnings) {
        Object::Str(text) => {
            let characters: Vec<String> = text.chars().map(String::from).collect();
            return Ok(characters.join("\n"));
        }
        Object::List(items) => items.iter().map(Value::as_text).collect(),
        Object::Dict(entries) => entries.iter().map(|(key, _)| key.as_text()).collect(),
        _ => None,
    };
    texts.map(|texts| texts.join("\n")).ok_or(Unprinted::NotStates)
}
