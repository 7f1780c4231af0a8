//! Sign-in: `_auth`, from a request to a [`Session`], or to a verdict that says why not.
//!
//! A [`Session`] can be made here only, and only after every check has passed. The order of the checks
//! is: structure; which key is to be trusted; the outer signature over the bytes as received; the nonce;
//! the secrets inside; and nothing is kept of a reply that fails any of them.

use rand::CryptoRng;
use subtle::ConstantTimeEq as _;

use crate::crypto::{Crypticle, Fingerprint, KeyString, PublicKey};
use crate::identity::{Algorithms, Identity};
use crate::message::{Limits, Nonce, Value, clear_request};
use crate::session::Session;

mod pub_sig;
mod verdict;

pub use verdict::{Claim, Deceit, SignInError};

/// What makes a master genuine. Each anchor that is set must hold; one at least is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    signer: Option<PublicKey>,
    pinned: Option<PublicKey>,
    finger: Option<Fingerprint>,
}

/// There is nothing to verify a master with: trust on first use is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "nothing to verify a master with: give the public half of master_sign, or pin the master's own public key"
)]
pub struct NoAnchor;

impl Trust {
    /// `signer`: the public half of `master_sign`, which signs the key of each master. `pinned`: the key of
    /// this very master. `finger`: its fingerprint, as `master_finger`.
    ///
    /// # Errors
    /// [`NoAnchor`] if none is given.
    pub fn new(
        signer: Option<PublicKey>,
        pinned: Option<PublicKey>,
        finger: Option<Fingerprint>,
    ) -> Result<Self, NoAnchor> {
        if signer.is_none() && pinned.is_none() && finger.is_none() {
            return Err(NoAnchor);
        }
        Ok(Self {
            signer,
            pinned,
            finger,
        })
    }

    /// The one key that this master can have, if that is known beforehand.
    fn known_key(&self) -> Option<&PublicKey> {
        self.pinned.as_ref()
    }
}

/// A sign-in under way: the request has been made, the reply is awaited.
pub struct SignIn<'a> {
    identity: &'a Identity,
    trust: &'a Trust,
    algorithms: Algorithms,
    nonce: Nonce,
    token: Option<KeyString>,
}

impl<'a> SignIn<'a> {
    /// Makes the request. It must go to one master, once; another attempt needs another `SignIn`.
    ///
    /// With a pinned key the request carries a token for that key, which the reply must give back.
    #[must_use]
    pub fn new<R: CryptoRng + ?Sized>(
        identity: &'a Identity,
        trust: &'a Trust,
        algorithms: Algorithms,
        rng: &mut R,
    ) -> (Self, Vec<u8>) {
        let nonce = Nonce::generate(rng);
        // A token that the pinned key is too short for is left out: nonce and signature say as much.
        let (token, sealed) = match trust.known_key() {
            Some(key) => {
                let token = KeyString::generate(rng);
                match key.encrypt(algorithms.encryption, token.as_str().as_bytes(), rng) {
                    Ok(sealed) => (Some(token), Some(sealed)),
                    Err(_) => (None, None),
                }
            }
            None => (None, None),
        };
        let sign_in = Self {
            identity,
            trust,
            algorithms,
            nonce,
            token,
        };
        let request = sign_in.request(sealed);
        (sign_in, request)
    }

    /// Resumes a sign-in whose request was made elsewhere: what captures and vectors need.
    #[must_use]
    pub fn resume(
        identity: &'a Identity,
        trust: &'a Trust,
        algorithms: Algorithms,
        nonce: Nonce,
        token: Option<KeyString>,
    ) -> Self {
        Self {
            identity,
            trust,
            algorithms,
            nonce,
            token,
        }
    }

    /// The fields are all there, always, and in the order of Salt's minion: a master's worker may be lost
    /// to a request without its algorithms.
    fn request(&self, token: Option<Vec<u8>>) -> Vec<u8> {
        let mut load = vec![
            ("cmd", Value::text("_auth")),
            ("id", Value::text(self.identity.id().as_str())),
            ("nonce", Value::Raw(self.nonce.as_bytes().to_vec())),
            ("enc_algo", Value::text(self.algorithms.encryption.name())),
            ("sig_algo", Value::text(self.algorithms.signing.name())),
        ];
        if let Some(token) = token {
            load.push(("token", Value::Raw(token)));
        }
        load.push(("pub", Value::text(self.identity.public_pem())));
        clear_request(Value::map(load))
    }

    /// Judges the reply.
    ///
    /// # Errors
    /// [`SignInError`]: every reply that a master can give, and every way in which one can be forged.
    pub fn finish<R: CryptoRng + ?Sized>(self, reply: &[u8], rng: &mut R) -> Result<Session, SignInError> {
        let reply = Value::decode(reply, Limits::UNVERIFIED).map_err(SignInError::NotMsgpack)?;
        let Some(load) = reply.get("load") else {
            return Err(verdict::of_non_reply(&reply));
        };
        let Some(signed) = load.as_bytes() else {
            return Err(verdict::of_unsigned(load));
        };
        let signature = reply
            .get("sig")
            .and_then(Value::as_bytes)
            .ok_or(Deceit::Unsigned)?;
        let inner = Value::decode(signed, Limits::UNVERIFIED).map_err(SignInError::NotMsgpack)?;
        match inner.get("pub_key") {
            Some(pub_key) => self.accepted(&inner, pub_key, signed, signature, rng),
            None => Err(self.claimed(&inner, signed, signature)),
        }
    }

    /// `ret`: pending, rejected or full. It brings no key, so without a pinned one its signature proves nothing.
    fn claimed(&self, inner: &Value, signed: &[u8], signature: &[u8]) -> SignInError {
        let verified = match self.trust.known_key() {
            Some(key) => match key.verify(self.algorithms.signing, signed, signature) {
                Ok(()) => true,
                Err(_) => return Deceit::Signature.into(),
            },
            None => false,
        };
        if let Err(error) = self.check_nonce(inner) {
            return error.into();
        }
        let claim = match inner.get("ret") {
            Some(Value::Bool(true)) => Claim::Pending,
            Some(Value::Bool(false)) => Claim::Rejected,
            Some(text) if text.as_text() == Some("full") => Claim::Full,
            _ => return SignInError::NotAReply,
        };
        SignInError::NotAccepted { claim, verified }
    }

    fn accepted<R: CryptoRng + ?Sized>(
        &self,
        inner: &Value,
        pub_key: &Value,
        signed: &[u8],
        signature: &[u8],
        rng: &mut R,
    ) -> Result<Session, SignInError> {
        let pem = pub_key.as_text().ok_or(Deceit::Key)?;
        let master = PublicKey::from_pem(pem).map_err(|_| Deceit::Key)?;
        self.check_key(&master, pem, inner.get("pub_sig"))?;
        master
            .verify(self.algorithms.signing, signed, signature)
            .map_err(|_| Deceit::Signature)?;
        self.check_nonce(inner)?;

        let mut open = |field: &str| -> Result<Option<_>, Deceit> {
            let Some(sealed) = inner.get(field) else {
                return Ok(None);
            };
            let sealed = sealed.as_bytes().ok_or(Deceit::Secret)?;
            let opened = self
                .identity
                .key()
                .decrypt(self.algorithms.encryption, sealed, rng);
            opened.map(Some).map_err(|_| Deceit::Secret)
        };
        let aes = KeyString::parse(&open("aes")?.ok_or(Deceit::Secret)?).map_err(|_| Deceit::Secret)?;
        let session = open("session")?;
        let token = open("token")?;

        let inner_signature = inner
            .get("sig")
            .and_then(Value::as_bytes)
            .ok_or(Deceit::InnerSignature)?;
        master
            .x931_verify(aes.digest_hex().as_bytes(), inner_signature)
            .map_err(|_| Deceit::InnerSignature)?;
        if let Some(sent) = &self.token {
            let returned = token.ok_or(Deceit::Token)?;
            if !bool::from(returned.as_slice().ct_eq(sent.as_str().as_bytes())) {
                return Err(Deceit::Token.into());
            }
        }
        // Everything is genuine; what is missing now is the master's age, not an attack.
        let session = KeyString::parse(&session.ok_or(SignInError::TooOld)?).map_err(|_| Deceit::Secret)?;
        let publish_port = inner.get("publish_port").and_then(Value::as_u64);
        Ok(Session::verified(
            self.identity,
            self.algorithms,
            master,
            Crypticle::new(&aes).map_err(|_| Deceit::Secret)?,
            Crypticle::new(&session).map_err(|_| Deceit::Secret)?,
            publish_port.and_then(|port| u16::try_from(port).ok()),
        ))
    }

    /// Whether this key may speak for the master: before anything that it signed is believed.
    fn check_key(&self, master: &PublicKey, pem: &str, pub_sig: Option<&Value>) -> Result<(), SignInError> {
        if let Some(pinned) = &self.trust.pinned
            && pinned != master
        {
            return Err(Deceit::NotPinned.into());
        }
        if let Some(finger) = &self.trust.finger
            && finger.matches(master).is_none()
        {
            return Err(Deceit::Fingerprint.into());
        }
        match (&self.trust.signer, pub_sig) {
            (Some(signer), Some(pub_sig)) => {
                pub_sig::verify(signer, self.algorithms.signing, pem, pub_sig)?;
                Ok(())
            }
            (Some(_), None) => Err(Deceit::KeyUnsigned.into()),
            // Salt's minion refuses this as well: somebody wanted signatures checked.
            (None, Some(_)) => Err(SignInError::SignatureNotExpected),
            (None, None) => Ok(()),
        }
    }

    fn check_nonce(&self, inner: &Value) -> Result<(), Deceit> {
        let nonce = inner
            .get("nonce")
            .and_then(Value::as_bytes)
            .ok_or(Deceit::Nonce)?;
        if self.nonce.matches(nonce) {
            Ok(())
        } else {
            Err(Deceit::Nonce)
        }
    }
}
