//! Private halves encrypted at rest: one line of YAML each, bound to its owner.
//!
//! `form` is how a sealed value is written, `keyring` makes the keys and opens values.

mod form;
mod keyring;

use std::fmt;

pub use keyring::{Keyring, Opened, SealError, Secret};

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
    text.starts_with(form::PREFIX)
}
