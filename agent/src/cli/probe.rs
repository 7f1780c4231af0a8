//! `saltfo probe`.

use std::fmt::Write as _;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};

use super::args::Common;
use super::document::{self, Probe, ProbeLine};
use super::{CliError, block_on};
use crate::exit::Exit;
use crate::probe::probe;
use crate::state::State;

pub(super) fn run(common: &Common) -> Result<Exit, CliError> {
    let config = Arc::new(common.config()?);
    let probed = block_on(probe(&config, common.patience()))?;
    let document = Probe::new(&config, &probed);
    document::print(&document, common.out, &table(&document))?;
    Ok(Exit::of_probe(&probed))
}

/// A line for each master, and one more for each reason.
fn table(document: &Probe<'_>) -> String {
    let width = |of: fn(&ProbeLine<'_>) -> usize, least: usize| {
        document
            .masters
            .iter()
            .map(of)
            .max()
            .unwrap_or_default()
            .max(least)
    };
    let names = width(|line| line.master.name.len(), "MASTER".len());
    let states = width(|line| line.master.state.name().len(), "STATE".len());
    let mut text = format!(
        "{:names$}  {:states$}  {:8}  {:>9}  {:>9}  {:>9}\n",
        "MASTER", "STATE", "VERIFIED", "SIGN-IN", "REQUEST", "PUBLISH"
    );
    for line in &document.masters {
        let style = colour(line.master.state);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:names$}  {style}{:states$}{style:#}  {:8}  {:>9}  {:>9}  {:>9}",
            line.master.name,
            line.master.state.name(),
            if line.master.verified { "yes" } else { "no" },
            time(line.master.latency_ms),
            time(line.request_ms),
            time(line.publish.ping_ms),
        );
        for why in [line.master.error.as_deref(), line.publish.error]
            .into_iter()
            .flatten()
        {
            let _ = writeln!(text, "  {why}");
        }
    }
    text
}

fn time(milliseconds: Option<f64>) -> String {
    milliseconds.map_or_else(|| "-".to_owned(), |milliseconds| format!("{milliseconds:.1} ms"))
}

fn colour(state: State) -> Style {
    match state {
        State::Active | State::Reachable => AnsiColor::Green.on_default(),
        State::Impostor => AnsiColor::Red.on_default().bold(),
        _ => AnsiColor::Yellow.on_default(),
    }
}
