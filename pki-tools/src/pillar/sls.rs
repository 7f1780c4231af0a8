//! What stands in the pillar file of a host.

use zeroize::Zeroizing;

use crate::accepted::accepted;
use crate::client::{Client, Master, RsaPair};
use crate::emit::Yaml;
use crate::error::Error;
use crate::export::Mark;
use crate::keys::Role;
use crate::seal::{Keyring, Owner};

/// Makes the texts of a client's files.
pub(super) struct Sls<'a> {
    client: &'a Client,
    keyring: &'a Keyring,
    mark: &'a Mark,
    accepted: Vec<(&'a str, &'a str)>,
}

impl<'a> Sls<'a> {
    /// # Errors
    /// A name that is no minion id.
    pub(super) fn of(client: &'a Client, keyring: &'a Keyring, mark: &'a Mark) -> Result<Self, Error> {
        Ok(Self {
            client,
            keyring,
            mark,
            accepted: accepted(client)?,
        })
    }

    /// `master_FQDN`: the keys of a salt-master and of all that it accepts.
    pub(super) fn master(&self, master: &Master) -> Result<Zeroizing<String>, Error> {
        let sign = self.there(
            self.client.signer(master),
            || self.client.owner(),
            Role::MasterSign,
        )?;
        let own = self.of_master(master, master.master.as_ref(), Role::Master)?;
        let ssh = self.of_master(master, master.root_ed25519.as_ref(), Role::RootEd25519)?;
        let sign_pem = sign.pem.open(self.keyring)?;
        let own_pem = own.pem.open(self.keyring)?;
        let ssh_priv = ssh.priv_.open(self.keyring)?;
        let minions = self.accepted.iter().map(|(id, key)| (*id, Yaml::Text(key)));
        let pki = Yaml::Map(vec![
            ("master_sign", pair(&sign_pem, &sign.pub_)),
            ("master", pair(&own_pem, &own.pub_)),
            ("minions", Yaml::Map(minions.collect())),
        ]);
        let ssh = Yaml::Map(vec![
            ("priv", Yaml::Text(&ssh_priv)),
            ("pub", Yaml::Text(&ssh.pub_)),
        ]);
        let master = Yaml::Map(vec![("pki", pki), ("root_ed25519", ssh)]);
        Ok(self.document("master", master))
    }

    /// `minion_FQDN` of the minion on a master's host, which knows that master's key.
    pub(super) fn masters_minion(&self, master: &Master) -> Result<Zeroizing<String>, Error> {
        let own = self.of_master(master, master.master.as_ref(), Role::Master)?;
        let minion = self.of_master(master, master.minion.as_ref(), Role::MasterMinion)?;
        self.minion_with(minion, Some(&own.pub_))
    }

    /// `minion_FQDN` of any other minion.
    pub(super) fn minion(&self, minion: &RsaPair) -> Result<Zeroizing<String>, Error> {
        self.minion_with(minion, None)
    }

    fn minion_with(&self, minion: &RsaPair, master: Option<&str>) -> Result<Zeroizing<String>, Error> {
        // Minions get the new key first when it rotates.
        let sign = self.client.master_sign.as_ref();
        let sign = self.there(sign, || self.client.owner(), Role::MasterSign)?;
        let pem = minion.pem.open(self.keyring)?;
        let mut pki = vec![
            ("minion", pair(&pem, &minion.pub_)),
            ("master_sign", Yaml::Text(&sign.pub_)),
        ];
        pki.extend(master.map(|key| ("minion_master", Yaml::Text(key))));
        Ok(self.document("minion", Yaml::Map(vec![("pki", Yaml::Map(pki))])))
    }

    fn document(&self, role: &str, data: Yaml<'_>) -> Zeroizing<String> {
        Yaml::Map(vec![("salt", Yaml::Map(vec![(role, data)]))]).document(self.mark.line())
    }

    fn of_master<'k, T>(&self, master: &Master, key: Option<&'k T>, role: Role) -> Result<&'k T, Error> {
        self.there(key, || Owner::Host(master.fqdn.clone()), role)
    }

    fn there<'k, T>(
        &self,
        key: Option<&'k T>,
        owner: impl Fn() -> Owner,
        role: Role,
    ) -> Result<&'k T, Error> {
        key.ok_or_else(|| self.client.no_key(owner(), role))
    }
}

fn pair<'a>(pem: &'a str, public: &'a str) -> Yaml<'a> {
    Yaml::Map(vec![("pem", Yaml::Text(pem)), ("pub", Yaml::Text(public))])
}
