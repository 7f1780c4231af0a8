//! What a publication is known by when the reply that names its jid is lost.
//!
//! A master gives a `minion_pub` its jid and takes none from outside (`salt/daemons/masterapi.py`, `minion_pub`, in
//! 3006 to 3008). But the targets of a job are shown wherever the job is: in the publication, in `saltutil.running`
//! on the minion, in the master's job cache. So the list of targets gets one more entry, which is the id of no
//! minion. It reaches no function and changes no return.

use std::fmt;

use rand::CryptoRng;

use super::{Nonce, Value};

/// Before the digits of a mark.
const MARK: &str = "saltfo:";
/// The same, of what says that it is about to come.
const NEXT: &str = "saltfo-next:";

/// A target that is no minion: `saltfo:` and 32 random digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark(String);

impl Mark {
    /// Makes a fresh one.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let digits = Nonce::generate(rng);
        Self(format!("{MARK}{}", String::from_utf8_lossy(digits.as_bytes())))
    }

    /// The first one among these targets.
    #[must_use]
    pub fn first_of(targets: &Value) -> Option<Self> {
        let mut targets = targets.as_array()?.iter().filter_map(Value::as_text);
        targets
            .find(|target| target.starts_with(MARK))
            .map(|target| Self(target.to_owned()))
    }

    /// The mark of a job that is about to come, as the targets of its lookup say.
    #[must_use]
    pub fn announced_by(targets: &Value) -> Option<Self> {
        let mut targets = targets.as_array()?.iter().filter_map(Value::as_text);
        let digits = targets.find_map(|target| target.strip_prefix(NEXT))?;
        Some(Self(format!("{MARK}{digits}")))
    }

    /// A target that says that the job of this mark is about to come. It is no minion either.
    #[must_use]
    pub fn announcement(&self) -> String {
        let digits = self.0.strip_prefix(MARK).unwrap_or_default();
        format!("{NEXT}{digits}")
    }

    /// As it stands among the targets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is among these targets: the `tgt` of a publication or a job.
    #[must_use]
    pub fn is_in(&self, targets: &Value) -> bool {
        let is = |target: &Value| target.as_bytes() == Some(self.0.as_bytes());
        targets.as_array().is_some_and(|targets| targets.iter().any(is))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
