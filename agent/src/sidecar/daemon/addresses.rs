//! Where the masters' names lead: by its addresses a master is known again among the minion's connections.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::{Config, MasterConfig};
use crate::sidecar::facts::{Evidence, Fact, MasterIndex, What};
use crate::sidecar::local::{Endpoint, Publisher};
use crate::sidecar::settings::Mode;

/// Between two questions to the name service.
const AGAIN: Duration = Duration::from_secs(60);
/// How long one may take.
const LOOKUP: Duration = Duration::from_secs(10);

/// What is known of the addresses of all masters.
pub(super) struct Addresses {
    masters: Vec<Known>,
    /// Where our relay publishes.
    relay: Option<SocketAddr>,
    answers: mpsc::Receiver<(MasterIndex, Vec<IpAddr>)>,
    _lookups: JoinSet<()>,
}

struct Known {
    publish_port: u16,
    /// What its name leads to.
    named: Vec<IpAddr>,
    /// Where we are connected to it: the minion may have asked at another time.
    peers: BTreeSet<IpAddr>,
}

impl Addresses {
    /// Begins to ask for those that are names.
    pub(super) fn of(config: &Arc<Config>) -> Self {
        let (told, answers) = mpsc::channel(16);
        let mut lookups = JoinSet::new();
        let masters = config.masters.iter().enumerate().map(|(index, master)| {
            let literal: Option<IpAddr> = master.address.as_str().parse().ok();
            if literal.is_none() {
                lookups.spawn(ask(MasterIndex(index), master.clone(), told.clone()));
            }
            Known {
                publish_port: master.publish_port,
                named: literal.into_iter().collect(),
                peers: BTreeSet::new(),
            }
        });
        Self {
            masters: masters.collect(),
            relay: (config.sidecar.mode == Mode::Relay).then(|| config.sidecar.relay.publish()),
            answers,
            _lookups: lookups,
        }
    }

    /// Begins with what was known of the masters that stay: a minion hangs on no stranger because names are asked for anew.
    pub(super) fn remember(&mut self, before: &Self, masters: &[(String, Option<MasterIndex>)]) {
        for (known, (_, former)) in self.masters.iter_mut().zip(masters) {
            if let Some(same) = former.and_then(|index| before.masters.get(index.0)) {
                known.named.clone_from(&same.named);
                known.peers.clone_from(&same.peers);
            }
        }
    }

    /// Waits until a name has led somewhere.
    pub(super) async fn learn(&mut self) {
        match self.answers.recv().await {
            Some((index, addresses)) => {
                if let Some(master) = self.masters.get_mut(index.0) {
                    master.named = addresses;
                }
            }
            // There are no names.
            None => std::future::pending().await,
        }
    }

    /// Notes where we are connected.
    pub(super) fn note(&mut self, fact: &Fact) {
        if let What::Master(index, Evidence::Connected { peer, .. }) = &fact.what
            && let Some(master) = self.masters.get_mut(index.0)
        {
            // One for each line; those of a name that moved on are none of its any more.
            if master.peers.len() > 1 {
                master.peers.clear();
            }
            master.peers.insert(peer.ip());
        }
    }

    /// What the minion's connections are compared with.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |(index, known): (usize, &Known)| Endpoint {
            of: Publisher::Master(MasterIndex(index)),
            publish_port: known.publish_port,
            addresses: known.named.iter().chain(&known.peers).copied().collect(),
        };
        let relay = self.relay.map(|at| Endpoint {
            of: Publisher::Relay,
            publish_port: at.port(),
            addresses: vec![at.ip()],
        });
        self.masters
            .iter()
            .enumerate()
            .map(endpoint)
            .chain(relay)
            .collect()
    }
}

async fn ask(index: MasterIndex, master: MasterConfig, told: mpsc::Sender<(MasterIndex, Vec<IpAddr>)>) {
    loop {
        // A name that does not resolve is told by the watch.
        if let Ok(Ok(found)) = timeout(
            LOOKUP,
            lookup_host((master.address.as_str(), master.publish_port)),
        )
        .await
        {
            let addresses = found.map(|address: SocketAddr| address.ip()).collect();
            if told.send((index, addresses)).await.is_err() {
                return;
            }
        }
        sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(known: &[&[&str]]) -> Addresses {
        let masters = known.iter().map(|named| Known {
            publish_port: 4505,
            named: named.iter().map(|address| address.parse().unwrap()).collect(),
            peers: BTreeSet::new(),
        });
        Addresses {
            masters: masters.collect(),
            relay: None,
            answers: mpsc::channel(1).1,
            _lookups: JoinSet::new(),
        }
    }

    #[test]
    fn addresses_of_masters_that_stay_are_known_before_their_names_are_asked_for_again() {
        let before = addresses(&[&["10.0.0.11"], &["10.0.0.12"]]);
        let mut now = addresses(&[&[], &[]]);
        let masters = [
            ("salt3".to_owned(), None),
            ("salt1".to_owned(), Some(MasterIndex(0))),
        ];
        now.remember(&before, &masters);
        let known: Vec<Vec<IpAddr>> = now.endpoints().into_iter().map(|of| of.addresses).collect();
        assert_eq!(known, [vec![], vec![IpAddr::from([10, 0, 0, 11])]]);
    }
}
