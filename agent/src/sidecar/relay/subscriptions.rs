//! What one connection wants to hear.

use std::collections::BTreeMap;

/// Different prefixes of one connection. A salt-minion has three at most, a sidecar eighteen.
const PREFIXES: usize = 256;
/// The longest prefix. Salt's are 40 bytes at most.
const LONGEST: usize = 256;

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
