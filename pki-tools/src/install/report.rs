//! What a run did, or would do, for people and for programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::look::{Found, Look};
use super::plan::{Kind, Place, Plan};
use super::tree::{Flaws, Tree};
use super::write::Written;
use super::{Options, Role, notes};

/// What a run did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
    /// The host.
    pub host: String,
    /// What runs there.
    pub role: Role,
    /// Every file that the host has to have, and the folders and keys that were touched besides.
    pub files: Vec<File>,
    /// What stands in the way of what was installed.
    pub warnings: Vec<String>,
    /// What has to be done for it to count.
    pub next: Vec<Next>,
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// Its path, with the root; control characters in it are escaped.
    pub path: String,
    /// What was done.
    pub action: Action,
    /// Where the old file is now.
    pub kept: Option<String>,
    /// Why, if there is more to say.
    pub because: Option<String>,
}

/// What was done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The folder was made.
    Made,
    /// It was not there.
    Written,
    /// It was there and is as it should be.
    Unchanged,
    /// It said something else.
    Replaced,
    /// Its mode or owner was wrong.
    Mended,
    /// An accepted key without an active minion in the client stays.
    Left,
    /// It was removed.
    Pruned,
}

/// A step for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Next {
    /// What to do on the host.
    pub command: String,
    /// What it is for.
    pub why: &'static str,
}

/// What was found wrong with folders, and mended.
pub(super) type Mended = Vec<(PathBuf, Flaws)>;

/// Tells what was done. The warnings are about what is there now.
pub(super) fn of(
    plan: &Plan,
    options: &Options,
    tree: &Tree,
    look: &Look<'_>,
    mended: &Mended,
    written: &Written,
) -> Report {
    let mut files = Vec::new();
    let line = |path: &Path, action| File {
        path: shown(path),
        action,
        kept: None,
        because: None,
    };
    files.extend(written.made.iter().map(|path| line(path, Action::Made)));
    for (path, flaws) in mended {
        files.push(File {
            because: Some(flaws.to_string()),
            ..line(path, Action::Mended)
        });
    }
    for (step, kept) in look.steps.iter().zip(&written.kept) {
        let (action, because) = match &step.found {
            Found::Nothing => (Action::Written, None),
            Found::Same => (Action::Unchanged, None),
            Found::Right => (
                Action::Unchanged,
                Some("it follows another master of the client now".to_owned()),
            ),
            Found::Flawed(flaws) => (Action::Mended, Some(flaws.to_string())),
            Found::Other(_) | Found::TooLong => (Action::Replaced, None),
        };
        files.push(File {
            kept: kept
                .as_ref()
                .map(|name| shown(tree.path_of(step.file.place, name))),
            because,
            ..line(&tree.path_of(step.file.place, &step.name), action)
        });
    }
    for name in &look.strangers {
        let path = tree.path_of(Place::Minions, name);
        let (action, because) = match options.prune {
            true => (Action::Pruned, "no active minion of the client"),
            false => (
                Action::Left,
                "accepted, but no active minion of the client; --prune removes it",
            ),
        };
        files.push(File {
            because: Some(because.to_owned()),
            ..line(&path, action)
        });
    }
    Report {
        dry_run: options.dry_run,
        host: plan.host.clone(),
        role: plan.role,
        next: next(plan.role, options, look),
        warnings: notes::of(plan, tree, mended),
        files,
    }
}

fn next(role: Role, options: &Options, look: &Look<'_>) -> Vec<Next> {
    let changed = |wanted: &dyn Fn(&Kind, Place) -> bool| {
        look.steps.iter().any(|step| {
            let is_new = matches!(step.found, Found::Nothing | Found::Other(_));
            is_new && wanted(&step.file.kind, step.file.place)
        })
    };
    let restart = |why| Next {
        command: format!("systemctl restart salt-{}", role.name()),
        why,
    };
    let pruned = options.prune && !look.strangers.is_empty();
    let mut next = Vec::new();
    if changed(&|_, place| place != Place::Minions) {
        next.push(restart("Salt reads its keys and settings when it starts"));
    } else if pruned {
        next.push(restart(
            "a minion that was let go can read on until its master has a new AES key",
        ));
    }
    next
}

/// A path for people: what could disturb a terminal is escaped.
pub(super) fn shown(path: impl AsRef<OsStr>) -> String {
    let mut shown = String::new();
    for character in path.as_ref().to_string_lossy().chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}
