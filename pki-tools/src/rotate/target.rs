//! Which pair is meant by what the user names.

use std::path::Path;

use crate::error::Error;
use crate::keys::{Key, Role};
use crate::layout::Layout;
use crate::seal::Owner;

/// So many names are told where one was looked for in vain.
const NAMES: usize = 8;

/// Whose pair, and which one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) owner: Owner,
    pub(super) role: Role,
}

impl Target {
    /// Resolves a master's or server's fqdn, `FQDN:minion` and the like, `pipeline` or its id, or
    /// `master_sign`.
    ///
    /// # Errors
    /// [`Error::NoHost`], which tells what there is.
    pub(super) fn find(what: &str, layout: &Layout<'_>, file: &Path) -> Result<Self, Error> {
        let name = match &layout.name {
            Some(name) => name.text("name")?,
            None => "",
        };
        let client = |role| Self {
            owner: Owner::Client(name.to_owned()),
            role,
        };
        let id = match layout.pki("pipeline") {
            Some(pipeline) => pipeline.text_of("id")?,
            None => None,
        };
        match what {
            "master_sign" => return Ok(client(Role::MasterSign)),
            "pipeline" => return Ok(client(Role::Pipeline)),
            _ if id == Some(what) => return Ok(client(Role::Pipeline)),
            _ => {}
        }
        let (fqdn, pair) = match what.rsplit_once(':') {
            Some((fqdn, pair)) => (fqdn, Some(pair)),
            None => (what, None),
        };
        let is_master = layout.masters.iter().any(|host| host.fqdn == fqdn);
        let is_server = layout.assets.iter().any(|host| host.server && host.fqdn == fqdn);
        let role = match pair {
            None | Some("master") if is_master => Role::Master,
            Some("minion") if is_master => Role::MasterMinion,
            Some("root_ed25519") if is_master => Role::RootEd25519,
            None | Some("minion") if is_server => Role::Minion,
            _ => return Err(unknown(what, layout, file)),
        };
        Ok(Self {
            owner: Owner::Host(fqdn.to_owned()),
            role,
        })
    }

    /// Its pair, of which at least one half is there.
    ///
    /// # Errors
    /// [`Error::NoKey`].
    pub(super) fn key<'k, 'a>(&self, keys: &'k [Key<'a>], file: &Path) -> Result<&'k Key<'a>, Error> {
        keys.iter()
            .find(|key| (&key.owner, key.role) == (&self.owner, self.role))
            .filter(|key| key.private.is_some() || key.public.is_some())
            .ok_or_else(|| Error::NoKey {
                file: file.to_owned(),
                owner: self.owner.clone(),
                key: self.role.field(),
            })
    }
}

fn unknown(what: &str, layout: &Layout<'_>, file: &Path) -> Error {
    let servers = layout.assets.iter().filter(|host| host.server);
    let names: Vec<&str> = layout
        .masters
        .iter()
        .chain(servers)
        .map(|host| host.fqdn.as_str())
        .collect();
    let mut known = names
        .iter()
        .take(NAMES)
        .copied()
        .chain(["pipeline", "master_sign"])
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(more) = names.len().checked_sub(NAMES).filter(|more| *more > 0) {
        known.push_str(&format!(" and {more} more servers"));
    }
    Error::NoHost {
        file: file.to_owned(),
        fqdn: what.to_owned(),
        expected: "master (its other pairs: FQDN:minion, FQDN:root_ed25519), server or key",
        known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Document;

    const CLIENT: &str = "name: Xyz\nconfiguration_management:\n  salt:\n    pki: {pipeline: {id: deploy.xyz}}\n    masters:\n      - fqdn: m1\nassets:\n  - fqdn: a1\n  - fqdn: www\n    kind: service\n";

    fn find(what: &str) -> Result<Target, String> {
        let file = Path::new("x.yaml");
        let document = Document::parse(0, file, file, CLIENT.as_bytes().to_vec()).unwrap();
        let layout = Layout::of(&[&document]).unwrap();
        Target::find(what, &layout, file).map_err(|error| error.to_string())
    }

    #[test]
    fn every_pair_has_a_name() {
        let host = |fqdn: &str, role| Target {
            owner: Owner::Host(fqdn.to_owned()),
            role,
        };
        let client = |role| Target {
            owner: Owner::Client("Xyz".to_owned()),
            role,
        };
        for (what, target) in [
            ("m1", host("m1", Role::Master)),
            ("m1:master", host("m1", Role::Master)),
            ("m1:minion", host("m1", Role::MasterMinion)),
            ("m1:root_ed25519", host("m1", Role::RootEd25519)),
            ("a1", host("a1", Role::Minion)),
            ("a1:minion", host("a1", Role::Minion)),
            ("pipeline", client(Role::Pipeline)),
            ("deploy.xyz", client(Role::Pipeline)),
            ("master_sign", client(Role::MasterSign)),
        ] {
            assert_eq!(find(what), Ok(target), "{what}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_those_that_there_are() {
        for what in [
            "a2",
            "www",
            "a1:root_ed25519",
            "m1:priv",
            ":minion",
            "master_sign_old",
            "",
        ] {
            let message = find(what).unwrap_err();
            assert!(
                message.ends_with("of this client; it has m1, a1, pipeline, master_sign"),
                "{message}"
            );
        }
    }
}
