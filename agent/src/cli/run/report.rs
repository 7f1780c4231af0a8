//! Tells on stderr what happens to a job while it happens, and gives what it has to the results.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use proto::message::{Jid, Mark, MinionId, Value};

use super::cancel::{self, Signals};
use super::progress::Progress;
use super::results::{End, Results, failure};
use super::task::{Task, What};
use crate::cli::CliError;
use crate::cli::args::OnCancel;
use crate::config::Config;
use crate::dispatch::{self, Event, NO_RETCODE, Outcome, Return, Unknown};
use crate::exit::Exit;
use crate::success;

/// What is said of a minion of which nothing was reported in the end.
const LOST: &str = "a part of saltfo failed inside and ended early";

/// What happened so far.
pub(super) struct Report<'a> {
    config: &'a Arc<Config>,
    task: &'a Task,
    progress: Progress,
    results: Results,
    start: Instant,
    publishing: Vec<Publication>,
    published: Vec<(Jid, Vec<MinionId>)>,
    /// When the job left to a minion.
    left: BTreeMap<MinionId, Instant>,
    ended: Vec<MinionId>,
    /// A signal has ended the run; what the minions said of their jobs then, if these were to be killed.
    cancelled: Option<BTreeMap<MinionId, String>>,
    worst: Exit,
    /// Something was to be written, and could not.
    is_lost: bool,
}

/// A publication that may have run.
struct Publication {
    master: usize,
    minions: Vec<MinionId>,
    mark: Mark,
}

impl<'a> Report<'a> {
    pub(super) fn new(config: &'a Arc<Config>, task: &'a Task, results: Results) -> Self {
        let published = match &task.what {
            What::PickUp(jid) => vec![(jid.clone(), task.minions.clone())],
            What::Dispatch(_) => Vec::new(),
        };
        let mut progress = Progress::new();
        if !published.is_empty() {
            progress.published(&task.minions);
        }
        Self {
            config,
            task,
            progress,
            results,
            start: Instant::now(),
            publishing: Vec::new(),
            published,
            left: BTreeMap::new(),
            ended: Vec::new(),
            cancelled: None,
            worst: Exit::Done,
            is_lost: false,
        }
    }

    /// Takes in what happened.
    pub(super) fn note(&mut self, event: Event) {
        match event {
            Event::Publishing {
                master,
                minions,
                mark,
            } => {
                self.progress.publishing(&minions);
                let now = Instant::now();
                self.left
                    .extend(minions.iter().map(|minion| (minion.clone(), now)));
                self.publishing.push(Publication {
                    master,
                    minions,
                    mark,
                });
            }
            Event::Withdrawn { master, mark } => {
                let is_it = |one: &Publication| one.master == master && one.mark == mark;
                for publication in self.publishing.extract_if(.., |one| is_it(one)) {
                    for minion in &publication.minions {
                        self.left.remove(minion);
                        self.progress.forget(minion);
                    }
                }
            }
            Event::Published { master, minions, jid } => {
                self.progress.published(&minions);
                let function = self.task.function().unwrap_or("the job");
                let (master, names) = (self.name(master), names(&minions));
                self.progress
                    .say(&format!("jid {jid} on {master}: {names}: {function}"));
                self.published.push((jid, minions));
            }
            // It may have been asked before its return was seen.
            Event::Doing(minion, _) if self.ended.contains(&minion) => {}
            Event::Doing(minion, doing) => self.progress.doing(&minion, doing),
            Event::Notice(text) => self.progress.say(&text),
            Event::Ended(minion, outcome) => {
                let exit = self.end(&minion, outcome);
                self.worst = self.worst.max(exit);
                // The last one ends the line.
                if self.ended.len() + 1 < self.task.minions.len() {
                    self.progress.forget(&minion);
                }
                self.ended.push(minion);
            }
        }
    }

    fn end(&mut self, minion: &MinionId, outcome: Outcome) -> Exit {
        let mut function = self.task.function().unwrap_or("the job").to_owned();
        let (exit, end) = match outcome {
            Outcome::Returned(ret) => {
                function = self.function_of(&ret);
                self.returned(minion, &function, ret)
            }
            Outcome::NoRetcode(ret, unknown) => {
                function = self.function_of(&ret);
                match success::judge(&function, &ret.ret, None) {
                    // Not a success, as far as anybody knows.
                    success::Outcome::RetcodeNeeded { suspicion: None } => {
                        self.say_if_cut(minion, &ret);
                        let text = self.tell_unknown(minion, &unknown);
                        (Exit::Unknown, End::NoRetcode(ret, text))
                    }
                    _ => {
                        self.progress.say(&format!("{minion}: {NO_RETCODE}"));
                        self.returned(minion, &function, ret)
                    }
                }
            }
            Outcome::Nowhere { exit, why } => {
                self.progress.say(&format!("no master has {minion}"));
                for line in &why {
                    self.progress.say(line);
                }
                let why = format!("no master has {minion}\n{}", why.join("\n"));
                (exit, End::NotDispatched(why))
            }
            Outcome::Refused(why) => {
                self.progress.say(&format!("{minion}: {why}"));
                (Exit::Refused, End::NotDispatched(why))
            }
            Outcome::Unsent { exit, why } => {
                self.progress.say(&format!("{minion}: {why}"));
                (exit, End::NotDispatched(why))
            }
            Outcome::Unknown(unknown) => {
                let text = self.tell_unknown(minion, &unknown);
                (Exit::Unknown, End::Unknown(text))
            }
        };
        let began = self.began(minion);
        let progress = &self.progress;
        let results = &mut self.results;
        let taken = progress.suspend(|| results.take(minion, &function, end, began));
        self.note_written(minion, taken);
        exit
    }

    fn returned(&self, minion: &MinionId, function: &str, ret: Return) -> (Exit, End) {
        self.say_if_cut(minion, &ret);
        let outcome = success::judge(function, &ret.ret, ret.retcode.as_ref());
        let exit = match failure(&outcome) {
            None => Exit::Done,
            Some(why) => {
                self.progress.say(&format!("{minion}: failed: {why}"));
                Exit::Failed
            }
        };
        (exit, End::Returned(ret, outcome))
    }

    fn say_if_cut(&self, minion: &MinionId, ret: &Return) {
        if is_cut(&ret.ret) {
            self.progress.say(&format!(
                "{minion}: parts of the return are missing: it is longer than the minion's max_event_size"
            ));
        }
    }

    /// The function that returned this. The minion of an earlier run's job tells it by its outputter at least
    /// whether it ran states, which are judged alike whichever function ran them.
    fn function_of(&self, ret: &Return) -> String {
        let known = ret.function.as_deref().or(self.task.function());
        let presumed = match ret.outputter.as_deref() {
            Some("highstate") => "state.apply",
            _ => "the job",
        };
        known.unwrap_or(presumed).to_owned()
    }

    fn began(&self, minion: &MinionId) -> Instant {
        self.left.get(minion).copied().unwrap_or(self.start)
    }

    /// A result that did not get to its reader is as good as none.
    fn note_written(&mut self, minion: &MinionId, written: Result<(), CliError>) {
        if let Err(error) = written {
            self.progress.say(&format!("{minion}: {error}"));
            self.is_lost |= is_loss(&error);
        }
    }

    /// All that a person needs to find out more.
    fn tell_unknown(&self, minion: &MinionId, unknown: &Unknown) -> String {
        let Unknown {
            jid,
            master,
            mark,
            why,
        } = unknown;
        let on = master.map(|master| format!(" on {}", self.name(master)));
        let on = on.unwrap_or_default();
        let mut lines = vec![format!("the outcome is not known: {why}")];
        match (jid, mark) {
            (Some(jid), _) => lines.push(format!(
                "jid {jid}{on}; look again with: saltfo run --jid {jid} {minion}"
            )),
            (None, Some(mark)) => lines.push(format!(
                "jid unknown{on}; there, `salt-run jobs.list_jobs search_target={minion}` has it, with {mark} in its Target, if it was \
                 published"
            )),
            (None, None) => {}
        }
        for line in &lines {
            self.progress.say(&format!("{minion}: {line}"));
        }
        lines.join("\n")
    }

    /// A signal came: tells what goes on, and kills it if that is wished.
    pub(super) async fn cancel(&mut self, wish: Option<OnCancel>, signals: &mut Signals) {
        self.progress.clear();
        self.cancelled = Some(BTreeMap::new());
        if self.publishing.is_empty() && self.published.is_empty() {
            self.progress.say("cancelled: nothing was dispatched");
            self.worst = self.worst.max(Exit::Usage);
            return;
        }
        self.worst = Exit::Unknown;
        let is_waiting = |minion: &MinionId| !self.ended.contains(minion);
        let mut left: Vec<(Jid, Vec<MinionId>)> = Vec::new();
        for (jid, minions) in &self.published {
            let waiting: Vec<MinionId> = minions
                .iter()
                .filter(|minion| is_waiting(minion))
                .cloned()
                .collect();
            if !waiting.is_empty() {
                let names = names(&waiting);
                self.progress
                    .say(&format!("cancelled: jid {jid} of {names} goes on"));
                for minion in &waiting {
                    self.progress
                        .say(&format!("look again with: saltfo run --jid {jid} {minion}"));
                }
                left.push((jid.clone(), waiting));
            }
        }
        for Publication {
            master,
            minions,
            mark,
        } in &self.publishing
        {
            let has_jid = |minion: &MinionId| self.published.iter().any(|(_, of)| of.contains(minion));
            for minion in minions
                .iter()
                .filter(|minion| is_waiting(minion) && !has_jid(minion))
            {
                let unknown = Unknown {
                    jid: None,
                    master: Some(*master),
                    mark: Some(mark.clone()),
                    why: "cancelled while it was published".to_owned(),
                };
                self.tell_unknown(minion, &unknown);
            }
        }
        if left.is_empty() || !cancel::is_to_be_killed(wish, signals).await {
            return;
        }
        for (jid, minions) in left {
            let answers = tokio::select! {
                answers = dispatch::kill(self.config, &jid, &minions) => answers,
                () = signals.next() => return,
            };
            for (minion, answer) in answers {
                let answer = answer.as_deref().unwrap_or("no answer: it may go on");
                let answer = success::reason(answer);
                self.progress.say(&format!("{minion}: kill: {answer}"));
                self.cancelled.get_or_insert_default().insert(minion, answer);
            }
        }
    }

    /// Writes what was not written yet.
    pub(super) fn finish(mut self) -> Exit {
        self.progress.clear();
        if self.cancelled.is_none() {
            self.tell_lost();
        }
        let (task, start) = (self.task, self.start);
        let (left, cancelled) = (&self.left, &self.cancelled);
        let (publishing, published) = (&self.publishing, &self.published);
        let missing = |minion: &MinionId| {
            let jid = published.iter().find(|(_, minions)| minions.contains(minion));
            let is_publishing = publishing.iter().any(|one| one.minions.contains(minion));
            let killed = cancelled.as_ref().and_then(|killed| killed.get(minion));
            let why = if cancelled.is_some() { "cancelled" } else { LOST };
            let end = match (jid, killed) {
                (Some((jid, _)), Some(answer)) => End::Unknown(format!("{why}: jid {jid}: kill: {answer}")),
                (Some((jid, _)), None) => End::Unknown(format!("{why}: jid {jid} goes on")),
                _ if is_publishing => End::Unknown(format!("{why} while it was published")),
                _ => End::NotDispatched(format!("{why} before it was dispatched")),
            };
            (end, left.get(minion).copied().unwrap_or(start))
        };
        let function = task.function().unwrap_or("the job");
        let written = self.results.finish(&task.minions, function, missing);
        if let Err(error) = written {
            self.progress.say(&error.to_string());
            self.is_lost |= is_loss(&error);
        }
        match self.is_lost {
            false => self.worst,
            // Where nothing was dispatched, trying again does no harm.
            true if self.published.is_empty() && self.publishing.is_empty() => self.worst.max(Exit::Usage),
            true => self.worst.max(Exit::Unknown),
        }
    }

    /// A part of the run that ended without a word must not look like success.
    fn tell_lost(&mut self) {
        let minions = self.task.minions.iter();
        let lost: Vec<&MinionId> = minions.filter(|minion| !self.ended.contains(minion)).collect();
        for minion in lost {
            let jid = self.published.iter().rfind(|(_, of)| of.contains(minion));
            let publication = self.publishing.iter().rfind(|one| one.minions.contains(minion));
            if jid.is_none() && publication.is_none() {
                self.progress
                    .say(&format!("{minion}: {LOST} before anything was dispatched"));
                self.worst = self.worst.max(Exit::Usage);
                continue;
            }
            let unknown = Unknown {
                jid: jid.map(|(jid, _)| jid.clone()),
                master: publication.map(|one| one.master),
                mark: publication.map(|one| one.mark.clone()),
                why: LOST.to_owned(),
            };
            self.tell_unknown(minion, &unknown);
            self.worst = self.worst.max(Exit::Unknown);
        }
    }

    fn name(&self, master: usize) -> &str {
        let master = self.config.masters.get(master);
        master.map_or("a master", |master| master.name.as_str())
    }
}

/// A return that is too long to be printed has come nevertheless.
fn is_loss(error: &CliError) -> bool {
    !matches!(error, CliError::TooLong(_))
}

fn names(minions: &[MinionId]) -> String {
    let names: Vec<&str> = minions.iter().map(MinionId::as_str).collect();
    names.join(", ")
}

/// Whether Salt's minion has replaced what is too long for its event bus (`salt/utils/dicttrim.py`).
fn is_cut(ret: &Value) -> bool {
    match ret {
        Value::Raw(text) => text == b"VALUE_TRIMMED",
        Value::Array(items) => items.iter().any(is_cut),
        Value::Map(entries) => entries.iter().any(|(_, value)| is_cut(value)),
        _ => false,
    }
}
