//! Where a client's masters, servers and keys stand in its files.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::error::{Error, Place};
use crate::tolerance::Tolerance;
use crate::yaml::{Document, View};

/// What there is to find in a client, without a look at the keys themselves.
pub(crate) struct Layout<'a> {
    pub(crate) name: Option<View<'a>>,
    /// What `configuration_management.type` says, `None` if there is neither that nor a `salt:` mapping.
    pub(crate) kind: Option<&'a str>,
    /// Every `configuration_management.salt`, in the order of reading: a later one supersedes.
    pub(crate) salt: Vec<View<'a>>,
    pub(crate) masters: Vec<Host<'a>>,
    /// Masters of lists that a later one supersedes.
    pub(crate) superseded: Vec<Host<'a>>,
    /// Assets of every kind.
    pub(crate) assets: Vec<Host<'a>>,
}

/// A master or an asset.
pub(crate) struct Host<'a> {
    pub(crate) view: View<'a>,
    pub(crate) fqdn: String,
    pub(crate) active: bool,
    /// A server, which has keys; a service, say, has none.
    pub(crate) server: bool,
}

impl<'a> Layout<'a> {
    /// Looks through the documents of one client, the top file first.
    ///
    /// # Errors
    /// A list where a mapping should be and the like, a server without an fqdn, two with the same.
    pub(crate) fn of(documents: &[&'a Document]) -> Result<Self, Error> {
        Self::read(documents, &mut Tolerance::None)
    }

    /// The same, without what has a fault, if that is tolerated.
    pub(crate) fn read(documents: &[&'a Document], tolerance: &mut Tolerance<'_>) -> Result<Self, Error> {
        let mut layout = Self {
            name: None,
            kind: None,
            salt: Vec::new(),
            masters: Vec::new(),
            superseded: Vec::new(),
            assets: Vec::new(),
        };
        let mut kind = None;
        for document in documents {
            let Some(root) = View::root(document) else {
                continue;
            };
            if root.node.is_null() {
                continue;
            }
            let Some(root) = tolerance.ok(root.mapping("the file"))? else {
                continue;
            };
            layout.name = layout.name.or(root.get("name"));
            let management = root.get("configuration_management");
            let management = management.map(|view| view.mapping("configuration_management"));
            if let Some(management) = management.map(|read| tolerance.ok(read)).transpose()?.flatten() {
                kind = management.get("type").or(kind);
                let salt = management.get("salt").map(|view| view.mapping("salt"));
                if let Some(salt) = salt.map(|read| tolerance.ok(read)).transpose()?.flatten() {
                    if let Some(masters) = salt.get("masters") {
                        layout.superseded.append(&mut layout.masters);
                        layout.masters = hosts(&masters, "masters", tolerance)?;
                    }
                    layout.salt.push(salt);
                }
            }
            // `servers` is the old name of `assets`.
            for key in ["assets", "servers"] {
                if let Some(assets) = root.get(key) {
                    layout.assets.extend(hosts(&assets, key, tolerance)?);
                }
            }
        }
        layout.kind = match kind {
            Some(kind) => match kind.text("type") {
                Ok(known @ ("salt" | "salt-ssh")) => Some(known),
                Ok(_) => {
                    tolerance.fault(kind.wrong("type", "`salt` or `salt-ssh`"))?;
                    None
                }
                Err(error) => {
                    tolerance.fault(error)?;
                    None
                }
            },
            None if layout.salt.is_empty() => None,
            None => Some("salt"),
        };
        layout.check_names(tolerance)?;
        Ok(layout)
    }

    /// The `salt:` mapping with a value at this path of keys, the last one if there are several.
    pub(crate) fn salt_with(&self, path: &[&str]) -> Option<View<'a>> {
        let has = |salt: &&View<'a>| {
            path.iter()
                .try_fold((*salt).clone(), |view, key| view.get(key))
                .is_some()
        };
        self.salt.iter().rev().find(has).cloned()
    }

    /// The client's own pair of this name, below `pki`.
    pub(crate) fn pki(&self, key: &str) -> Option<View<'a>> {
        self.salt_with(&["pki", key])
            .and_then(|salt| salt.get("pki")?.get(key))
    }

    fn check_names(&self, tolerance: &mut Tolerance<'_>) -> Result<(), Error> {
        let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
        for host in self
            .masters
            .iter()
            .chain(&self.assets)
            .filter(|host| !host.fqdn.is_empty())
        {
            let second = host.place();
            match seen.entry(&host.fqdn) {
                Entry::Vacant(entry) => {
                    entry.insert(second);
                }
                Entry::Occupied(entry) => tolerance.fault(Error::DuplicateFqdn {
                    fqdn: host.fqdn.clone(),
                    first: entry.get().clone(),
                    second,
                })?,
            }
        }
        Ok(())
    }
}

impl Host<'_> {
    /// Where its name stands.
    pub(crate) fn place(&self) -> Place {
        match self.view.find("fqdn") {
            Some(found) => self.view.document.place(found.entry.value.start),
            None => self.view.place(),
        }
    }
}

fn hosts<'a>(list: &View<'a>, key: &str, tolerance: &mut Tolerance<'_>) -> Result<Vec<Host<'a>>, Error> {
    let mut hosts = Vec::new();
    for view in tolerance.ok(list.items(key))?.unwrap_or_default() {
        let Some(view) = tolerance.ok(view.mapping(key))? else {
            continue;
        };
        let kind = tolerance.ok(view.text_of("kind"))?.flatten();
        let server = kind.is_none_or(|kind| kind == "server");
        let Some(fqdn) = tolerance.ok(view.text_of("fqdn"))? else {
            continue;
        };
        let fqdn = fqdn.unwrap_or_default().to_owned();
        if fqdn.is_empty() && server {
            tolerance.fault(Error::Missing {
                place: view.place(),
                key: "fqdn",
                expected: "the host's name",
            })?;
            continue;
        }
        let active = tolerance.ok(view.flag_of("active", true))?.unwrap_or(true);
        hosts.push(Host {
            view,
            fqdn,
            active,
            server,
        });
    }
    Ok(hosts)
}
