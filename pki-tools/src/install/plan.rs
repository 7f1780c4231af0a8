//! What a host has to have, from the client's file: names, texts, modes.

use std::collections::BTreeSet;

use proto::crypto::{PrivateKey, PublicKey};
use proto::message::MinionId;
use zeroize::Zeroizing;

use super::config;
use super::error::InstallError;
use super::function::Function;
use super::{Options, Role};
use crate::client::{Client, Master, RsaPair};
use crate::error::{self, Error};
use crate::keys;
use crate::seal::{Keyring, Owner};

/// Names in an error before it is cut short.
const NAMES: usize = 12;

/// The files of one role on one host.
pub(super) struct Plan {
    pub(super) host: String,
    pub(super) role: Role,
    pub(super) files: Vec<Planned>,
    /// Whose keys a master accepts.
    pub(super) accepted: BTreeSet<String>,
    /// What the operator should know before anything is looked at.
    pub(super) notes: Vec<String>,
}

/// A file that has to be there.
pub(super) struct Planned {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) text: Zeroizing<String>,
    pub(super) mode: u32,
    pub(super) kind: Kind,
}

/// The folder of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Salt's `pki_dir`.
    Pki,
    /// The keys that a master accepts.
    Minions,
    /// `master.d` or `minion.d`.
    Config,
}

/// What to make of a file that is there and says something else.
pub(super) enum Kind {
    /// A private key is not replaced unless told to.
    Private,
    /// A public one is.
    Public,
    /// A half of a master's own pair: since 3008 Salt moves it to a file that is named after the master's id, and
    /// leaves a link to that (`MasterKeys._setup_keys` in salt/crypt.py). This is that name by default.
    Own { private: bool, moved_to: String },
    /// `minion_master.pub`, where a minion itself writes down which of these masters it follows now.
    Followed(Vec<String>),
    /// Configuration, which is replaced if we wrote it.
    Config,
}

impl Kind {
    pub(super) fn is_private(&self) -> bool {
        matches!(self, Self::Private | Self::Own { private: true, .. })
    }
}

impl Plan {
    /// What this client's host has to have. Of the private keys only those of the host are opened.
    pub(super) fn of(client: &Client, options: &Options, keyring: &Keyring) -> Result<Self, Error> {
        let role = role(client, options)?;
        for (given, option) in [
            (options.prune, "--prune"),
            (options.peer_allow.is_some(), "--peer-allow"),
        ] {
            if given && role == Role::Minion {
                return Err(InstallError::OnlyForMasters(option).into());
            }
        }
        let mut plan = Self {
            host: options.host.clone(),
            role,
            files: Vec::new(),
            accepted: BTreeSet::new(),
            notes: Vec::new(),
        };
        check_id(&options.host, || place_of(client, &options.host))?;
        let master = client.masters.iter().find(|master| master.fqdn == options.host);
        match (role, master) {
            (Role::Master, Some(master)) => plan.master(client, master, options, keyring)?,
            _ => plan.minion(client, master, keyring)?,
        }
        Ok(plan)
    }

    fn master(
        &mut self,
        client: &Client,
        master: &Master,
        options: &Options,
        keyring: &Keyring,
    ) -> Result<(), Error> {
        let owner = Owner::Host(master.fqdn.clone());
        let pair = need(client, master.master.as_ref(), owner.clone(), keys::Role::Master)?;
        for (private, name, text) in halves(pair, "master", &owner, keys::Role::Master, keyring)? {
            let extension = if private { "pem" } else { "pub" };
            self.files.push(Planned {
                place: Place::Pki,
                name,
                text,
                mode: mode(private),
                kind: Kind::Own {
                    private,
                    moved_to: format!("{}.{extension}", master.fqdn),
                },
            });
        }
        let sign = client.signer(master);
        let sign = need(client, sign, client.owner(), keys::Role::MasterSign)?;
        self.pair(
            sign,
            "master_sign",
            &client.owner(),
            keys::Role::MasterSign,
            keyring,
        )?;
        let dispatch = client.pipeline.as_ref();
        let dispatch = dispatch.ok_or_else(|| client.no_key(client.owner(), keys::Role::Pipeline))?;
        for (id, pair) in accepted(client)? {
            self.accept(id, &pair.pub_);
        }
        check_id(&dispatch.id, || dispatch.place().clone())?;
        if self.accepted.contains(&dispatch.id) {
            return Err(InstallError::SameId {
                place: dispatch.place().clone(),
                id: dispatch.id.clone(),
            }
            .into());
        }
        self.accept(&dispatch.id, &dispatch.pair.pub_);
        let allowed = options.peer_allow.clone().unwrap_or_else(Function::defaults);
        self.config(config::master(&master.fqdn, &dispatch.id, &allowed));
        Ok(())
    }

    fn minion(&mut self, client: &Client, master: Option<&Master>, keyring: &Keyring) -> Result<(), Error> {
        let id = self.host.clone();
        let (pair, role) = match master {
            Some(master) => (master.minion.as_ref(), keys::Role::MasterMinion),
            None => {
                let minion = client.minions.iter().find(|minion| minion.fqdn == id);
                (
                    minion.and_then(|minion| minion.minion.as_ref()),
                    keys::Role::Minion,
                )
            }
        };
        let owner = Owner::Host(id.clone());
        let pair = need(client, pair, owner.clone(), role)?;
        self.pair(pair, "minion", &owner, role, keyring)?;
        let sign = need(
            client,
            client.master_sign.as_ref(),
            client.owner(),
            keys::Role::MasterSign,
        )?;
        self.public(Place::Pki, "master_sign.pub", &sign.pub_, Kind::Public);
        if let Some(master) = master {
            let own = need(client, master.master.as_ref(), owner, keys::Role::Master)?;
            let followed = client
                .active_masters()
                .filter_map(|master| master.master.as_ref());
            let followed = followed.map(|pair| pair.pub_.trim().to_owned()).collect();
            self.public(
                Place::Pki,
                "minion_master.pub",
                &own.pub_,
                Kind::Followed(followed),
            );
        }
        let (text, note) = config::minion(client, &id, master)?;
        self.notes.extend(note);
        self.config(text);
        Ok(())
    }

    fn pair(
        &mut self,
        pair: &RsaPair,
        name: &str,
        owner: &Owner,
        role: keys::Role,
        keyring: &Keyring,
    ) -> Result<(), Error> {
        for (private, name, text) in halves(pair, name, owner, role, keyring)? {
            self.files.push(Planned {
                place: Place::Pki,
                name,
                text,
                mode: mode(private),
                kind: if private { Kind::Private } else { Kind::Public },
            });
        }
        Ok(())
    }

    fn accept(&mut self, id: &str, public: &str) {
        self.accepted.insert(id.to_owned());
        self.public(Place::Minions, id, public, Kind::Public);
    }

    fn public(&mut self, place: Place, name: &str, text: &str, kind: Kind) {
        self.files.push(Planned {
            place,
            name: name.to_owned(),
            text: Zeroizing::new(text.to_owned()),
            mode: mode(false),
            kind,
        });
    }

    fn config(&mut self, text: String) {
        self.files.push(Planned {
            place: Place::Config,
            name: config::FILE.to_owned(),
            text: Zeroizing::new(text),
            mode: mode(false),
            kind: Kind::Config,
        });
    }
}

fn mode(private: bool) -> u32 {
    if private { 0o400 } else { 0o644 }
}

/// What runs on the host, and that it is in use.
fn role(client: &Client, options: &Options) -> Result<Role, Error> {
    let host = &options.host;
    let no_host = |expected: &'static str| Error::NoHost {
        file: client.file.clone(),
        fqdn: host.clone(),
        expected,
        known: known(client, expected == "master"),
    };
    let master = client.masters.iter().find(|master| master.fqdn == *host);
    let minion = client.minions.iter().find(|minion| minion.fqdn == *host);
    let (active, role) = match (master, minion, options.role) {
        (Some(master), _, Some(role)) => (master.active, role),
        (Some(master), _, None) if master.minion.is_none() => (master.active, Role::Master),
        (Some(_), _, None) => return Err(InstallError::WhichRole { host: host.clone() }.into()),
        (None, Some(_), Some(Role::Master)) => return Err(no_host("master")),
        (None, Some(minion), _) => (minion.active, Role::Minion),
        (None, None, _) => return Err(no_host("master or server")),
    };
    if !active {
        let (place, host) = (place_of(client, host), host.clone());
        return Err(InstallError::Inactive { place, host }.into());
    }
    Ok(role)
}

/// Where a host's name stands.
fn place_of(client: &Client, host: &str) -> error::Place {
    let master = client.masters.iter().find(|master| master.fqdn == host);
    let minion = client.minions.iter().find(|minion| minion.fqdn == host);
    match (master, minion) {
        (Some(master), _) => master.place_of("fqdn").clone(),
        (None, Some(minion)) => minion.place().clone(),
        (None, None) => error::Place {
            file: client.file.clone(),
            line: 1,
            column: 1,
        },
    }
}

fn known(client: &Client, masters_only: bool) -> String {
    let masters = client.masters.iter().map(|master| master.fqdn.as_str());
    let minions = client.minions.iter().map(|minion| minion.fqdn.as_str());
    let names: Vec<&str> = masters.chain(minions.filter(|_| !masters_only)).collect();
    match names.len() {
        0 => "none".to_owned(),
        count if count > NAMES => {
            let first: Vec<&str> = names.iter().take(NAMES).copied().collect();
            format!("{} and {} more", first.join(", "), count - NAMES)
        }
        _ => names.join(", "),
    }
}

/// Every host whose minion the masters accept: active servers, and the masters themselves.
fn accepted(client: &Client) -> Result<Vec<(&str, &RsaPair)>, Error> {
    let mut all = Vec::new();
    for master in client.active_masters() {
        check_id(&master.fqdn, || master.place_of("fqdn").clone())?;
        let owner = Owner::Host(master.fqdn.clone());
        let pair = need(client, master.minion.as_ref(), owner, keys::Role::MasterMinion)?;
        all.push((master.fqdn.as_str(), pair));
    }
    for minion in client.minions.iter().filter(|minion| minion.active) {
        check_id(&minion.fqdn, || minion.place().clone())?;
        let owner = Owner::Host(minion.fqdn.clone());
        let pair = need(client, minion.minion.as_ref(), owner, keys::Role::Minion)?;
        all.push((minion.fqdn.as_str(), pair));
    }
    Ok(all)
}

/// An id becomes the name of a file, so it may be nothing else than a name.
fn check_id(id: &str, place: impl Fn() -> error::Place) -> Result<(), InstallError> {
    MinionId::parse(id).map_err(|source| InstallError::Id {
        place: place(),
        source,
    })?;
    // Salt takes such a file for one of its own (`.key_cache`) or for an editor's.
    if id.starts_with('.') {
        return Err(InstallError::Hidden {
            place: place(),
            id: id.to_owned(),
        });
    }
    Ok(())
}

fn need<'a>(
    client: &Client,
    pair: Option<&'a RsaPair>,
    owner: Owner,
    role: keys::Role,
) -> Result<&'a RsaPair, Error> {
    pair.ok_or_else(|| client.no_key(owner, role))
}

/// Both halves, with the names of their files. That they belong together is checked here, because a host with
/// halves of two keys is locked out.
fn halves(
    pair: &RsaPair,
    name: &str,
    owner: &Owner,
    role: keys::Role,
    keyring: &Keyring,
) -> Result<[(bool, String, Zeroizing<String>); 2], Error> {
    let private = pair.pem.open(keyring)?;
    // What we cannot read Salt may; `check` tells of that.
    if let (Ok(key), Ok(public)) = (PrivateKey::from_pem(&private), PublicKey::from_pem(&pair.pub_))
        && key.public_key() != public
    {
        return Err(InstallError::Mismatch {
            place: pair.pem.place().clone(),
            key: role.field(),
            owner: owner.clone(),
        }
        .into());
    }
    Ok([
        (true, format!("{name}.pem"), private),
        (false, format!("{name}.pub"), Zeroizing::new(pair.pub_.clone())),
    ])
}
