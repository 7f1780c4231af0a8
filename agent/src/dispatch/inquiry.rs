//! Asking the minions themselves about a job: through whichever master each of them hangs on now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proto::message::{Jid, Mark, MinionId, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::home::connect;
use super::job_cache::{self, CachedJob};
use super::outcome::Return;
use crate::config::Config;
use crate::locate::{self, Found, Located, Question};
use crate::state::State;

/// How long a minion may take to answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// The same through one master alone: a minion that is silent there may have moved, and is asked through all next.
const PATIENCE_AT_HOME: Duration = Duration::from_secs(2);

/// What the minions said.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// They run the job.
    pub(super) running: Vec<MinionId>,
    /// They do not, with the master through which they said so, and what they kept of it.
    pub(super) idle: Vec<(MinionId, usize, Kept)>,
    /// They said nothing.
    pub(super) silent: Vec<MinionId>,
    /// Returns that turned up.
    pub(super) returns: Vec<(MinionId, Return)>,
    /// What we are not allowed to ask.
    pub(super) refusals: BTreeSet<String>,
}

impl Answers {
    /// Whether a job cache could tell no more of this minion.
    fn tell_all_of(&self, minion: &MinionId) -> bool {
        self.running.contains(minion) || self.returns.iter().any(|(of, _)| of == minion)
    }
}

/// What a minion has kept of a job that it does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It keeps nothing (`cache_jobs` is off), or did not say.
    Unknown,
    /// It keeps what it has finished, and has not finished this.
    Nothing,
}

/// What to ask about.
#[derive(Clone)]
pub(super) struct Inquiry {
    pub(super) config: Arc<Config>,
    pub(super) jid: Jid,
    pub(super) minions: Vec<MinionId>,
    /// The masters through which to ask.
    pub(super) through: Vec<usize>,
    /// The masters whose job caches may have a return that `pub_ret` does not give.
    pub(super) caches: Vec<usize>,
}

impl Inquiry {
    /// Asks whether the minions run the job, and of those that do not, what they or the masters have kept.
    pub(super) async fn ask(self) -> Answers {
        let question = Question::find_job(&self.jid);
        let is_all = self.through.len() == self.config.masters.len();
        let patience = if is_all { PATIENCE } else { PATIENCE_AT_HOME };
        let located = locate::ask(&self.config, &self.through, &question, &self.minions, patience).await;
        let mut answers = Answers::default();
        note_refusals(&self.config, &located, &mut answers.refusals);
        let mut idle: Vec<(MinionId, usize)> = Vec::new();
        for answer in located.answers {
            match answer.found {
                Some(Found { master, ret, .. }) if ret.as_map().is_some_and(<[_]>::is_empty) => {
                    idle.push((answer.minion, master));
                }
                Some(_) => answers.running.push(answer.minion),
                None => answers.silent.push(answer.minion),
            }
        }
        if idle.is_empty() && answers.silent.is_empty() {
            return answers;
        }
        let mut caches = self.ask_caches();
        let kept = self.ask_what_they_kept(&idle).await;
        for (minion, master) in idle {
            let of_minion = kept
                .answers
                .iter()
                .find(|answer| answer.minion == minion)
                .and_then(|answer| answer.found.as_ref());
            let kept = match of_minion.map(|found| &found.ret) {
                Some(ret @ Value::Map(_)) => {
                    if let Some(ret) = self.of_minion_cache(ret) {
                        answers.returns.push((minion.clone(), ret));
                    }
                    Kept::Unknown
                }
                // Salt says the same whether the option is off or not, but for the end (`saltutil.find_cached_job`).
                Some(text)
                    if text
                        .as_text()
                        .is_some_and(|text| text.ends_with(&format!("{} not found", self.jid))) =>
                {
                    Kept::Nothing
                }
                _ => Kept::Unknown,
            };
            answers.idle.push((minion, master, kept));
        }
        note_refusals(&self.config, &kept, &mut answers.refusals);
        // A master that hangs is not waited for when all is known without it.
        while self.minions.iter().any(|minion| !answers.tell_all_of(minion)) {
            let Some(outcome) = caches.join_next().await else {
                break;
            };
            let Ok(Some(outcome)) = outcome else { continue };
            match outcome {
                Ok(job) => {
                    for minion in &self.minions {
                        if let Some(found) = job.of(minion) {
                            let ret = Return {
                                jid: self.jid.clone(),
                                function: job.function().map(str::to_owned),
                                ret: found.ret.clone(),
                                outputter: found.outputter.map(str::to_owned),
                                retcode: found.retcode.cloned(),
                            };
                            answers.returns.push((minion.clone(), ret));
                        }
                    }
                }
                Err(refusal) => {
                    answers.refusals.insert(refusal);
                }
            }
        }
        answers
    }

    async fn ask_what_they_kept(&self, idle: &[(MinionId, usize)]) -> Located {
        let masters: BTreeSet<usize> = idle.iter().map(|(_, master)| *master).collect();
        let masters: Vec<usize> = masters.into_iter().collect();
        let minions: Vec<MinionId> = idle.iter().map(|(minion, _)| minion.clone()).collect();
        let question = Question::find_cached_job(&self.jid);
        locate::ask(&self.config, &masters, &question, &minions, PATIENCE).await
    }

    /// What the job caches of the masters have, or why they tell nothing; nothing comes from a master that does not answer.
    fn ask_caches(&self) -> JoinSet<Option<Result<CachedJob, String>>> {
        let mut tasks = JoinSet::new();
        for &master in &self.caches {
            let (config, jid) = (Arc::clone(&self.config), self.jid.clone());
            tasks.spawn(async move {
                let deadline = Instant::now() + PATIENCE;
                let mut connection = connect(&config, master, deadline).await.ok()?;
                match job_cache::list_job(&mut connection, &jid, deadline).await {
                    Ok(Ok(job)) => Some(Ok(job)),
                    Ok(Err(why)) => {
                        let name = &config.masters.get(master)?.name;
                        Some(Err(format!("{name} {why}")))
                    }
                    Err(failure) => {
                        tracing::debug!(%failure, "no answer from a job cache");
                        None
                    }
                }
            });
        }
        tasks
    }

    /// The minion keeps all that it sent to its master.
    fn of_minion_cache(&self, kept: &Value) -> Option<Return> {
        Some(Return {
            jid: self.jid.clone(),
            function: kept.get("fun").and_then(Value::as_text).map(str::to_owned),
            ret: kept.get("return")?.clone(),
            outputter: kept.get("out").and_then(Value::as_text).map(str::to_owned),
            retcode: kept.get("retcode").cloned(),
        })
    }
}

/// Looks for a job whose jid got lost: on the minions while it runs, and in the job cache of the master that was to
/// publish it. `home`: by index.
pub(super) async fn find(config: &Arc<Config>, home: usize, minions: &[MinionId], mark: &Mark) -> Search {
    let masters: Vec<usize> = (0..config.masters.len()).collect();
    let question = Question::running();
    let (located, cached) = tokio::join!(
        locate::ask(config, &masters, &question, minions, PATIENCE),
        async {
            let deadline = Instant::now() + PATIENCE;
            let mut connection = connect(config, home, deadline).await?;
            match minions.first() {
                Some(minion) => job_cache::find(&mut connection, minion, mark, deadline).await,
                None => Ok(Ok(None)),
            }
        }
    );
    let running = located.answers.iter().find_map(|answer| {
        let jobs = answer.found.as_ref()?.ret.as_array()?;
        let ours = |job: &&Value| job.get("tgt").is_some_and(|tgt| mark.is_in(tgt));
        Jid::parse(jobs.iter().find(ours)?.get("jid")?.as_text()?).ok()
    });
    let home_answered = cached.is_ok();
    let (cached, untold) = match cached {
        Ok(Ok(cached)) => (cached, None),
        Ok(Err(why)) => (None, Some(why.to_string())),
        Err(_) => (None, None),
    };
    Search {
        jid: running.or(cached),
        all_answered: located.answers.iter().all(|answer| answer.found.is_some()),
        home_answered,
        untold,
    }
}

/// What came of a search.
pub(super) struct Search {
    pub(super) jid: Option<Jid>,
    /// All minions said what they run.
    pub(super) all_answered: bool,
    /// The master that was to publish answers.
    pub(super) home_answered: bool,
    /// Why its job cache cannot be searched, to be put behind its name.
    pub(super) untold: Option<String>,
}

fn note_refusals(config: &Config, located: &Located, refusals: &mut BTreeSet<String>) {
    for (master, asked) in config.masters.iter().zip(&located.masters) {
        if asked.verdict.state == State::Refused
            && let Some(why) = &asked.verdict.error
        {
            refusals.insert(format!("{} {why}", master.name));
        }
    }
}
