//! Which keys a client lacks, and where they will stand.

use std::collections::BTreeSet;

use proto::crypto::PrivateKey;
use zeroize::Zeroizing;

use super::make::{Job, private_text, public_text};
use super::report::What;
use super::spot::Spot;
use super::wish::{Wish, default_id, is_empty, key_text, new_pair};
use crate::edit::Changes;
use crate::error::{Error, Place};
use crate::keys::{Private, Role};
use crate::layout::{Host, Layout};
use crate::seal::{Owner, Sealing, is_sealed};
use crate::yaml::{Addition, Document, Found, Value, View};

/// What is missing in all files of a run.
pub(super) struct Plan<'a> {
    sealing: &'a Sealing<'a>,
    pub(super) changes: Changes<'a>,
    pub(super) jobs: Vec<Job>,
    pub(super) items: Vec<Item>,
    /// The private halves that will be sealed.
    pub(super) seals: Vec<Seal>,
    /// What `--only` may name.
    pub(super) known: BTreeSet<String>,
    /// The places that have been seen to: clients may share an included file.
    seen: BTreeSet<(usize, usize, &'static str)>,
}

/// A line of the report.
pub(super) struct Item {
    pub(super) document: usize,
    pub(super) owner: String,
    pub(super) key: String,
    pub(super) what: What,
}

/// A new private half that goes into a sealed file.
pub(super) struct Seal {
    pub(super) job: usize,
    pub(super) document: usize,
    pub(super) owner: Owner,
    pub(super) role: Role,
    pub(super) place: Place,
}

impl<'a> Plan<'a> {
    /// Nothing yet.
    pub(super) fn new(sealing: &'a Sealing<'a>) -> Self {
        Self {
            sealing,
            changes: Changes::default(),
            jobs: Vec::new(),
            items: Vec::new(),
            seals: Vec::new(),
            known: BTreeSet::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Adds what a client lacks; `only` restricts it to these masters, servers and keys, unless it is empty.
    ///
    /// # Errors
    /// Anything that stands in the way of a key: see [`Error`].
    pub(super) fn client(
        &mut self,
        documents: &[&'a Document],
        layout: &Layout<'a>,
        only: &[String],
    ) -> Result<(), Error> {
        self.salt(documents, layout, only)?;
        for master in &layout.masters {
            self.host(master, only, || {
                let pki = Wish::Map(vec![("minion", Wish::Rsa), ("master", Wish::Rsa)]);
                vec![("root_ed25519", Wish::Ssh), ("pki", pki)]
            })?;
        }
        for asset in layout.assets.iter().filter(|asset| asset.server) {
            self.host(asset, only, || vec![("minion", Wish::Rsa)])?;
        }
        Ok(())
    }

    fn host(
        &mut self,
        host: &Host<'a>,
        only: &[String],
        wishes: impl FnOnce() -> Vec<(&'static str, Wish<'a>)>,
    ) -> Result<(), Error> {
        self.known.insert(host.fqdn.clone());
        if !host.active || !(only.is_empty() || only.contains(&host.fqdn)) {
            return Ok(());
        }
        let spot = Spot {
            owner: host.fqdn.clone(),
            sealed_for: Some(Owner::Host(host.fqdn.clone())),
            path: String::new(),
        };
        wishes()
            .into_iter()
            .try_for_each(|(key, wish)| self.fulfil(&host.view, key, wish, &spot))
    }

    /// The client's own pairs, in the `salt:` mapping that has them, else the one with `pki:`, else the last.
    fn salt(
        &mut self,
        documents: &[&'a Document],
        layout: &Layout<'a>,
        only: &[String],
    ) -> Result<(), Error> {
        let top = || {
            let file = documents
                .first()
                .map(|document| document.name.clone())
                .unwrap_or_default();
            Place {
                file,
                line: 1,
                column: 1,
            }
        };
        let mut targets: Vec<(View<'a>, Vec<(&'static str, Wish<'a>)>)> = Vec::new();
        for key in ["master_sign", "pipeline"] {
            let has = layout.salt_with(&["pki", key]);
            let name = layout.name.clone().ok_or_else(top);
            let mut names = vec![key.to_owned()];
            if key == "pipeline" {
                let pipeline = has.as_ref().and_then(|salt| salt.get("pki")?.get(key));
                let id = pipeline
                    .map(|pipeline| pipeline.text_of("id"))
                    .transpose()?
                    .flatten();
                names.extend(id.map(str::to_owned).or_else(|| default_id(&name).ok()));
            }
            let wanted = only.is_empty() || names.iter().any(|name| only.contains(name));
            self.known.extend(names);
            if !wanted {
                continue;
            }
            let target = has
                .or_else(|| layout.salt_with(&["pki"]))
                .or_else(|| layout.salt_with(&[]));
            let Some(target) = target else {
                let expected = "a mapping with the masters, below `configuration_management`";
                return Err(Error::Missing {
                    place: top(),
                    key: "salt",
                    expected,
                });
            };
            let wish = match key {
                "master_sign" => Wish::Rsa,
                _ => Wish::Dispatch(name),
            };
            match targets
                .iter_mut()
                .find(|(view, _)| std::ptr::eq(view.node, target.node))
            {
                Some((_, wishes)) => wishes.push((key, wish)),
                None => targets.push((target, vec![(key, wish)])),
            }
        }
        let name = layout.name.as_ref().and_then(|name| name.text("name").ok());
        let spot = Spot {
            owner: "client".to_owned(),
            sealed_for: name.map(|name| Owner::Client(name.to_owned())),
            path: String::new(),
        };
        targets
            .into_iter()
            .try_for_each(|(view, wishes)| self.fulfil(&view, "pki", Wish::Map(wishes), &spot))
    }

    /// Sees to it that a mapping's key has what it should have.
    fn fulfil(
        &mut self,
        view: &View<'a>,
        key: &'static str,
        wish: Wish<'a>,
        spot: &Spot,
    ) -> Result<(), Error> {
        let spot = spot.down(key);
        match view.find(key) {
            Some(found) if !is_empty(&found) => match wish {
                Wish::Map(wishes) => {
                    let inner = found.value.mapping(key)?;
                    wishes
                        .into_iter()
                        .try_for_each(|(key, wish)| self.fulfil(&inner, key, wish, &spot))
                }
                wish => self.complete(&found.value.mapping(key)?, key, &wish, &spot),
            },
            found => {
                if !self
                    .seen
                    .insert((view.document.index, view.node.start.offset, key))
                {
                    return Ok(());
                }
                let addition = self.addition(view, key, &wish, &spot)?;
                self.put(view, found, addition, &spot)
            }
        }
    }

    /// A new key with all that it should have.
    fn addition(
        &mut self,
        view: &View<'a>,
        key: &'static str,
        wish: &Wish<'a>,
        spot: &Spot,
    ) -> Result<Addition, Error> {
        if let Wish::Map(wishes) = wish {
            let inner = wishes
                .iter()
                .map(|(key, wish)| self.addition(view, key, wish, &spot.down(key)));
            let value = Value::Map(inner.collect::<Result<_, _>>()?);
            return Ok(Addition {
                key,
                value,
                item: None,
            });
        }
        let (private, job, what) = new_pair(wish, &spot.owner);
        let item = Some(self.item(view.document.index, spot, what));
        let job = self.pair(job, view, spot)?;
        let mut inner = Vec::new();
        if let Wish::Dispatch(name) = wish {
            inner.push(Addition {
                key: "id",
                value: Value::Word(default_id(name)?),
                item: None,
            });
        }
        inner.push(Addition {
            key: private,
            value: Value::Text(private_text(job)),
            item: None,
        });
        inner.push(Addition {
            key: "pub",
            value: Value::Text(public_text(job)),
            item: None,
        });
        Ok(Addition {
            key,
            value: Value::Map(inner),
            item,
        })
    }

    /// Adds what a pair lacks.
    fn complete(
        &mut self,
        pair: &View<'a>,
        key: &'static str,
        wish: &Wish<'a>,
        spot: &Spot,
    ) -> Result<(), Error> {
        if !self
            .seen
            .insert((pair.document.index, pair.node.start.offset, key))
        {
            return Ok(());
        }
        let document = pair.document.index;
        if let Wish::Dispatch(name) = wish {
            match pair.find("id") {
                Some(found) if !is_empty(&found) => {
                    found.value.text("id")?;
                }
                found => {
                    let item = Some(self.item(document, &spot.down("id"), What::Id));
                    let value = Value::Word(default_id(name)?);
                    self.put(
                        pair,
                        found,
                        Addition {
                            key: "id",
                            value,
                            item,
                        },
                        spot,
                    )?;
                }
            }
        }
        let (private, job, what) = new_pair(wish, &spot.owner);
        let (has_private, has_public) = (pair.find(private), pair.find("pub"));
        match (key_text(&has_private, private)?, key_text(&has_public, "pub")?) {
            (Some(_), Some(_)) => Ok(()),
            (None, Some(_)) => Err(Error::PrivateMissing {
                place: pair.place(),
                key: spot.path.clone(),
                private,
            }),
            (Some((text, place)), None) => {
                let key = spot.down(private).path;
                let text = if is_sealed(text) {
                    let (owner, role) = spot.seal(&place)?;
                    let sealed = Private::new(text, owner, role, place.clone());
                    self.sealing.open(&sealed)?
                } else {
                    Zeroizing::new(text.to_owned())
                };
                let (job, what) = match wish {
                    Wish::Ssh => {
                        let private = ssh_key::PrivateKey::from_openssh(text.trim())
                            .map_err(|source| Error::BadSsh { place, key, source })?;
                        (Job::SshPublic(Box::new(private)), What::SshPublic)
                    }
                    _ => {
                        let private = PrivateKey::from_pem(&text).map_err(|source| Error::BadRsa {
                            place,
                            key,
                            source,
                        })?;
                        (Job::RsaPublic(Box::new(private)), What::RsaPublic)
                    }
                };
                let item = Some(self.item(document, &spot.down("pub"), what));
                let value = Value::Text(public_text(self.job(job)));
                self.put(
                    pair,
                    has_public,
                    Addition {
                        key: "pub",
                        value,
                        item,
                    },
                    spot,
                )
            }
            (None, None) => {
                let item = Some(self.item(document, spot, what));
                let job = self.pair(job, pair, spot)?;
                let value = Value::Text(private_text(job));
                self.put(
                    pair,
                    has_private,
                    Addition {
                        key: private,
                        value,
                        item,
                    },
                    spot,
                )?;
                let value = Value::Text(public_text(job));
                self.put(
                    pair,
                    has_public,
                    Addition {
                        key: "pub",
                        value,
                        item: None,
                    },
                    spot,
                )
            }
        }
    }

    /// Notes an addition to a mapping, whether the key is there without a value or not at all.
    fn put(
        &mut self,
        view: &View<'a>,
        found: Option<Found<'a>>,
        addition: Addition,
        spot: &Spot,
    ) -> Result<(), Error> {
        let shared = found
            .as_ref()
            .and_then(|found| found.value.shared.clone())
            .or(view.shared.clone());
        if let Some(place) = shared {
            return Err(Error::Shared {
                place,
                key: spot.path.clone(),
            });
        }
        let change = self.changes.of(view);
        let number = found.and_then(|found| {
            view.node
                .entries()
                .iter()
                .position(|entry| std::ptr::eq(entry, found.entry))
        });
        match number {
            Some(number) => change.fill.push((number, addition)),
            None => change.add.push(addition),
        }
        Ok(())
    }

    fn item(&mut self, document: usize, spot: &Spot, what: What) -> usize {
        let Spot { owner, path, .. } = spot.clone();
        self.items.push(Item {
            document,
            owner,
            key: path,
            what,
        });
        self.items.len() - 1
    }

    /// The job for a new pair, which goes to this place.
    fn pair(&mut self, job: Job, view: &View<'a>, spot: &Spot) -> Result<usize, Error> {
        let job = self.job(job);
        let document = view.document.index;
        if self.sealing.covers(document) {
            let place = view.place();
            let (owner, role) = spot.seal(&place)?;
            self.seals.push(Seal {
                job,
                document,
                owner,
                role,
                place,
            });
        }
        Ok(job)
    }

    fn job(&mut self, job: Job) -> usize {
        self.jobs.push(job);
        self.jobs.len() - 1
    }
}
