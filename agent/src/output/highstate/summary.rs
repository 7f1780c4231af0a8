//! The summary below the states of a host: how many succeeded and failed, and how long they took.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use proto::message::Value;

use super::Unprinted;
use crate::output::color::Colors;
use crate::output::python::{Object, parse_float, to_str};
use crate::output::text::Text;

/// The longest word in front of a number.
const LABEL: usize = "Succeeded".len();

/// What is counted while states are printed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    succeeded: usize,
    failed: usize,
    /// Result `None`: what `test=True` says of states that would change something.
    unchanged: usize,
    warnings: usize,
    changed: usize,
    /// Results that are neither, which count as run only.
    other: BTreeMap<String, usize>,
    /// Milliseconds of states that ran one after the other, and the longest of those that ran beside each other.
    duration: f64,
    parallel: Option<f64>,
}

impl Tally {
    /// Counts a state, and its duration.
    pub(super) fn add(&mut self, result: &Value, state: &Value) -> Result<(), Unprinted> {
        let count = match Object::from(result) {
            Object::Bool(true) | Object::Int(1) | Object::Float(1.0) => &mut self.succeeded,
            Object::Bool(false) | Object::Int(0) | Object::Float(0.0) => &mut self.failed,
            Object::None => &mut self.unchanged,
            // Salt counts warnings under that name in the same place.
            Object::Str("warnings") => &mut self.warnings,
            Object::List(_) | Object::Dict(_) => return Err(Unprinted::NotStates),
            Object::Float(number) if number.fract() == 0.0 => {
                self.other.entry(format!("{number}")).or_default()
            }
            _ => self.other.entry(to_str(result)).or_default(),
        };
        *count = count.saturating_add(1);
        let Some(milliseconds) = duration(state)? else {
            return Ok(());
        };
        if state.get("__parallel__").is_none() {
            self.duration += milliseconds;
        } else if self.parallel.is_none_or(|longest| milliseconds > longest) {
            self.parallel = Some(milliseconds);
        }
        Ok(())
    }

    pub(super) fn add_changes(&mut self, is_changed: bool) {
        self.changed = self.changed.saturating_add(usize::from(is_changed));
    }

    pub(super) fn add_warnings(&mut self, is_warned: bool) {
        self.warnings = self.warnings.saturating_add(usize::from(is_warned));
    }

    pub(super) fn has_changes(&self) -> bool {
        self.changed > 0
    }

    pub(super) fn summarize(&self, host: &str, colors: Colors, out: &mut Text) -> fmt::Result {
        let Colors {
            green,
            cyan,
            red,
            light_red,
            light_yellow,
            end,
        } = colors;
        let width = self.width();
        let counted = |label: &str, count: usize| {
            let width = width.saturating_sub(label.len().saturating_add(2));
            format!("{label}: {count:>width$}")
        };
        write!(out, "{cyan}\nSummary for {host}\n{:-<width$}{end}", "")?;

        let succeeded = self.succeeded.saturating_add(self.unchanged);
        write!(out, "\n{green}{}{end}", counted("Succeeded", succeeded))?;
        let mut details = Vec::new();
        if self.unchanged > 0 {
            details.push(format!("{light_yellow}unchanged={}{end}", self.unchanged));
        }
        if self.changed > 0 {
            details.push(format!("{green}changed={}{end}", self.changed));
        }
        if !details.is_empty() {
            write!(out, " ({})", details.join(", "))?;
        }

        let color = if self.failed > 0 { red } else { cyan };
        write!(out, "\n{color}{}{end}", counted("Failed", self.failed))?;
        if self.warnings > 0 {
            write!(out, "\n{light_red}{}{end}", counted("Warnings", self.warnings))?;
        }

        let all: usize = self.other.values().sum();
        let all = all.saturating_add(succeeded).saturating_add(self.failed);
        let column = width.saturating_sub(7);
        write!(
            out,
            "\n{cyan}{:-<width$}\nTotal states run: {all:>column$}{end}",
            ""
        )?;

        let column = width.saturating_sub(5);
        let (time, unit) = self.run_time();
        write!(out, "\n{cyan}Total run time: {time:>column$} {unit}{end}")
    }

    /// Of the lines of the summary.
    fn width(&self) -> usize {
        let counts = [self.succeeded, self.failed, self.unchanged, self.warnings];
        let longest = counts
            .iter()
            .chain(self.other.values())
            .filter(|count| **count > 0)
            .max();
        let digits = longest.map_or(0, |count| count.to_string().len());
        LABEL.saturating_add(digits).saturating_add(2)
    }

    fn run_time(&self) -> (String, &'static str) {
        let milliseconds = self.duration + self.parallel.unwrap_or(0.0);
        let (time, unit) = if milliseconds > 999.0 {
            (milliseconds / 1000.0, "s")
        } else {
            (milliseconds, "ms")
        };
        (format!("{time:.3}").to_lowercase(), unit)
    }
}

/// In milliseconds. Older minions send text; text that is no number counts as nothing.
fn duration(state: &Value) -> Result<Option<f64>, Unprinted> {
    let Some(duration) = state.get("duration") else {
        return Ok(Some(0.0));
    };
    match Object::from(duration) {
        Object::Bool(truth) => Ok(Some(f64::from(u8::from(truth)))),
        Object::Int(number) => Ok(Some(number as f64)),
        Object::Float(number) => Ok(Some(number)),
        Object::Str(text) => {
            let before_unit = || text.split_once(" ms").map_or(text, |(number, _)| number);
            Ok(parse_float(text).or_else(|| parse_float(before_unit())))
        }
        _ => Err(Unprinted::NotStates),
    }
}
