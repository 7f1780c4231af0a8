//! One line on a terminal: the time gone, and what the minions are doing.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::message::MinionId;

use crate::cli::say;
use crate::dispatch::Doing;

const LOCATING: &str = "locating";

/// The line, and what is said beside it on stderr. Where stderr is no terminal there is no line.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Of those whose job is under way.
    words: BTreeMap<MinionId, &'static str>,
}

impl Progress {
    pub(super) fn new() -> Self {
        // Does not draw unless stderr is a terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // A template of ours that is wrong leaves indicatif's own.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_message(LOCATING);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            words: BTreeMap::new(),
        }
    }

    /// Their job is about to be sent.
    pub(super) fn publishing(&mut self, minions: &[MinionId]) {
        self.put(minions, "publishing");
    }

    /// They have their job, as far as is known.
    pub(super) fn published(&mut self, minions: &[MinionId]) {
        self.put(minions, "waiting");
    }

    pub(super) fn doing(&mut self, minion: &MinionId, doing: Doing) {
        let word = match doing {
            Doing::Running => "running",
            Doing::Idle => "does not run it, its return is looked for",
            Doing::Silent => "does not answer",
        };
        self.put(std::slice::from_ref(minion), word);
    }

    /// Nothing is to be told of it any more, or not yet.
    pub(super) fn forget(&mut self, minion: &MinionId) {
        self.words.remove(minion);
        self.show();
    }

    fn put(&mut self, minions: &[MinionId], word: &'static str) {
        let words = minions.iter().map(|minion| (minion.clone(), word));
        self.words.extend(words);
        self.show();
    }

    fn show(&self) {
        let all: Vec<String> = self
            .words
            .iter()
            .map(|(minion, word)| format!("{minion}: {word}"))
            .collect();
        self.bar.set_message(match all.as_slice() {
            [] => LOCATING.to_owned(),
            all => all.join(", "),
        });
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
