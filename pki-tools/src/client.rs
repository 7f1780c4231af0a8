//! A client as its YAML files describe it: masters, minions and the keys that they have.

use std::path::Path;

use zeroize::Zeroizing;

use crate::error::{Error, Place};
use crate::include::Sources;
use crate::layout::{Host, Layout};
use crate::yaml::View;

/// A client: its masters, its minions and its own keys.
#[derive(Clone)]
pub struct Client {
    /// The client's name.
    pub name: String,
    /// The masters, in the order of the file, inactive ones too.
    pub masters: Vec<Master>,
    /// The server assets of all files, in the order of reading, inactive ones too.
    pub minions: Vec<Minion>,
    /// The pair with which both masters sign their public keys.
    pub master_sign: Option<RsaPair>,
    /// The dispatch identity.
    pub pipeline: Option<Dispatch>,
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
}

/// The identity for pipelines.
#[derive(Clone)]
pub struct Dispatch {
    /// The minion id.
    pub id: String,
    /// Its pair.
    pub pair: RsaPair,
}

/// Both halves of an RSA key, as they stand in the file. No `Debug`: one of them is private.
#[derive(Clone)]
pub struct RsaPair {
    /// The private half: PKCS#1 or PKCS#8 PEM. Wiped on drop.
    pub pem: Zeroizing<String>,
    /// The public half: SubjectPublicKeyInfo PEM.
    pub pub_: String,
}

/// Both halves of an OpenSSH key, as they stand in the file. No `Debug`: one of them is private.
#[derive(Clone)]
pub struct SshPair {
    /// The private half, `BEGIN OPENSSH PRIVATE KEY`. Wiped on drop.
    pub priv_: Zeroizing<String>,
    /// The public half, one line.
    pub pub_: String,
}

impl Client {
    /// Reads a client with everything that it includes. A pair of which a half is missing counts as none.
    ///
    /// # Errors
    /// A file that cannot be read or is not a client's, with the place and the remedy.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let sources = Sources::load(&[path])?;
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
        let pki = |key: &str| {
            layout
                .salt_with(&["pki", key])
                .and_then(|salt| salt.get("pki")?.get(key))
        };
        let pipeline = match pki("pipeline") {
            Some(view) => match (view.text_of("id")?, rsa(&view, "pipeline")?) {
                (Some(id), Some(pair)) => Some(Dispatch {
                    id: id.to_owned(),
                    pair,
                }),
                _ => None,
            },
            None => None,
        };
        Ok(Self {
            name: name.text("name")?.to_owned(),
            masters: layout.masters.iter().map(master).collect::<Result<_, _>>()?,
            minions: layout
                .assets
                .iter()
                .filter(|host| host.server)
                .map(minion)
                .collect::<Result<_, _>>()?,
            master_sign: pki("master_sign")
                .map(|view| rsa(&view, "master_sign"))
                .transpose()?
                .flatten(),
            pipeline,
        })
    }
}

fn master(host: &Host<'_>) -> Result<Master, Error> {
    let text = |key: &str| host.view.text_of(key).map(|text| text.map(str::to_owned));
    let pki = host.view.get("pki").map(|pki| pki.mapping("pki")).transpose()?;
    let pair = |key: &str| match pki.as_ref().and_then(|pki| pki.get(key)) {
        Some(view) => rsa(&view, key),
        None => Ok(None),
    };
    let root_ed25519 = match host.view.get("root_ed25519") {
        Some(view) => halves(&view, "root_ed25519", "priv")?.map(|(priv_, pub_)| SshPair { priv_, pub_ }),
        None => None,
    };
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
        master: pair("master")?,
        minion: pair("minion")?,
        root_ed25519,
    })
}

fn minion(host: &Host<'_>) -> Result<Minion, Error> {
    let minion = host
        .view
        .get("minion")
        .map(|view| rsa(&view, "minion"))
        .transpose()?
        .flatten();
    Ok(Minion {
        fqdn: host.fqdn.clone(),
        active: host.active,
        minion,
    })
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

fn rsa(view: &View<'_>, key: &str) -> Result<Option<RsaPair>, Error> {
    Ok(halves(view, key, "pem")?.map(|(pem, pub_)| RsaPair { pem, pub_ }))
}

fn halves(view: &View<'_>, key: &str, private: &str) -> Result<Option<(Zeroizing<String>, String)>, Error> {
    let view = view.clone().mapping(key)?;
    match (view.text_of(private)?, view.text_of("pub")?) {
        (Some(private), Some(public)) => Ok(Some((Zeroizing::new(private.to_owned()), public.to_owned()))),
        _ => Ok(None),
    }
}
