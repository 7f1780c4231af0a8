//! Who we are, and what we ask masters to encrypt and sign with.

use rand::CryptoRng;

use crate::crypto::{EncryptionAlgorithm, KeyError, PrivateKey, PublicKey, SigningAlgorithm};
use crate::message::MinionId;

/// Who we are: a minion id and its key, accepted (one hopes) by the masters.
#[derive(Clone)]
pub struct Identity {
    id: MinionId,
    key: PrivateKey,
    public_pem: String,
    tok: Vec<u8>,
}

impl Identity {
    /// Puts id and key together.
    ///
    /// The token that every request carries is made here, once: it is the same for the life of the key.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if the key cannot sign.
    pub fn new<R: CryptoRng + ?Sized>(id: MinionId, key: PrivateKey, rng: &mut R) -> Result<Self, KeyError> {
        let public_pem = key.public_key().to_pem()?;
        let tok = key.x931_sign(b"salt", rng).map_err(|_| KeyError::Malformed)?;
        Ok(Self {
            id,
            key,
            public_pem,
            tok,
        })
    }

    /// The minion id.
    #[must_use]
    pub fn id(&self) -> &MinionId {
        &self.id
    }

    /// The public half, as the master should have it.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// The public half as it goes into a sign-in: cleaned PEM.
    pub(crate) fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The private half, which opens what a master seals for us.
    pub(crate) fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// X9.31 over `salt`: possession of the key, no freshness.
    pub(crate) fn tok(&self) -> &[u8] {
        &self.tok
    }
}

/// The algorithms that we ask the master to use; it never chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Algorithms {
    /// Minion option `encryption_algorithm`.
    pub encryption: EncryptionAlgorithm,
    /// Minion option `signing_algorithm`.
    pub signing: SigningAlgorithm,
}
