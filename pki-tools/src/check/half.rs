//! What is to be said of one half of a pair.

use super::finding::{Code, Severity};

/// What to do about a private half that cannot be used.
pub(super) const RESTORE: &str =
    "restore it from the host that has it, or remove both halves and run `pki-tools gen` for a new pair";

/// A half that was looked at.
#[derive(Default)]
pub(super) struct Judged {
    /// The public half in its usual form, by which keys are compared; nothing if it couldn't be read.
    pub(super) identity: Option<String>,
    pub(super) faults: Vec<Fault>,
}

/// Something to be said of it; the message goes on after the name of the half.
pub(super) struct Fault {
    pub(super) severity: Severity,
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) remedy: &'static str,
}

impl Judged {
    pub(super) fn good(identity: Option<String>) -> Self {
        Self {
            identity,
            faults: Vec::new(),
        }
    }

    pub(super) fn bad(fault: Fault) -> Self {
        Self {
            identity: None,
            faults: vec![fault],
        }
    }
}

impl Fault {
    pub(super) fn new(code: Code, message: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            severity: Severity::Fault,
            code,
            message: message.into(),
            remedy,
        }
    }

    pub(super) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}
