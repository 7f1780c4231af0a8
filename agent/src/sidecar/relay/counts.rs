//! What the relay counts, and the snapshot of it for report and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::Serialize;
use tokio::sync::watch;

use super::route::Route;
use crate::sidecar::facts::MasterIndex;
use crate::sidecar::http::Listening;

/// What the relay is at, at one moment. Counts are since its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where it carries to.
    pub route: Route,
    /// The port for publications.
    pub publish: Port,
    /// The port for requests.
    pub requests: Port,
    /// What became of requests.
    pub carried: Requests,
    /// What became of publications.
    pub publications: Publications,
    /// A task of the relay has ended by a fault of ours: it is to be started anew.
    pub failed: bool,
}

/// One of the two ports for local minions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Whether it listens, or why not.
    pub listening: Listening,
    /// Connections now.
    pub connections: usize,
    /// Connections that were closed because there were too many: an idle one, or else the new one.
    pub turned_away: u64,
    /// Connections that ended because what came over them was no ZMTP, of the wrong socket type, or otherwise against the
    /// protocol, or stopped half-way.
    pub refused: u64,
}

/// Requests, as a count of each fate. Bytes are those of payloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Wait for a reply now, by master. The report has them by name.
    #[serde(skip)]
    pub under_way: Vec<usize>,
    /// Wait for a route or a connection now.
    pub held: usize,
    /// Were answered by a master, and the answer was given to the client.
    pub answered: u64,
    /// Were taken from one master and sent to another.
    pub resent: u64,
    /// Were sent again to the same master, as their connection had broken.
    pub repeated: u64,
    /// Were given up by their client.
    pub cancelled: u64,
    /// Were given up by the relay, long after any client would.
    pub expired: u64,
    /// Were no request: no empty frame with exactly one frame behind it, or too much before it.
    pub malformed: u64,
    /// Bytes from clients.
    pub bytes_up: u64,
    /// Bytes from masters.
    pub bytes_down: u64,
}

/// Publications, as a count of each fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Publications {
    /// Came from the elected master and were new.
    pub carried: u64,
    /// Were queued for a connection: one publication counts for each that subscribed to it.
    pub delivered: u64,
    /// Why others were dropped.
    pub dropped: Dropped,
}

/// Publications that were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Came from a master that was abandoned.
    pub elsewhere: u64,
    /// Had been carried before.
    pub replay: u64,
    /// Found no room in the queue of a connection that is not read, or waited for one that was closed for that; one counts for each such
    /// connection.
    pub unread: u64,
}

impl Dropped {
    /// Each count with a word for metrics.
    #[must_use]
    pub fn by_reason(&self) -> [(&'static str, u64); 3] {
        [
            ("elsewhere", self.elsewhere),
            ("replay", self.replay),
            ("unread", self.unread),
        ]
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn one(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, more: usize) {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number of things that are there now.
#[derive(Debug, Default)]
pub(super) struct Gauge(Arc<AtomicUsize>);

/// Counts one thing as long as it lives.
#[derive(Debug)]
pub(super) struct Present(Arc<AtomicUsize>);

impl Gauge {
    pub(super) fn enter(&self) -> Present {
        self.0.fetch_add(1, Ordering::Relaxed);
        Present(Arc::clone(&self.0))
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counts of a port.
#[derive(Debug, Default)]
pub(super) struct PortCounts {
    pub(super) connections: Gauge,
    pub(super) turned_away: Count,
    pub(super) refused: Count,
}

impl PortCounts {
    pub(super) fn seen(&self, listening: Listening) -> Port {
        Port {
            listening,
            connections: self.connections.get(),
            turned_away: self.turned_away.get(),
            refused: self.refused.get(),
        }
    }
}

/// The counts of requests.
#[derive(Debug)]
pub(super) struct RequestCounts {
    under_way: Vec<Gauge>,
    /// Requests to masters that there are not.
    nowhere: Gauge,
    pub(super) held: Gauge,
    /// Replies that have come and are not yet with their clients.
    pub(super) leaving: Gauge,
    answered: watch::Sender<u64>,
    pub(super) resent: Count,
    pub(super) repeated: Count,
    pub(super) cancelled: Count,
    pub(super) expired: Count,
    pub(super) malformed: Count,
    pub(super) bytes_up: Count,
    pub(super) bytes_down: Count,
}

impl RequestCounts {
    pub(super) fn new(masters: usize) -> Self {
        Self {
            under_way: (0..masters).map(|_| Gauge::default()).collect(),
            nowhere: Gauge::default(),
            held: Gauge::default(),
            leaving: Gauge::default(),
            answered: watch::Sender::default(),
            resent: Count::default(),
            repeated: Count::default(),
            cancelled: Count::default(),
            expired: Count::default(),
            malformed: Count::default(),
            bytes_up: Count::default(),
            bytes_down: Count::default(),
        }
    }

    pub(super) fn under_way_at(&self, master: MasterIndex) -> &Gauge {
        self.under_way.get(master.0).unwrap_or(&self.nowhere)
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.under_way.iter().map(Gauge::get).sum()
    }

    /// One more was answered.
    pub(super) fn one_answered(&self) {
        self.answered
            .send_modify(|answered| *answered = answered.wrapping_add(1));
    }

    /// How many were answered, as it grows.
    pub(super) fn answers(&self) -> watch::Receiver<u64> {
        self.answered.subscribe()
    }

    /// Whether nobody waits for a reply that a master owes or has given. Those who wait for a route or a connection may be there.
    pub(super) fn is_quiet(&self) -> bool {
        self.leaving.get() == 0 && self.under_way.iter().all(|master| master.get() == 0)
    }

    pub(super) fn seen(&self) -> Requests {
        Requests {
            under_way: self.under_way.iter().map(Gauge::get).collect(),
            held: self.held.get(),
            answered: *self.answered.borrow(),
            resent: self.resent.get(),
            repeated: self.repeated.get(),
            cancelled: self.cancelled.get(),
            expired: self.expired.get(),
            malformed: self.malformed.get(),
            bytes_up: self.bytes_up.get(),
            bytes_down: self.bytes_down.get(),
        }
    }
}

/// The counts of publications.
#[derive(Debug, Default)]
pub(super) struct PublicationCounts {
    pub(super) carried: Count,
    pub(super) delivered: Count,
    pub(super) elsewhere: Count,
    pub(super) replay: Count,
    pub(super) unread: Count,
}

impl PublicationCounts {
    pub(super) fn seen(&self) -> Publications {
        Publications {
            carried: self.carried.get(),
            delivered: self.delivered.get(),
            dropped: Dropped {
                elsewhere: self.elsewhere.get(),
                replay: self.replay.get(),
                unread: self.unread.get(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_counts_at_its_master_and_as_long_as_it_lives() {
        let counts = RequestCounts::new(2);
        let one = counts.under_way_at(MasterIndex(1)).enter();
        let two = counts.under_way_at(MasterIndex(1)).enter();
        let nowhere = counts.under_way_at(MasterIndex(2)).enter();
        assert_eq!(counts.seen().under_way, [0, 2]);
        drop((one, two, nowhere));
        assert_eq!(counts.seen().under_way, [0, 0]);
    }

    #[test]
    fn the_report_has_the_counts_and_not_the_masters_by_number() {
        let counts = RequestCounts::new(2);
        counts.resent.one();
        let told = serde_json::to_value(counts.seen()).unwrap();
        assert_eq!((&told["resent"], &told["held"]), (&1.into(), &0.into()));
        assert!(told.get("under_way").is_none());
    }
}
