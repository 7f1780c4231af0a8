//! A client as its YAML files describe it: masters, minions and the keys that they have.

use std::path::{Path, PathBuf};

use crate::error::{Error, Place};
use crate::include::Sources;
use crate::keys::{self, Key, Private, Role};
use crate::layout::{Host, Layout};
use crate::permissions::Permissions;
use crate::seal::Owner;
use crate::yaml::View;

/// A client: its masters, its minions and its own keys.
#[derive(Clone)]
pub struct Client {
    /// Its top file, as it was named.
    pub file: PathBuf,
    /// The client's name.
    pub name: String,
    /// The masters, in the order of the file, inactive ones too.
    pub masters: Vec<Master>,
    /// The server assets of all files, in the order of reading, inactive ones too.
    pub minions: Vec<Minion>,
    /// The pair with which both masters sign their public keys.
    pub master_sign: Option<RsaPair>,
    /// The pair before, as long as its rotation is under way: the first active master still signs with it.
    pub master_sign_old: Option<RsaPair>,
    /// The dispatch identity.
    pub pipeline: Option<Dispatch>,
    /// Its files, as they are really called.
    paths: Vec<PathBuf>,
}

/// A Salt master.
#[derive(Clone)]
pub struct Master {
    /// Its name, also the id of its own minion.
    pub fqdn: String,
    /// Whether it is in use.
    pub active: bool,
    /// Its address as the other master sees it.
    pub ip: Option<String>,
    /// Its address as minions and pipelines see it.
    pub external_ip: Option<String>,
    /// Its ports there: publish, request.
    pub external_ports: Option<(u16, u16)>,
    /// The master's own pair.
    pub master: Option<RsaPair>,
    /// The pair of the minion on the master's host.
    pub minion: Option<RsaPair>,
    /// The pair for root's ssh to the minions and to git.
    pub root_ed25519: Option<SshPair>,
    places: Places,
}

/// A server asset, which is a minion.
#[derive(Clone)]
pub struct Minion {
    /// Its name and minion id.
    pub fqdn: String,
    /// Whether it is in use.
    pub active: bool,
    /// Its pair.
    pub minion: Option<RsaPair>,
    places: Places,
}

/// The identity for pipelines.
#[derive(Clone)]
pub struct Dispatch {
    /// The minion id.
    pub id: String,
    /// Its pair.
    pub pair: RsaPair,
    places: Places,
}

/// Both halves of an RSA key, as they stand in the file.
#[derive(Clone)]
pub struct RsaPair {
    /// The private half: PKCS#1 or PKCS#8 PEM.
    pub pem: Private,
    /// The public half: SubjectPublicKeyInfo PEM.
    pub pub_: String,
    pub_place: Place,
}

/// Both halves of an OpenSSH key, as they stand in the file.
#[derive(Clone)]
pub struct SshPair {
    /// The private half, `BEGIN OPENSSH PRIVATE KEY`.
    pub priv_: Private,
    /// The public half, one line.
    pub pub_: String,
}

/// Where a mapping and some of its values stand in the file.
#[derive(Clone)]
struct Places {
    mapping: Place,
    values: Vec<(&'static str, Place)>,
}

impl Client {
    /// Reads a client with everything that it includes. A pair of which a half is missing counts as none;
    /// nothing sealed is opened.
    ///
    /// # Errors
    /// A file that cannot be read or is not a client's, with the place and the remedy.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::of(path, &Sources::load(&[path])?)
    }

    /// Reads a client whose private keys are going to be used: nobody else may read its files, unless they are sealed.
    ///
    /// # Errors
    /// As [`Client::load`], and [`Error::Permissions`].
    pub fn load_for_use(path: &Path, permissions: Permissions) -> Result<Self, Error> {
        let sources = Sources::load(&[path])?;
        permissions.check(&sources)?;
        Self::of(path, &sources)
    }

    /// The masters that are in use.
    pub fn active_masters(&self) -> impl Iterator<Item = &Master> {
        self.masters.iter().filter(|master| master.active)
    }

    /// The pair with which this master signs its public key: while a rotation is under way the first active
    /// master still has the old one.
    #[must_use]
    pub fn signer(&self, master: &Master) -> Option<&RsaPair> {
        let first = self.active_masters().next();
        self.master_sign_old
            .as_ref()
            .filter(|_| first.is_some_and(|first| first.fqdn == master.fqdn))
            .or(self.master_sign.as_ref())
    }

    /// The error for a pair that should be there.
    #[must_use]
    pub fn no_key(&self, owner: Owner, role: Role) -> Error {
        Error::NoKey {
            file: self.file.clone(),
            owner,
            key: role.field(),
        }
    }

    /// Whether this is one of its files.
    #[must_use]
    pub fn is_made_of(&self, file: &Path) -> bool {
        file.canonicalize().is_ok_and(|path| self.paths.contains(&path))
    }

    /// The client as the owner of its own pairs.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::Client(self.name.clone())
    }

    pub(crate) fn of(path: &Path, sources: &Sources) -> Result<Self, Error> {
        let documents = sources.clients().next().unwrap_or_default();
        let layout = Layout::of(&documents)?;
        let Some(name) = &layout.name else {
            let place = Place {
                file: path.to_owned(),
                line: 1,
                column: 1,
            };
            return Err(Error::Missing {
                place,
                key: "name",
                expected: "the client's name",
            });
        };
        let keys = Keys(keys::all(&layout)?);
        let own = Owner::Client(name.text("name")?.to_owned());
        let pipeline = match layout.pki("pipeline") {
            Some(view) => match (view.text_of("id")?, keys.rsa(&own, Role::Pipeline)) {
                (Some(id), Some(pair)) => Some(Dispatch {
                    id: id.to_owned(),
                    pair,
                    places: Places::of(&view, &["id"]),
                }),
                _ => None,
            },
            None => None,
        };
        Ok(Self {
            file: path.to_owned(),
            name: name.text("name")?.to_owned(),
            masters: layout
                .masters
                .iter()
                .map(|host| master(host, &keys))
                .collect::<Result<_, _>>()?,
            minions: layout
                .assets
                .iter()
                .filter(|host| host.server)
                .map(|host| minion(host, &keys))
                .collect(),
            master_sign: keys.rsa(&own, Role::MasterSign),
            master_sign_old: keys.rsa(&own, Role::MasterSignOld),
            pipeline,
            paths: sources.paths(),
        })
    }
}

impl Master {
    /// Where `fqdn` or `external_ip` stands; for another key or a missing one, where the master begins.
    #[must_use]
    pub fn place_of(&self, key: &str) -> &Place {
        self.places.of_value(key)
    }

    /// Where pipelines find it: `external_ip`, or its name if there is none; and where that stands.
    #[must_use]
    pub fn address(&self) -> (&str, &Place) {
        match &self.external_ip {
            Some(address) => (address, self.place_of("external_ip")),
            None => (&self.fqdn, self.place_of("fqdn")),
        }
    }
}

impl Minion {
    /// Where its `fqdn` stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        self.places.of_value("fqdn")
    }
}

impl Dispatch {
    /// Where its `id` stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        self.places.of_value("id")
    }
}

impl RsaPair {
    /// Where the public half stands.
    #[must_use]
    pub fn pub_place(&self) -> &Place {
        &self.pub_place
    }
}

impl Places {
    fn of(view: &View<'_>, keys: &[&'static str]) -> Self {
        let place = |key: &&'static str| Some((*key, view.get(key)?.place()));
        Self {
            mapping: view.place(),
            values: keys.iter().filter_map(place).collect(),
        }
    }

    fn of_value(&self, key: &str) -> &Place {
        let mut values = self.values.iter();
        values
            .find(|(name, _)| *name == key)
            .map_or(&self.mapping, |(_, place)| place)
    }
}

/// The pairs of a client, to be looked up by owner and role.
struct Keys<'a>(Vec<Key<'a>>);

impl Keys<'_> {
    fn find(&self, owner: &Owner, role: Role) -> Option<&Key<'_>> {
        let mut keys = self.0.iter();
        keys.find(|key| (&key.owner, key.role) == (owner, role))
    }

    fn halves(&self, owner: &Owner, role: Role) -> Option<(Private, String)> {
        let key = self.find(owner, role)?;
        Some((key.private()?, key.public()?.to_owned()))
    }

    fn rsa(&self, owner: &Owner, role: Role) -> Option<RsaPair> {
        let (pem, pub_) = self.halves(owner, role)?;
        Some(RsaPair {
            pem,
            pub_,
            pub_place: self.find(owner, role)?.public.as_ref()?.value.place(),
        })
    }
}

fn master(host: &Host<'_>, keys: &Keys<'_>) -> Result<Master, Error> {
    let text = |key: &str| host.view.text_of(key).map(|text| text.map(str::to_owned));
    let owner = Owner::Host(host.fqdn.clone());
    Ok(Master {
        fqdn: host.fqdn.clone(),
        active: host.active,
        ip: text("ip")?,
        external_ip: text("external_ip")?,
        external_ports: host
            .view
            .get("external_ports")
            .map(|view| ports(&view))
            .transpose()?,
        master: keys.rsa(&owner, Role::Master),
        minion: keys.rsa(&owner, Role::MasterMinion),
        root_ed25519: keys
            .halves(&owner, Role::RootEd25519)
            .map(|(priv_, pub_)| SshPair { priv_, pub_ }),
        places: Places::of(&host.view, &["fqdn", "external_ip"]),
    })
}

fn minion(host: &Host<'_>, keys: &Keys<'_>) -> Minion {
    Minion {
        fqdn: host.fqdn.clone(),
        active: host.active,
        minion: keys.rsa(&Owner::Host(host.fqdn.clone()), Role::Minion),
        places: Places::of(&host.view, &["fqdn"]),
    }
}

fn ports(view: &View<'_>) -> Result<(u16, u16), Error> {
    let key = "external_ports";
    let numbers: Option<Vec<u16>> = view
        .items(key)?
        .iter()
        .map(|item| item.node.scalar()?.parse().ok())
        .collect();
    match numbers.as_deref() {
        Some([publish, request]) => Ok((*publish, *request)),
        _ => Err(view.wrong(key, "two port numbers, `[publish, request]`")),
    }
}
