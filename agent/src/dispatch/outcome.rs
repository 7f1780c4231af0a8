//! What becomes of a job, as it is told while it happens and in the end.

use proto::message::{Jid, Mark, MinionId, Value};

use crate::exit::Exit;

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The job is about to leave to a master, by index: from here on it may run.
    Publishing {
        /// The master.
        master: usize,
        /// The minions that hang there.
        minions: Vec<MinionId>,
        /// What the publication can be found by.
        mark: Mark,
    },
    /// What was about to leave did not: under this mark that master has published nothing, and never will.
    Withdrawn {
        /// The master.
        master: usize,
        /// What the publication could have been found by.
        mark: Mark,
    },
    /// It was published.
    Published {
        /// The master.
        master: usize,
        /// The minions.
        minions: Vec<MinionId>,
        /// The job.
        jid: Jid,
    },
    /// What a minion is doing, for a person who waits.
    Doing(MinionId, Doing),
    /// Something that a person should know.
    Notice(String),
    /// A minion is done with. Comes once for each.
    Ended(MinionId, Outcome),
}

/// What a minion is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It said that it runs the job.
    Running,
    /// It said that it does not run the job, and there is no return so far.
    Idle,
    /// It answers through no master.
    Silent,
}

/// What a person must know who relies on the exit code.
pub(crate) const NO_RETCODE: &str = "the retcode is not known, success is judged by the return alone";

/// How it ended for one minion.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Here is its return.
    Returned(Return),
    /// Here is its return, but the retcode that was asked for did not come.
    NoRetcode(Return, Unknown),
    /// No master has the minion: nothing was published for it.
    Nowhere {
        /// What the masters' states say.
        exit: Exit,
        /// A line for each master.
        why: Vec<String>,
    },
    /// The master does not let us do this. Nothing was published.
    Refused(String),
    /// Nothing was published, in spite of all tries.
    Unsent {
        /// What the state of the master says.
        exit: Exit,
        /// Why.
        why: String,
    },
    /// The job was published, or may have been, and what became of it is not known.
    Unknown(Unknown),
}

/// A return.
#[derive(Debug, Clone, PartialEq)]
pub struct Return {
    /// The job.
    pub jid: Jid,
    /// The function, where the source of the return told it.
    pub function: Option<String>,
    /// What the function returned.
    pub ret: Value,
    /// The outputter that the minion asks for: `highstate` for most functions that run states.
    pub outputter: Option<String>,
    /// Where it was asked for, or the source told it. Most are integers; a command that ran out of time has `None`.
    pub retcode: Option<Value>,
}

/// What is known of a job without a return, or without its retcode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The job, if it is known.
    pub jid: Option<Jid>,
    /// The master that published it, by index; none for a job of an earlier run.
    pub master: Option<usize>,
    /// What the publication can be known by in a job cache: its `Target` has it.
    pub mark: Option<Mark>,
    /// Why nothing more is known.
    pub why: String,
}
