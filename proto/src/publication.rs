//! What arrives on the publish port: signature, HMAC, serial, in this order, before anything is believed.
//!
//! Every minion holds the AES key that publications are encrypted with, so only the signature of the
//! master keeps one minion from commanding all others.

use sha1::{Digest as _, Sha1};

use crate::crypto::{Crypticle, PublicKey, SigningAlgorithm, Unopened};
use crate::message::{DecodeError, Jid, Limits, MinionId, Value};

/// First bytes of a msgpack map of at most 15 entries, which every publication is that has no topic before it.
const SMALL_MAPS: std::ops::RangeInclusive<u8> = 0x80..=0x8f;

/// What a minion subscribes to on the publish port, whether its master filters or not, which masters do not tell.
///
/// With `zmq_filtering` a master puts a topic before each publication (`salt/transport/zeromq.py`, `publish_payload`):
/// the hex SHA-1 of one minion's id, or `broadcast`. Then nothing arrives but these two. Without it the publication
/// itself comes first, a small map, and all of them arrive.
#[must_use]
pub fn topics(id: &MinionId) -> Vec<Vec<u8>> {
    use std::fmt::Write as _;
    let own = Sha1::digest(id.as_str().as_bytes())
        .iter()
        .fold(String::with_capacity(40), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
    let maps = SMALL_MAPS.map(|byte| vec![byte]);
    [b"broadcast".to_vec(), own.into_bytes()]
        .into_iter()
        .chain(maps)
        .collect()
}

/// Whether a topic is that of one minion: the hex SHA-1 of its id.
#[must_use]
pub fn is_of_one_minion(topic: &[u8]) -> bool {
    topic.len() == 40 && topic.iter().all(u8::is_ascii_hexdigit)
}

/// Whether publications must be signed. A signature that is there must verify in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// For masters that sign: all from 3004 on, unless `sign_pub_messages` is off there.
    Required,
    /// For masters whose operator turned `sign_pub_messages` off.
    Optional,
}

/// Opens the publications of one master under one AES key.
pub struct Publications {
    master: PublicKey,
    aes: Crypticle,
    signatures: Signatures,
    last_serial: u64,
}

/// A genuine publication.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// The job.
    pub jid: Jid,
    /// The whole inner map: `fun`, `arg`, `tgt`, …
    pub load: Value,
}

/// Why a publication is dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicationError {
    /// Not one or two frames that hold an encrypted map.
    #[error("not a publication of a salt-master")]
    Malformed,
    /// Has no signature, though the master signs.
    #[error("the publication is not signed")]
    Unsigned,
    /// Signed with an algorithm that is not on the list.
    #[error("the publication is signed with an algorithm that is not allowed")]
    Algorithm,
    /// The signature does not verify under the master's key.
    #[error("the signature of the publication does not verify with the master's key")]
    Signature,
    /// Does not open under the AES key. If the signature was good, the key has been rotated: sign in
    /// again, then try this very publication once more.
    #[error("the publication does not open under the AES key")]
    Unopened,
    /// The serial did not grow: a replay.
    #[error("the publication's serial {serial} is not above {last}: a replay")]
    Replay {
        /// The serial in it.
        serial: u64,
        /// The highest so far.
        last: u64,
    },
    /// Genuine, but not one msgpack map with a job in it.
    #[error("the publication is not readable")]
    Unreadable,
}

impl From<Unopened> for PublicationError {
    fn from(_: Unopened) -> Self {
        Self::Unopened
    }
}

impl From<DecodeError> for PublicationError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

impl Publications {
    /// Starts a new memory of serials: they begin anew with each AES key.
    pub(crate) fn new(master: PublicKey, aes: Crypticle, signatures: Signatures) -> Self {
        Self {
            master,
            aes,
            signatures,
            last_serial: 0,
        }
    }

    /// Takes over the keys of a new sign-in at this master. The memory of serials stays if the AES key is the same: a
    /// publication from before is a replay then.
    pub(crate) fn renew(&mut self, master: &PublicKey, aes: &Crypticle) {
        if !self.aes.is(aes) {
            self.last_serial = 0;
            self.aes = aes.clone();
        }
        self.master = master.clone();
    }

    /// Judges one message of the publish port: one frame, or topic and payload (`zmq_filtering`).
    ///
    /// # Errors
    /// [`PublicationError`]; the serial is remembered of genuine ones only.
    pub fn open(&mut self, frames: &[Vec<u8>]) -> Result<Publication, PublicationError> {
        let ([payload] | [_, payload]) = frames else {
            return Err(PublicationError::Malformed);
        };
        let outer = Value::decode(payload, Limits::UNVERIFIED)?;
        if outer.get("enc").and_then(Value::as_bytes) != Some(b"aes") {
            return Err(PublicationError::Malformed);
        }
        let message = outer
            .get("load")
            .and_then(Value::as_bytes)
            .ok_or(PublicationError::Malformed)?;
        self.check_signature(&outer, message)?;
        let plaintext = self.aes.decrypt(message)?;
        let load = Value::decode(&plaintext, Limits::VERIFIED).map_err(|_| PublicationError::Unreadable)?;
        let jid = load.get("jid").and_then(Value::as_text).map(Jid::parse);
        let Some(Ok(jid)) = jid else {
            return Err(PublicationError::Unreadable);
        };
        // Absent in clusters; freshness is then the job id's alone.
        if let Some(serial) = load.get("serial") {
            let serial = serial.as_u64().ok_or(PublicationError::Unreadable)?;
            if serial <= self.last_serial {
                return Err(PublicationError::Replay {
                    serial,
                    last: self.last_serial,
                });
            }
            self.last_serial = serial;
        }
        Ok(Publication { jid, load })
    }

    fn check_signature(&self, outer: &Value, message: &[u8]) -> Result<(), PublicationError> {
        let Some(signature) = outer.get("sig") else {
            return match self.signatures {
                Signatures::Required => Err(PublicationError::Unsigned),
                Signatures::Optional => Ok(()),
            };
        };
        let signature = signature.as_bytes().ok_or(PublicationError::Signature)?;
        let algorithm = match outer.get("sig_algo") {
            // 3005 signs without naming its algorithm.
            None => SigningAlgorithm::Pkcs1v15Sha1,
            Some(name) => name
                .as_text()
                .and_then(|name| name.parse().ok())
                .ok_or(PublicationError::Algorithm)?,
        };
        self.master
            .verify(algorithm, message, signature)
            .map_err(|_| PublicationError::Signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{KeyString, PrivateKey};

    fn aes() -> Crypticle {
        Crypticle::new(&KeyString::generate(&mut rand::rng())).unwrap()
    }

    fn publication(key: &PrivateKey, aes: &Crypticle, serial: i64) -> Vec<Vec<u8>> {
        let load = Value::map([
            ("jid", Value::text("20261120184009763862")),
            ("serial", Value::Int(serial)),
        ]);
        let load = aes.encrypt(&load.encode(), None, &mut rand::rng()).unwrap();
        let algorithm = SigningAlgorithm::Pkcs1v15Sha1;
        let outer = Value::map([
            ("enc", Value::text("aes")),
            (
                "sig",
                Value::Raw(key.sign(algorithm, &load, &mut rand::rng()).unwrap()),
            ),
            ("load", Value::Raw(load)),
        ]);
        vec![outer.encode()]
    }

    #[test]
    fn a_publication_from_before_a_new_sign_in_is_a_replay_until_the_key_changes() {
        let key = PrivateKey::generate(2048, &mut rand::rng()).unwrap();
        let (old, new) = (aes(), aes());
        let mut publications = Publications::new(key.public_key(), old.clone(), Signatures::Required);
        let first = publication(&key, &old, 7);
        publications.open(&first).unwrap();
        publications.renew(&key.public_key(), &old);
        let replay = PublicationError::Replay { serial: 7, last: 7 };
        assert_eq!(publications.open(&first), Err(replay));
        publications.renew(&key.public_key(), &new);
        assert_eq!(publications.open(&first), Err(PublicationError::Unopened));
        publications.open(&publication(&key, &new, 1)).unwrap();
    }

    #[test]
    fn a_publication_with_and_without_a_topic_matches_one_subscription() {
        let key = PrivateKey::generate(2048, &mut rand::rng()).unwrap();
        let topics = topics(&MinionId::parse("minion01").unwrap());
        let matches = |frame: &[u8]| topics.iter().filter(|topic| frame.starts_with(topic)).count();
        assert_eq!(matches(&publication(&key, &aes(), 1)[0]), 1);
        // `hashlib.sha1(b"minion01").hexdigest()`, and that of minion02
        assert_eq!(matches(b"e2fc7a13368b93f10899c033e098b7f1e60e8da4"), 1);
        assert_eq!(matches(b"broadcast"), 1);
        assert_eq!(matches(b"cab2f06705cb723b0f1bdb2f0d527aa31ed5adc0"), 0);
        assert_eq!(matches(b"syndic"), 0);
    }
}
