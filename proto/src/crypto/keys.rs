//! RSA keys as Salt keeps them: PEM, PKCS#1 or PKCS#8 private halves, SubjectPublicKeyInfo public ones.

use rand::CryptoRng;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, DecodeRsaPublicKey as _, EncodeRsaPrivateKey as _};
use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _, LineEnding};
use rsa::traits::PublicKeyParts as _;
use rsa::{RsaPrivateKey, RsaPublicKey};
use zeroize::Zeroizing;

/// Smallest modulus that is taken, in bits: below it OAEP-SHA224 has no room for a key string, and RSA is broken.
const MIN_BITS: u32 = 1088;
/// Largest modulus that is taken, in bits: a longer one only keeps the processor busy.
const MAX_BITS: u32 = 16384;

/// Why a key could not be read. The message never holds key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no PEM block of a kind that Salt reads.
    #[error("no PEM {expected} found (it begins with -----BEGIN {label}-----)")]
    NotPem {
        /// What was looked for.
        expected: &'static str,
        /// The label of the usual form.
        label: &'static str,
    },
    /// The other half of the pair, or a key of another algorithm.
    #[error("this is a {found}, not a {expected}")]
    WrongKind {
        /// What the PEM label says that it is.
        found: String,
        /// What was looked for.
        expected: &'static str,
    },
    /// The PEM block is of the right kind, but does not hold an RSA key.
    #[error("the PEM block does not hold a usable RSA key")]
    Malformed,
    /// The modulus is outside of what is taken.
    #[error("the key has {0} bits; between {MIN_BITS} and {MAX_BITS} are accepted")]
    Size(u32),
    /// No key of this size could be made.
    #[error("cannot make an RSA key")]
    Generate,
}

/// The public half of an RSA key. Two are equal when modulus and exponent are, whatever the PEM looked like.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(pub(super) RsaPublicKey);

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({} bits)", self.bits())
    }
}

impl PublicKey {
    /// Reads `BEGIN PUBLIC KEY` (SubjectPublicKeyInfo) or `BEGIN RSA PUBLIC KEY` (PKCS#1).
    ///
    /// White space around the block and CRLF line ends are tolerated, as Salt tolerates them.
    ///
    /// # Errors
    /// [`KeyError`], which says what the text holds instead.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        const EXPECTED: &str = "public key";
        let pem = pem.trim();
        let key = match label(pem) {
            Some("PUBLIC KEY") => RsaPublicKey::from_public_key_pem(pem).map_err(|_| KeyError::Malformed)?,
            Some("RSA PUBLIC KEY") => RsaPublicKey::from_pkcs1_pem(pem).map_err(|_| KeyError::Malformed)?,
            Some(other) => {
                return Err(KeyError::WrongKind {
                    found: other.to_lowercase(),
                    expected: EXPECTED,
                });
            }
            None => {
                return Err(KeyError::NotPem {
                    expected: EXPECTED,
                    label: "PUBLIC KEY",
                });
            }
        };
        let key = Self(key);
        check_size(key.bits())?;
        Ok(key)
    }

    /// The key as Salt sends and stores it: SubjectPublicKeyInfo PEM with LF, **without** a final newline.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if the key cannot be encoded, which no key that was read causes.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let pem = self
            .0
            .to_public_key_pem(LineEnding::LF)
            .map_err(|_| KeyError::Malformed)?;
        Ok(pem.trim_end().to_owned())
    }

    /// Length of the modulus in bits.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.0.n().bits_vartime()
    }

    /// Length of a ciphertext or signature of this key, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size()
    }
}

/// The private half of an RSA key. It is wiped when dropped and has no `Debug`, so that it cannot reach a log.
#[derive(Clone)]
pub struct PrivateKey(pub(super) RsaPrivateKey);

impl PrivateKey {
    /// Makes a new key with exponent 65537.
    ///
    /// # Errors
    /// [`KeyError::Size`] for a size that is not accepted, [`KeyError::Generate`] if no key was found.
    pub fn generate<R: CryptoRng + ?Sized>(bits: u32, rng: &mut R) -> Result<Self, KeyError> {
        check_size(bits)?;
        let bits = usize::try_from(bits).map_err(|_| KeyError::Generate)?;
        RsaPrivateKey::new(rng, bits)
            .map(Self)
            .map_err(|_| KeyError::Generate)
    }

    /// Reads `BEGIN RSA PRIVATE KEY` (PKCS#1) or `BEGIN PRIVATE KEY` (PKCS#8); Salt writes the first and reads both.
    ///
    /// # Errors
    /// [`KeyError`], which says what the text holds instead.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        const EXPECTED: &str = "private key";
        let pem = pem.trim();
        let key = match label(pem) {
            Some("RSA PRIVATE KEY") => RsaPrivateKey::from_pkcs1_pem(pem).map_err(|_| KeyError::Malformed)?,
            Some("PRIVATE KEY") => RsaPrivateKey::from_pkcs8_pem(pem).map_err(|_| KeyError::Malformed)?,
            Some(other) => {
                return Err(KeyError::WrongKind {
                    found: other.to_lowercase(),
                    expected: EXPECTED,
                });
            }
            None => {
                return Err(KeyError::NotPem {
                    expected: EXPECTED,
                    label: "RSA PRIVATE KEY",
                });
            }
        };
        let key = Self(key);
        check_size(key.public_key().bits())?;
        Ok(key)
    }

    /// The key as Salt stores it: PKCS#1 PEM with LF, without a final newline.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if the key cannot be encoded, which no key that was read or made causes.
    pub fn to_pkcs1_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let pem = self
            .0
            .to_pkcs1_pem(LineEnding::LF)
            .map_err(|_| KeyError::Malformed)?;
        Ok(Zeroizing::new(pem.trim_end().to_owned()))
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.to_public_key())
    }
}

fn check_size(bits: u32) -> Result<(), KeyError> {
    if (MIN_BITS..=MAX_BITS).contains(&bits) {
        Ok(())
    } else {
        Err(KeyError::Size(bits))
    }
}

/// The label of the PEM block that the text begins with.
fn label(pem: &str) -> Option<&str> {
    let (label, _) = pem.strip_prefix("-----BEGIN ")?.split_once("-----")?;
    Some(label)
}
