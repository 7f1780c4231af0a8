//! A master's job cache, through its runners: the retcodes of a job, returns that came to another master than the
//! one that published, and jobs whose jid is not known.

use proto::message::{Command, Jid, Mark, MinionId, Value};
use tokio::time::Instant;

use crate::master::{Connection, Failure};

/// The runner for one job.
pub(super) const LIST_JOB: &str = "jobs.list_job";
/// The runner that goes through all jobs.
pub(super) const LIST_JOBS: &str = "jobs.list_jobs";

/// What a master has kept of one job.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CachedJob(Value);

/// What one minion returned to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CachedReturn<'a> {
    pub(super) ret: &'a Value,
    pub(super) outputter: Option<&'a str>,
    pub(super) retcode: Option<&'a Value>,
}

/// Looks a job up: none if `peer_run:` does not allow it.
pub(super) async fn list_job(
    connection: &mut Connection,
    jid: &Jid,
    deadline: Instant,
) -> Result<Option<CachedJob>, Failure> {
    let command = Command::MinionRunner {
        function: LIST_JOB,
        arguments: &[Value::text(jid.as_str())],
    };
    let reply = connection.ask(&command, deadline).await?;
    Ok(is_allowed(&reply).then_some(CachedJob(reply)))
}

/// Finds the job that has this mark among its targets: none if `peer_run:` does not allow it, or no such job is there.
pub(super) async fn find(
    connection: &mut Connection,
    mark: &Mark,
    deadline: Instant,
) -> Result<Option<Jid>, Failure> {
    let target = Value::map([
        ("search_target", Value::text(mark.as_str())),
        ("__kwarg__", Value::Bool(true)),
    ]);
    let command = Command::MinionRunner {
        function: LIST_JOBS,
        arguments: &[target],
    };
    let reply = connection.ask(&command, deadline).await?;
    let jobs = reply.as_map().unwrap_or_default();
    let marked = jobs
        .iter()
        .find(|(_, job)| job.get("Target").is_some_and(|target| mark.is_in(target)));
    Ok(marked.and_then(|(jid, _)| Jid::parse(jid.as_text()?).ok()))
}

/// Salt answers what is not permitted with an empty map, and no runner of these returns one.
fn is_allowed(reply: &Value) -> bool {
    reply.as_map().is_some_and(|map| !map.is_empty())
}

impl CachedJob {
    pub(super) fn function(&self) -> Option<&str> {
        // What Salt says of a job whose load it does not have.
        self.0
            .get("Function")?
            .as_text()
            .filter(|name| *name != "unknown-function")
    }

    pub(super) fn of(&self, minion: &MinionId) -> Option<CachedReturn<'_>> {
        let result = self.0.get("Result")?.get(minion.as_str())?;
        Some(CachedReturn {
            ret: result.get("return")?,
            outputter: result.get("out").and_then(Value::as_text),
            retcode: result.get("retcode"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_job_has_returns_with_their_retcodes() {
        let minion = MinionId::parse("minion01").unwrap();
        let result = Value::map([
            ("return", Value::text("x")),
            ("retcode", Value::Int(3)),
            ("success", Value::Bool(false)),
        ]);
        let job = CachedJob(Value::map([
            ("Function", Value::text("cmd.run")),
            ("Result", Value::map([("minion01", result)])),
        ]));
        assert_eq!(job.function(), Some("cmd.run"));
        let found = job.of(&minion).unwrap();
        assert_eq!(
            (found.ret, found.retcode),
            (&Value::text("x"), Some(&Value::Int(3)))
        );
        assert_eq!(job.of(&MinionId::parse("minion02").unwrap()), None);
    }

    #[test]
    fn an_empty_map_is_a_refusal() {
        assert!(!is_allowed(&Value::Map(vec![])));
        assert!(!is_allowed(&Value::text("'jobs.list_job' is not available.")));
        assert!(is_allowed(&Value::map([("jid", Value::text("x"))])));
    }
}
