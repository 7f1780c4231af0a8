//! The states of a master as the sidecar knows them, and how eagerly it is to be verified in each.

use std::time::Duration;

use serde::Serialize;

use crate::sidecar::settings::Settings;
use crate::state::State;

/// What is known of a master. The names are part of the contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing yet, or nothing that is fresh enough.
    Unknown,
    /// Verified answers come in, and both connections stand.
    Up,
    /// One of its two connections stands, the other does not, or did not until just now.
    Degraded,
    /// Takes connections, but does not answer.
    Hung,
    /// No connection can be made.
    Unreachable,
    /// Answers, but is not the master that we trust.
    Impostor,
    /// Our key waits for acceptance.
    KeyPending,
    /// Our key is rejected.
    KeyRejected,
    /// Another key is accepted under our id.
    KeyDenied,
    /// `max_minions` is reached.
    Full,
    /// Genuine, but does not do what we ask.
    Refused,
}

impl Standing {
    /// All of them, for those who count.
    pub const ALL: [Self; 11] = [
        Self::Unknown,
        Self::Up,
        Self::Degraded,
        Self::Hung,
        Self::Unreachable,
        Self::Impostor,
        Self::KeyPending,
        Self::KeyRejected,
        Self::KeyDenied,
        Self::Full,
        Self::Refused,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Hung => "hung",
            Self::Unreachable => "unreachable",
            Self::Impostor => "impostor",
            Self::KeyPending => "key_pending",
            Self::KeyRejected => "key_rejected",
            Self::KeyDenied => "key_denied",
            Self::Full => "full",
            Self::Refused => "refused",
        }
    }

    /// Whether nobody can work through a master in this state, and it is not our key alone that it refuses: a minion that
    /// hangs on it is to be moved.
    #[must_use]
    pub const fn is_dead(self) -> bool {
        match self {
            Self::Degraded | Self::Hung | Self::Unreachable | Self::Impostor => true,
            Self::Unknown
            | Self::Up
            | Self::KeyPending
            | Self::KeyRejected
            | Self::KeyDenied
            | Self::Full
            | Self::Refused => false,
        }
    }

    /// Where an answer that shows no genuine master that takes us leads. Nothing: such a verdict is no answer.
    pub(super) const fn of_contrary(state: State) -> Option<Self> {
        match state {
            State::Impostor => Some(Self::Impostor),
            State::KeyPending => Some(Self::KeyPending),
            State::KeyRejected => Some(Self::KeyRejected),
            State::KeyDenied => Some(Self::KeyDenied),
            State::Full => Some(Self::Full),
            State::Refused | State::UnknownMinion => Some(Self::Refused),
            State::Hung => Some(Self::Hung),
            State::Active | State::Reachable | State::Unreachable => None,
        }
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How eagerly a master is to be verified. What follows an answer that failed is the watch's own affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// Every `verify`.
    #[default]
    Steady,
    /// The next one now, then one every two heartbeats: something is in doubt, or about to become good.
    Quick,
}

impl Pace {
    /// Between two verifications.
    #[must_use]
    pub fn interval(self, settings: &Settings) -> Duration {
        match self {
            Self::Steady => settings.verify,
            Self::Quick => settings.heartbeat.saturating_mul(2).min(settings.verify),
        }
    }
}
