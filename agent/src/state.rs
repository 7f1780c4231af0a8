//! The states of a master as `saltfo` reports them, and where each piece of evidence belongs.

use proto::auth::{Claim, SignInError};
use proto::net::NetError;
use proto::session::ReplyError;
use serde::Serialize;

/// What is known of a master. The names are part of the contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A round trip to the minion went through it.
    Active,
    /// Verified, and our key is accepted.
    Reachable,
    /// No connection: no address, no route, refused, or no answer at all.
    Unreachable,
    /// Connects, but does not answer.
    Hung,
    /// Answers, but is not the master that we trust.
    Impostor,
    /// Our key waits for acceptance.
    KeyPending,
    /// Our key is rejected, or another one is accepted under our id: Salt's reply is the same for both.
    KeyRejected,
    /// Another key is accepted under our id. Salt does not tell this from [`Self::KeyRejected`], so no
    /// release that is known today leads here.
    KeyDenied,
    /// `max_minions` is reached.
    Full,
    /// Genuine, but does not do what we ask.
    Refused,
    /// Genuine, but has no accepted key of that minion.
    UnknownMinion,
}

impl State {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reachable => "reachable",
            Self::Unreachable => "unreachable",
            Self::Hung => "hung",
            Self::Impostor => "impostor",
            Self::KeyPending => "key_pending",
            Self::KeyRejected => "key_rejected",
            Self::KeyDenied => "key_denied",
            Self::Full => "full",
            Self::Refused => "refused",
            Self::UnknownMinion => "unknown_minion",
        }
    }
}

/// A state with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What is known.
    pub state: State,
    /// Whether it was the genuine master that gave it away.
    pub verified: bool,
    /// Why, for a person; nothing when all is well.
    pub error: Option<String>,
}

impl Verdict {
    /// All is well.
    #[must_use]
    pub const fn good(state: State) -> Self {
        Self {
            state,
            verified: true,
            error: None,
        }
    }

    /// A state and why.
    #[must_use]
    pub fn because(state: State, verified: bool, error: impl Into<String>) -> Self {
        Self {
            state,
            verified,
            error: Some(error.into()),
        }
    }
}

impl From<&NetError> for State {
    fn from(error: &NetError) -> Self {
        match error {
            NetError::NotResolved { .. }
            | NetError::Refused { .. }
            | NetError::Unreachable { .. }
            | NetError::ConnectTimeout { .. }
            | NetError::Closed { .. }
            | NetError::Reset { .. }
            | NetError::Io { .. } => Self::Unreachable,
            NetError::HandshakeTimeout { .. }
            | NetError::SendTimeout { .. }
            | NetError::ReplyTimeout { .. } => Self::Hung,
            // Whatever listens there, it is no salt-master.
            NetError::Violation { .. } | NetError::NotAReply { .. } | NetError::Backlog { .. } => {
                Self::Impostor
            }
            // Our own doing; never seen by a user unless we have a fault.
            NetError::Abandoned { .. } | NetError::Misuse { .. } => Self::Refused,
        }
    }
}

impl From<&SignInError> for State {
    fn from(error: &SignInError) -> Self {
        match error {
            SignInError::NotAccepted {
                claim: Claim::Pending,
                ..
            } => Self::KeyPending,
            SignInError::NotAccepted {
                claim: Claim::Rejected,
                ..
            } => Self::KeyRejected,
            SignInError::NotAccepted {
                claim: Claim::Full, ..
            } => Self::Full,
            SignInError::Deceit(_) | SignInError::NotAReply | SignInError::NotMsgpack(_) => Self::Impostor,
            SignInError::Algorithm(_)
            | SignInError::SignatureNotExpected
            | SignInError::TooOld
            | SignInError::BadLoad(_)
            | SignInError::NotReady(_) => Self::Refused,
        }
    }
}

impl From<&ReplyError> for State {
    fn from(error: &ReplyError) -> Self {
        match error {
            ReplyError::Unopened | ReplyError::Nonce => Self::Impostor,
            ReplyError::BadLoad | ReplyError::MasterFailed(_) | ReplyError::NotMsgpack(_) => Self::Refused,
        }
    }
}
