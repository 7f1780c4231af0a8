//! What is made of the ends of a job: blocks of text as they come, one document, a JUnit report.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proto::message::{MinionId, Value};

use crate::cli::args::{Common, Out, Run};
use crate::cli::aside::Aside;
use crate::cli::{CliError, document};
use crate::dispatch::Return;
use crate::output::gitlab::Section;
use crate::output::junit::{self, Suite};
use crate::output::{self, Look, Returned, TooLong};
use crate::success::Outcome;

/// How a job ended on a minion.
pub(super) enum End {
    Returned(Return, Outcome),
    /// The return is printed, but whether the job succeeded is not known.
    NoRetcode(Return, String),
    Unknown(String),
    NotDispatched(String),
}

/// What is said of a return in the log.
#[derive(Clone, Copy, PartialEq)]
enum Verdict<'a> {
    Succeeded,
    Failed(&'a str),
    Unknown,
}

impl Verdict<'_> {
    fn is_failure(self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// Prints, collects and writes.
pub(super) struct Results {
    out: Out,
    look: Look,
    /// Blocks are folded in the log of a GitLab job.
    folded: bool,
    out_file: Option<Aside>,
    junit: Option<Aside>,
    /// The blocks, if they do not go to stdout as they come.
    blocks: String,
    /// What is written in the end.
    ended: Vec<Entry>,
}

struct Entry {
    minion: MinionId,
    function: String,
    end: End,
    time: Duration,
}

impl Results {
    /// Makes sure that the files can be written.
    pub(super) fn prepare(common: &Common, request: &Run) -> Result<Self, CliError> {
        let out_file = request.out_file.as_deref().map(Aside::prepare).transpose()?;
        let junit = request.junit.as_deref().map(Aside::prepare).transpose()?;
        let color = match &out_file {
            None => anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never,
            // A file is no terminal.
            Some(_) => matches!(
                anstream::ColorChoice::global(),
                anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi
            ),
        };
        Ok(Self {
            out: common.out,
            look: Look {
                color,
                state_output: request.state_output,
                state_verbose: request.state_verbose,
            },
            folded: out_file.is_none() && std::env::var_os("GITLAB_CI").is_some_and(|is| !is.is_empty()),
            out_file,
            junit,
            blocks: String::new(),
            ended: Vec::new(),
        })
    }

    /// Takes the end of the job on a minion, which began at `began`: prints its block, if that is how it is printed.
    pub(super) fn take(
        &mut self,
        minion: &MinionId,
        function: &str,
        end: End,
        began: Instant,
    ) -> Result<(), CliError> {
        let time = began.elapsed();
        let printed = match &end {
            End::Returned(ret, outcome) if self.out == Out::Text => {
                let verdict = failure(outcome).map_or(Verdict::Succeeded, Verdict::Failed);
                self.print(minion, function, ret, verdict, time)
            }
            End::NoRetcode(ret, _) if self.out == Out::Text => {
                self.print(minion, function, ret, Verdict::Unknown, time)
            }
            _ => Ok(()),
        };
        if self.junit.is_some() || self.out != Out::Text {
            self.ended.push(Entry {
                minion: minion.clone(),
                function: function.to_owned(),
                end,
                time,
            });
        }
        printed
    }

    /// Whether this minion's end is here.
    fn has(&self, minion: &MinionId) -> bool {
        self.ended.iter().any(|entry| entry.minion == *minion)
    }

    fn print(
        &mut self,
        minion: &MinionId,
        function: &str,
        ret: &Return,
        verdict: Verdict<'_>,
        time: Duration,
    ) -> Result<(), CliError> {
        let block = output::of_minion(
            &Returned {
                minion: minion.as_str(),
                function,
                value: &ret.ret,
                outputter: ret.outputter.as_deref(),
                // What failed by its return alone has a retcode other than 0.
                retcode: ret
                    .retcode
                    .as_ref()
                    .map_or_else(|| verdict.is_failure().then_some(1), |code| Some(number(code))),
            },
            &self.look,
        )?;
        if self.out_file.is_some() {
            self.blocks.push_str(&block);
            return Ok(());
        }
        // Elsewhere it is what Salt prints, to the byte.
        let block = match self.folded || std::io::stdout().is_terminal() {
            true => output::harmless(&block),
            false => block,
        };
        if !self.folded {
            return document::write_as_it_is(&block);
        }
        let header = match verdict {
            Verdict::Succeeded => format!("{minion}: {function}: succeeded"),
            Verdict::Failed(why) => format!("{minion}: {function}: failed: {why}"),
            Verdict::Unknown => format!("{minion}: {function}: returned, its retcode is not known"),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let times = (now.saturating_sub(time).as_secs(), now.as_secs());
        let section = Section::new(minion.as_str());
        let collapsed = verdict == Verdict::Succeeded;
        document::write_as_it_is(&section.around(&block, &header, times, collapsed))
    }

    /// Writes what was not written yet. `missing` says what became of a minion whose end is not known.
    pub(super) fn finish(
        mut self,
        minions: &[MinionId],
        function: &str,
        missing: impl Fn(&MinionId) -> (End, Instant),
    ) -> Result<(), CliError> {
        let report = match self.junit.take() {
            Some(file) => self.write_junit(file, minions, function, missing),
            None => Ok(()),
        };
        // One may be written though the other cannot.
        let document = self.write_document(minions);
        report.and(document)
    }

    fn write_document(self, minions: &[MinionId]) -> Result<(), CliError> {
        let text = if self.out == Out::Text {
            self.blocks
        } else {
            let returns = in_order(&self.ended, minions).filter_map(|entry| match &entry.end {
                End::Returned(ret, _) | End::NoRetcode(ret, _) => Some((entry.minion.as_str(), &ret.ret)),
                End::Unknown(_) | End::NotDispatched(_) => None,
            });
            let returns: Vec<(&str, &Value)> = returns.collect();
            if self.out == Out::Json {
                output::json(&returns)?
            } else {
                output::yaml(&returns)?
            }
        };
        match self.out_file {
            Some(file) => file.write(text.as_bytes()),
            None => document::write_as_it_is(&text),
        }
    }

    fn write_junit(
        &mut self,
        file: Aside,
        minions: &[MinionId],
        function: &str,
        missing: impl Fn(&MinionId) -> (End, Instant),
    ) -> Result<(), CliError> {
        for minion in minions {
            if !self.has(minion) {
                let (end, began) = missing(minion);
                self.ended.push(Entry {
                    minion: minion.clone(),
                    function: function.to_owned(),
                    end,
                    time: began.elapsed(),
                });
            }
        }
        let suites = in_order(&self.ended, minions).map(|entry| Suite {
            minion: entry.minion.as_str(),
            function: &entry.function,
            end: match &entry.end {
                End::Returned(ret, outcome) => junit::End::Returned(&ret.ret, outcome),
                End::NoRetcode(_, why) | End::Unknown(why) => junit::End::Unknown(why),
                End::NotDispatched(why) => junit::End::NotDispatched(why),
            },
            time: entry.time,
        });
        let suites: Vec<Suite<'_>> = suites.collect();
        let text = |value: &Value| output::of_value(value).unwrap_or_else(|TooLong| TooLong.to_string());
        let mut report = Vec::new();
        junit::write(&mut report, &suites, &text).map_err(|error| CliError::Print(error.to_string()))?;
        file.write(&report)
    }
}

/// Why the job failed, as far as can be told.
pub(super) fn failure(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Succeeded => None,
        Outcome::Failed(why) => Some(why),
        Outcome::RetcodeNeeded { suspicion } => suspicion.as_deref(),
    }
}

/// In the order in which the minions were named.
fn in_order<'a>(ended: &'a [Entry], minions: &[MinionId]) -> impl Iterator<Item = &'a Entry> {
    minions
        .iter()
        .filter_map(|minion| ended.iter().find(|entry| entry.minion == *minion))
}

/// A retcode as the nested outputter compares it with 0: in Python, `None` differs and `False` does not.
fn number(retcode: &Value) -> i64 {
    match retcode {
        Value::Int(number) => *number,
        Value::Bool(false) => 0,
        _ => 1,
    }
}
