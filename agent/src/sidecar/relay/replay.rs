//! Which publications were carried already, whichever master they came from.

use std::collections::{HashSet, VecDeque};

use proto::publication::is_of_one_minion;
use sha2::{Digest as _, Sha256};

/// Publications that are remembered.
const REMEMBERED: usize = 4096;
/// Bytes that are hashed before others have their turn.
const AT_ONCE: usize = 256 * 1024;

type Fingerprint = [u8; 32];

/// The last publications, by the SHA-256 of their payloads. Each is encrypted with an initialisation vector of its own: no two jobs have
/// the same one. But one for several minions may come once for each, under the topic of that minion.
#[derive(Debug, Default)]
pub(super) struct Replays {
    known: HashSet<Fingerprint>,
    order: VecDeque<Fingerprint>,
}

impl Replays {
    /// Whether these frames are new; from now on they are known.
    pub(super) async fn is_new(&mut self, frames: &[Vec<u8>]) -> bool {
        let mut hasher = Sha256::new();
        let payload = match frames {
            [topic, payload] if is_of_one_minion(topic) => {
                hasher.update(topic);
                payload
            }
            [.., payload] => payload,
            [] => return false,
        };
        for (number, piece) in payload.chunks(AT_ONCE).enumerate() {
            if number > 0 {
                tokio::task::yield_now().await;
            }
            hasher.update(piece);
        }
        self.note(hasher.finalize().into())
    }

    fn note(&mut self, fingerprint: Fingerprint) -> bool {
        if !self.known.insert(fingerprint) {
            return false;
        }
        self.order.push_back(fingerprint);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_publication_is_new_once_and_memory_is_bounded() {
        let mut replays = Replays::default();
        let long = [vec![7; AT_ONCE + 1]];
        assert!(replays.is_new(&long).await);
        assert!(!replays.is_new(&long).await);
        assert!(replays.is_new(&[vec![7; AT_ONCE]]).await);
        // Whatever topic it is under, unless that of another minion.
        assert!(!replays.is_new(&[b"broadcast".to_vec(), vec![7; AT_ONCE]]).await);
        for minion in [b"1", b"2"] {
            let copy = [minion.repeat(40), vec![7; AT_ONCE]];
            assert!(replays.is_new(&copy).await);
            assert!(!replays.is_new(&copy).await);
        }
        for number in 0..REMEMBERED {
            assert!(replays.is_new(&[number.to_be_bytes().to_vec()]).await);
            assert!(replays.order.len() <= REMEMBERED && replays.known.len() == replays.order.len());
        }
        assert!(replays.is_new(&long).await, "4096 others came since");
    }
}
