//! What a key should have, and how much of it is there.

use super::make::Job;
use super::report::What;
use crate::error::{Error, Place};
use crate::yaml::{Found, Kind, View};

/// What a key should have.
pub(super) enum Wish<'a> {
    Map(Vec<(&'static str, Wish<'a>)>),
    /// `{pem, pub}`.
    Rsa,
    /// `{id, pem, pub}`; the client's name, for the default id.
    Dispatch(Result<View<'a>, Place>),
    /// `{priv, pub}`.
    Ssh,
}

/// The key of the private half, and what makes a new pair.
pub(super) fn new_pair(wish: &Wish<'_>, owner: &str) -> (&'static str, Job, What) {
    match wish {
        Wish::Ssh => ("priv", Job::Ssh(format!("root@{owner}")), What::SshPair),
        _ => ("pem", Job::Rsa, What::RsaPair),
    }
}

/// A key with nothing as value: null, written or not, or `{}`.
pub(super) fn is_empty(found: &Found<'_>) -> bool {
    found.value.node.is_null() || found.value.node.is_empty_mapping()
}

/// The text of a half that is there.
pub(super) fn key_text<'a>(found: &Option<Found<'a>>, key: &str) -> Result<Option<(&'a str, Place)>, Error> {
    match found {
        Some(found) if !is_empty(found) => {
            let node = found.value.node;
            match &node.kind {
                Kind::Scalar { value, .. } if !value.trim().is_empty() => {
                    Ok(Some((value, found.value.place())))
                }
                _ => Err(found
                    .value
                    .wrong(key, "a key as text (remove it to get a new one)")),
            }
        }
        _ => Ok(None),
    }
}

/// `pipeline.NAME`, in lower case.
pub(super) fn default_id(name: &Result<View<'_>, Place>) -> Result<String, Error> {
    let view = match name {
        Ok(view) => view,
        Err(place) => {
            let place = place.clone();
            return Err(Error::Missing {
                place,
                key: "name",
                expected: "the client's name",
            });
        }
    };
    let name = view.text("name")?;
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(fits) {
        return Err(Error::Name {
            place: view.place(),
            name: name.to_owned(),
        });
    }
    Ok(format!("pipeline.{}", name.to_lowercase()))
}
