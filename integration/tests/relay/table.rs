//! What is told of a fault: how soon a job was answered through the other master, and why the relay went there.

use std::time::Duration;

use crate::lines::{Line, Lines};

pub(crate) type Table = Lines<Row>;

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

impl Line for Row {
    const TITLES: &'static [&'static str] = &[
        "fault",
        "answered through the other master after",
        "published until then",
        "why",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.fault.clone(),
            format!("{:.2} s", self.answered.as_secs_f64()),
            self.published.to_string(),
            self.why.clone(),
        ]
    }
}
