//! One publish at one master: it leaves once, or not at all.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use proto::message::{Command, Jid, Mark, MinionId, Published, Value};
use proto::publication::Signatures;
use proto::session::ReplyError;
use tokio::time::{Instant, timeout_at};

use super::job::Job;
use super::witness::Witness;
use crate::config::{Config, MasterConfig};
use crate::master::{self, Connection, Failure, Unanswered};
use crate::permission;
use crate::state::{State, Verdict};

/// A master whose workers wait for each other answers after 90 s at the latest (3008: three tries of 30 s).
const LONGEST_REPLY: Duration = Duration::from_secs(100);
/// A connection that waited for its turn longer than this is tried with a harmless request first: what is lost on a
/// connection that broke meanwhile, or under a key that changed, could not be told from a job that runs.
const STALE: Duration = Duration::from_secs(1);
/// How long that may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Once the publication was seen, the reply can only be lost or late, and is needed no more.
const AFTER_SIGHT: Duration = Duration::from_secs(2);
/// A reply that takes longer comes from a worker that waited for itself. Its master may repeat what it asks of itself
/// (`request_channel_tries`, 3 by default), and serve all of it in the end.
const STALL: Duration = Duration::from_secs(5);
/// How long further publications of the same request are looked out for then.
const REPEATS: Duration = Duration::from_secs(1);
/// How long the publication is looked out for when the reply is lost.
const LOOK_OUT: Duration = Duration::from_secs(5);

/// What became of it.
pub(super) enum Sent {
    /// The master published it.
    Published {
        jid: Jid,
        /// Further jids under which the master has published the same request.
        again: Vec<Jid>,
        connection: Box<Connection>,
    },
    /// It may have been published, and nobody says under which jid.
    Lost { why: String },
    /// Nothing was published, and nothing will be.
    Unsent(Verdict),
    /// The master does not let us. Nothing was published.
    Refused(String),
}

/// A publish to be.
pub(super) struct Publish<'a> {
    pub(super) config: &'a Arc<Config>,
    pub(super) master: &'a MasterConfig,
    pub(super) job: &'a Job,
    pub(super) minions: &'a [MinionId],
    pub(super) mark: &'a Mark,
}

impl Publish<'_> {
    /// Signs in unless there is a connection that has answered just now, which may take until `signed_in`, waits for
    /// the turn unless it is ours, and publishes; `about_to` is called before anything leaves.
    pub(super) async fn send(
        self,
        connection: Option<Connection>,
        signed_in: Instant,
        deadline: Instant,
        about_to: impl FnOnce(),
    ) -> Sent {
        let Self {
            config,
            master,
            job,
            minions,
            mark,
        } = self;
        let connection = async {
            if let Some(connection) = connection {
                return Ok(connection);
            }
            let dialled = master::dial(master, signed_in).await?;
            Connection::sign_in(config, master, dialled, signed_in).await
        };
        let (connection, mut witness) = tokio::join!(connection, Witness::call(master, signed_in));
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(failure) => return Sent::Unsent(failure.verdict(false)),
        };
        let turn = async {
            if connection.has_turn() {
                return Ok(());
            }
            let began = Instant::now();
            connection.take_turn(deadline).await?;
            if began.elapsed() > STALE {
                let until = deadline.min(Instant::now() + ANSWER);
                connection.ask(&Command::FileEnvs, until).await?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = turn.await {
            return Sent::Unsent(failure.verdict(true));
        }
        let mut publications = connection.publications(Signatures::Required);
        let command = Command::MinionPub {
            function: job.function.as_str(),
            arguments: &job.arguments,
            minions,
            mark: Some(mark),
            announces: None,
        };
        let end = deadline;
        let deadline = end.min(Instant::now() + LONGEST_REPLY);
        about_to();
        let began = Instant::now();
        let (answer, seen) = {
            let answer = connection.publish_unrepeatable(&command, deadline);
            tokio::pin!(answer);
            let sight = async {
                let seen = match &mut witness {
                    Some(witness) => witness.sees(&mut publications, mark, deadline).await,
                    None => None,
                };
                match seen {
                    Some(jid) => jid,
                    // Its connection broke: the reply is all there can be.
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                answer = &mut answer => (Some(answer), None),
                jid = sight => (timeout_at(Instant::now() + AFTER_SIGHT, answer).await.ok(), Some(jid)),
            }
        };
        let mut was_bad_load = false;
        let lost = match answer {
            Some(Ok(reply)) => match judge(&reply, config.identity.id(), job) {
                Judged::Published(jid) => {
                    let mut again = Vec::new();
                    if began.elapsed() > STALL
                        && let Some(witness) = &mut witness
                    {
                        let until = end.min(Instant::now() + REPEATS);
                        while let Some(seen) = witness.sees(&mut publications, mark, until).await {
                            if seen != jid {
                                again.push(seen);
                            }
                        }
                    }
                    return Sent::Published {
                        jid,
                        again,
                        connection: Box::new(connection),
                    };
                }
                Judged::Unsent(verdict) => return Sent::Unsent(verdict),
                Judged::Refused(why) => return Sent::Refused(why),
                Judged::Unknown(why) => why,
            },
            Some(Err(Unanswered::Unsent(failure))) => return Sent::Unsent(failure.verdict(true)),
            Some(Err(Unanswered::Lost(failure))) => {
                was_bad_load = matches!(failure, Failure::Reply(ReplyError::BadLoad));
                failure.to_string()
            }
            None => "the reply to the publish is late".to_owned(),
        };
        let seen = match (seen, &mut witness) {
            (None, Some(witness)) => {
                let until = end.min(Instant::now() + LOOK_OUT);
                witness.sees(&mut publications, mark, until).await
            }
            (seen, _) => seen,
        };
        match seen {
            Some(jid) => {
                tracing::info!(%jid, why = lost, "the publication was seen, its reply was not");
                Sent::Published {
                    jid,
                    again: Vec::new(),
                    connection: Box::new(connection),
                }
            }
            None => {
                let until = end.min(Instant::now() + ANSWER);
                let explained = if was_bad_load {
                    connection.why_bad_load(until).await
                } else {
                    None
                };
                let why = explained.map_or(lost, |why| why.to_string());
                Sent::Lost { why }
            }
        }
    }
}

enum Judged {
    Published(Jid),
    Unsent(Verdict),
    Refused(String),
    Unknown(String),
}

fn judge(reply: &Value, id: &MinionId, job: &Job) -> Judged {
    match Published::from_value(reply) {
        Published::Job(job) => Judged::Published(job.jid),
        Published::NoSuchMinion => Judged::Unsent(Verdict::because(
            State::UnknownMinion,
            true,
            "has no accepted key of these minions any more",
        )),
        Published::NotPermitted => Judged::Refused(permission::to_publish(id, job.function.as_str())),
        Published::HandlerFailed => {
            Judged::Unknown("the master's handler failed, or could not reach its own publisher".to_owned())
        }
        Published::Unexpected => {
            Judged::Unknown("the master gave an answer to minion_pub that no release gives".to_owned())
        }
    }
}
