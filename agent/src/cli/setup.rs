//! `saltfo setup`.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::args::{Common, Setup, Target};
use super::{CliError, document};
use crate::config::DEFAULT_PATH;
use crate::exit::Exit;
use crate::setup::{Change, Host, Kind, Plan};

pub(super) fn run(common: &Common, request: &Setup) -> Result<Exit, CliError> {
    let host = Host {
        saltfo_yaml: common.config.clone().unwrap_or_else(|| DEFAULT_PATH.into()),
        minion: common.minion(),
        permissions: common.permissions(),
    };
    let plan = match request.target {
        Target::Relay => host.to_relay()?,
        Target::Direct => host.to_masters()?,
    };
    let applied = request.apply && plan.by_hand.is_none();
    if applied {
        plan.apply()?;
    }
    let document = Document::new(&plan, request.target, applied);
    document::print(&document, common.out, &document.text(&host))?;
    match &plan.by_hand {
        None => Ok(Exit::Done),
        Some(by_hand) => Err(CliError::ByHand(by_hand.file.clone())),
    }
}

/// What `--out json` prints.
#[derive(Serialize)]
struct Document<'a> {
    target: Target,
    applied: bool,
    changes: Vec<Line<'a>>,
    by_hand: Option<ByHand<'a>>,
    notes: &'a [String],
    next: Vec<&'static str>,
}

/// A change in it.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a Path,
    action: Kind,
    /// What is new in the file.
    content: Option<&'a str>,
    backup: Option<&'a Path>,
}

#[derive(Serialize)]
struct ByHand<'a> {
    file: &'a Path,
    content: &'a str,
}

impl<'a> Document<'a> {
    fn new(plan: &'a Plan, target: Target, applied: bool) -> Self {
        let line = |change: &'a Change| Line {
            file: &change.file,
            action: change.kind,
            content: change.added.as_deref(),
            backup: change.backup.as_deref(),
        };
        // The minion finds the relay listening, and no minion is left at a relay that ends.
        let next = match target {
            _ if plan.changes.is_empty() => Vec::new(),
            Target::Relay => vec!["systemctl restart saltfo", "systemctl restart salt-minion"],
            Target::Direct => vec!["systemctl restart salt-minion"],
        };
        Self {
            target,
            applied,
            changes: plan.changes.iter().map(line).collect(),
            by_hand: plan.by_hand.as_ref().map(|by_hand| ByHand {
                file: &by_hand.file,
                content: &by_hand.lines,
            }),
            notes: &plan.notes,
            next,
        }
    }

    /// What is done to each file, then what is left to do. Writing to a String cannot fail.
    fn text(&self, host: &Host) -> String {
        let mut text = String::new();
        for line in &self.changes {
            let _ = writeln!(text, "{}", self.heading(line));
            for content in line.content.iter().flat_map(|content| content.lines()) {
                let _ = writeln!(text, "{}", format!("    {content}").trim_end());
            }
        }
        if let Some(by_hand) = &self.by_hand {
            let _ = writeln!(
                text,
                "{}: its section `sidecar:` is yours, so these lines are left to you:",
                by_hand.file.display()
            );
            for line in by_hand.content.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        if self.changes.is_empty() && self.by_hand.is_none() {
            let is = match self.target {
                Target::Relay => "the minion's master is the relay",
                Target::Direct => "nothing leads the minion to the relay",
            };
            let _ = writeln!(text, "nothing to do: {is} ({})", host.minion.display());
        }
        for note in self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        if self.by_hand.is_some() {
            return text;
        }
        if !self.applied && !self.changes.is_empty() {
            let _ = writeln!(text, "nothing has been written: --apply does it");
        }
        for (number, step) in self.next.iter().enumerate() {
            let lead = if number == 0 { "then:" } else { "" };
            let _ = writeln!(text, "{lead:6}{step}");
        }
        text
    }

    fn heading(&self, line: &Line<'_>) -> String {
        let file = line.file.display();
        let (is, will_be) = match line.action {
            Kind::Create => ("written", "to be written"),
            Kind::Replace => ("written anew", "to be written anew"),
            Kind::Append => ("lines added at its end", "lines to be added at its end"),
            Kind::Remove => ("taken away", "to be taken away"),
        };
        let done = if self.applied { is } else { will_be };
        match line.backup {
            Some(backup) => format!("{file}: {done}; what was there is kept as {}", backup.display()),
            None => format!("{file}: {done}"),
        }
    }
}
