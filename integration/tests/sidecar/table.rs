//! What is told of a fault: what the sidecar called it, why, and how soon.

use std::time::Duration;

use crate::lines::{Line, Lines};

pub(crate) type Table = Lines<Row>;

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

impl Line for Row {
    const TITLES: &'static [&'static str] = &[
        "fault",
        "verdict",
        "why",
        "`/readyz` 503 after",
        "verdict after",
        "back after",
    ];

    fn cells(&self) -> Vec<String> {
        let time = |time: Option<Duration>| {
            time.map_or_else(String::new, |time| format!("{:.2} s", time.as_secs_f64()))
        };
        vec![
            self.fault.clone(),
            self.verdict.clone(),
            self.why.clone(),
            time(self.not_ready),
            time(self.told),
            time(self.back),
        ]
    }
}
