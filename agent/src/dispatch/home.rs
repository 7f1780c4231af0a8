//! The master that published a job: its return is looked for there, again and again, over any number of connections.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use proto::message::{Command, Jid, MinionId, Returned};
use proto::session::ReplyError;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep};

use super::job_cache::{self, CachedJob, Untold};
use super::outcome::{NO_RETCODE, Return};
use crate::config::Config;
use crate::locate::Pauses;
use crate::master::{self, Connection, Failure};
use crate::success::{self, Outcome};

/// The pauses between two looks grow by this factor: a return is seen late by a seventieth of the time that the job takes, on average,
const GROWTH: f64 = 1.03;
/// and never by more than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long one look, or one connect with sign-in, may take before the master counts as down.
const LOOK: Duration = Duration::from_secs(10);
/// How long a runner may take that tells the retcodes, with the wait for its turn.
const RUNNER: Duration = Duration::from_secs(120);
/// How often it is called, if there is no answer.
const RUNNER_TRIES: u32 = 3;
/// Between two tries to reach a master that is down: the first pause, and the longest.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(4);
/// The return is a request to the master, too, and must not come between the next publish and its call: a turn ends
/// when the return is in, or after this.
const TURN: Duration = Duration::from_millis(500);

/// What is found out there.
#[derive(Debug)]
pub(super) enum Finding {
    /// A minion's return.
    Return(MinionId, Return),
    /// A minion's return whose retcode cannot be had; why.
    NoRetcode(MinionId, Return, String),
    /// A minion's return is there, and its retcode is being asked for.
    Here(MinionId, Return),
    /// The master answered. `knows`: it published this job for us.
    Up { master: usize, knows: bool },
    /// It did not.
    Down { master: usize, why: String },
    /// There are returns, but they cannot be read.
    Unreadable(String),
    /// For a person.
    Notice(String),
}

/// Looks for returns at one master until nobody waits for them.
pub(super) struct Home<'a> {
    pub(super) config: &'a Arc<Config>,
    /// The master, by index.
    pub(super) master: usize,
    pub(super) jid: &'a Jid,
    /// The function; none if another run dispatched it.
    pub(super) function: Option<&'a str>,
    pub(super) waiting: Vec<MinionId>,
    pub(super) findings: UnboundedSender<Finding>,
    pub(super) deadline: Instant,
    /// How often retcodes were asked for in vain.
    pub(super) runner_failures: u32,
}

impl Home<'_> {
    /// Never ends: whoever has all returns drops it. `connection` is the one that published, with its turn.
    pub(super) async fn watch(mut self, mut connection: Option<Connection>) {
        let turn_ends = Instant::now() + TURN;
        let mut retry = FIRST_RETRY;
        while !self.waiting.is_empty() && Instant::now() < self.deadline {
            let connected = match connection.take() {
                Some(connection) => Ok(connection),
                None => self.connect().await,
            };
            let failure = match connected {
                Ok(mut connection) => {
                    let mut pauses = Pauses::growing(GROWTH, LONGEST_PAUSE);
                    loop {
                        if self.waiting.is_empty() {
                            break None;
                        }
                        sleep(pauses.next()).await;
                        match self.look(&mut connection).await {
                            Ok(()) => retry = FIRST_RETRY,
                            Err(failure) => break Some(failure),
                        }
                        if Instant::now() >= turn_ends {
                            connection.end_turn();
                        }
                    }
                }
                Err(failure) => Some(failure),
            };
            match failure {
                None => break,
                Some(Failure::Reply(ReplyError::NotMsgpack(error))) => {
                    self.tell(Finding::Unreadable(error.to_string()));
                    break;
                }
                Some(failure) => self.tell(Finding::Down {
                    master: self.master,
                    why: failure.to_string(),
                }),
            }
            sleep(retry).await;
            retry = (retry * 2).min(LONGEST_RETRY);
        }
        pending::<()>().await;
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        connect(self.config, self.master, self.patience()).await
    }

    fn patience(&self) -> Instant {
        self.deadline.min(Instant::now() + LOOK)
    }

    /// Looks once.
    async fn look(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let reply = connection
            .ask(&Command::PubRet { jid: self.jid }, self.patience())
            .await?;
        let returned = Returned::from_value(reply);
        self.tell(Finding::Up {
            master: self.master,
            knows: returned.is_known(),
        });
        let mut here: Vec<(MinionId, Return)> = Vec::new();
        for minion in &self.waiting {
            if let Some(ret) = returned.of(minion) {
                let ret = Return {
                    jid: self.jid.clone(),
                    function: self.function.map(str::to_owned),
                    ret: ret.clone(),
                    outputter: returned.outputter(minion).map(str::to_owned),
                    retcode: None,
                };
                here.push((minion.clone(), ret));
            }
        }
        if here.is_empty() {
            return Ok(());
        }
        let cached = if here.iter().all(|(_, ret)| self.is_told(ret)) {
            Ok(None)
        } else {
            // Others may publish meanwhile: a runner takes its time.
            connection.end_turn();
            for (minion, ret) in &here {
                self.tell(Finding::Here(minion.clone(), ret.clone()));
            }
            self.retcodes(connection).await?
        };
        for (minion, mut ret) in here {
            self.waiting.retain(|other| *other != minion);
            let finding = match &cached {
                Ok(None) => Finding::Return(minion, ret),
                Ok(Some(job)) => {
                    if let Some(function) = job.function() {
                        ret.function = Some(function.to_owned());
                    }
                    ret.retcode = job.of(&minion).and_then(|found| found.retcode).cloned();
                    Finding::Return(minion, ret)
                }
                // With others it is as it would be alone.
                Err(_) if self.is_told(&ret) => Finding::Return(minion, ret),
                Err(why) => Finding::NoRetcode(minion, ret, why.clone()),
            };
            self.tell(finding);
        }
        Ok(())
    }

    /// Whether the return alone says how the job ended.
    fn is_told(&self, ret: &Return) -> bool {
        self.function.is_some_and(|function| {
            !matches!(
                success::judge(function, &ret.ret, None),
                Outcome::RetcodeNeeded { .. }
            )
        })
    }

    /// `pub_ret` has no retcode, so where it matters the job cache is asked. Nothing comes if `peer_run:` does not allow that, which
    /// is the operator's choice; the inner error says why the master cannot tell.
    async fn retcodes(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Result<Option<CachedJob>, String>, Failure> {
        let deadline = self.deadline.min(Instant::now() + RUNNER);
        let why = match job_cache::list_job(connection, self.jid, deadline).await {
            Ok(Ok(job)) => return Ok(Ok(Some(job))),
            Ok(Err(Untold::Refused(why))) => {
                self.tell(Finding::Notice(format!("{NO_RETCODE}: {}: {why}", self.name())));
                return Ok(Ok(None));
            }
            Ok(Err(Untold::Failed(why))) => why,
            // A job that failed must not look as if it had succeeded because a master was busy.
            Err(failure) if self.runner_failures < RUNNER_TRIES => {
                self.runner_failures = self.runner_failures.saturating_add(1);
                return Err(failure);
            }
            Err(failure) => failure.to_string(),
        };
        Ok(Err(format!("{}: {why}", self.name())))
    }

    fn name(&self) -> &str {
        let name = self.config.masters.get(self.master).map(|master| &master.name);
        name.map_or("the master", |name| name.as_str())
    }

    fn tell(&self, finding: Finding) {
        // The one who listens may have all it needs already.
        let _ = self.findings.send(finding);
    }
}

/// A signed-in connection to a master, by index.
pub(super) async fn connect(
    config: &Arc<Config>,
    master: usize,
    deadline: Instant,
) -> Result<Connection, Failure> {
    let master = config.masters.get(master).ok_or(Failure::NoTurn)?;
    let dialled = master::dial(master, deadline).await?;
    Connection::sign_in(config, master, dialled, deadline).await
}
