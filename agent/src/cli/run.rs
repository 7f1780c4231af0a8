//! `saltfo run`.

mod arg_json;
mod cancel;
mod plain;
mod progress;
mod success;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::message::{Jid, Mark, MinionId, Value};
use tokio::sync::mpsc;

use super::args::{Common, Out, Run};
use super::aside::Aside;
use super::{CliError, document, runtime};
use crate::config::Config;
use crate::dispatch::{self, Event, Job, Order, Outcome, Return, Unknown};
use crate::exit::Exit;
use cancel::Signals;
use progress::Progress;

/// How long to look for the minions. One that is busy may take long; one that is down is noticed this late.
const LOOKUP: Duration = Duration::from_secs(30);
/// How long to wait for returns, if nothing is said: a job that died is noticed long before.
const TIMEOUT: Duration = Duration::from_secs(3600);

pub(super) fn run(common: &Common, request: &Run) -> Result<Exit, CliError> {
    let task = Task::of(common, request)?;
    // Both before anything is sent.
    let out_file = request.out_file.as_deref().map(Aside::prepare).transpose()?;
    let config = Arc::new(common.config()?);
    let runtime = runtime()?;
    let report = runtime.block_on(async {
        let mut report = Report {
            config: &config,
            common,
            request,
            function: task.function(),
            progress: Progress::new(),
            blocks_to_stdout: common.out == Out::Text && out_file.is_none(),
            blocks: String::new(),
            published: Vec::new(),
            publishing: Vec::new(),
            returns: BTreeMap::new(),
            ended: Vec::new(),
            worst: Exit::Done,
        };
        report.follow(&task).await?;
        Ok::<_, CliError>(report)
    })?;
    report.finish(&task.minions, out_file)
}

/// What is to be done.
struct Task {
    minions: Vec<MinionId>,
    what: What,
    timeout: Duration,
}

enum What {
    Dispatch(Job),
    PickUp(Jid),
}

impl Task {
    fn of(common: &Common, request: &Run) -> Result<Self, CliError> {
        let mut words = request.words.iter();
        let mut minions = request.list.clone();
        if minions.is_empty() {
            let word = words.next().ok_or(CliError::Words("no minion is given"))?;
            minions.push(MinionId::parse(word)?);
        }
        let what = match &request.jid {
            Some(jid) => {
                if words.next().is_some() {
                    return Err(CliError::Words(
                        "--jid picks up a job that was dispatched: give the minion alone, without a function",
                    ));
                }
                What::PickUp(jid.clone())
            }
            None => {
                let function = words.next().ok_or(CliError::Words("no function is given"))?;
                let mut arguments: Vec<Value> = words.map(Value::text).collect();
                if let Some(file) = &request.arg_json {
                    arguments.extend(arg_json::read(file)?);
                }
                What::Dispatch(Job {
                    function: function.parse()?,
                    arguments,
                })
            }
        };
        Ok(Self {
            minions,
            what,
            timeout: common.timeout.unwrap_or(TIMEOUT),
        })
    }

    fn function(&self) -> Option<String> {
        match &self.what {
            What::Dispatch(job) => Some(job.function.as_str().to_owned()),
            What::PickUp(_) => None,
        }
    }
}

/// A publication that may have run.
struct Publication {
    master: usize,
    minions: Vec<MinionId>,
    mark: Mark,
}

/// Tells what happens while it happens, and collects the result.
struct Report<'a> {
    config: &'a Arc<Config>,
    common: &'a Common,
    request: &'a Run,
    function: Option<String>,
    progress: Progress,
    /// Blocks go to stdout as they come, instead of all together in the end.
    blocks_to_stdout: bool,
    blocks: String,
    publishing: Vec<Publication>,
    published: Vec<(Jid, Vec<MinionId>)>,
    returns: BTreeMap<MinionId, Return>,
    ended: Vec<MinionId>,
    worst: Exit,
}

impl Report<'_> {
    /// Does the task, and tells of it, until it is done or a signal comes.
    async fn follow(&mut self, task: &Task) -> Result<(), CliError> {
        let config = self.config;
        let mut signals = Signals::install().map_err(CliError::Runtime)?;
        let (reports, mut events) = mpsc::unbounded_channel();
        let work = async {
            match &task.what {
                What::Dispatch(job) => {
                    let order = Order {
                        job: job.clone(),
                        minions: task.minions.clone(),
                        refresh_pillar: self.request.refresh_pillar,
                        tells_success: success::tells,
                        lookup: LOOKUP,
                        timeout: task.timeout,
                    };
                    dispatch::dispatch(config, order, &reports).await;
                }
                What::PickUp(jid) => {
                    dispatch::pick_up(config, jid, &task.minions, success::tells, task.timeout, &reports)
                        .await;
                }
            }
        };
        if let What::PickUp(jid) = &task.what {
            self.published.push((jid.clone(), task.minions.clone()));
        }
        let signalled = {
            tokio::pin!(work);
            loop {
                tokio::select! {
                    biased;
                    event = events.recv() => match event {
                        Some(event) => self.note(event)?,
                        None => break false,
                    },
                    () = &mut work => break false,
                    () = signals.next() => break true,
                }
            }
        };
        // What was reported last.
        while let Ok(event) = events.try_recv() {
            self.note(event)?;
        }
        self.progress.clear();
        if signalled {
            self.cancel(&mut signals).await;
        }
        Ok(())
    }

    fn note(&mut self, event: Event) -> Result<(), CliError> {
        match event {
            Event::Publishing {
                master,
                minions,
                mark,
            } => self.publishing.push(Publication {
                master,
                minions,
                mark,
            }),
            Event::Published { master, minions, jid } => {
                let function = self.function.as_deref().unwrap_or("the job");
                let (master, names) = (self.name(master), names(&minions));
                self.progress
                    .say(&format!("jid {jid} on {master}: {names}: {function}"));
                self.published.push((jid, minions));
            }
            Event::Doing(minion, doing) => self.progress.doing(&minion, doing),
            Event::Notice(text) => self.progress.say(&text),
            Event::Ended(minion, outcome) => {
                let exit = self.end(&minion, outcome)?;
                self.worst = self.worst.max(exit);
                self.ended.push(minion);
            }
        }
        Ok(())
    }

    fn end(&mut self, minion: &MinionId, outcome: Outcome) -> Result<Exit, CliError> {
        match outcome {
            Outcome::Returned(ret) => {
                if is_cut(&ret.ret) {
                    self.progress.say(&format!(
                        "{minion}: parts of the return are missing: it is longer than the minion's max_event_size"
                    ));
                }
                let function = ret.function.as_deref().or(self.function.as_deref());
                let exit = match success::of(function, &ret.ret, ret.retcode.as_ref()) {
                    Ok(()) => Exit::Done,
                    Err(why) => {
                        self.progress.say(&format!("{minion}: failed: {why}"));
                        Exit::Failed
                    }
                };
                if self.common.out == Out::Text {
                    let block = plain::block(minion, &ret.ret);
                    if self.blocks_to_stdout {
                        self.progress.suspend(|| document::write(&block))?;
                    } else {
                        self.blocks.push_str(&block);
                    }
                } else {
                    self.returns.insert(minion.clone(), ret);
                }
                Ok(exit)
            }
            Outcome::Nowhere { exit, why } => {
                self.progress.say(&format!("no master has {minion}"));
                for line in why {
                    self.progress.say(&line);
                }
                Ok(exit)
            }
            Outcome::Refused(why) => {
                self.progress.say(&format!("{minion}: {why}"));
                Ok(Exit::Refused)
            }
            Outcome::Unsent { exit, why } => {
                self.progress.say(&format!("{minion}: {why}"));
                Ok(exit)
            }
            Outcome::Unknown(unknown) => {
                self.tell_unknown(minion, &unknown);
                Ok(Exit::Unknown)
            }
        }
    }

    /// All that a person needs to find out more.
    fn tell_unknown(&self, minion: &MinionId, unknown: &Unknown) {
        let Unknown {
            jid,
            master,
            mark,
            why,
        } = unknown;
        self.progress
            .say(&format!("{minion}: the outcome is not known: {why}"));
        let on = master.map(|master| format!(" on {}", self.name(master)));
        let on = on.unwrap_or_default();
        match (jid, mark) {
            (Some(jid), _) => self.progress.say(&format!(
                "{minion}: jid {jid}{on}; look again with: saltfo run --jid {jid} {minion}"
            )),
            (None, Some(mark)) => self.progress.say(&format!(
                "{minion}: jid unknown{on}; there, `salt-run jobs.list_jobs search_target={mark}` tells whether it \
                 was published"
            )),
            (None, None) => {}
        }
    }

    /// A signal came: tells what goes on, and kills it if that is wished.
    async fn cancel(&mut self, signals: &mut Signals) {
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
        if left.is_empty() || !cancel::is_to_be_killed(self.request.on_cancel, signals).await {
            return;
        }
        for (jid, minions) in left {
            let answers = tokio::select! {
                answers = dispatch::kill(self.config, &jid, &minions) => answers,
                () = signals.next() => return,
            };
            for (minion, answer) in answers {
                let answer = answer.as_deref().unwrap_or("no answer: it may go on");
                self.progress.say(&format!("{minion}: kill: {answer}"));
            }
        }
    }

    /// Writes what was not written yet.
    fn finish(self, minions: &[MinionId], out_file: Option<Aside>) -> Result<Exit, CliError> {
        let text = if self.common.out == Out::Text {
            self.blocks
        } else {
            let in_order = minions
                .iter()
                .filter_map(|minion| self.returns.get(minion).map(|ret| (minion.as_str(), &ret.ret)));
            plain::document(in_order, self.common.out)?
        };
        match out_file {
            Some(file) => file.write(text.as_bytes())?,
            None => document::write(&text)?,
        }
        Ok(self.worst)
    }

    fn name(&self, master: usize) -> &str {
        let master = self.config.masters.get(master);
        master.map_or("a master", |master| master.name.as_str())
    }
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
