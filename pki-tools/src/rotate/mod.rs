//! New keys in place of old ones, and the steps in which to roll them out.
//!
//! `target` finds the pair, `fresh` makes the new one, `plan` says which values change; `steps` knows the
//! hosts.

mod fresh;
mod plan;
#[cfg(test)]
mod properties;
mod report;
mod steps;
mod target;

use std::path::Path;

use self::fresh::{Desk, bits};
use self::plan::Plan;
pub use self::report::{Done, Report, Run, Step};
use self::steps::{Scene, after};
use self::target::Target;
use crate::client::Client;
use crate::edit::{locked, write};
use crate::error::Error;
use crate::generate::Readable;
use crate::include::Sources;
use crate::keys::{self, Key, Role};
use crate::layout::Layout;
use crate::permissions::{Permissions, holds_private_keys, readable_by_others};
use crate::seal::{Keyring, Owner, Sealing};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// A new pair for a minion or master (by fqdn; `FQDN:minion`, `FQDN:root_ed25519` for a master's others),
    /// `pipeline` (or its id), or `master_sign`, of which the old pair stays as `master_sign_old` until it is
    /// finished or aborted.
    New(String),
    /// Removes `master_sign_old`.
    Finish,
    /// Puts `master_sign_old` back as `master_sign`.
    Abort,
}

/// How to do it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Size of a new RSA key; that of the old one if not given, but at least 2048.
    pub bits: Option<u32>,
    /// Finds out what would be done, and writes nothing.
    pub dry_run: bool,
    /// Whether everybody may read the files.
    pub permissions: Permissions,
}

/// Rotates one pair of a client, in place: every byte outside of its two values stays. The new private half
/// is sealed if the file is a sealed one; `keyring` is asked only then, and before any key is made. A dry run
/// does not ask.
///
/// Nothing is written before the edit is verified, see [`crate::generate::run`]. The files are locked
/// meanwhile.
///
/// # Errors
/// [`Error`], with the place and the remedy. No file has changed then, unless [`Error::Write`] names it.
pub fn run(file: &Path, rotation: &Rotation, options: &Options, keyring: &Keyring) -> Result<Report, Error> {
    let files = [file.to_owned()];
    if options.dry_run {
        return rotate(file, &Sources::load(&files)?, rotation, options, keyring);
    }
    locked(&files, |sources| {
        rotate(file, sources, rotation, options, keyring)
    })
}

fn rotate(
    file: &Path,
    sources: &Sources,
    rotation: &Rotation,
    options: &Options,
    keyring: &Keyring,
) -> Result<Report, Error> {
    options.permissions.check(sources)?;
    let documents = sources.clients().next().unwrap_or_default();
    let layout = Layout::of(&documents)?;
    let keys = keys::all(&layout)?;
    let client = Client::of(file, sources)?;
    let sealing = Sealing::of(sources, keyring)?;
    let desk = Desk {
        sealing: &sealing,
        dry_run: options.dry_run,
    };
    let Work {
        plan,
        done,
        target,
        key,
        bits,
    } = work(file, &layout, &keys, rotation, options.bits, &desk)?;
    for document in documents.iter().filter(|d| plan.changes.touch(d.index)) {
        let open = !sealing.covers(document.index);
        options
            .permissions
            .check_file(&document.path, &document.name, open)?;
    }
    let edited = plan.changes.apply(sources, &plan.texts)?;
    let public = if options.dry_run {
        None
    } else {
        write(sources, &edited)?;
        public(&Client::load(file)?, &target)
    };
    let scene = Scene {
        client: &client,
        file,
        active: key.active,
        public,
        old_public: key.public().map(str::to_owned),
    };
    let steps = after(done, &target, &scene);
    let open = |document: &&crate::yaml::Document| {
        let edited = edited.get(&document.index);
        holds_private_keys(edited.map_or(&document.text, |edited| &edited.text))
    };
    let readable = |document: &crate::yaml::Document| {
        let mode = readable_by_others(&document.path)?;
        Some(Readable {
            file: document.name.clone(),
            mode: format!("{mode:04o}"),
        })
    };
    let place = key.pair.place();
    Ok(Report {
        dry_run: options.dry_run,
        done,
        file: place.file,
        line: place.line,
        owner: match &target.owner {
            Owner::Host(fqdn) => fqdn.clone(),
            Owner::Client(_) => "client".to_owned(),
        },
        key: target.role.field().to_owned(),
        bits,
        steps: steps.steps,
        notes: steps.notes,
        readable_by_others: sources
            .documents
            .iter()
            .filter(open)
            .filter_map(readable)
            .collect(),
    })
}

/// What a rotation comes to in the files.
struct Work<'k, 'a> {
    plan: Plan<'a>,
    done: Done,
    target: Target,
    key: &'k Key<'a>,
    bits: Option<u32>,
}

fn work<'k, 'a>(
    file: &Path,
    layout: &Layout<'a>,
    keys: &'k [Key<'a>],
    rotation: &Rotation,
    wanted: Option<u32>,
    desk: &Desk<'_>,
) -> Result<Work<'k, 'a>, Error> {
    let what = match rotation {
        Rotation::New(what) => what,
        Rotation::Finish | Rotation::Abort => "master_sign",
    };
    let target = Target::find(what, layout, file)?;
    let key = target.key(keys, file)?;
    let old = keys.iter().find(|key| key.role == Role::MasterSignOld);
    let mut plan = Plan::default();
    let (done, bits) = match (rotation, old) {
        (Rotation::New(_), Some(old)) if needs_signatures(target.role) => {
            return Err(Error::UnderWay {
                place: old.pair.place(),
            });
        }
        (Rotation::New(_), _) => {
            let bits = bits(key, wanted);
            if target.role == Role::Master {
                // Minions believe a master's new key by its signature only.
                Target::find("master_sign", layout, file)?.key(keys, file)?;
            }
            let halves = desk.fresh(key, bits.unwrap_or_default())?;
            if target.role == Role::MasterSign {
                plan.keep_master_sign(layout, key, desk)?;
            }
            plan.replace(key, halves)?;
            (Done::Rotated, bits)
        }
        (_, None) => return Err(Error::NotUnderWay(file.to_owned())),
        (Rotation::Finish, Some(old)) => {
            plan.remove_master_sign_old(layout, old)?;
            (Done::Finished, None)
        }
        (Rotation::Abort, Some(old)) => {
            plan.restore_master_sign(key, old, desk)?;
            plan.remove_master_sign_old(layout, old)?;
            (Done::Aborted, None)
        }
    };
    Ok(Work {
        plan,
        done,
        target,
        key,
        bits,
    })
}

/// Whether minions have to trust both masters while this pair is rolled out: they change masters, or a master
/// changes its key.
fn needs_signatures(role: Role) -> bool {
    !matches!(role, Role::Pipeline | Role::RootEd25519)
}

/// The public half as the file has it now.
fn public(client: &Client, target: &Target) -> Option<String> {
    let host = |fqdn: &str| client.masters.iter().find(|master| master.fqdn == fqdn);
    match (&target.owner, target.role) {
        (Owner::Host(fqdn), Role::RootEd25519) => Some(host(fqdn)?.root_ed25519.as_ref()?.pub_.clone()),
        (_, Role::MasterSign) => Some(client.master_sign.as_ref()?.pub_.clone()),
        _ => None,
    }
}
