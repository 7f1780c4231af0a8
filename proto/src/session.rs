//! Encrypted requests and their replies, under the session key of a verified sign-in.
//!
//! The reply's HMAC under the session key and our nonce in it prove that the master that signed in
//! answers this very request. Masters do not remember nonces: a request that is captured can be sent to
//! the master again by anybody until the session key changes, so requests must be safe to repeat, or the
//! operator sets `request_server_ttl`.

use rand::CryptoRng;

use crate::crypto::{Crypticle, PublicKey};
use crate::identity::{Algorithms, Identity};
use crate::message::{Command, DecodeError, Limits, MinionId, Nonce, Value, aes_request};
use crate::publication::{Publications, Signatures};

/// A verified master and the keys that it gave us. Made by [`SignIn::finish`](crate::auth::SignIn::finish) only.
pub struct Session {
    id: MinionId,
    tok: Vec<u8>,
    algorithms: Algorithms,
    master: PublicKey,
    aes: Crypticle,
    session: Crypticle,
    publish_port: Option<u16>,
}

/// A request under way: what its reply must carry.
pub struct Awaited(Nonce);

#[cfg(test)]
impl Awaited {
    /// For captures, whose nonces are given.
    pub(crate) fn to(nonce: Nonce) -> Self {
        Self(nonce)
    }
}

/// Why a reply is not the answer to our request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// `bad load`, in the clear: the session key changed, the master does not accept our key any more, or
    /// our clock is too far behind (`request_server_ttl`). Sign in again, once.
    #[error("the master refuses the encrypted request (bad load)")]
    BadLoad,
    /// Does not open under the session key: another key, or tampering. Sign in again, once.
    #[error("the reply does not open under the session key")]
    Unopened,
    /// The master failed inside; the request must not be repeated blindly.
    #[error("the master failed to handle the request: {0:?}")]
    MasterFailed(String),
    /// Genuine bytes of the master, but the answer to another request.
    #[error("the reply carries another nonce than the request")]
    Nonce,
    /// Genuine, but not one msgpack value.
    #[error("the reply is not readable: {0}")]
    NotMsgpack(#[from] DecodeError),
}

impl ReplyError {
    /// Whether a new sign-in may help: keys rotate, and the only sign of it is a request that fails.
    #[must_use]
    pub fn calls_for_sign_in(&self) -> bool {
        matches!(self, Self::BadLoad | Self::Unopened)
    }
}

/// A request that could not be made: the system has no randomness or no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot encrypt the request")]
pub struct CannotEncrypt;

impl Session {
    /// For `auth`, after all checks.
    pub(crate) fn verified(
        identity: &Identity,
        algorithms: Algorithms,
        master: PublicKey,
        aes: Crypticle,
        session: Crypticle,
        publish_port: Option<u16>,
    ) -> Self {
        Self {
            id: identity.id().clone(),
            tok: identity.tok().to_vec(),
            algorithms,
            master,
            aes,
            session,
            publish_port,
        }
    }

    /// The verified key of the master.
    #[must_use]
    pub fn master_key(&self) -> &PublicKey {
        &self.master
    }

    /// The port on which the master says that it publishes; signed by it.
    #[must_use]
    pub fn publish_port(&self) -> Option<u16> {
        self.publish_port
    }

    /// What opens this master's publications, starting with the next one.
    #[must_use]
    pub fn publications(&self, signatures: Signatures) -> Publications {
        Publications::new(self.master.clone(), self.aes.clone(), signatures)
    }

    /// Gives the keys of this sign-in to what opens this master's publications since an earlier one.
    pub fn renew(&self, publications: &mut Publications) {
        publications.renew(&self.master, &self.aes);
    }

    /// Makes one request. `ts` is the time in seconds since 1970; masters with `request_server_ttl` look at it.
    ///
    /// # Errors
    /// [`CannotEncrypt`].
    pub fn request<R: CryptoRng + ?Sized>(
        &self,
        command: &Command<'_>,
        ts: i64,
        rng: &mut R,
    ) -> Result<(Awaited, Vec<u8>), CannotEncrypt> {
        let nonce = Nonce::generate(rng);
        let mut load = command.fields();
        load.extend([
            ("nonce", Value::Raw(nonce.as_bytes().to_vec())),
            ("ts", Value::Int(ts)),
            ("tok", Value::Raw(self.tok.clone())),
            ("id", Value::text(self.id.as_str())),
        ]);
        let load = self
            .session
            .encrypt(&Value::map(load).encode(), None, rng)
            .map_err(|_| CannotEncrypt)?;
        let request = aes_request(
            load,
            &self.id,
            self.algorithms.encryption,
            self.algorithms.signing,
        );
        Ok((Awaited(nonce), request))
    }

    /// Opens the reply to one request: HMAC, marker, nonce, one value and no rest, in this order.
    ///
    /// # Errors
    /// [`ReplyError`].
    pub fn open(&self, awaited: &Awaited, reply: &[u8]) -> Result<Value, ReplyError> {
        // Nobody is verified until the HMAC is: a flat outer value is all there can be.
        let outer = Value::decode(reply, Limits::UNVERIFIED).map_err(|_| ReplyError::Unopened)?;
        let Some(message) = outer.as_bytes() else {
            return Err(of_error_map(&outer));
        };
        let Ok(plaintext) = self.session.decrypt(message) else {
            return Err(of_text(&outer));
        };
        let (nonce, object) = plaintext.split_at_checked(Nonce::LEN).ok_or(ReplyError::Nonce)?;
        if !awaited.0.matches(nonce) {
            return Err(ReplyError::Nonce);
        }
        Ok(Value::decode(object, Limits::VERIFIED)?)
    }
}

fn of_text(outer: &Value) -> ReplyError {
    match outer.as_text() {
        Some("bad load") => ReplyError::BadLoad,
        Some(
            text @ ("Some exception handling minion payload"
            | "Server-side exception handling payload"
            | "payload and load must be a dict"),
        ) => ReplyError::MasterFailed(text.to_owned()),
        _ => ReplyError::Unopened,
    }
}

fn of_error_map(outer: &Value) -> ReplyError {
    match outer
        .get("error")
        .or_else(|| outer.get("msg"))
        .and_then(Value::as_text)
    {
        Some("bad load") => ReplyError::BadLoad,
        Some(text) => {
            ReplyError::MasterFailed(text.chars().take(80).flat_map(char::escape_default).collect())
        }
        None => ReplyError::Unopened,
    }
}
