//! Fingerprints of a client's keys: the same hex as `salt-key -F` prints on its masters.
//!
//! Salt 3006 and 3007 hash the body lines of a PEM file, 3008.1 the whole text, of private halves as of public ones
//! (`finger` in salt/key.py, `pem_finger` in salt/utils/crypt.py). A minion's `master_finger` is compared with the body
//! lines in all three. Files hold the texts of the YAML as they are, so these are what is hashed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proto::crypto::Fingerprint;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::{Error, Place};
use crate::include::Sources;
use crate::keys::{self, Key, Role};
use crate::layout::{Host, Layout};
use crate::seal::{Keyring, Owner, SealError};

/// The fingerprints of some clients.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Each client, in the order of the files.
    pub clients: Vec<ClientPrints>,
    /// How many private halves stayed sealed; their fingerprints are missing.
    pub sealed: usize,
}

/// The fingerprints of a client's keys, grouped as `salt-key` groups them.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct ClientPrints {
    /// Its top file.
    pub file: PathBuf,
    /// Its name.
    pub name: String,
    /// Its active masters, each with the files in its `pki_dir`: "Local Keys".
    pub masters: Vec<MasterPrints>,
    /// What both masters have accepted: "Accepted Keys".
    pub accepted: Vec<Print>,
    /// Keys that inactive hosts still have; no master accepts them.
    pub inactive: Vec<Print>,
}

/// A master's own keys.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct MasterPrints {
    /// Its name.
    pub fqdn: String,
    /// What `master_finger` of a minion of this master must be, whatever its release.
    pub master_finger: Option<String>,
    /// Its key files.
    pub local: Vec<Print>,
}

/// The fingerprints of one half.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Print {
    /// What `salt-key` of 3006 and 3007 calls it: a file, or a minion id.
    pub name: String,
    /// What `salt-key` of 3008 calls it, once its master has been started.
    pub name_3008: String,
    /// Whose key it is.
    pub owner: String,
    /// The half's path below its owner.
    pub key: String,
    /// Of the body lines: `salt-key -F` of 3006 and 3007.
    pub body_lines: String,
    /// Of the whole PEM text: `salt-key -F` of 3008.
    pub whole_pem: String,
    /// For comparisons: the whole text with and without its final line end, which files get in other ways.
    #[serde(skip)]
    variants: Vec<Fingerprint>,
    #[serde(skip)]
    body: Fingerprint,
}

/// A half that has a given fingerprint.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Match {
    /// Its client's top file.
    pub file: PathBuf,
    /// Whose key it is.
    pub owner: String,
    /// The half's path below its owner.
    pub key: String,
    /// Whether it is in use: inactive hosts' keys are not.
    pub active: bool,
    /// What the fingerprint is of.
    pub form: Form,
}

/// The two ways of making a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Of the body lines: 3006, 3007 and `master_finger`.
    BodyLines,
    /// Of the whole text: 3008.
    WholePem,
}

/// The fingerprints of these clients' keys; `only` restricts them to these fqdns, `master_sign`, `pipeline` or its id,
/// unless it is empty. Sealed private halves are opened with `keyring` if it has a secret.
///
/// # Errors
/// A file that cannot be read or is not a client's, [`Error::UnknownId`], [`Error::Sealed`].
pub fn run(files: &[PathBuf], only: &[String], keyring: &Keyring) -> Result<Report, Error> {
    let sources = Sources::load(files)?;
    let mut report = Report {
        clients: Vec::new(),
        sealed: 0,
    };
    let mut known: Vec<String> = vec!["master_sign".to_owned(), "pipeline".to_owned()];
    for documents in sources.clients() {
        let layout = Layout::of(&documents)?;
        if layout.kind != Some("salt") {
            continue;
        }
        let hosts = layout.masters.iter().chain(&layout.assets);
        known.extend(hosts.map(|host| host.fqdn.clone()));
        let keys = keys::all(&layout)?;
        let mut client = Prints {
            layout: &layout,
            keys: &keys,
            keyring,
            only,
            sealed: BTreeSet::new(),
        };
        known.extend(client.pipeline_id()?.map(str::to_owned));
        let file = documents.first().map(|top| top.name.clone());
        report.clients.push(ClientPrints {
            file: file.unwrap_or_default(),
            name: match &layout.name {
                Some(name) => name.text("name")?.to_owned(),
                None => String::new(),
            },
            masters: client.masters()?,
            accepted: client.accepted()?,
            inactive: client.inactive(),
        });
        report.sealed += client.sealed.len();
    }
    match only.iter().find(|id| !known.contains(id)) {
        Some(unknown) => Err(Error::UnknownId(unknown.clone())),
        None => Ok(report),
    }
}

impl Report {
    /// Whose this fingerprint is, in either form.
    #[must_use]
    pub fn whose(&self, fingerprint: &Fingerprint) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        for client in &self.clients {
            let local = client.masters.iter().flat_map(|master| &master.local);
            let used = local.chain(&client.accepted).map(|print| (print, true));
            let all = used.chain(client.inactive.iter().map(|print| (print, false)));
            for (print, active) in all {
                let Some(form) = print.form_of(fingerprint) else {
                    continue;
                };
                let found = Match {
                    file: client.file.clone(),
                    owner: print.owner.clone(),
                    key: print.key.clone(),
                    active,
                    form,
                };
                // `master_sign` is on both masters.
                if !matches.contains(&found) {
                    matches.push(found);
                }
            }
        }
        matches
    }
}

impl Print {
    fn of(names: [String; 2], owner: &Owner, key: String, text: &str) -> Self {
        let [name, name_3008] = names;
        let body = Fingerprint::of_body_lines(text);
        // 3008 reads files as text, in which Python makes every line end `\n`.
        let text = Zeroizing::new(text.replace("\r\n", "\n").replace('\r', "\n"));
        let whole = Fingerprint::of_whole_pem(&text);
        let mut with_line_end = Zeroizing::new(String::with_capacity(text.len() + 1));
        with_line_end.extend([text.trim(), "\n"]);
        Self {
            name,
            name_3008,
            owner: owner.to_string(),
            key,
            body_lines: body.to_string(),
            whole_pem: whole.to_string(),
            variants: vec![
                whole,
                Fingerprint::of_whole_pem(text.trim()),
                Fingerprint::of_whole_pem(&with_line_end),
            ],
            body,
        }
    }

    fn form_of(&self, fingerprint: &Fingerprint) -> Option<Form> {
        if self.body == *fingerprint {
            Some(Form::BodyLines)
        } else if self.variants.contains(fingerprint) {
            Some(Form::WholePem)
        } else {
            None
        }
    }
}

/// A client whose keys are looked through.
struct Prints<'c, 'a> {
    layout: &'c Layout<'a>,
    keys: &'c [Key<'a>],
    keyring: &'c Keyring,
    only: &'c [String],
    /// Where private halves stand that stayed sealed.
    sealed: BTreeSet<Place>,
}

impl<'c, 'a> Prints<'c, 'a> {
    fn pipeline_id(&self) -> Result<Option<&'a str>, Error> {
        let pipeline = self.layout.pki("pipeline");
        Ok(pipeline.map(|view| view.text_of("id")).transpose()?.flatten())
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|id| id == name)
    }

    fn key(&self, role: Role, fqdn: Option<&str>) -> Option<&'c Key<'a>> {
        self.keys.iter().find(|key| {
            let owner = match &key.owner {
                Owner::Host(of) => fqdn == Some(of),
                Owner::Client(_) => fqdn.is_none(),
            };
            owner && key.role == role
        })
    }

    fn masters(&mut self) -> Result<Vec<MasterPrints>, Error> {
        let layout = self.layout;
        let active = layout.masters.iter().filter(|master| master.active);
        let mut masters = Vec::new();
        for (number, Host { fqdn, .. }) in active.enumerate() {
            let mut local = Vec::new();
            let mut master_finger = None;
            if self.wants(fqdn)
                && let Some(key) = self.key(Role::Master, Some(fqdn))
            {
                // 3008 renames its own pair at its first start (`_setup_keys` in salt/crypt.py).
                self.both(key, ["master", fqdn], &mut local)?;
                let public = local.iter().find(|print| print.name == "master.pub");
                master_finger = public.map(|print| print.body_lines.clone());
            }
            if (self.wants(fqdn) || self.wants("master_sign"))
                && let Some(key) = self.master_sign(number)
            {
                self.both(key, ["master_sign", "master_sign"], &mut local)?;
            }
            local.sort_by(|a, b| a.name.cmp(&b.name));
            if !local.is_empty() {
                masters.push(MasterPrints {
                    fqdn: fqdn.clone(),
                    master_finger,
                    local,
                });
            }
        }
        Ok(masters)
    }

    /// The pair with which the active master of this number signs: while a rotation is under way, the first has
    /// the old one.
    fn master_sign(&self, number: usize) -> Option<&'c Key<'a>> {
        let old = self.key(Role::MasterSignOld, None).filter(|key| {
            let whole = key.private.is_some() && key.public.is_some();
            number == 0 && whole
        });
        old.or_else(|| self.key(Role::MasterSign, None))
    }

    fn accepted(&self) -> Result<Vec<Print>, Error> {
        let layout = self.layout;
        let mut accepted = Vec::new();
        for host in layout.masters.iter().filter(|host| host.active) {
            accepted.extend(self.public(Role::MasterMinion, host));
        }
        for host in layout.assets.iter().filter(|host| host.active && host.server) {
            accepted.extend(self.public(Role::Minion, host));
        }
        if let (Some(id), Some(key)) = (self.pipeline_id()?, self.key(Role::Pipeline, None))
            && (self.wants(id) || self.wants("pipeline"))
            && let Some(text) = key.public()
        {
            accepted.push(public(id, key, text));
        }
        accepted.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(accepted)
    }

    fn inactive(&self) -> Vec<Print> {
        let layout = self.layout;
        let masters = layout.masters.iter().filter(|host| !host.active);
        let of_masters = masters.flat_map(|host| {
            [Role::MasterMinion, Role::Master]
                .into_iter()
                .filter_map(|role| self.public(role, host))
        });
        let assets = layout.assets.iter().filter(|host| !host.active && host.server);
        let of_assets = assets.filter_map(|host| self.public(Role::Minion, host));
        of_masters.chain(of_assets).collect()
    }

    /// The public half of a host's key.
    fn public(&self, role: Role, host: &Host<'_>) -> Option<Print> {
        let key = self
            .key(role, Some(&host.fqdn))
            .filter(|_| self.wants(&host.fqdn))?;
        Some(public(&host.fqdn, key, key.public()?))
    }

    /// Both halves of a master's pair, as files with these names: in 3006, in 3008.
    fn both(&mut self, key: &Key<'a>, names: [&str; 2], prints: &mut Vec<Print>) -> Result<(), Error> {
        let mut print = |half: &str, end: &str, text: &str| {
            let names = names.map(|name| format!("{name}.{end}"));
            prints.push(Print::of(names, &key.owner, format!("{}.{half}", key.role), text));
        };
        match key.private().map(|private| private.open(self.keyring)) {
            Some(Ok(text)) => print(key.role.private(), "pem", &text),
            Some(Err(Error::Sealed {
                source: SealError::NoSecret | SealError::OtherKind { .. },
                place,
                ..
            })) => {
                self.sealed.insert(place);
            }
            Some(Err(error)) => return Err(error),
            None => {}
        }
        if let Some(text) = key.public() {
            print("pub", "pub", text);
        }
        Ok(())
    }
}

fn public(id: &str, key: &Key<'_>, text: &str) -> Print {
    let names = [id.to_owned(), id.to_owned()];
    Print::of(names, &key.owner, format!("{}.pub", key.role), text)
}

#[cfg(test)]
mod tests {
    use proto::crypto::PrivateKey;

    use super::*;
    use crate::seal::{Opened, Secret};

    #[test]
    fn sealed_halves_are_left_out_and_counted_unless_they_can_be_opened() {
        let keyring = || Keyring::new(Secret::KeyFile(Zeroizing::new(vec![7; 32])));
        let key = PrivateKey::generate(2048, &mut rand::rng()).unwrap();
        let opened = Opened::plain(key.to_pkcs1_pem().unwrap());
        let owner = Owner::Client("Xyz".to_owned());
        let sealed = keyring().seal(&opened, &owner, Role::MasterSign).unwrap();
        let public = serde_json::to_string(&key.public_key().to_pem().unwrap()).unwrap();
        let text = format!(
            "name: Xyz\nconfiguration_management:\n  salt:\n    pki: {{master_sign: {{pem: {sealed}, pub: {public}}}}}\n    \
             masters: [{{fqdn: m1}}, {{fqdn: m2}}]\n"
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.yaml");
        std::fs::write(&file, text).unwrap();
        let names = |keyring: &Keyring| {
            let report = run(std::slice::from_ref(&file), &[], keyring).unwrap();
            let masters = report.clients[0].masters.iter();
            let names: Vec<String> = masters
                .flat_map(|m| m.local.iter().map(|p| p.name.clone()))
                .collect();
            (names.join(" "), report.sealed)
        };
        assert_eq!(
            names(&Keyring::none()),
            ("master_sign.pub master_sign.pub".to_owned(), 1)
        );
        let all = "master_sign.pem master_sign.pub master_sign.pem master_sign.pub";
        assert_eq!(names(&keyring()), (all.to_owned(), 0));
        let wrong = Keyring::new(Secret::KeyFile(Zeroizing::new(vec![8; 32])));
        let error = run(std::slice::from_ref(&file), &[], &wrong).err().unwrap();
        assert!(matches!(error, Error::Sealed { .. }), "{error}");
    }
}
