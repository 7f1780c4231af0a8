//! Tells a demo's story: as text while it happens, or as one JSON document at its end.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Effects, Style};
use serde::Serialize;

use crate::Out;

const TIME: Style = AnsiColor::BrightBlack.on_default();
const COMMAND: Style = Style::new().effects(Effects::BOLD);
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Collects the steps, and prints them as they come if people read along.
pub(crate) struct Narrator {
    out: Out,
    start: Instant,
    steps: Mutex<Vec<Step>>,
}

/// What happened, and when.
#[derive(Debug, Serialize)]
struct Step {
    /// Seconds since the start when it was over.
    at: f64,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
}

/// A command that was run, with what it printed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    /// As one would type it on that host.
    pub(crate) command: String,
    pub(crate) host: String,
    pub(crate) output: String,
    pub(crate) errors: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) seconds: f64,
    /// Whether it printed what it should.
    pub(crate) right: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    salt: &'a str,
    ok: bool,
    seconds: f64,
    steps: &'a [Step],
}

impl Narrator {
    pub(crate) fn new(out: Out) -> Self {
        Self {
            out,
            start: Instant::now(),
            steps: Mutex::new(Vec::new()),
        }
    }

    /// A step in words.
    pub(crate) fn say(&self, text: &str) {
        let at = self.push(text, None);
        if self.out == Out::Text {
            anstream::println!("{TIME}{at:6.1} s{TIME:#}  {text}");
        }
    }

    /// A command, what it printed, and whether that was right.
    pub(crate) fn ran(&self, run: &Run) {
        let verdict = if run.right {
            "the right answer"
        } else {
            "a wrong answer"
        };
        let at = self.push(verdict, Some(run.clone()));
        if self.out == Out::Json {
            return;
        }
        anstream::println!(
            "{TIME}{at:6.1} s{TIME:#}  {TIME}{host} ${TIME:#} {COMMAND}{command}{COMMAND:#}",
            host = run.host,
            command = run.command
        );
        for line in run.output.lines().chain(run.errors.lines()) {
            anstream::println!("          {line}");
        }
        let style = if run.right { GOOD } else { BAD };
        let code = run
            .exit_code
            .map_or_else(|| "killed".to_owned(), |code| format!("exit code {code}"));
        anstream::println!(
            "          {style}{verdict}{style:#} {TIME}({:.0} ms, {code}){TIME:#}",
            run.seconds * 1000.0
        );
    }

    /// The end of the story.
    ///
    /// # Errors
    /// None that a string of ours could cause.
    pub(crate) fn end(&self, salt: &str, ok: bool) -> anyhow::Result<()> {
        let seconds = rounded(self.start.elapsed());
        match self.out {
            Out::Json => {
                let steps = self
                    .steps
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                let document = Document {
                    salt,
                    ok,
                    seconds,
                    steps: &steps,
                };
                anstream::println!("{}", serde_json::to_string_pretty(&document)?);
            }
            Out::Text if ok => anstream::println!("{GOOD}saltfo was right both times.{GOOD:#}"),
            Out::Text => anstream::println!("{BAD}saltfo was wrong.{BAD:#}"),
        }
        Ok(())
    }

    fn push(&self, text: &str, run: Option<Run>) -> f64 {
        let at = rounded(self.start.elapsed());
        let step = Step {
            at,
            text: text.to_owned(),
            run,
        };
        self.steps
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(step);
        at
    }
}

/// Seconds to the millisecond.
pub(crate) fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
