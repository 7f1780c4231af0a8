//! Runs a job on minions, at most once, and finds its return wherever it went.
//!
//! The minions are located first; one publish per master then reaches those that hang there. Until the request
//! leaves, nothing has happened, and everything may be tried again, at the other master too. Once it may have left,
//! nothing is ever published again for these minions: what became of it is found out, from the master, the
//! minion and the job caches.

mod evidence;
mod home;
mod inquiry;
mod job;
mod job_cache;
mod outcome;
mod publish;
mod watch;
mod witness;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::message::{Jid, Mark, MinionId, Value};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub use job::{Function, FunctionError, Job, Order};
pub(crate) use outcome::NO_RETCODE;
pub use outcome::{Doing, Event, Outcome, Return, Unknown};

use crate::config::Config;
use crate::exit::Exit;
use crate::locate::{self, Located, Question};
use crate::master::Connection;
use publish::{Publish, Sent};
use watch::Watch;

/// Before the minions are located anew because a publish could not be sent.
const RETRY: Duration = Duration::from_millis(250);
/// How often that may happen.
const TRIES: u32 = 5;
/// How often the minions are located anew because a master stalled meanwhile.
const STALLS: u32 = 2;
/// How long a minion may wait for its pillar.
const PILLAR: Duration = Duration::from_secs(30);
/// How long its answer is waited for at one master, before it is located anew and asked again. It answers as soon as any refresh has
/// ended, the first one included.
const PILLAR_AT_ONE: Duration = Duration::from_secs(10);
/// How long minions may take to say that a job was killed.
const KILL: Duration = Duration::from_secs(10);

/// Dispatches a job. Reports one [`Event::Ended`] for each minion, and ends then.
///
/// Dropping the future stops the looking, not the job.
pub async fn dispatch(config: &Arc<Config>, order: Order, report: &UnboundedSender<Event>) {
    let deadline = Instant::now() + order.timeout;
    let order = Arc::new(order);
    let mut minions = Vec::new();
    for minion in &order.minions {
        // At most once, also if the same minion is named twice.
        if !minions.contains(minion) {
            minions.push(minion.clone());
        }
    }
    if order.refresh_pillar {
        // A pillar takes its time, and the minion may hang elsewhere afterwards: it is located anew for the job.
        minions = take(Step::Pillar, config, &order, minions, deadline, report).await;
    }
    take(Step::Job, config, &order, minions, deadline, report).await;
}

/// What is done where the minions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Their pillars are refreshed.
    Pillar,
    /// The job is dispatched.
    Job,
}

/// Takes a step with each of these minions, where it hangs. Returns those with which the next one may be taken.
async fn take(
    step: Step,
    config: &Arc<Config>,
    order: &Arc<Order>,
    mut pending: Vec<MinionId>,
    deadline: Instant,
    report: &UnboundedSender<Event>,
) -> Vec<MinionId> {
    let mut ready = Vec::new();
    let mut groups = JoinSet::new();
    let mut tries = TRIES;
    let mut stalls = STALLS;
    loop {
        if !pending.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let mark = Mark::generate(&mut rand::rng());
            let is_question = order.job.is_the_question();
            let announced = (step == Step::Job && !is_question).then_some(&mark);
            let mut found = locate::locate_for_job(config, &pending, announced, order.lookup.min(left)).await;
            pending.clear();
            if step == Step::Job && is_question {
                tell_answers(&mut found.located, report);
            }
            let located = &found.located;
            // Who was not asked is not nowhere.
            let crowded = located.masters.iter().any(|asked| asked.crowded);
            let stalled = stalls > 0 && located.masters.iter().any(|asked| asked.stalled);
            stalls -= u32::from(stalled);
            let again = (crowded || stalled) && Instant::now() < deadline;
            let by_master = by_master(config, located, again.then_some(&mut pending), report);
            for (master, minions) in by_master {
                let group = Group {
                    config: Arc::clone(config),
                    order: Arc::clone(order),
                    master,
                    minions,
                    deadline,
                    report: report.clone(),
                };
                let connection = found.connections.remove(&master);
                match step {
                    // The connection has the turn of the lookup, which would be in its way.
                    Step::Pillar => groups.spawn(group.refresh_pillar()),
                    Step::Job => groups.spawn(group.dispatch(connection, mark.clone())),
                };
            }
            if !pending.is_empty() {
                tracing::info!("a master is too busy: locating the minions anew");
                continue;
            }
            if groups.is_empty() {
                found.linger().await;
                return ready;
            }
        }
        let Taken { ready: more, unsent } = match groups.join_next().await {
            None => return ready,
            Some(Ok(taken)) => taken,
            Some(Err(error)) => {
                tracing::error!(%error, "a part of the dispatch ended early");
                continue;
            }
        };
        ready.extend(more);
        match unsent {
            None => {}
            Some(unsent) if tries > 0 && Instant::now() + RETRY < deadline => {
                tries -= 1;
                tracing::info!(why = unsent.why, "nothing was sent: locating the minions anew");
                sleep(RETRY).await;
                pending.extend(unsent.minions);
            }
            Some(unsent) => {
                for minion in unsent.minions {
                    let (exit, why) = (unsent.exit, unsent.why.clone());
                    // Whoever listened may be gone.
                    let _ = report.send(Event::Ended(minion, Outcome::Unsent { exit, why }));
                }
            }
        }
    }
}

/// Looks for the returns of a job that an earlier run dispatched. Reports one [`Event::Ended`] for each minion.
pub async fn pick_up(
    config: &Arc<Config>,
    jid: &Jid,
    minions: &[MinionId],
    timeout: Duration,
    report: &UnboundedSender<Event>,
) {
    let watch = Watch {
        config: Arc::clone(config),
        home: None,
        minions: minions.to_vec(),
        function: None,
        mark: None,
        deadline: Instant::now() + timeout,
        report: report.clone(),
    };
    watch.watch(jid, None).await;
}

/// Kills a job on the minions: what each of them answered, if it did.
pub async fn kill(config: &Arc<Config>, jid: &Jid, minions: &[MinionId]) -> Vec<(MinionId, Option<String>)> {
    let masters: Vec<usize> = (0..config.masters.len()).collect();
    let located = locate::ask(config, &masters, &Question::kill_job(jid), minions, KILL).await;
    let said = |answer: locate::Answer| {
        let text = answer.found.map(|found| match found.ret.as_text() {
            Some("") => "the job does not run any more".to_owned(),
            Some(text) => text.to_owned(),
            None => "an answer that no release gives".to_owned(),
        });
        (answer.minion, text)
    };
    located.answers.into_iter().map(said).collect()
}

/// Takes out the minions whose answer to the lookup is the return of the job: it is the same function, and need not run twice.
fn tell_answers(located: &mut Located, report: &UnboundedSender<Event>) {
    located.answers.retain(|answer| {
        let Some(found) = answer
            .found
            .as_ref()
            .filter(|found| found.ret == Value::Bool(true))
        else {
            // Whatever it says, a job of its own tells it with its retcode.
            return true;
        };
        let ret = Return {
            jid: found.jid.clone(),
            function: None,
            ret: found.ret.clone(),
            outputter: None,
            retcode: None,
        };
        let minion = answer.minion.clone();
        let published = Event::Published {
            master: found.master,
            minions: vec![minion.clone()],
            jid: found.jid.clone(),
        };
        for event in [published, Event::Ended(minion, Outcome::Returned(ret))] {
            // Whoever listened may be gone.
            let _ = report.send(event);
        }
        false
    });
}

/// The minions of each master. Those that are nowhere are put aside for another try, or reported if there is none.
fn by_master(
    config: &Config,
    located: &Located,
    mut again: Option<&mut Vec<MinionId>>,
    report: &UnboundedSender<Event>,
) -> BTreeMap<usize, Vec<MinionId>> {
    let mut groups: BTreeMap<usize, Vec<MinionId>> = BTreeMap::new();
    for answer in &located.answers {
        match &answer.found {
            Some(found) => groups
                .entry(found.master)
                .or_default()
                .push(answer.minion.clone()),
            None => {
                if let Some(again) = &mut again {
                    again.push(answer.minion.clone());
                    continue;
                }
                let lines = config.masters.iter().zip(&located.masters).enumerate();
                let why = lines.map(|(index, (master, asked))| {
                    if answer.unknown_to.contains(&index) {
                        return format!("{}: has no accepted key of {}", master.name, answer.minion);
                    }
                    let why = asked
                        .verdict
                        .error
                        .as_deref()
                        .unwrap_or("the minion did not answer there");
                    format!("{}: {}: {why}", master.name, asked.verdict.state.name())
                });
                let outcome = Outcome::Nowhere {
                    exit: Exit::of_answer(answer, located),
                    why: why.collect(),
                };
                // Whoever listened may be gone.
                let _ = report.send(Event::Ended(answer.minion.clone(), outcome));
            }
        }
    }
    groups
}

/// Minions that hang on one master.
struct Group {
    config: Arc<Config>,
    order: Arc<Order>,
    master: usize,
    minions: Vec<MinionId>,
    deadline: Instant,
    report: UnboundedSender<Event>,
}

/// How a group has taken a step. What became of those that are in neither has been reported.
#[derive(Default)]
struct Taken {
    /// These may go on.
    ready: Vec<MinionId>,
    unsent: Option<Unsent>,
}

/// No job was sent for these: what was done may be done again.
struct Unsent {
    minions: Vec<MinionId>,
    exit: Exit,
    why: String,
}

impl Group {
    /// `connection`: what the minions were located with, if it is of use. The job is known by the mark, which was announced with the
    /// lookup.
    async fn dispatch(self, connection: Option<Connection>, mark: Mark) -> Taken {
        let config = Arc::clone(&self.config);
        let Some(master) = config.masters.get(self.master) else {
            return Taken::default();
        };
        let about_to = || {
            self.tell(Event::Publishing {
                master: self.master,
                minions: self.minions.clone(),
                mark: mark.clone(),
            });
        };
        let publish = Publish {
            config: &config,
            master,
            job: &self.order.job,
            minions: &self.minions,
            mark: &mark,
        };
        let signed_in = self.deadline.min(Instant::now() + self.order.lookup);
        let sent = publish.send(connection, signed_in, self.deadline, about_to).await;
        let watch = Watch {
            config: Arc::clone(&self.config),
            home: Some(self.master),
            minions: self.minions.clone(),
            function: Some(self.order.job.function.as_str().to_owned()),
            mark: Some(mark.clone()),
            deadline: self.deadline,
            report: self.report.clone(),
        };
        match sent {
            Sent::Published {
                jid,
                again,
                connection,
            } => {
                if !again.is_empty() {
                    let jids: Vec<&str> = again.iter().map(Jid::as_str).collect();
                    self.tell(Event::Notice(format!(
                        "{} was asked once, and has published the job again by itself: jid {}; add \
                         `request_channel_tries: 1` to its configuration",
                        master.name,
                        jids.join(", ")
                    )));
                }
                self.tell(Event::Published {
                    master: self.master,
                    minions: self.minions.clone(),
                    jid: jid.clone(),
                });
                watch.watch(&jid, Some(*connection)).await;
                Taken::default()
            }
            Sent::Lost { why } => {
                watch.search(self.master, &mark, &why).await;
                Taken::default()
            }
            Sent::Refused(why) => {
                self.withdraw(mark);
                for minion in &self.minions {
                    let why = format!("{}: {why}", master.name);
                    self.tell(Event::Ended(minion.clone(), Outcome::Refused(why)));
                }
                Taken::default()
            }
            Sent::Unsent(verdict) => {
                self.withdraw(mark);
                let (name, state) = (&master.name, verdict.state.name());
                let unsent = Unsent {
                    exit: Exit::of_unsent(&verdict),
                    why: format!("{name}: {state}: {}", verdict.error.as_deref().unwrap_or(state)),
                    minions: self.minions,
                };
                Taken {
                    unsent: Some(unsent),
                    ..Taken::default()
                }
            }
        }
    }

    fn withdraw(&self, mark: Mark) {
        let master = self.master;
        self.tell(Event::Withdrawn { master, mark });
    }

    async fn refresh_pillar(self) -> Taken {
        let question = Question::refresh_pillar(PILLAR);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let patience = left.min(PILLAR_AT_ONE);
        let asked = locate::ask(&self.config, &[self.master], &question, &self.minions, patience).await;
        let master = asked.masters.get(self.master).map(|asked| &asked.verdict);
        let mut taken = Taken::default();
        for answer in asked.answers {
            let (exit, why) = match (&answer.found, master) {
                (Some(found), _) if found.ret == Value::Bool(true) => {
                    taken.ready.push(answer.minion);
                    continue;
                }
                (Some(_), _) => (Exit::Failed, "the minion says that it could not"),
                (None, None) => (Exit::Failed, "the minion did not answer"),
                (None, Some(verdict)) => {
                    let why = verdict.error.as_deref().unwrap_or("the minion did not answer");
                    (Exit::of_unsent(verdict), why)
                }
            };
            let why = format!("the pillar was not refreshed, so nothing was dispatched: {why}");
            if answer.found.is_some() || exit == Exit::Refused {
                self.tell(Event::Ended(answer.minion, Outcome::Unsent { exit, why }));
                continue;
            }
            // Its answer may have gone to another master. A pillar may be rendered twice.
            let minions = Vec::new();
            let unsent = taken.unsent.get_or_insert(Unsent { minions, exit, why });
            unsent.minions.push(answer.minion);
        }
        taken
    }

    fn tell(&self, event: Event) {
        // Whoever listened may be gone.
        let _ = self.report.send(event);
    }
}
