//! What pipelines need of a client: the dispatch identity, the masters, and what makes them genuine; as a `saltfo.yaml`.

use std::path::{Path, PathBuf};

use proto::net::Host;
use zeroize::Zeroizing;

use crate::accepted::check_dispatch;
use crate::client::{Client, Dispatch, Master, RsaPair};
use crate::emit::Yaml;
use crate::error::{Error, Place};
use crate::export::{Author, Change, Export, Mark, write};
use crate::keys::Role;
use crate::seal::{Keyring, Owner};

/// Salt's ports, which a `saltfo.yaml` does not name: publish, request.
pub const DEFAULT_PORTS: (u16, u16) = (4505, 4506);

/// The part of a client that a pipeline needs; nothing is missing in it.
pub struct Pipeline<'a> {
    client: &'a Client,
    /// Who it is.
    pub dispatch: &'a Dispatch,
    /// The pair that signs the masters' keys, or is about to.
    pub master_sign: &'a RsaPair,
    /// The active masters.
    pub masters: Vec<Target<'a>>,
}

/// A master that a pipeline connects to.
pub struct Target<'a> {
    /// The master.
    pub master: &'a Master,
    /// Its name, checked.
    pub name: Host,
    /// Its address for pipelines, checked.
    pub address: Host,
    /// Its ports for pipelines: publish, request.
    pub ports: (u16, u16),
    /// Its own pair.
    pub pair: &'a RsaPair,
    /// The pair that signs its key now.
    pub signer: &'a RsaPair,
}

impl<'a> Pipeline<'a> {
    /// Looks everything up; nothing sealed is opened.
    ///
    /// # Errors
    /// What is missing or of no use, with the place and the remedy.
    pub fn of(client: &'a Client) -> Result<Self, Error> {
        let own = |role| client.no_key(client.owner(), role);
        let dispatch = client.pipeline.as_ref().ok_or_else(|| own(Role::Pipeline))?;
        check_dispatch(client, dispatch)?;
        let master_sign = client.master_sign.as_ref().ok_or_else(|| own(Role::MasterSign))?;
        let masters: Vec<_> = client
            .active_masters()
            .map(|master| {
                let (address, place) = master.address();
                let no_pair = || client.no_key(Owner::Host(master.fqdn.clone()), Role::Master);
                Ok(Target {
                    master,
                    name: host(&master.fqdn, master.place_of("fqdn"))?,
                    address: host(address, place)?,
                    ports: master.external_ports.unwrap_or(DEFAULT_PORTS),
                    pair: master.master.as_ref().ok_or_else(no_pair)?,
                    signer: client.signer(master).unwrap_or(master_sign),
                })
            })
            .collect::<Result<_, Error>>()?;
        if masters.is_empty() {
            return Err(Error::NoMasters(client.file.clone()));
        }
        Ok(Self {
            client,
            dispatch,
            master_sign,
            masters,
        })
    }

    /// The `saltfo.yaml`, with all keys in it.
    ///
    /// # Errors
    /// [`Error::Sealed`]: the identity's private half stays closed.
    pub fn to_yaml(&self, keyring: &Keyring) -> Result<Zeroizing<String>, Error> {
        let pem = self.dispatch.pair.pem.open(keyring)?;
        let pki = Yaml::Map(vec![
            ("minion_pem", Yaml::Text(&pem)),
            ("master_sign_pub", Yaml::Text(&self.master_sign.pub_)),
        ]);
        let masters = self.masters.iter().map(|target| self.master(target));
        let yaml = Yaml::Map(vec![
            ("id", Yaml::Text(&self.dispatch.id)),
            ("pki", pki),
            ("masters", Yaml::List(masters.collect())),
        ]);
        Ok(yaml.document(self.mark().line()))
    }

    fn master<'y>(&'y self, target: &'y Target<'_>) -> Yaml<'y> {
        let mut entries = vec![("name", Yaml::Text(target.name.as_str()))];
        if target.address != target.name {
            entries.push(("address", Yaml::Text(target.address.as_str())));
        }
        let (publish, request) = target.ports;
        if publish != DEFAULT_PORTS.0 {
            entries.push(("publish_port", Yaml::Number(publish)));
        }
        if request != DEFAULT_PORTS.1 {
            entries.push(("master_port", Yaml::Number(request)));
        }
        entries.push(("master_pub", Yaml::Text(&target.pair.pub_)));
        if !std::ptr::eq(target.signer, self.master_sign) {
            entries.push(("master_sign_pub", Yaml::Text(&target.signer.pub_)));
        }
        Yaml::Map(entries)
    }

    /// Writes the `saltfo.yaml` into a file that its owner alone can read. One that is right already is left alone.
    ///
    /// # Errors
    /// [`Error::NotOurs`] without `replace`, if something else is there; [`Error::OwnFile`]; [`Error::Sealed`];
    /// [`Error::Write`].
    pub fn write(&self, file: &Path, replace: bool, keyring: &Keyring) -> Result<Change, Error> {
        let export = Export {
            path: file.to_owned(),
            text: self.to_yaml(keyring)?,
        };
        let (change, author) = export.compare(self.client, &self.mark())?;
        if change == Change::Unchanged {
            return Ok(change);
        }
        if author != Author::Us && !replace {
            return Err(Error::NotOurs(vec![PathBuf::from(file)]));
        }
        write(&[export])?;
        Ok(change)
    }

    fn mark(&self) -> Mark {
        Mark::new("pipeline", self.client)
    }
}

fn host(text: &str, place: &Place) -> Result<Host, Error> {
    Host::parse(text).map_err(|source| Error::Address {
        place: place.clone(),
        source,
    })
}
