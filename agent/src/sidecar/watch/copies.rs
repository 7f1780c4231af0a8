//! One publication for several minions: a master with `zmq_filtering` sends what is for a list of them once for each, under the topic
//! of that minion. All of these are the same to the last byte but for the topic, so all but the first would pass for replays.

use std::sync::Arc;

use proto::publication::is_of_one_minion;

use super::Genuine;

/// Longer ones are not compared with what follows: they would have to be kept.
const LONGEST: usize = 1 << 20;
/// Minions behind one relay, at most.
const MINIONS: usize = 256;

/// The last genuine publication that was for single minions.
#[derive(Debug, Default)]
pub(super) struct Copies {
    last: Option<Genuine>,
    /// Whom it came for.
    topics: Vec<Vec<u8>>,
}

impl Copies {
    /// A genuine publication, the latest.
    pub(super) fn note(&mut self, genuine: &Genuine) {
        self.topics.clear();
        self.last = match genuine.frames.as_slice() {
            [topic, payload] if is_of_one_minion(topic) && payload.len() <= LONGEST => {
                self.topics.push(topic.clone());
                Some(genuine.clone())
            }
            _ => None,
        };
    }

    /// The same publication for another minion, if that is what these frames are. There is one for each minion: who repeats it
    /// under a topic that was there, or under one that several minions listen to, gets it judged as what it is.
    pub(super) fn another(&mut self, frames: &[Vec<u8>]) -> Option<Genuine> {
        let last = self.last.as_ref()?;
        let ([topic, payload], [_, known]) = (frames, last.frames.as_slice()) else {
            return None;
        };
        let is_copy = is_of_one_minion(topic) && payload == known;
        if !is_copy || self.topics.contains(topic) || self.topics.len() >= MINIONS {
            return None;
        }
        self.topics.push(topic.clone());
        Some(Genuine {
            frames: Arc::new(frames.to_vec()),
            errand: last.errand.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::facts::Errand;

    fn frames(topic: &str, payload: &[u8]) -> Vec<Vec<u8>> {
        vec![topic.as_bytes().to_vec(), payload.to_vec()]
    }

    fn noted(topic: &str, payload: &[u8]) -> Copies {
        let mut copies = Copies::default();
        copies.note(&Genuine {
            frames: Arc::new(frames(topic, payload)),
            errand: Errand::Lookup(None),
        });
        copies
    }

    #[test]
    fn each_minion_of_a_list_gets_its_own_once() {
        let [one, two] = ["1", "2"].map(|digit| digit.repeat(40));
        let mut copies = noted(&one, b"job");
        assert!(copies.another(&frames(&one, b"job")).is_none());
        let copy = copies.another(&frames(&two, b"job")).unwrap();
        assert_eq!(
            (&*copy.frames, copy.errand),
            (&frames(&two, b"job"), Errand::Lookup(None))
        );
        assert!(copies.another(&frames(&two, b"job")).is_none());
    }

    #[test]
    fn nothing_else_is_a_copy() {
        let [one, two] = ["1", "2"].map(|digit| digit.repeat(40));
        let short = "2".repeat(39);
        for (topic, payload) in [(&*two, "jo"), ("broadcast", "job"), ("", "job"), (&short, "job")] {
            let mut copies = noted(&one, b"job");
            assert!(
                copies.another(&frames(topic, payload.as_bytes())).is_none(),
                "{topic}"
            );
        }
        assert!(noted(&one, b"job").another(&[b"job".to_vec()]).is_none());
        // What all minions hear is not for each of them once more.
        assert!(
            noted("broadcast", b"job")
                .another(&frames(&two, b"job"))
                .is_none()
        );
    }
}
