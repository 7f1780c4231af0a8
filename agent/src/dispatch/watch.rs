//! After the publish: every way to the return at once, until it is there or nothing more can be known.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use proto::message::{Jid, Mark, MinionId};
use rand::RngExt as _;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::evidence::Evidence;
use super::home::{Finding, Home};
use super::inquiry::{self, Answers, Inquiry};
use super::outcome::{Doing, Event, Outcome, Return, Unknown};
use crate::config::Config;
use crate::master::Connection;

/// When the minions are first asked whether they run the job. It costs the master a publish, so most jobs should
/// have returned by then.
const FIRST_QUESTION: Duration = Duration::from_secs(3);
/// Each wait between two questions is longer than the one before by this factor,
const GROWTH: f64 = 1.5;
/// up to this,
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// or, when a minion does not run the job and the return is missing, to this.
const LONGEST_WAIT_WHILE_IDLE: Duration = Duration::from_secs(5);
/// The wait after something changed: the master is gone, or a minion does not run the job.
const SOON: Duration = Duration::from_secs(1);
/// How often the evidence is weighed.
const WEIGH: Duration = Duration::from_millis(250);

/// A job that was published, or may have been.
pub(super) struct Watch {
    pub(super) config: Arc<Config>,
    /// The master that was to publish it, by index; none if another run did.
    pub(super) home: Option<usize>,
    pub(super) minions: Vec<MinionId>,
    /// The function, if it is known.
    pub(super) function: Option<String>,
    /// None if another run dispatched it.
    pub(super) mark: Option<Mark>,
    pub(super) deadline: Instant,
    pub(super) report: UnboundedSender<Event>,
}

type Asking = Pin<Box<dyn Future<Output = Answers> + Send>>;

impl Watch {
    /// Looks for the jid first: the reply to the publish is lost. Reports an end for every minion.
    pub(super) async fn search(self, home: usize, mark: &Mark, why: &str) {
        let name = self.name(home);
        self.notice(format!(
            "the reply of {name} is lost ({why}): looking for the job, without publishing it again"
        ));
        let (mut complete, mut pause) = (0_u32, SOON);
        let mut since_complete = None;
        let mut untold = BTreeSet::new();
        let give_up = loop {
            let asked = timeout_at(
                self.deadline,
                inquiry::find(&self.config, home, &self.minions, mark),
            );
            let Ok(search) = asked.await else {
                break "no return in time";
            };
            if let Some(jid) = search.jid {
                self.tell(Event::Published {
                    master: home,
                    minions: self.minions.clone(),
                    jid: jid.clone(),
                });
                return self.watch(&jid, None).await;
            }
            if let Some(why) = search.untold
                && untold.insert(why.clone())
            {
                self.notice(format!("the job can be found only while it runs: {name} {why}"));
            }
            if search.all_answered {
                complete = complete.saturating_add(1);
                let since = *since_complete.get_or_insert_with(Instant::now);
                // The master that is down may still have the request, and tell of it when it is back.
                let patience = Duration::from_secs(if search.home_answered { 5 } else { 60 });
                if complete >= 2 && since.elapsed() >= patience {
                    break "the minions do not run it, and the job cache does not tell of it: it was lost, or has ended";
                }
            }
            if Instant::now() >= self.deadline {
                break "no return in time";
            }
            sleep_until(self.deadline.min(Instant::now() + pause)).await;
            pause = pause.mul_f64(GROWTH).min(LONGEST_WAIT);
        };
        let why = format!("the reply of {name} was lost ({why}), and so was the jid: {give_up}");
        for minion in &self.minions {
            self.give_up(minion, None, why.clone());
        }
    }

    /// Reports an end for every minion. `connection` is the one that published.
    pub(super) async fn watch(&self, jid: &Jid, connection: Option<Connection>) {
        let (findings, mut found) = mpsc::unbounded_channel();
        let masters: Vec<usize> = match self.home {
            Some(home) => vec![home],
            None => (0..self.config.masters.len()).collect(),
        };
        let mut evidence = Evidence::new(&self.minions, &masters);
        let mut others = JoinSet::new();
        if self.home.is_none() {
            for &master in &masters {
                let (config, jid, minions) = (Arc::clone(&self.config), jid.clone(), self.minions.clone());
                let (findings, deadline) = (findings.clone(), self.deadline);
                others.spawn(async move {
                    let home = Home {
                        config: &config,
                        master,
                        jid: &jid,
                        function: None,
                        waiting: minions,
                        findings,
                        deadline,
                        runner_failures: 0,
                    };
                    home.watch(None).await;
                });
            }
        }
        let at_home = async {
            match self.home {
                Some(master) => {
                    let home = Home {
                        config: &self.config,
                        master,
                        jid,
                        function: self.function.as_deref(),
                        waiting: self.minions.clone(),
                        findings: findings.clone(),
                        deadline: self.deadline,
                        runner_failures: 0,
                    };
                    home.watch(connection).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::pin!(at_home);

        let mut refusals = BTreeSet::new();
        let mut wait = if self.home.is_some() { FIRST_QUESTION } else { SOON };
        let mut next_question = Instant::now() + wait;
        let mut answered_at_home = true;
        let mut asking: Option<Asking> = None;
        while !evidence.waiting().is_empty() {
            let now = Instant::now();
            if now >= self.deadline {
                for minion in evidence.waiting() {
                    match evidence.take_here(&minion) {
                        Some(ret) => self.lacks_retcode(minion, ret, "it was not told in time"),
                        None => self.give_up(&minion, Some(jid), "no return in time".to_owned()),
                    }
                }
                return;
            }
            for (minion, why) in evidence.hopeless(now) {
                evidence.is_done(&minion);
                self.give_up(&minion, Some(jid), why);
            }
            if asking.is_none() && now >= next_question && !evidence.missing().is_empty() {
                asking = Some(Box::pin(self.inquiry(jid, &evidence, answered_at_home).ask()));
            }
            tokio::select! {
                finding = found.recv() => match finding {
                    Some(finding) => {
                        if self.note(&mut evidence, jid, finding) {
                            wait = SOON;
                            next_question = next_question.min(Instant::now() + SOON);
                        }
                    }
                    None => return,
                },
                answers = async { match &mut asking { Some(asking) => asking.await, None => std::future::pending().await } } => {
                    asking = None;
                    let (were_idle, was_answered) = (evidence.any_idle(), answered_at_home);
                    answered_at_home = answers.silent.is_empty();
                    self.note_answers(&mut evidence, answers, &mut refusals);
                    let news = evidence.any_idle() != were_idle || answered_at_home != was_answered;
                    let longest = if evidence.any_idle() { LONGEST_WAIT_WHILE_IDLE } else { LONGEST_WAIT };
                    wait = if news { SOON } else { wait.mul_f64(GROWTH).min(longest) };
                    // Jittered, so that many that began together do not all ask at once.
                    next_question = Instant::now() + wait.mul_f64(rand::rng().random_range(0.8..1.2));
                }
                () = sleep_until(self.deadline.min(Instant::now() + WEIGH)) => {}
                () = &mut at_home => {}
            }
        }
    }

    /// What to ask next, and whom.
    fn inquiry(&self, jid: &Jid, evidence: &Evidence, answered_at_home: bool) -> Inquiry {
        let all: Vec<usize> = (0..self.config.masters.len()).collect();
        let up = evidence.up();
        let telling = evidence.telling();
        Inquiry {
            config: Arc::clone(&self.config),
            jid: jid.clone(),
            minions: evidence.missing(),
            // A publish costs a master more than anything else: one master is asked as long as that will do.
            through: match up.as_slice() {
                [home] if answered_at_home => vec![*home],
                _ => all.clone(),
            },
            caches: all
                .into_iter()
                .filter(|master| !telling.contains(master))
                .collect(),
        }
    }

    /// Takes a finding in; tells whether the minions should be asked soon.
    fn note(&self, evidence: &mut Evidence, jid: &Jid, finding: Finding) -> bool {
        match finding {
            Finding::Return(minion, ret) => {
                if evidence.is_done(&minion) {
                    self.tell(Event::Ended(minion, Outcome::Returned(ret)));
                }
                false
            }
            Finding::NoRetcode(minion, ret, why) => {
                if evidence.is_done(&minion) {
                    self.lacks_retcode(minion, ret, &why);
                }
                false
            }
            Finding::Here(minion, ret) => {
                evidence.is_here(&minion, &ret);
                false
            }
            Finding::Up { master, knows } => {
                evidence.is_up(master, knows, Instant::now());
                false
            }
            Finding::Down { master, why } => {
                let news = evidence.is_down(master);
                if news {
                    self.notice(format!("{} does not answer now: {why}", self.name(master)));
                }
                news
            }
            Finding::Unreadable(why) => {
                for minion in evidence.waiting() {
                    evidence.is_done(&minion);
                    self.give_up(
                        &minion,
                        Some(jid),
                        format!("there is a return that cannot be read: {why}"),
                    );
                }
                false
            }
            Finding::Notice(text) => {
                self.notice(text);
                false
            }
        }
    }

    fn note_answers(&self, evidence: &mut Evidence, answers: Answers, refusals: &mut BTreeSet<String>) {
        for minion in answers.running {
            evidence.is_running(&minion);
            self.tell(Event::Doing(minion, Doing::Running));
        }
        for (minion, through, kept) in answers.idle {
            evidence.is_idle(&minion, through, kept, Instant::now());
            self.tell(Event::Doing(minion, Doing::Idle));
        }
        for minion in answers.silent {
            self.tell(Event::Doing(minion, Doing::Silent));
        }
        for (minion, ret) in answers.returns {
            if evidence.is_done(&minion) {
                self.tell(Event::Ended(minion, Outcome::Returned(ret)));
            }
        }
        for refusal in answers.refusals {
            if refusals.insert(refusal.clone()) {
                self.notice(format!("what became of the job can be seen less well: {refusal}"));
            }
        }
    }

    fn give_up(&self, minion: &MinionId, jid: Option<&Jid>, why: String) {
        let unknown = self.unknown(jid, why);
        self.tell(Event::Ended(minion.clone(), Outcome::Unknown(unknown)));
    }

    fn lacks_retcode(&self, minion: MinionId, ret: Return, why: &str) {
        let unknown = self.unknown(Some(&ret.jid), format!("the retcode is not known: {why}"));
        self.tell(Event::Ended(minion, Outcome::NoRetcode(ret, unknown)));
    }

    fn unknown(&self, jid: Option<&Jid>, why: String) -> Unknown {
        Unknown {
            jid: jid.cloned(),
            master: self.home,
            mark: self.mark.clone(),
            why,
        }
    }

    fn name(&self, master: usize) -> &str {
        let master = self.config.masters.get(master);
        master.map_or("a master", |master| master.name.as_str())
    }

    fn notice(&self, text: String) {
        self.tell(Event::Notice(text));
    }

    fn tell(&self, event: Event) {
        // Whoever listened may be gone: it was told to stop.
        let _ = self.report.send(event);
    }
}
