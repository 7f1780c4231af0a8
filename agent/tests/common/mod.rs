//! A client's YAML with real keys, and sealed values made by nothing but their description.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fmt::Write as _;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use proto::crypto::{PrivateKey, PublicKey};
use sha2::Sha256;

/// The key of a sealed value.
pub(crate) enum Lock<'a> {
    Passphrase(&'a str),
    KeyFile(&'a [u8]),
}

/// A client's private half as `pki-tools seal` leaves it. `pki-tools/src/seal/form.rs` has the description.
pub(crate) fn sealed(value: &str, lock: &Lock<'_>, owner: &str, field: &str) -> String {
    let (salt, nonce) = ([7; 16], [9; 12]);
    let mut key = [0; 32];
    let header = match lock {
        Lock::Passphrase(passphrase) => {
            // As cheap as is taken: what it costs is in the value.
            let params = Params::new(19 * 1024, 2, 1, Some(32)).unwrap();
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon2
                .hash_password_into(passphrase.as_bytes(), &salt, &mut key)
                .unwrap();
            "sealed.v1.argon2id.19456.2.1"
        }
        Lock::KeyFile(bytes) => {
            let mut mac = Hmac::<Sha256>::new_from_slice(bytes).unwrap();
            mac.update(&salt);
            key.copy_from_slice(&mac.finalize().into_bytes());
            "sealed.v1.keyfile"
        }
    };
    let header = format!("{header}.{}", URL_SAFE_NO_PAD.encode(salt));
    // Zeros that bind the box to one key, the kind, the value.
    let plain = [&[0; 16][..], &[0], value.as_bytes()].concat();
    let data = format!("{header}\n{owner}\n{field}");
    let payload = Payload {
        msg: &plain,
        aad: data.as_bytes(),
    };
    let cipher = Aes256Gcm::new_from_slice(&key).unwrap();
    let sealed = cipher.encrypt(&nonce.into(), payload).unwrap();
    format!(
        "{header}.{}.{}",
        URL_SAFE_NO_PAD.encode(nonce),
        URL_SAFE_NO_PAD.encode(sealed)
    )
}

/// A value of a mapping: a literal text or a word, as it stands behind the colon.
pub(crate) fn literal(text: &str, indent: usize) -> String {
    let mut literal = "|\n".to_owned();
    for line in text.lines() {
        writeln!(literal, "{:indent$}{line}", "").unwrap();
    }
    literal
}

/// `pem` and `pub` of a key, at this indentation.
pub(crate) fn pair(key: &PrivateKey, indent: usize) -> String {
    let (pem, public) = (key.to_pkcs1_pem().unwrap(), pem_of(&key.public_key()));
    format!(
        "{blank:indent$}pem: {}{blank:indent$}pub: {}",
        literal(&pem, indent + 2),
        literal(&public, indent + 2),
        blank = "",
    )
}

/// The text of a public key, with the line end that a literal text has.
pub(crate) fn pem_of(key: &PublicKey) -> String {
    key.to_pem().unwrap() + "\n"
}
