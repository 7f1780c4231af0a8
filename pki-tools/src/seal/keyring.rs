//! The keys under which values are sealed, made of a passphrase or a key file that is asked for once.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use hmac::{Hmac, Mac as _};
use rand::Rng as _;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Owner;
pub use super::form::Opened;
use super::form::{Derivation, NONCE, SALT, Sealed};
use crate::keys::Role;

/// RFC 9106, section 4: the second recommended option, for environments with less memory.
const MEMORY: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// A file may ask for so much and no more: 256 MiB and some seconds, which every machine has that runs a pipeline.
const MOST_MEMORY: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;
/// And for no less than OWASP's first choice: nobody seals with that, so it was put there to make guessing cheap.
const LEAST_MEMORY: u32 = 19 * 1024;
const LEAST_PASSES: u32 = 2;

/// The bytes that a key file must have at least.
const KEY_FILE: usize = 32;

/// What opens sealed values. No `Debug`; wiped on drop.
#[derive(Clone)]
pub enum Secret {
    /// A passphrase, for Argon2id.
    Passphrase(Zeroizing<String>),
    /// The bytes of a key file.
    KeyFile(Zeroizing<Vec<u8>>),
}

/// Which kind of [`Secret`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// A passphrase.
    Passphrase,
    /// A key file.
    KeyFile,
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase => "passphrase",
            Self::KeyFile => "key file",
        })
    }
}

/// What a passphrase or key file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To open what is sealed: a wrong passphrase will be noticed.
    Open,
    /// To seal, with nothing there that could tell a mistyped passphrase.
    Seal,
}

/// Why a value could not be opened or sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is neither passphrase nor key file to open it with.
    #[error("it is sealed; set PKI_TOOLS_PASSPHRASE, or give --passphrase-file or --key-file")]
    NoSecret,
    /// There is neither passphrase nor key file to seal it with.
    #[error("there is no passphrase; set PKI_TOOLS_PASSPHRASE, or give --passphrase-file or --key-file")]
    NoSecretToSeal,
    /// The passphrase or key file could not be had.
    #[error("{0}")]
    Unavailable(String),
    /// It needs the other kind of secret.
    #[error("it is sealed with a {sealed}; give that instead of a {given}")]
    OtherKind {
        /// What it was sealed with.
        sealed: SecretKind,
        /// What there is.
        given: SecretKind,
    },
    /// An empty passphrase, or a key file of a few bytes.
    #[error("{0}")]
    Weak(&'static str),
    /// A form of another version.
    #[error("it is sealed in form v{0}, which this release does not know; use a newer one")]
    Version(String),
    /// It is cut off or damaged.
    #[error("the sealed text is damaged; restore it from an older copy of the file")]
    Malformed,
    /// It asks for more memory or time than is sane, or for so little that guessing would be cheap.
    #[error(
        "the sealed text asks for an unreasonable amount of memory or time; it was tampered with, \
         restore it from an older copy of the file"
    )]
    Cost,
    /// There is not the memory that Argon2 needs.
    #[error("there are not {0} MiB of memory free, which the passphrase's key takes")]
    Memory(u32),
    /// It is longer than any key.
    #[error("it is longer than any private key; more than 256 KiB cannot be sealed")]
    TooLong,
    /// Nothing has been opened with this secret so far.
    #[error(
        "wrong passphrase or key file; or it was tampered with, or sealed for another owner or under another name"
    )]
    Refused,
    /// Others of the same key were opened, this one was not.
    #[error(
        "it was tampered with, or sealed for another owner or under another name; restore it from an older copy of the file"
    )]
    Tampered,
}

type Key = Arc<Zeroizing<[u8; 32]>>;

/// Opens and seals values; asks for the secret when it is needed first, and only once.
pub struct Keyring {
    ask: Box<dyn Fn(Purpose) -> Result<Secret, SealError> + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    secret: Option<Result<Secret, SealError>>,
    /// Argon2 takes a tenth of a second: once a salt, not once a value. Behind a pointer: a map that grows would
    /// leave copies of the keys in freed memory.
    keys: HashMap<Derivation, Key>,
    /// The keys that opened something.
    proven: HashSet<Derivation>,
    /// What new values are sealed under.
    current: Option<Derivation>,
}

impl Keyring {
    /// With this passphrase or key file.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self::asking(move |_| Ok(secret.clone()))
    }

    /// Without any: sealed values stay closed.
    #[must_use]
    pub fn none() -> Self {
        Self::asking(|_| Err(SealError::NoSecret))
    }

    /// Asks for the passphrase or key file at the first value that needs it.
    #[must_use]
    pub fn asking(ask: impl Fn(Purpose) -> Result<Secret, SealError> + Send + Sync + 'static) -> Self {
        Self {
            ask: Box::new(ask),
            state: Mutex::default(),
        }
    }

    /// Whether there is a secret; asks for it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.secret(&mut self.state(), Purpose::Open).is_ok()
    }

    /// Opens a value that is the private half of this key.
    ///
    /// # Errors
    /// [`SealError`]: no secret, the wrong one, or a text that was tampered with.
    pub fn open(&self, text: &str, owner: &Owner, role: Role) -> Result<Opened, SealError> {
        let sealed = Sealed::parse(text)?;
        let mut state = self.state();
        let key = self.key(&mut state, sealed.derivation)?;
        let opened = match decrypt(&key, &sealed, owner, role) {
            Err(SealError::Refused) if state.proven.contains(&sealed.derivation) => {
                return Err(SealError::Tampered);
            }
            opened => opened?,
        };
        state.proven.insert(sealed.derivation);
        // What is sealed later in this run goes under the same key: one passphrase, one Argon2 a file.
        state.current.get_or_insert(sealed.derivation);
        Ok(opened)
    }

    /// Seals a private half, for this key and no other: under the key that opened something in this run, else
    /// under a new one.
    pub(crate) fn seal(&self, opened: &Opened, owner: &Owner, role: Role) -> Result<String, SealError> {
        let mut state = self.state();
        let derivation = match state.current {
            Some(derivation) => derivation,
            None => {
                let secret = self.secret(&mut state, Purpose::Seal)?;
                *state.current.insert(fresh(&secret))
            }
        };
        let key = self.key(&mut state, derivation)?;
        // At random: of 2^32 values under one key, far more than a client has, the risk that two share a nonce
        // would be 2^-32 (NIST SP 800-38D, 8.3).
        let mut nonce = [0; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        encrypt(&key, derivation, nonce, opened, owner, role)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secret(&self, state: &mut State, purpose: Purpose) -> Result<Secret, SealError> {
        let secret = state
            .secret
            .get_or_insert_with(|| (self.ask)(purpose).and_then(strong_enough))
            .clone();
        secret.map_err(|error| match (error, purpose) {
            (SealError::NoSecret, Purpose::Seal) => SealError::NoSecretToSeal,
            (error, _) => error,
        })
    }

    fn key(&self, state: &mut State, derivation: Derivation) -> Result<Key, SealError> {
        if let Some(key) = state.keys.get(&derivation) {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(derive(&self.secret(state, Purpose::Open)?, &derivation)?);
        state.keys.insert(derivation, Arc::clone(&key));
        Ok(key)
    }
}

fn decrypt(key: &[u8; 32], sealed: &Sealed, owner: &Owner, role: Role) -> Result<Opened, SealError> {
    let data = associated(&sealed.derivation, owner, role);
    let payload = Payload {
        msg: &sealed.sealed,
        aad: data.as_bytes(),
    };
    let plain = cipher(key)?
        .decrypt(&sealed.nonce.into(), payload)
        .map_err(|_| SealError::Refused)?;
    Opened::from_bytes(&Zeroizing::new(plain))
}

fn encrypt(
    key: &[u8; 32],
    derivation: Derivation,
    nonce: [u8; NONCE],
    opened: &Opened,
    owner: &Owner,
    role: Role,
) -> Result<String, SealError> {
    let data = associated(&derivation, owner, role);
    let plain = opened.to_bytes()?;
    let payload = Payload {
        msg: &plain,
        aad: data.as_bytes(),
    };
    let sealed = cipher(key)?
        .encrypt(&nonce.into(), payload)
        .map_err(|_| SealError::TooLong)?;
    let sealed = Sealed {
        derivation,
        nonce,
        sealed,
    };
    Ok(sealed.text())
}

fn strong_enough(secret: Secret) -> Result<Secret, SealError> {
    match &secret {
        Secret::Passphrase(text) if text.is_empty() => Err(SealError::Weak("the passphrase is empty")),
        Secret::KeyFile(bytes) if bytes.len() < KEY_FILE => Err(SealError::Weak(
            "the key file has less than 32 bytes; make one with `head -c 32 /dev/urandom > FILE`",
        )),
        _ => Ok(secret),
    }
}

/// A derivation with a new salt.
fn fresh(secret: &Secret) -> Derivation {
    let mut salt = [0; SALT];
    rand::rng().fill_bytes(&mut salt);
    match secret {
        Secret::Passphrase(_) => Derivation::Argon2id {
            memory: MEMORY,
            passes: PASSES,
            lanes: LANES,
            salt,
        },
        Secret::KeyFile(_) => Derivation::KeyFile { salt },
    }
}

fn derive(secret: &Secret, derivation: &Derivation) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let mut key = Zeroizing::new([0; 32]);
    match (secret, derivation) {
        (
            Secret::Passphrase(passphrase),
            Derivation::Argon2id {
                memory,
                passes,
                lanes,
                salt,
            },
        ) => {
            if !(LEAST_MEMORY..=MOST_MEMORY).contains(memory)
                || !(LEAST_PASSES..=MOST_PASSES).contains(passes)
                || *lanes > MOST_LANES
            {
                return Err(SealError::Cost);
            }
            let params =
                Params::new(*memory, *passes, *lanes, Some(key.len())).map_err(|_| SealError::Cost)?;
            // Memory of our own: the crate's is not wiped, and the key can be computed from it.
            let mut blocks = Zeroizing::new(Vec::new());
            blocks
                .try_reserve_exact(params.block_count())
                .map_err(|_| SealError::Memory(*memory / 1024))?;
            blocks.resize(params.block_count(), Block::default());
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into_with_memory(passphrase.as_bytes(), salt, key.as_mut_slice(), &mut *blocks)
                .map_err(|_| SealError::Cost)?;
        }
        (Secret::KeyFile(bytes), Derivation::KeyFile { salt }) => {
            let mut mac = Hmac::<Sha256>::new_from_slice(bytes).map_err(|_| SealError::Malformed)?;
            mac.update(salt);
            key.copy_from_slice(&mac.finalize().into_bytes());
        }
        (Secret::Passphrase(_), Derivation::KeyFile { .. }) => {
            return Err(SealError::OtherKind {
                sealed: SecretKind::KeyFile,
                given: SecretKind::Passphrase,
            });
        }
        (Secret::KeyFile(_), Derivation::Argon2id { .. }) => {
            return Err(SealError::OtherKind {
                sealed: SecretKind::Passphrase,
                given: SecretKind::KeyFile,
            });
        }
    }
    Ok(key)
}

fn cipher(key: &[u8; 32]) -> Result<Aes256Gcm, SealError> {
    Aes256Gcm::new_from_slice(key).map_err(|_| SealError::Malformed)
}

/// What a value is bound to besides its key.
fn associated(derivation: &Derivation, owner: &Owner, role: Role) -> String {
    let owner = match owner {
        Owner::Client(name) => format!("client {name}"),
        Owner::Host(fqdn) => format!("host {fqdn}"),
    };
    format!("{}\n{owner}\n{}", derivation.header(), role.path())
}

#[cfg(test)]
mod tests;
