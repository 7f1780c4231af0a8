//! The cryptographic parts of Salt's protocol, and nothing that Salt does not use.
//!
//! RSA and the block cipher come from RustCrypto; what is ours is the way in which Salt puts them
//! together. Every failure to open something is the same [`Unopened`], whatever went wrong inside:
//! a peer that tries things learns nothing from the answer.

mod algorithm;
mod crypticle;
mod fingerprint;
mod keys;
mod rsa_schemes;
mod x931;

pub use algorithm::{EncryptionAlgorithm, SigningAlgorithm, UnsupportedAlgorithm};
pub use crypticle::{Crypticle, KeyString};
pub use fingerprint::{Fingerprint, FingerprintMatch};
pub use keys::{KeyError, PrivateKey, PublicKey};

/// A message, ciphertext or signature that did not open under the key it was tried with.
///
/// It says no more on purpose: see the module's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not open under this key")]
pub struct Unopened;

/// A plaintext that does not fit the key, or a random generator that gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot be encrypted or signed with this key")]
pub struct Unsealed;
