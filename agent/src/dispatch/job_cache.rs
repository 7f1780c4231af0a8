//! A master's job cache, through its runners: the retcodes of a job, returns that came to another master than the
//! one that published, and jobs whose jid is not known.

use proto::message::{Command, Jid, Mark, MinionId, Value};
use tokio::time::Instant;

use crate::master::{Connection, Failure};
use crate::permission;

/// The runner for one job.
const LIST_JOB: &str = "jobs.list_job";
/// The runner that goes through all jobs.
const LIST_JOBS: &str = "jobs.list_jobs";

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

/// Why a master says nothing of a job, to be put behind its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Untold {
    /// `peer_run:` does not allow it.
    #[error("{0}")]
    Refused(String),
    /// It tried.
    #[error("{0}")]
    Failed(String),
}

/// Looks a job up.
pub(super) async fn list_job(
    connection: &mut Connection,
    jid: &Jid,
    deadline: Instant,
) -> Result<Result<CachedJob, Untold>, Failure> {
    let command = Command::MinionRunner {
        function: LIST_JOB,
        arguments: &[Value::text(jid.as_str())],
    };
    let reply = connection.ask(&command, deadline).await?;
    Ok(judge(reply, connection.id()))
}

/// Salt answers what is not permitted with an empty map, and no runner of these returns one; what a runner raised is a text
/// (`salt/client/mixins.py`). That of 3008 raises when another master has published the job.
fn judge(reply: Value, id: &MinionId) -> Result<CachedJob, Untold> {
    if let Some(text) = reply.as_text() {
        return Err(failed(text));
    }
    match reply.as_map() {
        Some(map) if !map.is_empty() => Ok(CachedJob(reply)),
        _ => Err(Untold::Refused(permission::to_run(id, LIST_JOB))),
    }
}

fn failed(text: &str) -> Untold {
    let line = text.lines().next().unwrap_or_default();
    Untold::Failed(format!("cannot look the job up: {}", shortened(line)))
}

/// It may quote a path, a return, anything.
fn shortened(line: &str) -> String {
    let letters = line.chars().filter(|letter| !letter.is_control());
    letters.take(200).collect()
}

/// Finds the job of this minion that bears the mark, if it is there.
///
/// The runner goes through all jobs and compares the keys of `tgt`, which are the minions: it gives all jobs of this one.
/// With an outputter it puts them into a map of its own, so that no job is told from no permission.
pub(super) async fn find(
    connection: &mut Connection,
    minion: &MinionId,
    mark: &Mark,
    deadline: Instant,
) -> Result<Result<Option<Jid>, Untold>, Failure> {
    let target = Value::map([
        ("search_target", Value::text(minion.as_str())),
        ("outputter", Value::text("json")),
        ("__kwarg__", Value::Bool(true)),
    ]);
    let command = Command::MinionRunner {
        function: LIST_JOBS,
        arguments: &[target],
    };
    let reply = connection.ask(&command, deadline).await?;
    Ok(judge_jobs(&reply, connection.id(), mark))
}

fn judge_jobs(reply: &Value, id: &MinionId, mark: &Mark) -> Result<Option<Jid>, Untold> {
    if let Some(text) = reply.as_text() {
        return Err(failed(text));
    }
    let Some(jobs) = reply.get("data").and_then(Value::as_map) else {
        return Err(Untold::Refused(permission::to_run(id, LIST_JOBS)));
    };
    let marked = jobs
        .iter()
        .find(|(_, job)| job.get("Target").is_some_and(|target| mark.is_in(target)));
    Ok(marked.and_then(|(jid, _)| Jid::parse(jid.as_text()?).ok()))
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
    fn no_job_is_told_from_no_permission_to_look_for_it() {
        let id = MinionId::parse("pipeline.xyz").unwrap();
        let mark = Mark::generate(&mut rand::rng());
        // As 3006.25 and 3008.1 answer.
        let answer = |jobs| Value::map([("outputter", Value::text("json")), ("data", jobs)]);
        let nothing = answer(Value::Map(vec![]));
        assert_eq!(judge_jobs(&nothing, &id, &mark), Ok(None));
        let Err(Untold::Refused(refused)) = judge_jobs(&Value::Map(vec![]), &id, &mark) else {
            panic!("an empty map is no refusal");
        };
        assert!(
            refused.contains(r"`peer_run: {'^pipeline\.xyz$': ['jobs\.list_jobs$']}`"),
            "{refused}"
        );
        let jid = "20261120184009763862";
        let target = Value::map([("minion01", Value::text(mark.to_string()))]);
        let job = Value::map([("Function", Value::text("test.arg")), ("Target", target)]);
        let found = judge_jobs(&answer(Value::map([(jid, job)])), &id, &mark);
        assert_eq!(found, Ok(Jid::parse(jid).ok()));
    }

    #[test]
    fn an_empty_map_is_a_refusal_and_a_text_is_a_failure() {
        let id = MinionId::parse("pipeline.xyz").unwrap();
        let Err(Untold::Refused(refused)) = judge(Value::Map(vec![]), &id) else {
            panic!("an empty map is no refusal");
        };
        assert!(refused.contains("peer_run:"), "{refused}");
        let raised = "Exception occurred in runner jobs.list_job: Traceback (most recent call last):\n  File";
        let Err(Untold::Failed(failed)) = judge(Value::text(raised), &id) else {
            panic!("a text is no failure");
        };
        assert!(
            failed.starts_with("cannot look the job up: Exception occurred in runner"),
            "{failed}"
        );
        assert!(
            !failed.contains("peer_run:") && !failed.contains("File"),
            "{failed}"
        );
        assert!(judge(Value::map([("jid", Value::text("x"))]), &id).is_ok());
    }
}
