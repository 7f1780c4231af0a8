//! The operator's orders: a move to another master, a master that is drained, and what became of them.

use tokio::time::Instant;

use super::{Election, Outcome, PROOF, REST, is_usable, trouble};
use crate::sidecar::control::{self, Done};
use crate::sidecar::facts::MasterIndex;
use crate::sidecar::policy::master::Master;
use crate::sidecar::settings::{Mode, Settings};

/// Why a master is not moved to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// There is no relay.
    #[error("the sidecar is not in mode relay: set `mode: relay`, see `saltfo setup relay`")]
    NoRelay,
    /// No master has that name.
    #[error("no master has the name {0}")]
    Unknown(String),
    /// It is where we are.
    #[error("{0} has the minion already")]
    There(String),
    /// The master cannot take the minion.
    #[error("the minion cannot be moved to {0}")]
    NotUp(String),
    /// There is no other one.
    #[error("no other master is up")]
    NoOther,
}

/// What became of an order.
#[derive(Debug, PartialEq)]
pub enum Moved {
    /// It is not known yet.
    Pending,
    /// This.
    Ended(Box<Done>),
}

impl Election {
    /// An order to move: to this master, or to any other.
    pub(in crate::sidecar::policy) fn order(
        &mut self,
        to: Option<MasterIndex>,
        masters: &[Master],
        settings: &Settings,
        now: Instant,
    ) -> Result<(), MoveError> {
        if settings.mode != Mode::Relay {
            return Err(MoveError::NoRelay);
        }
        let name = |index: MasterIndex| masters.get(index.0).map_or_else(String::new, |m| m.name.clone());
        let elected = self.elected.ok_or(MoveError::NoOther)?;
        let to = match to {
            Some(to) if to == elected => return Err(MoveError::There(name(to))),
            Some(to) if !is_usable(masters, to) => return Err(MoveError::NotUp(trouble(masters, to))),
            Some(to) => to,
            None => self
                .pick(Some(elected), masters, settings)
                .ok_or(MoveError::NoOther)?,
        };
        self.drained.remove(&to);
        // Who orders a move does not want it undone by the next look at who is preferred.
        self.preferred = None;
        self.rests_until = now + REST;
        self.close(to, "it was asked for".to_owned(), now);
        Ok(())
    }

    /// Takes a master out of the election, or back into it.
    pub(in crate::sidecar::policy) fn drain(
        &mut self,
        master: MasterIndex,
        drained: bool,
        settings: &Settings,
    ) -> Result<(), MoveError> {
        if settings.mode != Mode::Relay {
            return Err(MoveError::NoRelay);
        }
        if drained {
            self.drained.insert(master);
            self.rests_until = self.began;
        } else {
            self.drained.remove(&master);
        }
        Ok(())
    }

    /// What became of an order that was given then.
    pub(in crate::sidecar::policy) fn moved_since(
        &self,
        since: Instant,
        masters: &[Master],
        now: Instant,
    ) -> Moved {
        let name = |index: MasterIndex| masters.get(index.0).map(|master| master.name.clone());
        let done = |result, why: &str| Done {
            result,
            from: None,
            to: self.elected.and_then(name),
            after_ms: None,
            why: why.to_owned(),
        };
        if self.closing.is_some() {
            return Moved::Pending;
        }
        let Some(last) = self.last.as_ref().filter(|last| last.at >= since) else {
            let why = match self.elected {
                Some(elected) if self.drained.contains(&elected) => {
                    "it keeps the minion: no other master is up".to_owned()
                }
                _ => self.why.clone(),
            };
            return Moved::Ended(Box::new(done(control::Outcome::Noted, &why)));
        };
        let (result, why) = match &last.outcome {
            Outcome::Pending if last.was_ready && now < last.at + PROOF + PROOF => return Moved::Pending,
            Outcome::Pending => (
                control::Outcome::Unproven,
                "jobs do not reach the minion, or it is not known that they do",
            ),
            Outcome::Connected => (
                control::Outcome::Unproven,
                "round trips are not permitted there, see `saltfo status`",
            ),
            Outcome::Proven(_) => (control::Outcome::Moved, last.why.as_str()),
            Outcome::TakenBack(why) => (control::Outcome::TakenBack, why.as_str()),
            Outcome::Overtaken => (control::Outcome::Unproven, "another switch came at once"),
        };
        let after = match &last.outcome {
            Outcome::Proven(after) => Some(after.as_secs_f64() * 1e3),
            _ => None,
        };
        Moved::Ended(Box::new(Done {
            from: name(last.from),
            after_ms: after,
            ..done(result, why)
        }))
    }
}
