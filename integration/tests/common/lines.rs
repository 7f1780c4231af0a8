//! What was measured: a line for each fault, printed as Markdown.

/// What is told of one fault.
pub(crate) trait Line {
    /// Of the columns.
    const TITLES: &'static [&'static str];

    /// As many as titles.
    fn cells(&self) -> Vec<String>;
}

/// The lines so far.
pub(crate) struct Lines<L>(Vec<L>);

impl<L> Default for Lines<L> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<L: Line> Lines<L> {
    /// Keeps it, and prints it at once: a later fault may end the test.
    pub(crate) fn add(&mut self, line: L) {
        eprintln!("{}", row(&line.cells()));
        self.0.push(line);
    }

    pub(crate) fn print(&self, title: &str) {
        eprintln!("\n{title}\n\n{}", row(L::TITLES));
        eprintln!("{}", row(&vec!["---"; L::TITLES.len()]));
        for line in &self.0 {
            eprintln!("{}", row(&line.cells()));
        }
    }
}

fn row(cells: &[impl AsRef<str>]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| cell.as_ref().replace('|', "\\|"))
        .collect();
    format!("| {} |", cells.join(" | "))
}
