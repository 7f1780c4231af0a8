//! One line on a terminal: the time gone, and what the minions are doing.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::message::MinionId;

use crate::cli::say;
use crate::dispatch::Doing;

/// The line, and what is said beside it on stderr. Where stderr is no terminal there is no line.
pub(super) struct Progress {
    bar: ProgressBar,
    doing: BTreeMap<MinionId, Doing>,
}

impl Progress {
    pub(super) fn new() -> Self {
        // Does not draw unless stderr is a terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // A template of ours that is wrong leaves indicatif's own.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_message("locating");
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            doing: BTreeMap::new(),
        }
    }

    pub(super) fn doing(&mut self, minion: &MinionId, doing: Doing) {
        self.doing.insert(minion.clone(), doing);
        let word = |doing: &Doing| match doing {
            Doing::Running => "running",
            Doing::Idle => "does not run it, its return is looked for",
            Doing::Silent => "does not answer",
        };
        let all: Vec<String> = self
            .doing
            .iter()
            .map(|(minion, doing)| format!("{minion}: {}", word(doing)))
            .collect();
        self.bar.set_message(all.join(", "));
    }

    /// Says a line on stderr.
    pub(super) fn say(&self, text: &str) {
        self.suspend(|| say(text));
    }

    /// Takes the line away while something else is printed.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
