//! Why a sign-in gave no session: every reply of a master, and every forgery, by name.

use crate::message::{DecodeError, Value};

/// What a master says of our key instead of accepting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The key waits for `salt-key -a`.
    Pending,
    /// The key is rejected, or another key is accepted under this id ("denied"), or the id or the stored key
    /// is not valid: Salt's reply is the same for all of them.
    Rejected,
    /// `max_minions` is reached.
    Full,
}

/// Why a reply is not from the master that we trust. None of these happens with an honest master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Deceit {
    /// The reply has no signature.
    #[error("the reply to the sign-in is not signed")]
    Unsigned,
    /// The outer signature does not verify under the trusted key.
    #[error("the signature of the reply does not verify with the master's key")]
    Signature,
    /// The nonce is missing or another one: a replay.
    #[error("the reply carries another nonce than the request: a replay of an earlier reply")]
    Nonce,
    /// There is no usable master key in the reply.
    #[error("the reply has no usable master key")]
    Key,
    /// The key is not the pinned one.
    #[error("the master's key is not the pinned one")]
    NotPinned,
    /// The key has another fingerprint.
    #[error("the master's key does not have the configured fingerprint")]
    Fingerprint,
    /// `pub_sig` is required, but missing.
    #[error("the master's key is not signed by master_sign (is master_sign_pubkey on?)")]
    KeyUnsigned,
    /// `pub_sig` does not verify.
    #[error("the master's key is signed, but not by our master_sign")]
    KeySignature,
    /// A secret is missing, not for us, or not a key string.
    #[error("the secrets in the reply were not made for our key")]
    Secret,
    /// The X9.31 signature over the AES key does not verify.
    #[error("the inner signature over the AES key does not verify with the master's key")]
    InnerSignature,
    /// The token did not come back.
    #[error("the master could not give back our token: it does not hold the pinned key")]
    Token,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The master does not accept our key.
    ///
    /// `verified`: the claim is signed by a pinned key. Otherwise anybody on the path can have made it.
    #[error("{}", not_accepted(*.claim, *.verified))]
    NotAccepted {
        /// What it says.
        claim: Claim,
        /// Whether that is proved.
        verified: bool,
    },
    /// The peer is not the master that we trust.
    #[error(transparent)]
    Deceit(#[from] Deceit),
    /// The master does not know `encryption_algorithm` or `signing_algorithm`. Not signed by anybody.
    #[error("the master refuses our {0}; choose one that it supports")]
    Algorithm(&'static str),
    /// The master signs its key, but we have no key to check that with.
    #[error("the master signs its key, but no master_sign public key is configured: add it")]
    SignatureNotExpected,
    /// Genuine, but older than 3006.12 or 3007.4: no session keys, any minion can speak for any other.
    #[error("the master is older than 3006.12 or 3007.4 and has no session keys; update it")]
    TooOld,
    /// `bad load` and its like: the master refuses the form of the request.
    #[error("the master refuses the request: {0:?}")]
    BadLoad(String),
    /// The master failed inside, or is a cluster member that is not ready.
    #[error("the master cannot sign anybody in now: {0}")]
    NotReady(String),
    /// msgpack, but nothing that a master answers to a sign-in.
    #[error("the reply is none that a salt-master gives")]
    NotAReply,
    /// Not even msgpack.
    #[error("the reply is none that a salt-master gives: {0}")]
    NotMsgpack(#[source] DecodeError),
}

fn not_accepted(claim: Claim, verified: bool) -> String {
    let what = match claim {
        Claim::Pending => "our key waits for acceptance there (salt-key -a)",
        Claim::Rejected => {
            "our key is rejected there, or another key is accepted under our id (salt-key -L tells which)"
        }
        Claim::Full => "the master takes no more minions (max_minions)",
    };
    if verified {
        what.to_owned()
    } else {
        format!("{what}; this reply could not be verified")
    }
}

/// A reply without a `load`: an error text or map (`salt-wire-protocol`'s catalogue of non-message replies).
pub(super) fn of_non_reply(reply: &Value) -> SignInError {
    if let Some(text) = reply.as_text() {
        return match text {
            _ if text.starts_with("bad load") || text == "payload and load must be a dict" => {
                SignInError::BadLoad(excerpt(text))
            }
            "Some exception handling minion payload" | "Server-side exception handling payload" => {
                SignInError::NotReady(excerpt(text))
            }
            _ => SignInError::NotAReply,
        };
    }
    match reply
        .get("error")
        .or_else(|| reply.get("msg"))
        .and_then(Value::as_text)
    {
        Some("bad load") => SignInError::BadLoad("bad load".to_owned()),
        Some(text) => SignInError::NotReady(excerpt(text)),
        None => SignInError::NotAReply,
    }
}

/// A `load` that is a map: nobody signed it.
pub(super) fn of_unsigned(load: &Value) -> SignInError {
    if load.get("cluster_retry") == Some(&Value::Bool(true)) {
        return SignInError::NotReady("a cluster member that is not ready".to_owned());
    }
    match load.get("ret").map(Value::as_text) {
        Some(Some("bad enc algo")) => SignInError::Algorithm("encryption_algorithm"),
        Some(Some("bad sig algo")) => SignInError::Algorithm("signing_algorithm"),
        // The form for payload versions 0 and 1: somebody turned the version down.
        Some(_) => Deceit::Unsigned.into(),
        None => SignInError::NotAReply,
    }
}

/// A text from the network, short and printable.
fn excerpt(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}
