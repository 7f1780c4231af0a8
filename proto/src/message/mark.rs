//! What a publication is known by when the reply that names its jid is lost.
//!
//! A master gives a `minion_pub` its jid and takes none from outside (`salt/daemons/masterapi.py`, `minion_pub`, in
//! 3006 to 3008). But the targets of a job are shown wherever the job is: in the publication, in `saltutil.running`
//! on the minion, in the master's job cache. Salt asks of a list of targets only what is in it, and what comes one after the
//! other (`_check_list_minions` of `salt/utils/minions.py`, `salt/matchers/list_match.py`): so a map will do, whose keys are the
//! ids, and a value has room for the mark. It reaches no function and changes no return.
//!
//! As one more target, the id of no minion, the mark was costly: for each of these a 3008 master looks through the cached grains and
//! pillars of all minions, six times a publish (`bare_resource_id_in_minion_data_cache` of `salt/utils/resources.py`).

use std::fmt;

use rand::CryptoRng;

use super::{Nonce, Value};

/// Before the digits of a mark.
const MARK: &str = "saltfo:";
/// The same, of what says that it is about to come.
const NEXT: &str = "saltfo-next:";

/// `saltfo:` and 32 random digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark(String);

impl Mark {
    /// Makes a fresh one.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let digits = Nonce::generate(rng);
        Self(format!("{MARK}{}", String::from_utf8_lossy(digits.as_bytes())))
    }

    /// The one that these targets bear: the `tgt` of a publication or a job.
    #[must_use]
    pub fn of(targets: &Value) -> Option<Self> {
        let mark = said(targets).find(|said| said.starts_with(MARK))?;
        Some(Self(mark.to_owned()))
    }

    /// The mark of a job that is about to come, as the targets of its lookup say.
    #[must_use]
    pub fn announced_by(targets: &Value) -> Option<Self> {
        let digits = said(targets).find_map(|said| said.strip_prefix(NEXT))?;
        Some(Self(format!("{MARK}{digits}")))
    }

    /// What the targets of a lookup say when the job of this mark is about to come.
    #[must_use]
    pub fn announcement(&self) -> String {
        let digits = self.0.strip_prefix(MARK).unwrap_or_default();
        format!("{NEXT}{digits}")
    }

    /// As the targets bear it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether these targets bear it.
    #[must_use]
    pub fn is_in(&self, targets: &Value) -> bool {
        said(targets).any(|said| said == self.0)
    }
}

/// What is said beside the targets.
fn said(targets: &Value) -> impl Iterator<Item = &str> {
    let entries = targets.as_map().unwrap_or_default();
    entries.iter().filter_map(|(_, said)| said.as_text())
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
