//! What one connection wants to hear.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

/// Different prefixes of one connection. A salt-minion has three at most, a sidecar eighteen.
const PREFIXES: usize = 256;
/// The longest prefix. Salt's are 40 bytes at most.
const LONGEST: usize = 256;

/// What minions have subscribed to, for those who subscribe at the masters: with `zmq_filtering` a master sends each minion's jobs under a
/// topic of that minion.
pub type Topics = watch::Sender<BTreeSet<Vec<u8>>>;

/// Different topics of all connections, since the start.
const TOPICS: usize = 256;

/// Adds a topic. None is taken back: what a master sends in vain costs little, and what it does not send is lost.
pub(super) fn note(topics: &Topics, prefix: &[u8]) {
    if prefix.is_empty() || prefix.len() > LONGEST {
        return;
    }
    topics.send_if_modified(|topics| topics.len() < TOPICS && topics.insert(prefix.to_vec()));
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
    fn topics_are_told_once_and_are_bounded() {
        let topics = Topics::default();
        let told = topics.subscribe();
        note(&topics, b"");
        note(&topics, &[7; LONGEST + 1]);
        assert!(!told.has_changed().unwrap());
        for number in 0..2 * TOPICS {
            note(&topics, number.to_string().as_bytes());
        }
        assert_eq!(told.borrow().len(), TOPICS);
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
