//! The report: rows with what was measured and what was aimed at, as a Markdown table and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::machine::Machine;
use crate::samples::Samples;

/// Everything that a run found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// What the rows below tell of, which need no Salt.
    title: &'static str,
    rows: Vec<Row>,
    pub(crate) releases: Vec<Release>,
}

/// What was measured with one release of Salt.
#[derive(Debug, Serialize)]
pub(crate) struct Release {
    pub(crate) salt: &'static str,
    /// Load of the machine over the last minute when the lab was about to start.
    pub(crate) load_before: f64,
    /// The same at the end, with the lab's own work in it.
    pub(crate) load_after: f64,
    pub(crate) rows: Vec<Row>,
    /// What could not be measured, and why.
    pub(crate) failures: Vec<String>,
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    what: String,
    measured: String,
    /// The number that is compared with the target, in the unit that `measured` names.
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    /// What it was computed from, in milliseconds, in the order of measurement.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    samples_ms: BTreeMap<&'static str, Samples>,
}

impl Release {
    /// Nothing is measured yet. `load_before`: that of the machine.
    pub(crate) fn new(salt: &'static str, load_before: f64) -> Self {
        Self {
            salt,
            load_before,
            load_after: 0.0,
            rows: Vec::new(),
            failures: Vec::new(),
        }
    }
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, measured: impl Into<String>, value: f64) -> Self {
        Self {
            what: what.into(),
            measured: measured.into(),
            value,
            target: None,
            ok: None,
            samples_ms: BTreeMap::new(),
        }
    }

    /// A row of durations: median, extremes, p90. The value is the median.
    pub(crate) fn of(what: impl Into<String>, samples: &Samples) -> Self {
        Self::new(what, samples.to_string(), samples.median()).with("samples", samples)
    }

    pub(crate) fn target(mut self, target: &str, ok: bool) -> Self {
        (self.target, self.ok) = (Some(target.to_owned()), Some(ok));
        self
    }

    pub(crate) fn with(mut self, name: &'static str, samples: &Samples) -> Self {
        self.samples_ms.insert(name, samples.clone());
        self
    }

    fn cell(&self) -> String {
        match self.ok {
            Some(true) => format!("{}: ok", self.measured),
            Some(false) => format!("{}: **falls short**", self.measured),
            None => self.measured.clone(),
        }
    }
}

impl Report {
    pub(crate) fn new(machine: Machine, title: &'static str, rows: Vec<Row>) -> Self {
        Self {
            machine,
            title,
            rows,
            releases: Vec::new(),
        }
    }

    /// Whether everything could be measured.
    pub(crate) fn is_complete(&self) -> bool {
        self.releases.iter().all(|release| release.failures.is_empty())
    }

    /// Titles, then a line for each thing that any release has.
    fn table(&self) -> Vec<Vec<String>> {
        let mut titles = vec![String::new(), "target".to_owned()];
        let salts = self
            .releases
            .iter()
            .map(|release| format!("Salt {}", release.salt));
        titles.extend(salts);
        let mut lines = vec![titles];
        let mut seen: Vec<&str> = Vec::new();
        for row in self.releases.iter().flat_map(|release| &release.rows) {
            if seen.contains(&row.what.as_str()) {
                continue;
            }
            seen.push(&row.what);
            let mut line = vec![row.what.clone(), row.target.clone().unwrap_or_default()];
            line.extend(self.releases.iter().map(|release| {
                let found = release.rows.iter().find(|other| other.what == row.what);
                found.map_or_else(|| "not measured".to_owned(), Row::cell)
            }));
            lines.push(line);
        }
        lines
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        if !self.releases.is_empty() {
            writeln!(f)?;
            write_table(f, &self.table())?;
        }
        let mut lines = vec![vec![self.title.to_owned(), "target".to_owned(), String::new()]];
        lines.extend(self.rows.iter().map(|row| {
            vec![
                row.what.clone(),
                row.target.clone().unwrap_or_default(),
                row.cell(),
            ]
        }));
        if !self.rows.is_empty() {
            writeln!(f)?;
            write_table(f, &lines)?;
        }
        for release in &self.releases {
            let Release {
                salt,
                load_before,
                load_after,
                ..
            } = release;
            writeln!(
                f,
                "\nLoad of the machine with Salt {salt}: {load_before:.2} before, {load_after:.2} at the end."
            )?;
            for failure in &release.failures {
                writeln!(f, "NOT MEASURED: {failure}")?;
            }
        }
        Ok(())
    }
}

/// A Markdown table whose columns line up; the first line holds the titles.
fn write_table(f: &mut fmt::Formatter<'_>, lines: &[Vec<String>]) -> fmt::Result {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (number, line) in lines.iter().enumerate() {
        write!(f, "|")?;
        for (cell, width) in line.iter().zip(&widths) {
            write!(f, " {cell:width$} |")?;
        }
        writeln!(f)?;
        if number == 0 {
            write!(f, "|")?;
            for width in &widths {
                write!(f, " {:-<width$} |", "")?;
            }
            writeln!(f)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(salt: &'static str, rows: Vec<Row>) -> Release {
        Release {
            rows,
            ..Release::new(salt, 0.0)
        }
    }

    fn report(releases: Vec<Release>) -> Report {
        Report {
            releases,
            ..Report::new(Machine::default(), "the binary", Vec::new())
        }
    }

    #[test]
    fn a_missed_target_is_said_plainly() {
        let row = Row::new("ratio", "3.0×", 3.0).target("at most 2×", false);
        assert!(row.cell().contains("falls short"));
        let row = Row::new("ratio", "1.5×", 1.5).target("at most 2×", true);
        assert_eq!(row.cell(), "1.5×: ok");
    }

    #[test]
    fn what_one_release_lacks_is_shown_as_not_measured() {
        let mut report = report(vec![
            release("3006.25", vec![]),
            release("3008.1", vec![Row::new("size", "3 MiB", 3.0)]),
        ]);
        let line = report.table().pop().unwrap();
        assert_eq!(line, ["size", "", "not measured", "3 MiB"]);
        assert!(report.is_complete());
        report.releases[0].failures.push("the master died".to_owned());
        assert!(!report.is_complete());
        assert!(report.to_string().contains("NOT MEASURED: the master died"));
    }

    #[test]
    fn columns_of_a_table_line_up() {
        let rows = vec![
            Row::new("short", "1–2", 1.0),
            Row::new("quite a bit longer", "×", 2.0),
        ];
        let text = report(vec![release("3008.1", rows)]).to_string();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
        let first = lines[0].chars().count();
        assert!(
            lines.iter().take(4).all(|line| line.chars().count() == first),
            "{text}"
        );
    }
}
