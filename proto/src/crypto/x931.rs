//! The "private encrypt" of Salt's tokens: OpenSSL's `RSA_private_encrypt` with `RSA_X931_PADDING`.
//!
//! Salt uses it for `tok` (the minion's key over `salt`) and for the inner `sig` of a sign-in reply
//! (the master's key over 64 hex digits). It is ANSI X9.31 without its hash identifier byte, so it is
//! no signature scheme in its own right; the encoding is OpenSSL's `crypto/rsa/rsa_x931.c`.

use rand::CryptoRng;
use rsa::BoxedUint;
use rsa::hazmat::{rsa_decrypt_and_check, rsa_encrypt};
use rsa::traits::PublicKeyParts;
use subtle::ConstantTimeEq as _;

use super::{PrivateKey, PublicKey, Unopened, Unsealed};

/// Begins an encoded message that has padding.
const HEADER: u8 = 0x6b;
/// Begins an encoded message that has none.
const HEADER_FULL: u8 = 0x6a;
/// Padding.
const FILL: u8 = 0xbb;
/// Ends the padding.
const FILL_END: u8 = 0xba;
/// Ends every encoded message; its low four bits tell which of the two roots was sent.
const TRAILER: u8 = 0xcc;

impl PrivateKey {
    /// "Encrypts" `data` with the private key: the smaller of the two roots, as long as the modulus.
    ///
    /// The result is the same for the same data: it proves possession of the key, not freshness.
    ///
    /// # Errors
    /// [`Unsealed`] if `data` is longer than the modulus less two bytes.
    pub fn x931_sign<R: CryptoRng + ?Sized>(&self, data: &[u8], rng: &mut R) -> Result<Vec<u8>, Unsealed> {
        let encoded = encode(data, self.0.size()).ok_or(Unsealed)?;
        let n = self.0.n().as_ref();
        let message = BoxedUint::from_be_slice(&encoded, n.bits_precision()).map_err(|_| Unsealed)?;
        let root = rsa_decrypt_and_check(&self.0, Some(rng), &message).map_err(|_| Unsealed)?;
        let other = n.wrapping_sub(&root);
        // Both roots are public: whoever has one has the other, so this comparison may be seen.
        let smaller = if other < root { other } else { root };
        to_bytes(&smaller, self.0.size()).ok_or(Unsealed)
    }
}

impl PublicKey {
    /// Whether `signature` is what [`PrivateKey::x931_sign`] makes of `data`. Compares in constant time.
    ///
    /// # Errors
    /// [`Unopened`] if it does not open or holds something else.
    pub fn x931_verify(&self, data: &[u8], signature: &[u8]) -> Result<(), Unopened> {
        let opened = self.x931_open(signature)?;
        if bool::from(opened.ct_eq(data)) {
            Ok(())
        } else {
            Err(Unopened)
        }
    }

    /// The data inside `signature`, as OpenSSL's `RSA_public_decrypt` gives it.
    ///
    /// Takes either root, so it is malleable by sign: never use such a signature as an identifier.
    ///
    /// # Errors
    /// [`Unopened`] if it was not made by this key.
    pub fn x931_open(&self, signature: &[u8]) -> Result<Vec<u8>, Unopened> {
        let n = self.0.n().as_ref();
        if signature.len() != self.0.size() {
            return Err(Unopened);
        }
        let root = BoxedUint::from_be_slice(signature, n.bits_precision()).map_err(|_| Unopened)?;
        if root >= *n {
            return Err(Unopened);
        }
        let message = rsa_encrypt(&self.0, &root).map_err(|_| Unopened)?;
        let mut encoded = to_bytes(&message, self.0.size()).ok_or(Unopened)?;
        if encoded.last().is_none_or(|last| last & 0x0f != TRAILER & 0x0f) {
            encoded = to_bytes(&n.wrapping_sub(&message), self.0.size()).ok_or(Unopened)?;
        }
        decode(&encoded).map(<[u8]>::to_vec).ok_or(Unopened)
    }
}

/// `6B BB … BB BA || data || CC`, or `6A || data || CC` when nothing is left to fill; `size` bytes.
fn encode(data: &[u8], size: usize) -> Option<Vec<u8>> {
    let fill = size.checked_sub(2)?.checked_sub(data.len())?;
    let mut encoded = Vec::with_capacity(size);
    match fill.checked_sub(1) {
        None => encoded.push(HEADER_FULL),
        Some(fill) => {
            encoded.push(HEADER);
            encoded.extend(std::iter::repeat_n(FILL, fill));
            encoded.push(FILL_END);
        }
    }
    encoded.extend_from_slice(data);
    encoded.push(TRAILER);
    Some(encoded)
}

/// The data of an encoded message. Like OpenSSL, wants at least one `BB` and some data in one with padding.
fn decode(encoded: &[u8]) -> Option<&[u8]> {
    let (&last, rest) = encoded.split_last()?;
    let (&header, rest) = rest.split_first()?;
    if last != TRAILER {
        return None;
    }
    match header {
        HEADER_FULL => Some(rest),
        HEADER => {
            let end = rest.iter().position(|&byte| byte != FILL)?;
            let (_, tail) = rest.split_at_checked(end)?;
            let (&end_byte, data) = tail.split_first()?;
            (end > 0 && end_byte == FILL_END && !data.is_empty()).then_some(data)
        }
        _ => None,
    }
}

/// Big endian, exactly `size` bytes. The integers of crypto-bigint are a whole number of limbs wide.
fn to_bytes(number: &BoxedUint, size: usize) -> Option<Vec<u8>> {
    let bytes = number.to_be_bytes();
    match bytes.len().checked_sub(size) {
        Some(excess) => {
            let (head, tail) = bytes.split_at_checked(excess)?;
            head.iter().all(|&byte| byte == 0).then(|| tail.to_vec())
        }
        None => {
            let missing = size.checked_sub(bytes.len())?;
            let mut padded = vec![0; missing];
            padded.extend_from_slice(&bytes);
            Some(padded)
        }
    }
}
