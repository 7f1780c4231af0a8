//! One connection to a master: it stands while heartbeats are answered, and is gone after so many misses or when it
//! broke.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::state::{State, Verdict};

/// What is known of a connection.
#[derive(Debug, Clone)]
pub(in crate::sidecar) struct Line {
    pub(in crate::sidecar) condition: Condition,
    pub(in crate::sidecar) since: Instant,
    /// Heartbeats in a row that went unanswered.
    pub(in crate::sidecar) misses: u32,
    /// Whether the master's system takes connections there; asked only while it does not stand, or is in doubt.
    pub(in crate::sidecar) takes: Option<bool>,
    pub(in crate::sidecar) peer: Option<SocketAddr>,
    /// How long the last answer to a heartbeat took.
    pub(in crate::sidecar) pong: Option<Duration>,
}

/// Whether it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sidecar) enum Condition {
    /// Not tried yet.
    Unknown,
    Stands,
    Gone {
        why: String,
        /// Whatever listens there is no salt-master.
        impostor: bool,
    },
}

/// What a piece of evidence made of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// As it was.
    Same,
    /// It stood, or was not known, and is gone.
    Lost,
    /// It was gone and stands.
    Back,
}

impl Line {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            condition: Condition::Unknown,
            since: now,
            misses: 0,
            takes: None,
            peer: None,
            pong: None,
        }
    }

    pub(super) fn stands(&self) -> bool {
        self.condition == Condition::Stands
    }

    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.condition, Condition::Gone { .. })
    }

    pub(super) const fn is_known(&self) -> bool {
        !matches!(self.condition, Condition::Unknown)
    }

    pub(super) const fn is_impostor(&self) -> bool {
        matches!(self.condition, Condition::Gone { impostor: true, .. })
    }

    /// Why it does not stand.
    pub(super) fn why(&self) -> &str {
        match &self.condition {
            Condition::Unknown => "not tried yet",
            Condition::Stands => "stands",
            Condition::Gone { why, .. } => why,
        }
    }

    /// It lives: something came over it, or it has just shaken hands.
    pub(super) fn lives(&mut self, at: Instant) -> Turn {
        self.misses = 0;
        self.takes = None;
        self.turn(Condition::Stands, at)
    }

    /// A heartbeat was missed; `limit` in a row, and it is gone.
    pub(super) fn misses(&mut self, limit: u32, at: Instant) -> Turn {
        self.misses = self.misses.saturating_add(1);
        if self.is_gone() || self.misses < limit {
            return Turn::Same;
        }
        let why = match self.misses {
            1 => "a heartbeat was not answered".to_owned(),
            misses => format!("{misses} heartbeats in a row were not answered"),
        };
        let impostor = false;
        self.turn(Condition::Gone { why, impostor }, at)
    }

    /// It broke, or could not be made.
    pub(super) fn breaks(&mut self, verdict: &Verdict, at: Instant) -> Turn {
        match verdict.state {
            State::Hung => self.takes = Some(true),
            State::Unreachable => self.takes = Some(false),
            _ => {}
        }
        let why = verdict.error.clone();
        let why = why.unwrap_or_else(|| verdict.state.name().to_owned());
        let impostor = verdict.state == State::Impostor;
        self.turn(Condition::Gone { why, impostor }, at)
    }

    fn turn(&mut self, to: Condition, at: Instant) -> Turn {
        let turn = match (&self.condition, &to) {
            (Condition::Gone { .. }, Condition::Stands) => Turn::Back,
            (Condition::Gone { .. }, Condition::Gone { .. })
            | (Condition::Stands, Condition::Stands)
            | (Condition::Unknown, Condition::Stands)
            | (_, Condition::Unknown) => Turn::Same,
            (Condition::Stands | Condition::Unknown, Condition::Gone { .. }) => Turn::Lost,
        };
        if std::mem::discriminant(&self.condition) != std::mem::discriminant(&to) {
            self.since = at;
        }
        self.condition = to;
        turn
    }
}
