//! Exit codes: the same for every command, and chosen here only.

use crate::locate::{Answer, Located};
use crate::probe::Probed;
use crate::state::{State, Verdict};

/// How a run ended. The numbers are part of the contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The job ran and failed.
    Failed = 1,
    /// Usage or configuration; nothing was sent.
    Usage = 2,
    /// The masters that could be reached are verified, and the minion answered through none.
    NoMaster = 3,
    /// No master could be reached.
    Unreachable = 4,
    /// A master failed verification, and no verified master had the minion.
    Unverified = 5,
    /// Refused: our key, or the function.
    Refused = 6,
    /// Dispatched, and no return in time: what became of the job is not known.
    Unknown = 7,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// Of the lookup of one minion.
    #[must_use]
    pub fn of_answer(answer: &Answer, located: &Located) -> Self {
        if answer.found.is_some() {
            return Self::Done;
        }
        Self::of_verdicts(located.masters.iter().map(|asked| &asked.verdict)).unwrap_or(Self::NoMaster)
    }

    /// Of a publish that could not be sent to the one master that has the minion.
    #[must_use]
    pub fn of_unsent(verdict: &Verdict) -> Self {
        Self::of_verdicts(std::iter::once(verdict)).unwrap_or(Self::NoMaster)
    }

    /// Of a probe: what is wrong with any master, unless one only cannot be reached.
    #[must_use]
    pub fn of_probe(probed: &[Probed]) -> Self {
        Self::of_verdicts(probed.iter().map(|probed| &probed.verdict)).unwrap_or(Self::Done)
    }

    /// The gravest thing that is to be said of these masters; nothing if some are verified and none refuses.
    fn of_verdicts<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> Option<Self> {
        let verdicts: Vec<&Verdict> = verdicts.collect();
        let any = |is: fn(&Verdict) -> bool| verdicts.iter().any(|verdict| is(verdict));
        if any(|verdict| verdict.state == State::Impostor) {
            return Some(Self::Unverified);
        }
        if any(|verdict| is_refusal(verdict.state)) {
            return Some(Self::Refused);
        }
        let none_verified = !any(|verdict| verdict.verified);
        none_verified.then_some(Self::Unreachable)
    }
}

fn is_refusal(state: State) -> bool {
    match state {
        State::KeyPending | State::KeyRejected | State::KeyDenied | State::Full | State::Refused => true,
        State::Active
        | State::Reachable
        | State::Unreachable
        | State::Hung
        | State::Impostor
        | State::UnknownMinion => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(verdicts: &[(State, bool)]) -> Option<Exit> {
        let verdicts: Vec<Verdict> = verdicts
            .iter()
            .map(|(state, verified)| Verdict::because(*state, *verified, "why"))
            .collect();
        Exit::of_verdicts(verdicts.iter())
    }

    #[test]
    fn the_gravest_finding_decides() {
        use State::*;
        assert_eq!(
            code(&[(Unreachable, false), (Unreachable, false)]),
            Some(Exit::Unreachable)
        );
        assert_eq!(
            code(&[(Unreachable, false), (Hung, false)]),
            Some(Exit::Unreachable)
        );
        assert_eq!(code(&[(Hung, true), (Unreachable, false)]), None);
        assert_eq!(code(&[(Reachable, true), (Unreachable, false)]), None);
        assert_eq!(code(&[(UnknownMinion, true), (UnknownMinion, true)]), None);
        assert_eq!(
            code(&[(Reachable, true), (Impostor, false)]),
            Some(Exit::Unverified)
        );
        assert_eq!(
            code(&[(KeyPending, false), (Impostor, false)]),
            Some(Exit::Unverified)
        );
        for state in [KeyPending, KeyRejected, KeyDenied, Full, Refused] {
            assert_eq!(code(&[(Reachable, true), (state, true)]), Some(Exit::Refused));
        }
    }
}
