//! What is there already, compared with what has to be there.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use proto::crypto::PrivateKey;
use zeroize::Zeroizing;

use super::config;
use super::error::{InstallError, Refusal, Why};
use super::folder::{Content, Entry, Folder};
use super::plan::{Kind, Place, Plan, Planned};
use super::tree::{Flaws, Tree};
use super::{Options, Role};

/// The comparison of a plan with a host.
pub(super) struct Look<'a> {
    pub(super) steps: Vec<Step<'a>>,
    /// Accepted keys of ids that the client does not have, or not in use.
    pub(super) strangers: Vec<OsString>,
    refusals: Vec<Refusal>,
}

/// A planned file, and what there is in its place.
pub(super) struct Step<'a> {
    pub(super) file: &'a Planned,
    /// The name that it has on this host.
    pub(super) name: String,
    pub(super) found: Found,
}

/// What lies where a planned file should be.
pub(super) enum Found {
    Nothing,
    /// Just that.
    Same,
    /// The same text, with another mode or owner.
    Flawed(Flaws),
    /// Another text, with the old one if that has to be kept.
    Other(Option<Zeroizing<Vec<u8>>>),
    /// Another text that is right, too.
    Right,
    /// More than could be kept.
    TooLong,
}

impl<'a> Look<'a> {
    /// Looks at every planned file.
    pub(super) fn at(tree: &Tree, plan: &'a Plan) -> Result<Self, InstallError> {
        let mut look = Self {
            steps: Vec::new(),
            strangers: Vec::new(),
            refusals: Vec::new(),
        };
        for file in &plan.files {
            let Some(folder) = tree.folder(file.place) else {
                look.step(file, file.name.clone(), Found::Nothing);
                continue;
            };
            look.file(tree, folder, plan, file)?;
        }
        if let (Role::Master, Some(minions)) = (plan.role, tree.folder(Place::Minions)) {
            for name in minions.names()? {
                let known = name.to_str().is_some_and(|name| plan.accepted.contains(name));
                // Salt keeps notes of its own there, and takes nothing with a dot for a key.
                if known || name.as_bytes().starts_with(b".") {
                    continue;
                }
                if matches!(minions.look(&name)?, Entry::File(_) | Entry::Link(_)) {
                    look.strangers.push(name);
                }
            }
        }
        Ok(look)
    }

    /// Ends the run if anything would be lost, or written through a link.
    pub(super) fn refuse(&self, options: &Options) -> Result<(), InstallError> {
        let stays = |refusal: &&Refusal| match refusal.why {
            Why::OtherKey | Why::NotOurs => !options.replace,
            Why::Link(_) | Why::NotAFile | Why::TooLong => true,
        };
        let refusals: Vec<Refusal> = self.refusals.iter().filter(stays).cloned().collect();
        if refusals.is_empty() {
            Ok(())
        } else {
            Err(InstallError::Refused(refusals))
        }
    }

    fn step(&mut self, file: &'a Planned, name: String, found: Found) {
        self.steps.push(Step { file, name, found });
    }

    fn file(
        &mut self,
        tree: &Tree,
        folder: &Folder,
        plan: &'a Plan,
        file: &'a Planned,
    ) -> Result<(), InstallError> {
        let mut names = vec![file.name.clone()];
        if let Kind::Own { moved_to, .. } = &file.kind {
            let moved = match folder.look(&file.name)? {
                Entry::Link(target) => own_link(folder, &target).filter(|target| is_free(plan, file, target)),
                // Salt 3008 takes this one and not `master.pem`, wherever it comes from.
                _ if is_free(plan, file, moved_to) && folder.has(moved_to) => {
                    names.push(moved_to.clone());
                    None
                }
                _ => None,
            };
            names = moved.map_or(names, |moved| vec![moved]);
        }
        for name in names {
            let refuse = |why| Refusal {
                path: folder.path_of(&name),
                why,
            };
            match folder.look(&name)? {
                Entry::Absent => self.step(file, name, Found::Nothing),
                Entry::Link(target) => self.refusals.push(refuse(Why::Link(target))),
                Entry::Other => self.refusals.push(refuse(Why::NotAFile)),
                Entry::File(content) => {
                    let found = compare(tree, file, content);
                    match (&found, &file.kind) {
                        (Found::TooLong, _) => self.refusals.push(refuse(Why::TooLong)),
                        (Found::Other(Some(_)), Kind::Config) => self.refusals.push(refuse(Why::NotOurs)),
                        (Found::Other(Some(_)), _) => self.refusals.push(refuse(Why::OtherKey)),
                        _ => {}
                    }
                    self.step(file, name, found);
                }
            }
        }
        Ok(())
    }
}

fn compare(tree: &Tree, file: &Planned, content: Content) -> Found {
    let owner = match file.place {
        Place::Config => tree.own,
        Place::Pki | Place::Minions => tree.owner,
    };
    let flaws = Flaws::of((content.mode, content.owner), file.mode, owner);
    let Some(bytes) = content.bytes else {
        return Found::TooLong;
    };
    if bytes.as_slice() == file.text.as_bytes() {
        return if flaws.any() {
            Found::Flawed(flaws)
        } else {
            Found::Same
        };
    }
    match &file.kind {
        Kind::Followed(masters) => {
            let text = String::from_utf8_lossy(&bytes);
            if masters.iter().any(|master| master == text.trim()) {
                return Found::Right;
            }
            Found::Other(None)
        }
        Kind::Config if config::is_ours(&bytes) => Found::Other(None),
        Kind::Config => Found::Other(Some(bytes)),
        kind if kind.is_private() && !is_same_key(&bytes, &file.text) => Found::Other(Some(bytes)),
        _ => Found::Other(None),
    }
}

/// Whether a text holds the same key in another form, or nothing at all.
fn is_same_key(bytes: &[u8], text: &str) -> bool {
    let Ok(there) = std::str::from_utf8(bytes) else {
        return false;
    };
    if there.trim().is_empty() {
        return true;
    }
    match (PrivateKey::from_pem(there), PrivateKey::from_pem(text)) {
        (Ok(there), Ok(ours)) => there.public_key() == ours.public_key(),
        _ => false,
    }
}

/// The name to which a link of Salt's own leads: a file beside it.
///
/// Salt writes the whole path, as the host sees it.
fn own_link(folder: &Folder, target: &Path) -> Option<String> {
    let beside = match target.parent() {
        None => false,
        Some(parent) if parent.as_os_str().is_empty() => true,
        Some(parent) => is_end_of(parent, folder.path()),
    };
    let name = target.file_name()?.to_str()?;
    (beside && !name.starts_with('.')).then(|| name.to_owned())
}

/// Whether an absolute path is this folder's, as seen from here or from the host. It decides only which name is
/// looked for in the open folder, so it cannot lead out of it.
fn is_end_of(path: &Path, folder: &Path) -> bool {
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let Ok(relative) = path.strip_prefix("/") else {
        return false;
    };
    // Salt may know it by another path, if a link leads to the root.
    let seen = [std::path::absolute(folder), folder.canonicalize()];
    let is_end = seen
        .into_iter()
        .flatten()
        .any(|folder| folder.ends_with(relative));
    plain && relative.components().count() >= 2 && is_end
}

/// Whether no other file of the plan, and no key that Salt has there, goes by this name.
fn is_free(plan: &Plan, file: &Planned, name: &str) -> bool {
    let extension = |name: &str| Path::new(name).extension().map(ToOwned::to_owned);
    let taken = plan
        .files
        .iter()
        .any(|other| other.place == file.place && other.name == name);
    !taken && extension(name) == extension(&file.name)
}
