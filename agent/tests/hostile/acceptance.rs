//! What a master answers when it accepts a key, field by field, so that each can be lied about.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::crypto::{EncryptionAlgorithm, KeyString, PrivateKey, PublicKey, SigningAlgorithm};
use proto::message::Value;

use super::client::keys;

pub(crate) const SHA1: SigningAlgorithm = SigningAlgorithm::Pkcs1v15Sha1;
pub(crate) const OAEP: EncryptionAlgorithm = EncryptionAlgorithm::OaepSha1;

/// An acceptance: honest, until a lie is put in.
pub(crate) struct Accepted {
    /// The master's key, as it says.
    pub(crate) pub_key: String,
    /// Who signs that key.
    pub(crate) master_sign: Option<&'static PrivateKey>,
    /// The text that is signed, if it is another than the key.
    pub(crate) signed_key: Option<String>,
    /// Who signs the whole, and how; nobody leaves it unsigned.
    pub(crate) outer: Option<(&'static PrivateKey, SigningAlgorithm)>,
    /// Who signs the AES key.
    pub(crate) inner: &'static PrivateKey,
    /// The AES key that is signed, if it is another than the one that is sent.
    pub(crate) signed_aes: Option<KeyString>,
    /// Whom the secrets are encrypted to.
    pub(crate) to: PublicKey,
    pub(crate) aes: Vec<u8>,
    pub(crate) session: Option<Vec<u8>>,
    pub(crate) token: Option<Vec<u8>>,
    pub(crate) nonce: Option<Vec<u8>>,
    pub(crate) publish_port: Value,
}

impl Accepted {
    pub(super) fn honest(nonce: Vec<u8>, token: Option<Vec<u8>>, session: Vec<u8>) -> Self {
        Self {
            pub_key: keys().master.public_key().to_pem().unwrap(),
            master_sign: Some(&keys().master_sign),
            signed_key: None,
            outer: Some((&keys().master, SHA1)),
            inner: &keys().master,
            signed_aes: None,
            to: keys().identity.public_key(),
            aes: key_string(),
            session: Some(session),
            token,
            nonce: Some(nonce),
            publish_port: Value::Int(4505),
        }
    }

    /// A master of its own, consistent in everything.
    pub(crate) fn speak_as(&mut self, master: &'static PrivateKey, master_sign: Option<&'static PrivateKey>) {
        self.pub_key = master.public_key().to_pem().unwrap();
        self.master_sign = master_sign;
        self.outer = Some((master, SHA1));
        self.inner = master;
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let rng = &mut rand::rng();
        let mut seal = |secret: &[u8]| Value::Raw(self.to.encrypt(OAEP, secret, rng).unwrap());
        let mut fields = vec![
            ("enc", Value::text("pub")),
            ("pub_key", Value::text(self.pub_key.as_str())),
            ("publish_port", self.publish_port.clone()),
            ("aes", seal(&self.aes)),
        ];
        fields.extend(self.session.as_ref().map(|key| ("session", seal(key))));
        fields.extend(self.token.as_ref().map(|token| ("token", seal(token))));
        if let Some(signer) = self.master_sign {
            let text = self.signed_key.as_ref().unwrap_or(&self.pub_key);
            let signature = signer.sign(SHA1, text.as_bytes(), &mut rand::rng()).unwrap();
            fields.push(("pub_sig", Value::text(STANDARD.encode(signature) + "\n")));
        }
        let signed = match (&self.signed_aes, KeyString::parse(&self.aes)) {
            (Some(other), _) => other.digest_hex(),
            (None, Ok(aes)) => aes.digest_hex(),
            (None, Err(_)) => String::from("0").repeat(64),
        };
        let inner = self.inner.x931_sign(signed.as_bytes(), &mut rand::rng()).unwrap();
        fields.push(("sig", Value::Raw(inner)));
        fields.extend(
            self.nonce
                .as_ref()
                .map(|nonce| ("nonce", Value::Raw(nonce.clone()))),
        );
        envelope(&Value::map(fields).encode(), self.outer)
    }
}

/// A fresh AES or session key.
pub(crate) fn key_string() -> Vec<u8> {
    KeyString::generate(&mut rand::rng()).as_str().as_bytes().to_vec()
}

/// The outer map of a sign-in reply.
pub(crate) fn envelope(load: &[u8], signer: Option<(&PrivateKey, SigningAlgorithm)>) -> Vec<u8> {
    let mut fields = vec![("enc", Value::text("clear")), ("load", Value::Raw(load.to_vec()))];
    if let Some((key, algorithm)) = signer {
        let signature = key.sign(algorithm, load, &mut rand::rng()).unwrap();
        fields.push(("sig", Value::Raw(signature)));
    }
    Value::map(fields).encode()
}
