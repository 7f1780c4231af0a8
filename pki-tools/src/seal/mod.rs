//! Private halves encrypted at rest: one line of YAML each, bound to its owner.
//!
//! `form` is how a sealed value is written, `keyring` makes the keys and opens values. `close` and `restore` seal and
//! unseal files; `sealing` is for new keys in files that are sealed.

mod close;
mod form;
mod halves;
mod keyring;
#[cfg(test)]
pub(crate) mod properties;
mod report;
mod restore;
mod sealing;

use std::fmt;

pub use close::{check, seal};
pub use keyring::{Keyring, Opened, Purpose, SealError, Secret, SecretKind};
pub use report::{Check, Half, Readable, Report, Stray};
pub use restore::unseal;
pub(crate) use sealing::Sealing;

use crate::permissions::Permissions;

/// How to seal and unseal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Finds out what would be done, and writes nothing.
    pub dry_run: bool,
    /// Whether everybody may read the files.
    pub permissions: Permissions,
}

/// Whose key it is; part of what a sealed value is bound to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The client of this name.
    Client(String),
    /// The master or server of this fqdn.
    Host(String),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(name) => write!(f, "client {name}"),
            Self::Host(fqdn) => f.write_str(fqdn),
        }
    }
}

/// Whether a value has the form of a sealed one.
#[must_use]
pub fn is_sealed(text: &str) -> bool {
    text.trim_start().starts_with(form::PREFIX)
}
