//! What was measured: a line for each fault, printed as Markdown.

use std::fmt::Write as _;
use std::time::Duration;

/// The lines so far.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

/// One fault.
pub(crate) struct Row {
    pub(crate) fault: String,
    /// What the sidecar called the master, or the minion.
    pub(crate) verdict: String,
    pub(crate) why: String,
    /// From before the fault was begun until `/readyz` was seen to say 503.
    pub(crate) not_ready: Option<Duration>,
    /// Until the verdict was seen.
    pub(crate) told: Option<Duration>,
    /// From the end of the repair until jobs reached the minion again.
    pub(crate) back: Option<Duration>,
}

impl Table {
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("{}", row.line());
        self.rows.push(row);
    }

    pub(crate) fn print(&self, title: &str) {
        let mut text = format!(
            "\n{title}\n\n| fault | verdict | why | `/readyz` 503 after | verdict after | back after |\n\
             | --- | --- | --- | --- | --- | --- |\n"
        );
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        eprintln!("{text}");
    }
}

impl Row {
    fn line(&self) -> String {
        let time = |time: Option<Duration>| {
            time.map_or_else(String::new, |time| format!("{:.2} s", time.as_secs_f64()))
        };
        format!(
            "| {} | {} | {} | {} | {} | {} |",
            self.fault,
            self.verdict,
            self.why.replace('|', "\\|"),
            time(self.not_ready),
            time(self.told),
            time(self.back)
        )
    }
}
