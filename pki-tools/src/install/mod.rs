//! Puts the files of a host where Salt looks for them: keys, accepted keys, and the settings that go with them.
//!
//! `plan` says from the client what the host has to have, `look` compares that with what is there, `write`
//! makes the difference, all or nothing until the first rename. Everything below `etc/salt` may belong to a
//! user that root should not trust (`user: salt`), so files are reached through open folders only (`folder`),
//! links are not followed, and what is there is replaced, never changed in place.

mod config;
mod error;
mod folder;
mod function;
mod look;
mod notes;
mod owner;
mod plan;
mod report;
mod tree;
mod write;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

pub(crate) use self::config::address;
pub use self::error::{InstallError, Refusal, Why};
pub use self::function::{Function, FunctionError};
use self::look::Look;
pub use self::owner::{User, UserError};
use self::plan::Plan;
pub use self::report::{Action, File, Next, Report};
use self::tree::Tree;
use self::write::Written;
use crate::client::Client;
use crate::error::Error;
use crate::permissions::Permissions;
use crate::seal::Keyring;

/// What runs on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A salt-master.
    Master,
    /// A salt-minion; every master's host has one of its own.
    Minion,
}

impl Role {
    /// As Salt names its folders and the options that go with them.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Minion => "minion",
        }
    }
}

/// What to install, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The fqdn of a master or server of the client.
    pub host: String,
    /// What runs there; may be left out if only one is possible.
    pub role: Option<Role>,
    /// The folder that is `/` on the host.
    pub root: PathBuf,
    /// Who runs Salt there: root if not said. Without root's rights everything stays ours.
    pub user: Option<User>,
    /// Whether a different private key may be replaced. It is kept beside the new one.
    pub replace: bool,
    /// Whether accepted keys go whose minions the client has no more, or not in use.
    pub prune: bool,
    /// What the dispatch identity may call on minions; [`Function::defaults`] if not said.
    pub peer_allow: Option<Vec<Function>>,
    /// Finds out what would be done, and writes nothing.
    pub dry_run: bool,
    /// Whether everybody may read the client's files.
    pub permissions: Permissions,
}

impl Options {
    /// Everything as it is by default, for the host of this fqdn.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            role: None,
            root: PathBuf::from("/"),
            user: None,
            replace: false,
            prune: false,
            peer_allow: None,
            dry_run: false,
            permissions: Permissions::Checked,
        }
    }
}

/// Installs the files of one host from a client's file. `now` names private keys that are replaced.
///
/// # Errors
/// [`Error`], with the place and the remedy. Nothing has changed then, unless [`InstallError::Write`] names it.
pub fn run(file: &Path, options: &Options, keyring: &Keyring, now: SystemTime) -> Result<Report, Error> {
    let client = Client::load_for_use(file, options.permissions)?;
    let plan = Plan::of(&client, options, keyring)?;
    Ok(carry_out(&plan, options, now)?)
}

fn carry_out(plan: &Plan, options: &Options, now: SystemTime) -> Result<Report, InstallError> {
    let mut tree = Tree::open(plan.role, options)?;
    if options.dry_run {
        let look = Look::at(&tree, plan)?;
        look.refuse(options)?;
        let written = Written::nothing(&tree, &look, now);
        return Ok(report::of(plan, options, &tree, &look, &tree.flaws()?, &written));
    }
    tree.make()?;
    let mut look = Look::at(&tree, plan)?;
    look.refuse(options)?;
    let flaws = tree.flaws()?;
    if !flaws.is_empty() {
        tree.mend()?;
        // Whoever could write there until now may have used the time.
        look = Look::at(&tree, plan)?;
        look.refuse(options)?;
    }
    let written = write::write(&mut tree, &look, options, now)?;
    Ok(report::of(plan, options, &tree, &look, &flaws, &written))
}
