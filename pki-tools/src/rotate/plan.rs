//! Which values change: a new pair in place of another one, and `master_sign` with its overlap.

use zeroize::Zeroizing;

use super::fresh::{Desk, Halves};
use crate::edit::Changes;
use crate::error::{Error, Place};
use crate::keys::{Key, Role};
use crate::layout::Layout;
use crate::yaml::{Addition, NewValue, Value, View};

/// The key of the pair that was `master_sign` before.
const OLD: &str = "master_sign_old";

/// The changes to a client's files, with the texts that they name.
#[derive(Default)]
pub(super) struct Plan<'a> {
    pub(super) changes: Changes<'a>,
    pub(super) texts: Vec<Zeroizing<String>>,
}

impl<'a> Plan<'a> {
    /// Puts a pair in place of another one.
    ///
    /// # Errors
    /// [`Error::Shared`] if other places have it, too.
    pub(super) fn replace(&mut self, key: &Key<'a>, halves: Halves) -> Result<(), Error> {
        self.set(key, key.role.private(), halves.private)?;
        self.set(key, "pub", halves.public)
    }

    /// Keeps a copy of `master_sign` beside it, as the one before.
    ///
    /// # Errors
    /// What stands in the way, see [`Error`].
    pub(super) fn keep_master_sign(
        &mut self,
        layout: &Layout<'a>,
        key: &Key<'a>,
        desk: &Desk<'_>,
    ) -> Result<(), Error> {
        let halves = desk.moved(key, Role::MasterSignOld)?;
        let inner = vec![
            self.addition(Role::MasterSignOld.private(), halves.private),
            self.addition("pub", halves.public),
        ];
        let addition = Addition {
            key: OLD,
            value: Value::Map(inner),
            item: None,
        };
        let pki = enclosing(layout, "master_sign").ok_or_else(|| gone(key))?;
        refuse_shared(&pki, None, OLD)?;
        self.put(&pki, addition);
        Ok(())
    }

    /// Puts the one before back as `master_sign`.
    ///
    /// # Errors
    /// What stands in the way, see [`Error`].
    pub(super) fn restore_master_sign(
        &mut self,
        key: &Key<'a>,
        old: &Key<'a>,
        desk: &Desk<'_>,
    ) -> Result<(), Error> {
        self.replace(key, desk.moved(old, Role::MasterSign)?)
    }

    /// Takes the one before out.
    ///
    /// # Errors
    /// What stands in the way, see [`Error`].
    pub(super) fn remove_master_sign_old(&mut self, layout: &Layout<'a>, old: &Key<'a>) -> Result<(), Error> {
        let pki = enclosing(layout, OLD).ok_or_else(|| gone(old))?;
        let number = pki.find(OLD).and_then(|found| {
            let mut entries = pki.node.entries().iter();
            entries.position(|entry| std::ptr::eq(entry, found.entry))
        });
        match number {
            Some(number) if pki.shared.is_none() => {
                self.changes.of(&pki).remove.push(number);
                Ok(())
            }
            _ => Err(Error::Shared {
                place: pki.shared.clone().unwrap_or_else(|| old.pair.place()),
                key: format!("pki.{OLD}"),
            }),
        }
    }

    /// Gives one half of a pair a text, whether it has one, nothing, or no such key.
    fn set(&mut self, key: &Key<'a>, half: &'static str, text: Zeroizing<String>) -> Result<(), Error> {
        let path = format!("{}.{half}", key.role.field());
        let found = key.pair.find(half);
        refuse_shared(
            &key.pair,
            found.as_ref().and_then(|found| found.value.shared.clone()),
            &path,
        )?;
        let has_text = found
            .as_ref()
            .filter(|found| found.value.node.scalar().is_some() && !found.value.node.is_null());
        match has_text.and_then(|found| key.number_of(found.entry)) {
            Some(number) => {
                let value = NewValue::Text(self.text(text));
                self.changes.of(&key.pair).set.push((number, value));
            }
            None => {
                let addition = self.addition(half, text);
                self.put(&key.pair, addition);
            }
        }
        Ok(())
    }

    /// Adds a key that isn't there, or fills one that is there with nothing as value.
    fn put(&mut self, mapping: &View<'a>, addition: Addition) {
        let mut entries = mapping.node.entries().iter();
        let number = entries.position(|entry| entry.key.scalar() == Some(addition.key));
        let change = self.changes.of(mapping);
        match number {
            Some(number) => change.fill.push((number, addition)),
            None => change.add.push(addition),
        }
    }

    fn addition(&mut self, key: &'static str, text: Zeroizing<String>) -> Addition {
        Addition {
            key,
            value: Value::Text(self.text(text)),
            item: None,
        }
    }

    fn text(&mut self, text: Zeroizing<String>) -> usize {
        self.texts.push(text);
        self.texts.len() - 1
    }
}

/// The `pki:` mapping with this pair.
fn enclosing<'a>(layout: &Layout<'a>, pair: &str) -> Option<View<'a>> {
    layout.salt_with(&["pki", pair])?.get("pki")
}

fn refuse_shared(mapping: &View<'_>, value: Option<Place>, key: &str) -> Result<(), Error> {
    match value.or(mapping.shared.clone()) {
        Some(place) => Err(Error::Shared {
            place,
            key: key.to_owned(),
        }),
        None => Ok(()),
    }
}

/// The pair was found a moment ago, so its mapping is there.
fn gone(key: &Key<'_>) -> Error {
    Error::Shared {
        place: key.pair.place(),
        key: key.role.field().to_owned(),
    }
}
