//! The keys under which values are sealed, made of a passphrase or a key file that is asked for once.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, Mac as _};
use rand::Rng as _;
use sha2::Sha256;
use zeroize::Zeroizing;

pub use super::form::Opened;
use super::form::{Derivation, NONCE, SALT, Sealed};
use super::{Owner, form::Written};
use crate::keys::Role;

/// RFC 9106, section 4: the second recommended option, for environments with less memory.
const MEMORY: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// A file may ask for so much and no more: 1 GiB, and a few seconds.
const MOST_MEMORY: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;

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

/// Why a value could not be opened or sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is neither passphrase nor key file.
    #[error("it is sealed; set PKI_TOOLS_PASSPHRASE, or give --passphrase-file or --key-file")]
    NoSecret,
    /// The passphrase or key file could not be had.
    #[error("it is sealed, and {0}")]
    Unavailable(String),
    /// It needs the other kind of secret.
    #[error("it is sealed with a {sealed}; give that instead of a {given}")]
    OtherKind {
        /// What it was sealed with.
        sealed: &'static str,
        /// What there is.
        given: &'static str,
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
    /// It asks for more memory or time than is sane.
    #[error("the sealed text asks for an unreasonable amount of memory or time; it was tampered with")]
    Cost,
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

/// Opens and seals values; asks for the secret when it is needed first, and only once.
pub struct Keyring {
    ask: Box<dyn Fn() -> Result<Secret, SealError> + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    secret: Option<Result<Secret, SealError>>,
    /// Argon2 takes a tenth of a second: once a salt, not once a value.
    keys: HashMap<Derivation, Zeroizing<[u8; 32]>>,
    /// The keys that opened something.
    proven: HashSet<Derivation>,
    /// What new values are sealed under.
    current: Option<Derivation>,
}

impl Keyring {
    /// With this passphrase or key file.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self::asking(move || Ok(secret.clone()))
    }

    /// Without any: sealed values stay closed.
    #[must_use]
    pub fn none() -> Self {
        Self::asking(|| Err(SealError::NoSecret))
    }

    /// Asks for the passphrase or key file at the first value that needs it.
    #[must_use]
    pub fn asking(ask: impl Fn() -> Result<Secret, SealError> + Send + Sync + 'static) -> Self {
        Self {
            ask: Box::new(ask),
            state: Mutex::default(),
        }
    }

    /// Whether there is a secret; asks for it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.secret(&mut self.state()).is_ok()
    }

    /// Opens a value that is the private half of this key.
    ///
    /// # Errors
    /// [`SealError`]: no secret, the wrong one, or a text that was tampered with.
    pub fn open(&self, text: &str, owner: &Owner, role: Role) -> Result<Opened, SealError> {
        let sealed = Sealed::parse(text)?;
        let mut state = self.state();
        let key = self.key(&mut state, sealed.derivation)?;
        let data = associated(&sealed.derivation, owner, role);
        let payload = Payload {
            msg: &sealed.sealed,
            aad: data.as_bytes(),
        };
        let plain = cipher(&key)?.decrypt(&sealed.nonce.into(), payload);
        let Ok(plain) = plain.map(Zeroizing::new) else {
            let proven = state.proven.contains(&sealed.derivation);
            return Err(if proven {
                SealError::Tampered
            } else {
                SealError::Refused
            });
        };
        state.proven.insert(sealed.derivation);
        // What is sealed later in this run goes under the same key: one passphrase, one Argon2 a file.
        state.current.get_or_insert(sealed.derivation);
        Opened::from_bytes(&plain)
    }

    /// Seals a private half, for this key and no other.
    pub(crate) fn seal(&self, opened: &Opened, owner: &Owner, role: Role) -> Result<String, SealError> {
        let mut state = self.state();
        let derivation = match state.current {
            Some(derivation) => derivation,
            None => {
                let secret = self.secret(&mut state)?;
                *state.current.insert(fresh(&secret))
            }
        };
        let key = self.key(&mut state, derivation)?;
        let data = associated(&derivation, owner, role);
        let mut nonce = [0; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let plain = opened.to_bytes();
        let payload = Payload {
            msg: &plain,
            aad: data.as_bytes(),
        };
        let sealed = cipher(&key)?
            .encrypt(&nonce.into(), payload)
            .map_err(|_| SealError::Malformed)?;
        let sealed = Sealed {
            derivation,
            nonce,
            sealed,
        };
        Ok(sealed.text())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secret(&self, state: &mut State) -> Result<Secret, SealError> {
        state
            .secret
            .get_or_insert_with(|| (self.ask)().and_then(strong_enough))
            .clone()
    }

    fn key(&self, state: &mut State, derivation: Derivation) -> Result<Zeroizing<[u8; 32]>, SealError> {
        if let Some(key) = state.keys.get(&derivation) {
            return Ok(key.clone());
        }
        let key = derive(&self.secret(state)?, &derivation)?;
        state.keys.insert(derivation, key.clone());
        Ok(key)
    }
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
            if *memory > MOST_MEMORY || *passes > MOST_PASSES || *lanes > MOST_LANES {
                return Err(SealError::Cost);
            }
            let params =
                Params::new(*memory, *passes, *lanes, Some(key.len())).map_err(|_| SealError::Cost)?;
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(passphrase.as_bytes(), salt, key.as_mut_slice())
                .map_err(|_| SealError::Cost)?;
        }
        (Secret::KeyFile(bytes), Derivation::KeyFile { salt }) => {
            let mut mac = Hmac::<Sha256>::new_from_slice(bytes).map_err(|_| SealError::Malformed)?;
            mac.update(salt);
            key.copy_from_slice(&mac.finalize().into_bytes());
        }
        (Secret::Passphrase(_), Derivation::KeyFile { .. }) => {
            return Err(SealError::OtherKind {
                sealed: "key file",
                given: "passphrase",
            });
        }
        (Secret::KeyFile(_), Derivation::Argon2id { .. }) => {
            return Err(SealError::OtherKind {
                sealed: "passphrase",
                given: "key file",
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
    format!(
        "{}\n{owner}\n{}.{}",
        derivation.header(),
        role.field(),
        role.private()
    )
}

impl Opened {
    /// A value that is written as `gen` writes it.
    pub(crate) fn plain(value: Zeroizing<String>) -> Self {
        Self { value, written: None }
    }

    /// A value that is written in another way.
    pub(crate) fn written(value: Zeroizing<String>, column: u32, source: Zeroizing<String>) -> Self {
        let written = Some(Written { column, source });
        Self { value, written }
    }
}
