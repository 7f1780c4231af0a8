//! The folders of a host that files go to: opened, made where they are missing, mended where others could write.

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::error::InstallError;
use super::folder::Folder;
use super::owner::{self, Owner, User};
use super::plan::Place;
use super::report::Mended;
use super::{Options, Role};

/// Only the user who runs Salt may look into a folder with keys.
const PRIVATE: u32 = 0o700;

/// As Salt and its packages make the folders above: a minion that runs as another user checks that it can read
/// them (`check_path_traversal` in salt/utils/verify.py).
const PUBLIC: u32 = 0o755;

/// The folders of one role on a host. Those that this run made go again when it is dropped before
/// [`Tree::keep`].
pub(super) struct Tree {
    role: Role,
    root: Rc<Folder>,
    /// The host is the one that this runs on.
    is_system: bool,
    /// Whom keys are given to.
    pub(super) owner: Option<Owner>,
    /// Whom everything else is given to: the user who runs Salt has no business in its configuration.
    pub(super) own: Option<Owner>,
    /// `etc/salt`.
    pub(super) salt: Option<Rc<Folder>>,
    /// `etc/salt/pki`.
    pub(super) parent: Option<Rc<Folder>>,
    /// Salt's `pki_dir`.
    pub(super) pki: Option<Rc<Folder>>,
    /// The keys that a master accepts.
    minions: Option<Rc<Folder>>,
    /// `master.d` or `minion.d`.
    pub(super) config: Option<Rc<Folder>>,
    /// What was made, with the folder that it is in.
    made: Vec<(Rc<Folder>, &'static str)>,
}

/// What is wrong with the mode and owner of something: what it is, and what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flaws {
    pub(super) mode: Option<(u32, u32)>,
    pub(super) owner: Option<(Owner, Owner)>,
}

impl Flaws {
    /// Compares what there is with what should be; whose it is does not matter if it stays ours.
    pub(super) fn of((mode, owner): (u32, Owner), wanted: u32, give_to: Option<Owner>) -> Self {
        Self {
            mode: (mode != wanted).then_some((mode, wanted)),
            owner: give_to.filter(|to| *to != owner).map(|to| (owner, to)),
        }
    }

    pub(super) fn any(self) -> bool {
        self != Self::default()
    }
}

impl fmt::Display for Flaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((old, new)) = self.mode {
            write!(f, "mode was {old:04o}, is {new:04o}")?;
        }
        if let Some((old, new)) = self.owner {
            let comma = if self.mode.is_some() { ", " } else { "" };
            write!(f, "{comma}owner was {old}, is {new}")?;
        }
        Ok(())
    }
}

impl Tree {
    /// Opens what there is.
    pub(super) fn open(role: Role, options: &Options) -> Result<Self, InstallError> {
        let root = Rc::new(Folder::open_root(&options.root)?);
        let is_system = options.root.canonicalize().is_ok_and(|root| root == *"/");
        let owner = owner::owner(options.user.as_ref(), &root, is_system)?;
        let below = |folder: &Option<Rc<Folder>>, name: &str| match folder {
            Some(folder) => Ok(folder.open(name)?.map(Rc::new)),
            None => Ok(None),
        };
        let salt = root.open_below("etc/salt")?.map(Rc::new);
        let parent = below(&salt, "pki")?;
        let pki = below(&parent, role.name())?;
        let minions = match role {
            Role::Master => below(&pki, "minions")?,
            Role::Minion => None,
        };
        let config = below(&salt, config_folder(role))?;
        Ok(Self {
            role,
            root,
            is_system,
            owner,
            own: rustix::process::geteuid().is_root().then_some(Owner::ROOT),
            salt,
            parent,
            pki,
            minions,
            config,
            made: Vec::new(),
        })
    }

    /// Makes what is missing, and keeps other runs out.
    pub(super) fn make(&mut self) -> Result<(), InstallError> {
        let (own, owner) = (self.own, self.owner);
        let salt = match self.salt.clone() {
            Some(salt) => salt,
            None => {
                let etc = self.root.open_below("etc")?.map(Rc::new);
                let etc = self.complete(etc, &self.root.clone(), "etc", PUBLIC, own)?;
                self.complete(None, &etc, "salt", PUBLIC, own)?
            }
        };
        let parent = self.complete(self.parent.clone(), &salt, "pki", PUBLIC, own)?;
        let pki = self.complete(self.pki.clone(), &parent, self.role.name(), PRIVATE, owner)?;
        if self.role == Role::Master {
            self.minions = Some(self.complete(self.minions.clone(), &pki, "minions", PRIVATE, owner)?);
        }
        let config = self.config.clone();
        self.config = Some(self.complete(config, &salt, config_folder(self.role), PUBLIC, own)?);
        let locked = pki.lock()?;
        let busy = pki.path().to_owned();
        (self.salt, self.parent, self.pki) = (Some(salt), Some(parent), Some(pki));
        match locked {
            true => Ok(()),
            false => Err(InstallError::Busy(busy)),
        }
    }

    fn complete(
        &mut self,
        there: Option<Rc<Folder>>,
        parent: &Rc<Folder>,
        name: &'static str,
        mode: u32,
        owner: Option<Owner>,
    ) -> Result<Rc<Folder>, InstallError> {
        if let Some(folder) = there {
            return Ok(folder);
        }
        let folder = Rc::new(parent.make(name, mode, owner)?);
        self.made.push((Rc::clone(parent), name));
        Ok(folder)
    }

    /// Who a user is on the host.
    pub(super) fn look_up(&self, user: &User) -> Result<Owner, InstallError> {
        user.look_up(&self.root, self.is_system)
    }

    /// The folders that [`Tree::make`] would make.
    pub(super) fn missing(&self) -> Vec<PathBuf> {
        let salt = self.root.path_of("etc/salt");
        let minions = (self.role == Role::Master).then(|| self.path_of(Place::Minions, ""));
        let all = [
            (self.salt.is_none(), Some(salt.clone())),
            (self.parent.is_none(), Some(salt.join("pki"))),
            (self.pki.is_none(), Some(self.path_of(Place::Pki, ""))),
            (self.minions.is_none(), minions),
            (self.config.is_none(), Some(self.path_of(Place::Config, ""))),
        ];
        let missing = all.into_iter().filter(|(missing, _)| *missing);
        // Without the slash that joining nothing leaves.
        missing
            .filter_map(|(_, path)| Some(path?.components().collect()))
            .collect()
    }

    /// The folder of a file, unless it has yet to be made.
    pub(super) fn folder(&self, place: Place) -> Option<&Folder> {
        let folder = match place {
            Place::Pki => &self.pki,
            Place::Minions => &self.minions,
            Place::Config => &self.config,
        };
        folder.as_deref()
    }

    /// The path of a file, whether its folder is there or not.
    pub(super) fn path_of(&self, place: Place, name: impl AsRef<Path>) -> PathBuf {
        let salt = self.root.path_of("etc/salt");
        let pki = || salt.join("pki").join(self.role.name());
        let folder = match place {
            Place::Pki => pki(),
            Place::Minions => pki().join("minions"),
            Place::Config => salt.join(config_folder(self.role)),
        };
        folder.join(name)
    }

    /// The folders with keys whose mode or owner is not what it should be.
    pub(super) fn flaws(&self) -> Result<Mended, InstallError> {
        let mut found = Vec::new();
        for folder in [&self.pki, &self.minions].into_iter().flatten() {
            let flaws = Flaws::of(folder.state()?, PRIVATE, self.owner);
            if flaws.any() {
                found.push((folder.path().to_owned(), flaws));
            }
        }
        Ok(found)
    }

    /// Gives the folders with keys the mode and owner that they should have.
    pub(super) fn mend(&self) -> Result<(), InstallError> {
        for folder in [&self.pki, &self.minions].into_iter().flatten() {
            if Flaws::of(folder.state()?, PRIVATE, self.owner).any() {
                folder.give(PRIVATE, self.owner)?;
            }
        }
        Ok(())
    }

    /// Lets the folders stay that this run made, and names them.
    pub(super) fn keep(&mut self) -> Vec<PathBuf> {
        let made = std::mem::take(&mut self.made);
        made.iter().map(|(parent, name)| parent.path_of(name)).collect()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for (parent, name) in self.made.iter().rev() {
            parent.remove_folder(name);
        }
    }
}

/// Where Salt's `default_include` looks.
fn config_folder(role: Role) -> &'static str {
    match role {
        Role::Master => "master.d",
        Role::Minion => "minion.d",
    }
}
