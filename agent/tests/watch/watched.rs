//! Masters that are watched, and what is learned of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agent::config::{Config, Permissions, Source};
use agent::sidecar::facts::{Evidence, Fact, MasterIndex, What};
use agent::sidecar::watch::{Genuine, HandOut, Handle, Intervals, Outlets, Pace, start};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::client::{Client, ID};
use crate::master::Master;

/// Longer than anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// A master under watch.
pub(crate) struct Watched {
    pub(crate) pace: watch::Sender<Pace>,
    facts: mpsc::Receiver<Fact>,
    /// Everything that was learned so far.
    pub(crate) seen: Vec<Evidence>,
    pub(crate) handle: Option<Handle>,
    /// Publications that are for the minion.
    pub(crate) handed_out: mpsc::Receiver<Genuine>,
    /// What else is to be subscribed to.
    pub(crate) topics: watch::Sender<BTreeSet<Vec<u8>>>,
    _client: Client,
}

/// Faster than the default, and no faster than a busy machine can follow.
pub(crate) fn brisk() -> Intervals {
    Intervals {
        heartbeat: Duration::from_millis(100),
        heartbeat_misses: 4,
        verify: Duration::from_millis(400),
        verify_timeout: Duration::from_secs(1),
    }
}

/// A `saltfo.yaml` with one master.
pub(crate) fn config_of(address: &str, ports: [u16; 2]) -> (Client, Arc<Config>) {
    let client = Client::new(&[]);
    client.configure(&format!(
        "id: {ID}\npki:\n  minion_pem: pki/minion.pem\n  master_sign_pub: pki/master_sign.pub\nmasters:\n  \
         - name: salt1.xyz.example\n    address: {address}\n    master_port: {}\n    publish_port: {}\n",
        ports[0], ports[1]
    ));
    let config = Config::load(&Source::Saltfo(client.config()), Permissions::Checked).unwrap();
    (client, Arc::new(config))
}

impl Watched {
    pub(crate) fn master(master: &Master) -> Self {
        Self::with(master, brisk())
    }

    pub(crate) fn with(master: &Master, intervals: Intervals) -> Self {
        let ports = [master.requests.port(), master.publications.port()];
        Self::at(&master.requests.ip().to_string(), ports, intervals)
    }

    pub(crate) fn at(address: &str, ports: [u16; 2], intervals: Intervals) -> Self {
        let (client, config) = config_of(address, ports);
        let (sender, facts) = mpsc::channel(1024);
        let (pace, paced) = watch::channel(Pace::Steady);
        let (outlet, handed_out) = mpsc::channel(16);
        let topics = watch::Sender::new(BTreeSet::new());
        let outlets = Outlets {
            facts: sender,
            genuine_at: watch::Sender::new(None),
            publications: Some(HandOut {
                to: outlet,
                topics: topics.subscribe(),
            }),
        };
        let handle = start(&config, intervals, MasterIndex(0), outlets, paced);
        Self {
            pace,
            facts,
            handed_out,
            topics,
            seen: Vec::new(),
            handle: Some(handle),
            _client: client,
        }
    }

    /// The next evidence that is wanted.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&Evidence) -> bool) -> Evidence {
        let found = timeout(PATIENCE, async {
            loop {
                let evidence = self.next().await;
                if wanted(&evidence) {
                    return evidence;
                }
            }
        });
        match found.await {
            Ok(evidence) => evidence,
            Err(_) => {
                let last: Vec<_> = self.seen.iter().rev().take(20).collect();
                panic!("not seen: {what}; the last first: {last:#?}")
            }
        }
    }

    /// Whether such evidence comes within this time.
    pub(crate) async fn heard(&mut self, time: Duration, wanted: impl Fn(&Evidence) -> bool) -> bool {
        let found = async { while !wanted(&self.next().await) {} };
        timeout(time, found).await.is_ok()
    }

    async fn next(&mut self) -> Evidence {
        let fact = self.facts.recv().await.unwrap();
        let What::Master(MasterIndex(0), evidence) = fact.what else {
            panic!("{fact:?}")
        };
        self.seen.push(evidence.clone());
        evidence
    }

    /// As [`Self::until`], or it was seen already.
    pub(crate) async fn once(&mut self, what: &str, wanted: impl Fn(&Evidence) -> bool) {
        if self.saw(&wanted) == 0 {
            self.until(what, wanted).await;
        }
    }

    /// As [`Self::until`], `count` times.
    pub(crate) async fn times(&mut self, count: usize, what: &str, wanted: impl Fn(&Evidence) -> bool) {
        for _ in 0..count {
            self.until(what, &wanted).await;
        }
    }

    pub(crate) async fn verified(&mut self) -> bool {
        let verified = |evidence: &Evidence| matches!(evidence, Evidence::Verified { .. });
        match self.until("a verified answer", verified).await {
            Evidence::Verified { signed_in, .. } => signed_in,
            _ => false,
        }
    }

    /// Forgets what was seen.
    pub(crate) fn forget(&mut self) {
        while self.facts.try_recv().is_ok() {}
        self.seen.clear();
    }

    pub(crate) fn saw(&self, wanted: impl Fn(&Evidence) -> bool) -> usize {
        self.seen.iter().filter(|evidence| wanted(evidence)).count()
    }
}
