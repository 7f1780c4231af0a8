//! What one connection wants to hear.

use std::collections::{BTreeMap, BTreeSet};

use proto::publication::is_of_one_minion;
use tokio::sync::watch;

/// Different prefixes of one connection. A salt-minion has three at most, a sidecar eighteen.
const PREFIXES: usize = 256;
/// The longest prefix. Salt's are 40 bytes at most.
const LONGEST: usize = 256;

/// What minions have subscribed to, for those who subscribe at the masters: with `zmq_filtering` a master sends each minion's jobs under a
/// topic of that minion.
pub type Topics = watch::Sender<BTreeSet<Vec<u8>>>;

/// Different topics of minions at once. So many that each connection has room for its own.
const TOPICS: usize = OF_ONE * super::listener::CONNECTIONS;
/// Topics of minions that one connection may ask for: a minion has one.
const OF_ONE: usize = 2;

/// The topics that are told, and who has them.
///
/// What somebody had and nobody has now is kept until there is need of its place: a minion that comes back finds its jobs, and what a
/// master sends in vain costs little.
#[derive(Debug)]
pub(super) struct Noted {
    topics: Topics,
    holders: BTreeSet<(u64, Vec<u8>)>,
}

impl Noted {
    pub(super) fn new(topics: Topics) -> Self {
        Self {
            topics,
            holders: BTreeSet::new(),
        }
    }

    /// A connection has subscribed to this. Only what masters publish under counts: others could take all the room.
    pub(super) fn note(&mut self, connection: u64, prefix: &[u8]) {
        if is_of_all(prefix) {
            self.topics
                .send_if_modified(|topics| topics.insert(prefix.to_vec()));
            return;
        }
        let holder = (connection, prefix.to_vec());
        if !is_of_one_minion(prefix) || self.holders.contains(&holder) || self.held_by(connection) >= OF_ONE {
            return;
        }
        let unused = self.unused();
        self.topics.send_if_modified(|topics| {
            if topics.contains(prefix) {
                return false;
            }
            let number = topics.iter().filter(|topic| !is_of_all(topic)).count();
            if number >= TOPICS
                && let Some(unused) = unused
            {
                topics.remove(&unused);
            }
            topics.insert(prefix.to_vec())
        });
        self.holders.insert(holder);
    }

    /// A connection has ended.
    pub(super) fn leave(&mut self, connection: u64) {
        self.holders.retain(|(holder, _)| *holder != connection);
    }

    fn held_by(&self, connection: u64) -> usize {
        let holders = self.holders.iter();
        holders.filter(|(holder, _)| *holder == connection).count()
    }

    /// A topic that nobody has any more.
    fn unused(&self) -> Option<Vec<u8>> {
        let held: BTreeSet<&Vec<u8>> = self.holders.iter().map(|(_, topic)| topic).collect();
        let topics = self.topics.borrow();
        let unused = topics
            .iter()
            .find(|topic| !is_of_all(topic) && !held.contains(topic));
        unused.cloned()
    }
}

/// Whether masters publish under it for everybody (`salt/transport/zeromq.py`, `salt/channel/server.py`).
fn is_of_all(topic: &[u8]) -> bool {
    [b"broadcast".as_slice(), b"syndic"].contains(&topic)
}

/// Prefixes, each with how often it was subscribed to.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(BTreeMap<Vec<u8>, u32>);

/// More than any subscriber of Salt's would ask for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {PREFIXES} subscriptions, or one of more than {LONGEST} bytes")]
pub(super) struct TooMuch;

impl Subscriptions {
    pub(super) fn add(&mut self, prefix: Vec<u8>) -> Result<(), TooMuch> {
        if prefix.len() > LONGEST || (self.0.len() >= PREFIXES && !self.0.contains_key(&prefix)) {
            return Err(TooMuch);
        }
        let times = self.0.entry(prefix).or_default();
        *times = times.saturating_add(1);
        Ok(())
    }

    /// Takes one back; one that there is not is passed over, as libzmq does.
    pub(super) fn cancel(&mut self, prefix: &[u8]) {
        if let Some(times) = self.0.get_mut(prefix) {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(prefix);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a publication with this first frame is wanted.
    pub(super) fn want(&self, first: &[u8]) -> bool {
        self.0.keys().any(|prefix| first.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_wanted_if_a_prefix_of_it_is() {
        let mut subscriptions = Subscriptions::default();
        assert!(!subscriptions.want(b"broadcast"));
        subscriptions.add(b"broad".to_vec()).unwrap();
        assert!(subscriptions.want(b"broadcast"));
        assert!(!subscriptions.want(b"bro"));
        assert!(!subscriptions.want(b"syndic"));
        subscriptions.add(Vec::new()).unwrap();
        assert!(subscriptions.want(b"syndic"));
        assert!(subscriptions.want(b""));
    }

    #[test]
    fn only_topics_of_masters_are_told_and_once() {
        let topics = Topics::default();
        let mut told = topics.subscribe();
        let mut noted = Noted::new(topics);
        for strange in [b"".as_slice(), b"broad", b"81", b"x", &[b'g'; 40], &[b'a'; 41]] {
            noted.note(0, strange);
        }
        assert!(!told.has_changed().unwrap());
        for topic in [b"broadcast".as_slice(), b"syndic", &topic(0)] {
            noted.note(0, topic);
            assert!(told.has_changed().unwrap());
            told.mark_unchanged();
            noted.note(0, topic);
            assert!(!told.has_changed().unwrap());
        }
        assert_eq!(told.borrow().len(), 3);
    }

    #[test]
    fn nobody_takes_all_the_room_for_topics() {
        let topics = Topics::default();
        let told = topics.subscribe();
        let mut noted = Noted::new(topics);
        noted.note(0, b"broadcast");
        // One connection asks for many, and many come and go.
        for number in 0..1000 {
            noted.note(0, &topic(number));
        }
        assert_eq!(told.borrow().len(), 1 + OF_ONE);
        for connection in 1..1000 {
            noted.note(connection, &topic(connection));
            noted.leave(connection);
        }
        assert_eq!(told.borrow().len(), 1 + TOPICS);
        noted.note(1001, &topic(2000));
        for connection in 2000..3000 {
            noted.note(connection, &topic(connection));
            noted.leave(connection);
        }
        assert_eq!(told.borrow().len(), 1 + TOPICS);
        for held in [topic(0), topic(1), topic(2000), b"broadcast".to_vec()] {
            assert!(told.borrow().contains(&held));
        }
    }

    #[test]
    fn the_topic_of_a_minion_that_comes_back_was_not_forgotten_meanwhile() {
        let topics = Topics::default();
        let mut told = topics.subscribe();
        let mut noted = Noted::new(topics);
        noted.note(0, &topic(0));
        told.mark_unchanged();
        noted.leave(0);
        noted.note(1, &topic(0));
        assert!(!told.has_changed().unwrap());
        assert!(told.borrow().contains(&topic(0)));
    }

    fn topic(number: u64) -> Vec<u8> {
        format!("{number:040x}").into_bytes()
    }

    #[test]
    fn each_subscription_counts() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.add(b"a".to_vec()).unwrap();
        subscriptions.add(b"a".to_vec()).unwrap();
        subscriptions.cancel(b"b");
        subscriptions.cancel(b"a");
        assert!(subscriptions.want(b"a"));
        subscriptions.cancel(b"a");
        assert!(!subscriptions.want(b"a"));
        subscriptions.cancel(b"a");
    }

    #[test]
    fn they_are_bounded_in_number_and_length() {
        let mut subscriptions = Subscriptions::default();
        assert_eq!(subscriptions.add(vec![7; LONGEST + 1]), Err(TooMuch));
        for number in 0..PREFIXES {
            subscriptions.add(number.to_string().into_bytes()).unwrap();
        }
        assert_eq!(subscriptions.add(b"x".to_vec()), Err(TooMuch));
        subscriptions.add(b"0".to_vec()).unwrap();
    }
}
