//! The work of one master in a lookup: sign in, publish the question, look for the returns.

use std::sync::Arc;
use std::time::Duration;

use proto::message::{Command, Jid, MinionId, Published, Returned};
use proto::net::NetError;
use tokio::time::{Instant, timeout_at};

use super::looks::Looks;
use super::precedence::Precedence;
use super::{Event, Question, Report, Stage};
use crate::config::Config;
use crate::master::{self, Connection, Failure};
use crate::permission;
use crate::state::{State, Verdict};

/// The return itself is a request to the master, which must not come between the next publish and its call:
/// a turn ends when the return is in, or after this, when it is late or will never come here.
const TURN: Duration = Duration::from_millis(500);
/// An answer that takes longer is no longer just under way.
const SLOW: Duration = Duration::from_secs(1);

/// Works until all minions have answered here, the master has failed, or nothing more can come.
///
/// `precedence` is there if a job follows. Then the connection is reported when all have answered here, before the last answer. And
/// when it is our turn for the first time, the minions may have been seen at another master meanwhile, which then goes first.
pub(super) async fn ask(
    config: &Arc<Config>,
    index: usize,
    question: &Question,
    minions: Vec<MinionId>,
    deadline: Instant,
    precedence: Option<&Precedence>,
    report: &Report,
) -> Verdict {
    let Some(master) = config.masters.get(index) else {
        return Verdict::because(State::Refused, false, "no such master");
    };
    let start = Instant::now();
    let told = Arc::clone(report);
    let held_up = Box::new(move |is: bool| told(Event::HeldUp(is)));
    let connection = async {
        let dialled = master::dial(master, deadline).await?;
        report(Event::Stage(Stage::SigningIn));
        Connection::sign_in_as(config, master, dialled, question.urgency, held_up, deadline).await
    };
    let connection = match connection.await {
        Ok(connection) => connection,
        Err(failure) => return failure.verdict(false),
    };
    report(Event::SignedIn(start.elapsed()));
    RoundTrip {
        index,
        connection,
        question,
        waiting: minions,
        jobs: Vec::new(),
        last: Vec::new(),
        deadline,
        keep: precedence.is_some(),
        precedence,
        report,
    }
    .run()
    .await
}

struct RoundTrip<'a> {
    /// Of the master.
    index: usize,
    connection: Connection,
    question: &'a Question,
    /// The minions that have not answered here.
    waiting: Vec<MinionId>,
    /// What was published, the latest last: a late return to an earlier one is as good a proof.
    jobs: Vec<Job>,
    /// Answers after which no more is waited for.
    last: Vec<Event>,
    deadline: Instant,
    /// Whether the connection is reported.
    keep: bool,
    /// Asked once, whether another master goes first.
    precedence: Option<&'a Precedence>,
    report: &'a Report,
}

struct Job {
    jid: Jid,
    published: Instant,
}

/// Nothing more is to be done at this master.
struct End(Verdict);

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self(failure.verdict(true))
    }
}

impl RoundTrip<'_> {
    async fn run(mut self) -> Verdict {
        match self.until_all_answered().await {
            Ok(()) => {
                let Self {
                    mut connection, last, ..
                } = self;
                if self.keep {
                    connection.wait_silently();
                    (self.report)(Event::Open(Box::new(connection)));
                }
                last.into_iter().for_each(|event| (self.report)(event));
                Verdict::good(State::Reachable)
            }
            Err(End(verdict)) => verdict,
        }
    }

    async fn until_all_answered(&mut self) -> Result<(), End> {
        let mut patience = self.question.patience;
        while !self.waiting.is_empty() {
            let mut looks = Looks::begin(self.question.signs.clone());
            self.publish().await?;
            let again = Instant::now() + patience;
            let turn_ends = Instant::now() + TURN;
            patience *= 2;
            while !self.waiting.is_empty() && Instant::now() < again {
                looks.next(self.deadline).await;
                self.look().await?;
                if Instant::now() >= turn_ends {
                    self.connection.end_turn();
                }
                if Instant::now() >= self.deadline {
                    let why = if self.jobs.is_empty() {
                        format!(
                            "signed in, but its handler failed to publish {}",
                            self.question.function
                        )
                    } else {
                        format!("published there, but {} did not return", names(&self.waiting))
                    };
                    return Err(End(Verdict::because(State::Reachable, true, why)));
                }
            }
        }
        Ok(())
    }

    /// Publishes once, when it is our turn at this master.
    async fn publish(&mut self) -> Result<(), End> {
        (self.report)(Event::Stage(Stage::AwaitingTurn));
        self.connection.take_turn(self.deadline).await?;
        let precedence = self.precedence.take();
        if let Some(start) = precedence.and_then(|among| among.elsewhere(self.index, &self.waiting)) {
            self.connection.end_turn();
            (self.report)(Event::Stage(Stage::Yielding));
            let _ = timeout_at(self.deadline, start.is_over()).await;
            (self.report)(Event::Stage(Stage::AwaitingTurn));
            self.connection.take_turn(self.deadline).await?;
        }
        (self.report)(Event::Stage(Stage::Publishing));
        let published = Instant::now();
        let command = Command::MinionPub {
            function: self.question.function,
            arguments: &self.question.arguments,
            minions: &self.waiting,
            mark: None,
            announces: self.question.announces.as_ref(),
        };
        let reply = self
            .connection
            .publish_repeatable(&command, self.deadline)
            .await?;
        match Published::from_value(&reply) {
            Published::Job(job) => {
                let known = |minion: &MinionId| job.minions.iter().any(|id| id == minion.as_str());
                let (known, unknown) = self.waiting.drain(..).partition(known);
                self.waiting = known;
                self.tell_unknown(unknown);
                self.jobs.push(Job {
                    jid: job.jid,
                    published,
                });
                (self.report)(Event::Stage(Stage::AwaitingReturn));
                Ok(())
            }
            Published::NoSuchMinion => {
                let unknown = std::mem::take(&mut self.waiting);
                let why = format!("has no accepted key of {}", names(&unknown));
                self.tell_unknown(unknown);
                Err(End(Verdict::because(State::UnknownMinion, true, why)))
            }
            Published::NotPermitted => Err(End(Verdict::because(
                State::Refused,
                true,
                permission::to_publish(self.connection.id(), self.question.function),
            ))),
            // The job may have started: with a question that does no harm, so there will be another try.
            Published::HandlerFailed => {
                tracing::debug!("the master's handler failed to publish");
                let stage = if self.jobs.is_empty() {
                    Stage::AwaitingRetry
                } else {
                    Stage::AwaitingReturn
                };
                (self.report)(Event::Stage(stage));
                Ok(())
            }
            Published::Unexpected => Err(End(Verdict::because(
                State::Refused,
                true,
                "gave an answer to minion_pub that no release gives",
            ))),
        }
    }

    /// Looks once for the returns of every job.
    async fn look(&mut self) -> Result<(), End> {
        for job in self.jobs.iter().rev() {
            if self.waiting.is_empty() {
                break;
            }
            let began = Instant::now();
            let asked = self
                .connection
                .ask(&Command::PubRet { jid: &job.jid }, self.deadline)
                .await;
            let reply = match asked {
                Ok(reply) => reply,
                // Time is up in the middle of a look: that does not make a hung master of one that answered before.
                Err(Failure::Net(NetError::ReplyTimeout { .. })) if began.elapsed() < SLOW => return Ok(()),
                Err(failure) => return Err(failure.into()),
            };
            let returned = Returned::from_value(reply);
            let rtt = job.published.elapsed();
            let mut news = Vec::new();
            self.waiting.retain(|minion| {
                let Some(ret) = returned.of(minion) else {
                    return true;
                };
                news.push(Event::Answered {
                    minion: minion.clone(),
                    jid: job.jid.clone(),
                    rtt,
                    ret: ret.clone(),
                });
                false
            });
            if self.waiting.is_empty() {
                self.last = news;
            } else {
                news.into_iter().for_each(|event| (self.report)(event));
            }
        }
        Ok(())
    }

    fn tell_unknown(&self, unknown: Vec<MinionId>) {
        for minion in unknown {
            (self.report)(Event::Unknown(minion));
        }
    }
}

fn names(minions: &[MinionId]) -> String {
    minions
        .iter()
        .map(MinionId::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
