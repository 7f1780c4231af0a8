//! How a sealed value is written, version 1.
//!
//! ```text
//! sealed.v1.argon2id.M.T.P.SALT.NONCE.BOX    under a passphrase
//! sealed.v1.keyfile.SALT.NONCE.BOX           under a key file
//! ```
//!
//! - `M`, `T`, `P`: Argon2id's memory in KiB, passes and lanes, in decimal without leading zeros.
//! - `SALT` (16 bytes), `NONCE` (12 bytes), `BOX`: base64url without padding (RFC 4648, section 5).
//! - Key, 32 bytes: Argon2id (version 0x13, RFC 9106) of the passphrase's UTF-8 bytes and `SALT`, without a secret
//!   value or associated data; or HMAC-SHA256 of `SALT` under the bytes of the key file.
//! - `BOX`: AES-256-GCM of the plaintext, its tag of 16 bytes at the end.
//! - Associated data: everything before `.NONCE`, a line end (`\n`), `client NAME` or `host FQDN`, a line end, and the
//!   key's path below its owner, as in `pki.master.pem`. The first line and the last one have no line end in them, so
//!   no two owners and paths give the same bytes.
//! - Plaintext: 16 zero bytes, one byte of kind, then
//!   - kind 0: the value. In the file it was a literal text (`|`) two deeper than its key, or in braces a quoted one.
//!   - kind 1: the column of the mapping (4 bytes, big endian), the length of the value (4 bytes, big endian), the
//!     value, and how it was written in the file, byte for byte. Of a block scalar that is its header without the
//!     comment, which stays in the file, and everything from the end of the header's line to its last line.
//! - The plaintext has 256 KiB at most.
//!
//! The zeros bind a box to one key. AES-GCM does not: without them somebody who can change the file could make a
//! value that opens under each of thousands of passphrases, and learn from one run which of them it is not (Len,
//! Grubbs, Ristenpart: Partitioning Oracle Attacks, 2021; the zeros are the padding fix of Albertini et al., 2022).
//!
//! All characters stand for themselves in a plain YAML scalar, and no YAML parser takes it for a number. Blanks and
//! line ends around a sealed value do not count.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::keyring::SealError;

/// What every sealed value begins with, whatever its version.
pub(super) const PREFIX: &str = "sealed.v";

const VERSION_1: &str = "sealed.v1.";

/// The bytes of a salt.
pub(super) const SALT: usize = 16;
/// The bytes of a nonce: AES-GCM's 96 bits.
pub(super) const NONCE: usize = 12;

/// What every plaintext begins with.
const COMMITMENT: [u8; 16] = [0; 16];

/// No plaintext is longer: an RSA key of 16384 bits has 13 KB, twice, with blanks.
const LONGEST_PLAIN: usize = 256 * 1024;
/// No sealed text is longer: base64 makes 4 of 3, and there is the header.
const LONGEST_TEXT: usize = LONGEST_PLAIN / 3 * 4 + 256;

/// How a key is made of a passphrase or key file, with the salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Derivation {
    Argon2id {
        /// KiB.
        memory: u32,
        passes: u32,
        lanes: u32,
        salt: [u8; SALT],
    },
    KeyFile {
        salt: [u8; SALT],
    },
}

impl Derivation {
    /// What stands before the nonce.
    pub(super) fn header(&self) -> String {
        match self {
            Self::Argon2id {
                memory,
                passes,
                lanes,
                salt,
            } => {
                let salt = URL_SAFE_NO_PAD.encode(salt);
                format!("{VERSION_1}argon2id.{memory}.{passes}.{lanes}.{salt}")
            }
            Self::KeyFile { salt } => format!("{VERSION_1}keyfile.{}", URL_SAFE_NO_PAD.encode(salt)),
        }
    }
}

/// A sealed value taken apart.
pub(super) struct Sealed {
    pub(super) derivation: Derivation,
    pub(super) nonce: [u8; NONCE],
    pub(super) sealed: Vec<u8>,
}

impl Sealed {
    /// Takes a text apart; every number in it is an attacker's until it was opened.
    pub(super) fn parse(text: &str) -> Result<Self, SealError> {
        let text = text.trim();
        if text.len() > LONGEST_TEXT {
            return Err(SealError::Malformed);
        }
        let Some(rest) = text.strip_prefix(VERSION_1) else {
            let version = text.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next());
            // It goes into a message: no more of it than a version has.
            let known = |version: &&str| (1..=8).contains(&version.len()) && *version != "1";
            let known = |version: &&str| known(version) && version.bytes().all(|b| b.is_ascii_alphanumeric());
            return Err(match version.filter(known) {
                Some(version) => SealError::Version(version.to_owned()),
                None => SealError::Malformed,
            });
        };
        let parts: Vec<&str> = rest.split('.').collect();
        let (derivation, nonce, sealed) = match parts.as_slice() {
            ["argon2id", memory, passes, lanes, salt, nonce, sealed] => {
                let number = |text: &str| text.parse().map_err(|_| SealError::Malformed);
                let derivation = Derivation::Argon2id {
                    memory: number(memory)?,
                    passes: number(passes)?,
                    lanes: number(lanes)?,
                    salt: bytes(salt)?,
                };
                (derivation, nonce, sealed)
            }
            ["keyfile", salt, nonce, sealed] => (Derivation::KeyFile { salt: bytes(salt)? }, nonce, sealed),
            _ => return Err(SealError::Malformed),
        };
        let parsed = Self {
            derivation,
            nonce: bytes(nonce)?,
            sealed: URL_SAFE_NO_PAD.decode(sealed).map_err(|_| SealError::Malformed)?,
        };
        // One value has one text: no `+3` for a 3.
        if parsed.text() != text {
            return Err(SealError::Malformed);
        }
        Ok(parsed)
    }

    pub(super) fn text(&self) -> String {
        let (nonce, sealed) = (
            URL_SAFE_NO_PAD.encode(self.nonce),
            URL_SAFE_NO_PAD.encode(&self.sealed),
        );
        format!("{}.{nonce}.{sealed}", self.derivation.header())
    }
}

/// Whether two sealed texts are under one key.
pub(super) fn same_key(a: &str, b: &str) -> bool {
    match (Sealed::parse(a), Sealed::parse(b)) {
        (Ok(a), Ok(b)) => a.derivation == b.derivation,
        _ => false,
    }
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], SealError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| SealError::Malformed)?;
    bytes.try_into().map_err(|_| SealError::Malformed)
}

/// What is sealed: a value, and how it was written if not as we would.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// The PEM or OpenSSH text.
    pub value: Zeroizing<String>,
    /// How the file had it, if not as `gen` writes it.
    pub(crate) written: Option<Written>,
}

/// A value's own form in the file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// The column of the mapping that it stood in: deeper lines depend on it.
    pub(crate) column: u32,
    pub(crate) source: Zeroizing<String>,
}

impl Opened {
    pub(super) fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, SealError> {
        // Of the final size from the beginning: growing would leave copies of keys in freed memory.
        let form = self
            .written
            .as_ref()
            .map_or(1, |written| 9 + written.source.len());
        let size = COMMITMENT.len() + form + self.value.len();
        if size > LONGEST_PLAIN {
            return Err(SealError::TooLong);
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        bytes.extend_from_slice(&COMMITMENT);
        match &self.written {
            None => {
                bytes.push(0);
                bytes.extend_from_slice(self.value.as_bytes());
            }
            Some(Written { column, source }) => {
                let length = u32::try_from(self.value.len()).map_err(|_| SealError::TooLong)?;
                bytes.push(1);
                bytes.extend_from_slice(&column.to_be_bytes());
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(self.value.as_bytes());
                bytes.extend_from_slice(source.as_bytes());
            }
        }
        Ok(bytes)
    }

    /// Reads a plaintext; [`SealError::Refused`] if it was made for another key.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let text = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).map_err(|_| SealError::Malformed)?;
            Ok(Zeroizing::new(text.to_owned()))
        };
        let bytes = bytes.strip_prefix(&COMMITMENT).ok_or(SealError::Refused)?;
        match bytes.split_first() {
            Some((0, value)) => Ok(Self {
                value: text(value)?,
                written: None,
            }),
            Some((1, rest)) => {
                let (column, rest) = number(rest)?;
                let (length, rest) = number(rest)?;
                let length = usize::try_from(length).map_err(|_| SealError::Malformed)?;
                let (value, source) = rest.split_at_checked(length).ok_or(SealError::Malformed)?;
                Ok(Self {
                    value: text(value)?,
                    written: Some(Written {
                        column,
                        source: text(source)?,
                    }),
                })
            }
            _ => Err(SealError::Malformed),
        }
    }

    /// A value that is written as `gen` writes it.
    pub(crate) fn plain(value: Zeroizing<String>) -> Self {
        Self { value, written: None }
    }

    /// A value that is written in another way, in a mapping at this column.
    pub(crate) fn written(value: Zeroizing<String>, column: usize, source: Zeroizing<String>) -> Self {
        // No line of a file that can be sealed is longer; at another column nothing but the form would change.
        let column = u32::try_from(column).unwrap_or(u32::MAX);
        let written = Some(Written { column, source });
        Self { value, written }
    }
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8]), SealError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(SealError::Malformed)?;
    Ok((u32::from_be_bytes(*number), rest))
}
