//! The watches over all masters: started, restarted and kept, each with the number that policy knows its master by now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::config::{Config, MasterConfig};
use crate::sidecar::facts::{Fact, MasterIndex, What};
use crate::sidecar::policy::{Pace, Policy};
use crate::sidecar::relay::{Topics, Way};
use crate::sidecar::settings::Mode;
use crate::sidecar::watch::{self as watching, Genuine, HandOut, Intervals, Outlets};

/// Facts of one master that may wait. Those that do not fit come again.
const WAITING: usize = 64;

/// Something from a watch.
pub(super) enum News {
    /// Something was learned.
    Fact(Fact),
    /// The master has published something (mode `relay`).
    Publication(MasterIndex, Genuine),
}

/// All watches, in the order of the configuration.
#[derive(Default)]
pub(super) struct Watches {
    watches: Vec<Watch>,
    /// What minions behind our relay subscribe to.
    topics: Topics,
    /// Whose facts are looked at first: nobody's flood hides another's.
    first: usize,
}

struct Watch {
    master: MasterConfig,
    started: Started,
    facts: mpsc::Receiver<Fact>,
    publications: mpsc::Receiver<Genuine>,
    /// Outlives a watch that is started anew.
    genuine_at: watch::Sender<Option<SocketAddr>>,
    pace: watch::Sender<Pace>,
    last_fact: Instant,
    handle: watching::Handle,
}

/// What a watch was started with. Its master's place in this configuration may be another one than in the present one.
#[derive(Clone)]
struct Started {
    config: Arc<Config>,
    index: MasterIndex,
}

impl Watch {
    fn start(
        config: &Arc<Config>,
        index: MasterIndex,
        master: &MasterConfig,
        genuine_at: watch::Sender<Option<SocketAddr>>,
        topics: &Topics,
    ) -> Self {
        let (told, facts) = mpsc::channel(WAITING);
        let (outlet, publications) = mpsc::channel(WAITING);
        let outlets = Outlets {
            facts: told,
            genuine_at: genuine_at.clone(),
            publications: (config.sidecar.mode == Mode::Relay).then(|| HandOut {
                to: outlet,
                topics: topics.subscribe(),
            }),
        };
        let (pace, wanted) = watch::channel(Pace::Quick);
        let intervals = Intervals::from(&config.sidecar);
        Self {
            master: master.clone(),
            started: Started {
                config: Arc::clone(config),
                index,
            },
            handle: watching::start(config, intervals, index, outlets, wanted),
            facts,
            publications,
            genuine_at,
            pace,
            last_fact: Instant::now(),
        }
    }

    /// Whether a watch that is started now would do the same.
    fn would_be_same(&self, config: &Config, master: &MasterConfig) -> bool {
        let before = &self.started.config;
        self.master == *master
            && before.identity.id() == config.identity.id()
            && before.identity.public_key() == config.identity.public_key()
            && before.algorithms == config.algorithms
            && Intervals::from(&before.sidecar) == Intervals::from(&config.sidecar)
            && (before.sidecar.mode == Mode::Relay) == (config.sidecar.mode == Mode::Relay)
    }
}

impl Watches {
    /// Watches the masters of this configuration. A watch that would do the same goes on, and so do its connections. Gives for
    /// each master its name and its former number, if it is the same master.
    pub(super) fn configure(&mut self, config: &Arc<Config>) -> Vec<(String, Option<MasterIndex>)> {
        let mut before: Vec<Option<Watch>> = self.watches.drain(..).map(Some).collect();
        let mut masters = Vec::new();
        for (index, master) in config.masters.iter().enumerate() {
            let same = |watch: &Option<Watch>| watch.as_ref().is_some_and(|watch| watch.master == *master);
            let former = before.iter().position(same);
            let watch = former.and_then(|former| before.get_mut(former)?.take());
            self.watches.push(match watch {
                Some(watch) if watch.would_be_same(config, master) => watch,
                other => {
                    let genuine_at = other.map(|watch| watch.genuine_at).unwrap_or_default();
                    Watch::start(config, MasterIndex(index), master, genuine_at, &self.topics)
                }
            });
            masters.push((master.name.to_string(), former.map(MasterIndex)));
        }
        masters
    }

    /// The next news of any master. A watch that has failed is started anew meanwhile.
    pub(super) async fn next(&mut self) -> News {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<News> {
        let count = self.watches.len();
        for turn in 0..count {
            let index = (self.first + turn) % count;
            let Some(watch) = self.watches.get_mut(index) else {
                continue;
            };
            while watch.handle.poll_failed(context).is_ready() {
                let Started { config, index } = watch.started.clone();
                *watch = Watch::start(
                    &config,
                    index,
                    &watch.master.clone(),
                    watch.genuine_at.clone(),
                    &self.topics,
                );
            }
            if let Poll::Ready(Some(fact)) = watch.facts.poll_recv(context) {
                self.first = index + 1;
                watch.last_fact = fact.at;
                return Poll::Ready(News::Fact(Fact {
                    what: match fact.what {
                        What::Master(_, evidence) => What::Master(MasterIndex(index), evidence),
                        other => other,
                    },
                    ..fact
                }));
            }
            if let Poll::Ready(Some(publication)) = watch.publications.poll_recv(context) {
                self.first = index + 1;
                return Poll::Ready(News::Publication(MasterIndex(index), publication));
            }
        }
        Poll::Pending
    }

    /// Where each master has proved to be genuine, last.
    pub(super) fn ways(&self) -> Vec<Way> {
        let way = |watch: &Watch| Way {
            name: watch.master.name.to_string(),
            genuine_at: watch.genuine_at.subscribe(),
        };
        self.watches.iter().map(way).collect()
    }

    /// What minions behind our relay subscribe to: the relay adds to it, the watches heed it.
    pub(super) fn topics(&self) -> Topics {
        self.topics.clone()
    }

    /// Lets each watch ask as eagerly as policy wants it.
    pub(super) fn pace(&self, policy: &Policy) {
        for (index, watch) in self.watches.iter().enumerate() {
            let wanted = policy.wants(MasterIndex(index));
            watch.pace.send_if_modified(|pace| {
                let news = *pace != wanted;
                *pace = wanted;
                news
            });
        }
    }

    /// When the watch that has been silent for longest was last heard of; nothing if there is none.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        self.watches.iter().map(|watch| watch.last_fact).min()
    }
}
