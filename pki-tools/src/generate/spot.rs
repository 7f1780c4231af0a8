//! Whose key is looked at while a plan is made, and where it stands below its owner.

use crate::error::{Error, Place};
use crate::keys::Role;
use crate::seal::Owner;

/// Whose key is looked at, and where.
#[derive(Clone)]
pub(super) struct Spot {
    pub(super) owner: String,
    /// The same for sealing; a client without a name has none.
    pub(super) sealed_for: Option<Owner>,
    pub(super) path: String,
}

impl Spot {
    /// A key below.
    pub(super) fn down(&self, key: &str) -> Self {
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        Self {
            owner: self.owner.clone(),
            sealed_for: self.sealed_for.clone(),
            path,
        }
    }

    /// What a private half here is sealed for.
    pub(super) fn seal(&self, place: &Place) -> Result<(Owner, Role), Error> {
        match (&self.sealed_for, Role::of_field(&self.path)) {
            (Some(owner), Some(role)) => Ok((owner.clone(), role)),
            _ => Err(Error::Missing {
                place: place.clone(),
                key: "name",
                expected: "the client's name, at the top of its file",
            }),
        }
    }
}
