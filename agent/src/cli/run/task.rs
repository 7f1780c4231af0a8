//! What a run is to do, from its words and options.

use std::time::Duration;

use proto::message::{Jid, MinionId};

use super::arg_json;
use crate::arguments::{Line, from_base64, from_words};
use crate::cli::CliError;
use crate::cli::args::{Common, Run};
use crate::dispatch::{Function, Job};

/// How long to wait for returns, if nothing is said: a job that died is noticed long before.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// What is to be done.
pub(super) struct Task {
    /// Each once.
    pub(super) minions: Vec<MinionId>,
    pub(super) what: What,
    pub(super) timeout: Duration,
}

pub(super) enum What {
    Dispatch(Job),
    PickUp(Jid),
}

impl Task {
    pub(super) fn of(common: &Common, request: &Run) -> Result<Self, CliError> {
        let mut words = request.words.iter();
        let mut minions: Vec<MinionId> = Vec::new();
        for minion in &request.list {
            if !minions.contains(minion) {
                minions.push(minion.clone());
            }
        }
        if minions.is_empty() {
            let word = words.next().ok_or(CliError::Words("no minion is given"))?;
            minions.push(MinionId::parse(word)?);
        }
        let words = words.as_slice();
        let what = match (&request.jid, &request.base64, words) {
            (Some(jid), _, []) => What::PickUp(jid.clone()),
            (Some(_), ..) => {
                return Err(CliError::Words(
                    "--jid picks up a job that was dispatched: give the minion alone, without a function",
                ));
            }
            (None, Some(line), []) => {
                let Line { function, words } = from_base64(line)?;
                What::Dispatch(job(&function, &words, request)?)
            }
            (None, Some(_), _) => {
                return Err(CliError::Words(
                    "--base64 holds the function and its arguments: give the minion alone",
                ));
            }
            (None, None, [function, words @ ..]) => What::Dispatch(job(function, words, request)?),
            (None, None, []) => return Err(CliError::Words("no function is given")),
        };
        Ok(Self {
            minions,
            what,
            timeout: common.timeout.unwrap_or(TIMEOUT),
        })
    }

    /// The function, unless another run dispatched it.
    pub(super) fn function(&self) -> Option<&str> {
        match &self.what {
            What::Dispatch(job) => Some(job.function.as_str()),
            What::PickUp(_) => None,
        }
    }
}

fn job(function: &str, words: &[String], request: &Run) -> Result<Job, CliError> {
    let function: Function = function.parse()?;
    let mut arguments = from_words(function.as_str(), words)?;
    if let Some(file) = &request.arg_json {
        arguments.extend(arg_json::read(file)?);
    }
    Ok(Job { function, arguments })
}
