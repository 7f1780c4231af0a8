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
    /// From before the fault was begun until a `test.ping` that was published after it was answered through the other master.
    pub(crate) answered: Duration,
    /// How many were published until then.
    pub(crate) published: u64,
    /// Why the relay left the master.
    pub(crate) why: String,
}

impl Table {
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("{}", row.line());
        self.rows.push(row);
    }

    pub(crate) fn print(&self, title: &str) {
        let mut text = format!(
            "\n{title}\n\n| fault | answered through the other master after | published until then | why |\n\
             | --- | --- | --- | --- |\n"
        );
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        eprintln!("{text}");
    }
}

impl Row {
    fn line(&self) -> String {
        format!(
            "| {} | {:.2} s | {} | {} |",
            self.fault,
            self.answered.as_secs_f64(),
            self.published,
            self.why.replace('|', "\\|")
        )
    }
}
