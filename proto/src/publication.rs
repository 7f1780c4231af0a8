//! What arrives on the publish port: signature, HMAC, serial, in this order, before anything is believed.
//!
//! Every minion holds the AES key that publications are encrypted with, so only the signature of the
//! master keeps one minion from commanding all others.

use crate::crypto::{Crypticle, PublicKey, SigningAlgorithm, Unopened};
use crate::message::{DecodeError, Jid, Limits, Value};

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
