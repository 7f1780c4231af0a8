//! Salt's symmetric messages ("Crypticle"): AES-192-CBC, then HMAC-SHA256 over IV and ciphertext.
//!
//! A message is `IV (16) || ciphertext || HMAC (32)`; its plaintext begins with the eight bytes
//! `pickle::` (no pickle is involved), then, in replies, the 32 hex digits of the request's nonce,
//! then one msgpack object. Source: `salt/crypt.py`, class `Crypticle`.

use aes::Aes192;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use super::{Unopened, Unsealed};

const AES_KEY: usize = 24;
const HMAC_KEY: usize = 32;
const IV: usize = 16;
const BLOCK: usize = 16;
const HMAC: usize = 32;
/// Begins every plaintext.
const MARKER: &[u8] = b"pickle::";

/// A key string as it travels: standard base64 of 56 random bytes, 76 characters. Wiped when dropped.
///
/// It comes out of OAEP and is checked before anything is done with it.
#[derive(Clone, ZeroizeOnDrop)]
pub struct KeyString(String);

impl KeyString {
    /// Length in characters.
    pub const LEN: usize = 76;

    /// Makes a new one.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new([0; AES_KEY + HMAC_KEY]);
        rng.fill_bytes(bytes.as_mut());
        Self(STANDARD.encode(bytes.as_ref()))
    }

    /// Takes what was decrypted, if it is a key string. Newlines inside are dropped, as Salt's decoder does.
    ///
    /// # Errors
    /// [`Unopened`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unopened> {
        let mut text = String::with_capacity(Self::LEN);
        for &byte in bytes.iter().filter(|&&byte| byte != b'\n') {
            if text.len() == Self::LEN || !byte.is_ascii() {
                text.zeroize();
                return Err(Unopened);
            }
            text.push(char::from(byte));
        }
        let key = Self(text);
        key.bytes()?;
        Ok(key)
    }

    /// The 76 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Lower-case hex SHA-256 of the characters: what the master's inner `sig` of a sign-in reply covers.
    #[must_use]
    pub fn digest_hex(&self) -> String {
        use std::fmt::Write as _;
        Sha256::digest(self.0.as_bytes())
            .iter()
            .fold(String::with_capacity(64), |mut hex, byte| {
                // Writing to a String cannot fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }

    fn bytes(&self) -> Result<Zeroizing<[u8; AES_KEY + HMAC_KEY]>, Unopened> {
        let decoded = Zeroizing::new(STANDARD.decode(&self.0).map_err(|_| Unopened)?);
        let bytes: &[u8; AES_KEY + HMAC_KEY] = decoded.as_slice().try_into().map_err(|_| Unopened)?;
        Ok(Zeroizing::new(*bytes))
    }
}

/// The two keys inside a key string. Wiped when dropped; has no `Debug`.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Crypticle {
    aes: [u8; AES_KEY],
    hmac: [u8; HMAC_KEY],
}

impl Crypticle {
    /// Splits a key string into its AES and HMAC halves.
    ///
    /// # Errors
    /// [`Unopened`], which a [`KeyString`] does not cause.
    pub fn new(key: &KeyString) -> Result<Self, Unopened> {
        let bytes = key.bytes()?;
        let (aes, hmac) = bytes.split_at_checked(AES_KEY).ok_or(Unopened)?;
        Ok(Self {
            aes: aes.try_into().map_err(|_| Unopened)?,
            hmac: hmac.try_into().map_err(|_| Unopened)?,
        })
    }

    /// Encrypts one msgpack object, with the marker before it.
    ///
    /// `nonce` is the request's nonce in a *reply*; requests and publications have none here.
    ///
    /// # Errors
    /// [`Unsealed`] if the object is too long to be addressed, which memory prevents.
    pub fn encrypt<R: CryptoRng + ?Sized>(
        &self,
        object: &[u8],
        nonce: Option<&[u8]>,
        rng: &mut R,
    ) -> Result<Vec<u8>, Unsealed> {
        let mut iv = [0; IV];
        rng.fill_bytes(&mut iv);
        self.encrypt_with_iv(object, nonce, iv)
    }

    fn encrypt_with_iv(
        &self,
        object: &[u8],
        nonce: Option<&[u8]>,
        iv: [u8; IV],
    ) -> Result<Vec<u8>, Unsealed> {
        let plaintext = Zeroizing::new([MARKER, nonce.unwrap_or_default(), object].concat());
        let ciphertext = cbc::Encryptor::<Aes192>::new(&self.aes.into(), &iv.into())
            .encrypt_padded_vec::<Pkcs7>(&plaintext);
        let mut message = Vec::with_capacity(ciphertext.len().checked_add(IV + HMAC).ok_or(Unsealed)?);
        message.extend_from_slice(&iv);
        message.extend_from_slice(&ciphertext);
        let tag = self.mac(&message).map_err(|_| Unsealed)?.finalize().into_bytes();
        message.extend_from_slice(&tag);
        Ok(message)
    }

    /// Opens a message: length, HMAC in constant time, padding, marker. Gives what follows the marker.
    ///
    /// # Errors
    /// [`Unopened`]; also for the texts that masters send in place of a message.
    pub fn decrypt(&self, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let sealed = message.len().checked_sub(HMAC).ok_or(Unopened)?;
        let (sealed, tag) = message.split_at_checked(sealed).ok_or(Unopened)?;
        let (iv, ciphertext) = sealed.split_at_checked(IV).ok_or(Unopened)?;
        if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(BLOCK) {
            return Err(Unopened);
        }
        self.mac(sealed)?.verify_slice(tag).map_err(|_| Unopened)?;
        let iv: &[u8; IV] = iv.try_into().map_err(|_| Unopened)?;
        let plaintext = Zeroizing::new(
            cbc::Decryptor::<Aes192>::new(&self.aes.into(), iv.into())
                .decrypt_padded_vec::<Pkcs7>(ciphertext)
                .map_err(|_| Unopened)?,
        );
        let object = plaintext.strip_prefix(MARKER).ok_or(Unopened)?;
        Ok(Zeroizing::new(object.to_vec()))
    }

    /// Whether this is the same key, in constant time.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (self.aes.ct_eq(&other.aes) & self.hmac.ct_eq(&other.hmac)).into()
    }

    fn mac(&self, sealed: &[u8]) -> Result<Hmac<Sha256>, Unopened> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.hmac).map_err(|_| Unopened)?;
        mac.update(sealed);
        Ok(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors fix the IV, which nothing outside of a test may choose.
    #[test]
    fn messages_are_salts_byte_for_byte() {
        let vectors = crate::vectors::file("crypticle");
        let cases = vectors["cases"].as_array().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let bytes = |field: &str| crate::vectors::bytes(case, field);
            let key = KeyString::parse(case["key"].as_str().unwrap().as_bytes()).unwrap();
            let plaintext = bytes("plaintext");
            let sealed = Crypticle::new(&key)
                .unwrap()
                .encrypt_with_iv(&plaintext[MARKER.len()..], None, bytes("iv").try_into().unwrap())
                .unwrap();
            assert_eq!(sealed, bytes("message"), "{}", case["name"]);
        }
    }
}
