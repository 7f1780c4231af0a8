//! What a minion is asked: functions that do no harm when they run twice.

use std::time::Duration;

use proto::message::{Jid, Mark, Value};

use super::Signs;
use crate::link::Urgency;

/// A publication that no minion heard is lost: a minion that has just changed masters missed it. A question may be
/// published again; this is the first wait, each further one is twice as long.
const FIRST_REPUBLISH: Duration = Duration::from_secs(2);

/// A function that may run twice, and its arguments. There are no others than these: what a user wants to run is
/// never asked this way.
#[derive(Debug, Clone)]
pub struct Question {
    pub(super) function: &'static str,
    pub(super) arguments: Vec<Value>,
    pub(super) patience: Duration,
    pub(super) signs: Option<Signs>,
    pub(super) urgency: Urgency,
    /// The job that follows.
    pub(super) announces: Option<Mark>,
}

impl Question {
    /// `test.ping`.
    #[must_use]
    pub fn ping() -> Self {
        Self::new("test.ping", Vec::new())
    }

    /// `saltutil.find_job`: a map about the job while it runs, else an empty one.
    #[must_use]
    pub fn find_job(jid: &Jid) -> Self {
        Self::new("saltutil.find_job", vec![Value::text(jid.as_str())])
    }

    /// `saltutil.running`: a list of maps, one for each job that runs.
    #[must_use]
    pub fn running() -> Self {
        Self::new("saltutil.running", Vec::new())
    }

    /// `saltutil.find_cached_job`: what the minion kept of a finished job (`cache_jobs`), or a text if nothing.
    #[must_use]
    pub fn find_cached_job(jid: &Jid) -> Self {
        Self::new("saltutil.find_cached_job", vec![Value::text(jid.as_str())])
    }

    /// `saltutil.kill_job`: a job id is never used again, so what is killed twice was meant both times.
    #[must_use]
    pub fn kill_job(jid: &Jid) -> Self {
        Self::new("saltutil.kill_job", vec![Value::text(jid.as_str())])
    }

    /// `saltutil.refresh_pillar`, which returns when the pillar is there, or after `patience`.
    #[must_use]
    pub fn refresh_pillar(patience: Duration) -> Self {
        let seconds = i64::try_from(patience.as_secs()).unwrap_or(i64::MAX);
        let options = Value::map([
            ("wait", Value::Bool(true)),
            ("timeout", Value::Int(seconds)),
            ("__kwarg__", Value::Bool(true)),
        ]);
        Self {
            // A pillar takes its time, and is not rendered sooner if it is asked for again.
            patience: patience.max(FIRST_REPUBLISH) / 2,
            ..Self::new("saltutil.refresh_pillar", vec![options])
        }
    }

    /// Asks with an eye on these.
    #[must_use]
    pub fn heeding(mut self, signs: Option<Signs>) -> Self {
        self.signs = signs;
        self
    }

    /// Tells the sidecars behind whose relays the minions are that this job follows.
    #[must_use]
    pub fn announcing(mut self, job: Option<&Mark>) -> Self {
        self.announces = job.cloned();
        self
    }

    /// Asks before all others of this host who wait to publish.
    #[must_use]
    pub fn first(mut self) -> Self {
        self.urgency = Urgency::First;
        self
    }

    /// Whether it is this function with these arguments.
    pub(crate) fn is(&self, function: &str, arguments: &[Value]) -> bool {
        self.function == function && self.arguments == arguments
    }

    fn new(function: &'static str, arguments: Vec<Value>) -> Self {
        Self {
            function,
            arguments,
            patience: FIRST_REPUBLISH,
            signs: None,
            urgency: Urgency::default(),
            announces: None,
        }
    }
}
