//! Every key that a client's files have: whose it is, what it is for, where its halves stand.

use std::fmt;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::{Error, Place};
use crate::layout::{Host, Layout};
use crate::seal::{Keyring, Owner, is_sealed};
use crate::tolerance::Tolerance;
use crate::yaml::{Entry, Found, View};

/// What a key is for; with its owner it says which key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The pair with which both masters sign their public keys.
    MasterSign,
    /// The one before, as long as a rotation is under way.
    MasterSignOld,
    /// The dispatch identity's.
    Pipeline,
    /// A master's own pair.
    Master,
    /// The pair of the minion on a master's host.
    MasterMinion,
    /// A master's root ssh pair.
    RootEd25519,
    /// A minion's pair.
    Minion,
}

impl Role {
    /// The path of the pair below its owner.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::MasterSign => "pki.master_sign",
            Self::MasterSignOld => "pki.master_sign_old",
            Self::Pipeline => "pki.pipeline",
            Self::Master => "pki.master",
            Self::MasterMinion => "pki.minion",
            Self::RootEd25519 => "root_ed25519",
            Self::Minion => "minion",
        }
    }

    /// Whose [`Role::field`] this is.
    pub(crate) fn of_field(field: &str) -> Option<Self> {
        [
            Self::MasterSign,
            Self::MasterSignOld,
            Self::Pipeline,
            Self::Master,
            Self::MasterMinion,
            Self::RootEd25519,
            Self::Minion,
        ]
        .into_iter()
        .find(|role| role.field() == field)
    }

    /// The key of the private half.
    #[must_use]
    pub fn private(self) -> &'static str {
        match self {
            Self::RootEd25519 => "priv",
            _ => "pem",
        }
    }

    /// The path of the private half below its owner.
    #[must_use]
    pub fn path(self) -> String {
        format!("{}.{}", self.field(), self.private())
    }
}

/// A pair in a client's files; either half may be missing.
pub(crate) struct Key<'a> {
    pub(crate) owner: Owner,
    pub(crate) role: Role,
    /// Whether its owner is in use.
    pub(crate) active: bool,
    /// The mapping with both halves.
    pub(crate) pair: View<'a>,
    pub(crate) private: Option<Found<'a>>,
    pub(crate) public: Option<Found<'a>>,
}

impl<'a> Key<'a> {
    /// Nothing if it is no mapping, and that is tolerated.
    fn new(
        owner: Owner,
        role: Role,
        active: bool,
        view: View<'a>,
        tolerance: &mut Tolerance<'_>,
    ) -> Result<Option<Self>, Error> {
        let last = role.field().rsplit('.').next().unwrap_or_default();
        let Some(pair) = tolerance.ok(view.mapping(last))? else {
            return Ok(None);
        };
        let mut half = |name: &str| -> Result<Option<Found<'a>>, Error> {
            let Some(found) = pair.find(name).filter(|found| !found.value.node.is_null()) else {
                return Ok(None);
            };
            let empty = found.value.node.is_empty_mapping()
                || tolerance
                    .ok(found.value.text(name))?
                    .is_none_or(|text| text.trim().is_empty());
            Ok((!empty).then_some(found))
        };
        Ok(Some(Self {
            private: half(role.private())?,
            public: half("pub")?,
            owner,
            role,
            active,
            pair,
        }))
    }

    /// The private half.
    pub(crate) fn private(&self) -> Option<Private> {
        let found = self.private.as_ref()?;
        let text = found.value.node.scalar()?;
        Some(Private::new(
            text,
            self.owner.clone(),
            self.role,
            found.value.place(),
        ))
    }

    /// The public half.
    pub(crate) fn public(&self) -> Option<&'a str> {
        self.public.as_ref()?.value.node.scalar()
    }

    /// The number of an entry among those of the pair; nothing if it was merged in from elsewhere.
    pub(crate) fn number_of(&self, entry: &Entry) -> Option<usize> {
        let entries = self.pair.node.entries();
        entries.iter().position(|own| std::ptr::eq(own, entry))
    }
}

/// All pairs of a client: its own ones, the masters', the servers', in the order of the files.
pub(crate) fn all<'a>(layout: &Layout<'a>) -> Result<Vec<Key<'a>>, Error> {
    read(layout, &mut Tolerance::None)
}

/// Those and the ones that a later file supersedes: no use is made of them, but secret they are.
pub(crate) fn all_with_superseded<'a>(layout: &Layout<'a>) -> Result<Vec<Key<'a>>, Error> {
    collect(layout, true, &mut Tolerance::None)
}

/// All pairs without what has a fault, if that is tolerated.
pub(crate) fn read<'a>(layout: &Layout<'a>, tolerance: &mut Tolerance<'_>) -> Result<Vec<Key<'a>>, Error> {
    collect(layout, false, tolerance)
}

fn collect<'a>(
    layout: &Layout<'a>,
    superseded: bool,
    tolerance: &mut Tolerance<'_>,
) -> Result<Vec<Key<'a>>, Error> {
    let mut keys = Vec::new();
    let client = |view: &View<'_>| match &layout.name {
        Some(name) => Ok(Owner::Client(name.text("name")?.to_owned())),
        None => Err(Error::Missing {
            place: view.place(),
            key: "name",
            expected: "the client's name, at the top of its file",
        }),
    };
    for (key, role) in [
        ("master_sign", Role::MasterSign),
        ("master_sign_old", Role::MasterSignOld),
        ("pipeline", Role::Pipeline),
    ] {
        let views: Vec<_> = match superseded {
            true => layout
                .salt
                .iter()
                .filter_map(|salt| salt.get("pki")?.get(key))
                .collect(),
            false => layout.pki(key).into_iter().collect(),
        };
        for view in views {
            if let Some(owner) = tolerance.ok(client(&view))? {
                keys.extend(Key::new(owner, role, true, view, tolerance)?);
            }
        }
    }
    let others = layout.superseded.iter().filter(|_| superseded);
    for master in layout.masters.iter().chain(others) {
        let owner = || Owner::Host(master.fqdn.clone());
        if let Some(view) = master.view.get("root_ed25519") {
            keys.extend(Key::new(
                owner(),
                Role::RootEd25519,
                master.active,
                view,
                tolerance,
            )?);
        }
        let pki = master.view.get("pki").map(|pki| pki.mapping("pki"));
        let pki = pki.map(|read| tolerance.ok(read)).transpose()?.flatten();
        for (key, role) in [("minion", Role::MasterMinion), ("master", Role::Master)] {
            if let Some(view) = pki.as_ref().and_then(|pki| pki.get(key)) {
                keys.extend(Key::new(owner(), role, master.active, view, tolerance)?);
            }
        }
    }
    for Host {
        view, fqdn, active, ..
    } in layout.assets.iter().filter(|host| host.server)
    {
        if let Some(view) = view.get("minion") {
            let owner = Owner::Host(fqdn.clone());
            keys.extend(Key::new(owner, Role::Minion, *active, view, tolerance)?);
        }
    }
    Ok(keys)
}

/// A private half as it stands in the file: maybe sealed. No `Debug`; wiped on drop.
#[derive(Clone)]
pub struct Private {
    text: Zeroizing<String>,
    owner: Owner,
    role: Role,
    place: Place,
}

impl Private {
    pub(crate) fn new(text: &str, owner: Owner, role: Role, place: Place) -> Self {
        let text = Zeroizing::new(text.to_owned());
        Self {
            text,
            owner,
            role,
            place,
        }
    }

    /// The PEM or OpenSSH text; `keyring` is asked for a passphrase only if it is sealed.
    ///
    /// # Errors
    /// [`Error::Sealed`], which names the owner: no or the wrong passphrase, or a value that was tampered with.
    pub fn open(&self, keyring: &Keyring) -> Result<Zeroizing<String>, Error> {
        if !self.is_sealed() {
            return Ok(self.text.clone());
        }
        keyring
            .open(&self.text, &self.owner, self.role)
            .map(|opened| opened.value)
            .map_err(|source| self.fail(source))
    }

    pub(crate) fn fail(&self, source: crate::seal::SealError) -> Error {
        Error::Sealed {
            place: self.place.clone(),
            owner: self.owner.clone(),
            role: self.role,
            source,
        }
    }

    /// Whether a passphrase or key file is needed to open it.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        is_sealed(&self.text)
    }

    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field())
    }
}
