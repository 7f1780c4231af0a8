//! Fingerprints of public keys as Salt's tools print them.
//!
//! Two kinds are in use. A minion's `master_finger`, and `salt-key -F` up to 3007, hash the text of the
//! PEM body, newlines included. `salt-key -F` of 3008.1 hashes the whole PEM text (salt #69970), so what
//! it prints never matches a minion's `master_finger`. Both are accepted here, and told apart.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::PublicKey;

/// A SHA-256 fingerprint: 32 bytes, printed as hex pairs joined by `:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// Which of the two ways of hashing gave the value of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FingerprintMatch {
    /// The body lines: `master_finger`, and `salt-key -F` of 3006 and 3007.
    BodyLines,
    /// The whole PEM text: `salt-key -F` of 3008.1.
    WholePem,
}

impl Fingerprint {
    /// Of the body lines of a PEM text: blank lines, first and last line dropped, CRLF read as LF.
    ///
    /// Source: `salt/utils/crypt.py`, `pem_finger`.
    #[must_use]
    pub fn of_body_lines(pem: &str) -> Self {
        let lines: Vec<&str> = pem.lines().filter(|line| !line.trim().is_empty()).collect();
        let body = lines.get(1..lines.len().saturating_sub(1)).unwrap_or_default();
        // Python keeps the newline of each line.
        let mut hasher = Sha256::new();
        for line in body {
            hasher.update(line.as_bytes());
            hasher.update(b"\n");
        }
        Self(hasher.finalize().into())
    }

    /// Of the whole text, byte for byte.
    #[must_use]
    pub fn of_whole_pem(pem: &str) -> Self {
        Self(Sha256::digest(pem.as_bytes()).into())
    }

    /// Reads hex pairs, with or without `:` between them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.trim().bytes().filter(|&byte| byte != b':').collect();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// Whether this is a fingerprint of `key`, and by which method. Compares in constant time.
    #[must_use]
    pub fn matches(&self, key: &PublicKey) -> Option<FingerprintMatch> {
        let stripped = key.to_pem().ok()?;
        let file = format!("{stripped}\n");
        if self.equals(&Self::of_body_lines(&file)) {
            return Some(FingerprintMatch::BodyLines);
        }
        // Minion keys are stored stripped, `master.pub` with its final newline.
        let whole = self.equals(&Self::of_whole_pem(&file)) | self.equals(&Self::of_whole_pem(&stripped));
        whole.then_some(FingerprintMatch::WholePem)
    }

    fn equals(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}
