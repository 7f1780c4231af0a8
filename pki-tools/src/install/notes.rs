//! What stands in the way of what was installed: other settings, other states of the same keys.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Role;
use super::config;
use super::folder::{Entry, Folder};
use super::owner::User;
use super::plan::{Place, Plan};
use super::report::{Mended, shown};
use super::tree::{Flaws, Tree};
use crate::yaml::{Document, View};

/// Salt's folders for keys that are not accepted, and what a key there means for a minion that should be.
const STATES: [(&str, &str); 3] = [
    // Both `_auth` of 3006 (salt/channel/server.py) and that of 3008 (salt/master.py) look there first.
    (
        "minions_rejected",
        "is rejected, and so locked out although its key is accepted, too; remove that file",
    ),
    // `fetch` in salt/cache/localfs_key.py, of 3008, finds it before the accepted one.
    (
        "minions_pre",
        "waits to be accepted, and Salt 3008 does not see that its key is accepted, too; remove that file",
    ),
    (
        "minions_denied",
        "has signed in with another key than its own; install that host, then remove that file",
    ),
];

/// Everything that the operator should know.
pub(super) fn of(plan: &Plan, tree: &Tree, mended: &Mended) -> Vec<String> {
    let mut notes = plan.notes.clone();
    notes.extend(states(plan, tree));
    notes.extend(Settings::read(plan, tree).notes(tree));
    let given_to_root = |(path, flaws): &(PathBuf, Flaws)| {
        let (old, new) = flaws.owner?;
        (old.user != 0 && new.user == 0).then(|| (shown(path), old.user))
    };
    // The first is the folder that the others are in.
    if let Some((path, old)) = mended.iter().find_map(given_to_root) {
        notes.push(format!(
            "{path}: belonged to user {old}; if that is who runs Salt, run this again with --user {old}"
        ));
    }
    notes.extend(barred(tree));
    notes.extend(strange(plan, tree));
    notes
}

/// Ids of the client whose key is also in another state.
fn states(plan: &Plan, tree: &Tree) -> Vec<String> {
    let mut notes = Vec::new();
    let (Role::Master, Some(pki)) = (plan.role, &tree.pki) else {
        return notes;
    };
    for (name, meaning) in STATES {
        // What is no folder, Salt does not look into either.
        let Ok(Some(folder)) = pki.open(name) else {
            continue;
        };
        for id in plan.accepted.iter().filter(|id| folder.has(id)) {
            notes.push(format!("{}: {id} {meaning}", shown(folder.path_of(id))));
        }
    }
    notes
}

/// What lies beside the keys, such as those that wait to be accepted, and belongs to somebody else.
fn strange(plan: &Plan, tree: &Tree) -> Option<String> {
    let owner = tree.owner.filter(|owner| owner.user != 0)?;
    let pki = tree.pki.as_ref()?;
    let planned = |name: &str| plan.files.iter().any(|file| file.name == name);
    let is_strange =
        |folder: &Folder, name: &OsString| folder.owner_of(name).is_some_and(|of| of.user != owner.user);
    let mut count = 0;
    for name in pki.names().unwrap_or_default() {
        let known = name.to_str();
        if known.is_some_and(planned) || known == Some("minions") {
            continue;
        }
        count += usize::from(is_strange(pki, &name));
        if let Some(Ok(Some(folder))) = known.map(|name| pki.open(name)) {
            let names = folder.names().unwrap_or_default();
            count += names.iter().filter(|name| is_strange(&folder, name)).count();
        }
    }
    let path = shown(pki.path());
    (count > 0).then(|| {
        format!(
            "{path}: {count} more there belong to others than user {0}; if Salt is not started as root, chown -R {0} {path}",
            owner.user
        )
    })
}

/// Folders above the keys that the user who runs Salt cannot read.
fn barred(tree: &Tree) -> Vec<String> {
    let Some(owner) = tree.owner.filter(|owner| owner.user != 0) else {
        return Vec::new();
    };
    let bars = |folder: &&Folder| {
        folder.state().is_ok_and(|(mode, of)| {
            let bits = match (of.user == owner.user, of.group == owner.group) {
                (true, _) => mode >> 6,
                (_, true) => mode >> 3,
                _ => mode,
            };
            bits & 0o5 != 0o5
        })
    };
    let folders = [&tree.salt, &tree.parent]
        .into_iter()
        .flatten()
        .map(|folder| &**folder);
    folders
        .filter(bars)
        .map(|folder| {
            let path = shown(folder.path());
            format!(
                "{path}: user {} cannot look into it, and so not reach the keys; chmod 755 {path}",
                owner.user
            )
        })
        .collect()
}

/// Salt's other configuration files, in the order in which it reads them: the main file, then the folder.
struct Settings {
    role: Role,
    main: Option<Document>,
    before: Vec<Document>,
    after: Vec<Document>,
    notes: Vec<String>,
}

impl Settings {
    fn read(plan: &Plan, tree: &Tree) -> Self {
        let mut settings = Self {
            role: plan.role,
            main: None,
            before: Vec::new(),
            after: Vec::new(),
            notes: Vec::new(),
        };
        if let Some(salt) = &tree.salt {
            settings.main = settings.document(salt, plan.role.name());
        }
        let Some(folder) = &tree.config else {
            return settings;
        };
        for name in folder.names().unwrap_or_default() {
            let name = name.to_string_lossy();
            if name == config::FILE || name.starts_with('.') || !name.ends_with(".conf") {
                continue;
            }
            let Some(document) = settings.document(folder, &name) else {
                continue;
            };
            match *name < *config::FILE {
                true => settings.before.push(document),
                false => settings.after.push(document),
            }
        }
        settings
    }

    fn document(&mut self, folder: &Folder, name: &str) -> Option<Document> {
        let path = folder.path_of(name);
        let bytes = match folder.look(name) {
            Ok(Entry::Absent) => return None,
            Ok(Entry::File(content)) => content.bytes,
            Ok(Entry::Link(_) | Entry::Other) | Err(_) => None,
        };
        let unread = |why: String| {
            format!(
                "{}: was not looked at for settings that are in the way: {why}",
                shown(&path)
            )
        };
        let Some(bytes) = bytes else {
            self.notes
                .push(unread("it is no plain file, or cannot be read".to_owned()));
            return None;
        };
        match Document::parse(0, &path, &path, bytes.to_vec()) {
            Ok(document) => Some(document),
            Err(error) => {
                self.notes.push(unread(error.to_string()));
                None
            }
        }
    }

    fn notes(mut self, tree: &Tree) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notes);
        match self.role {
            Role::Master => self.peers(&mut notes),
            Role::Minion => self.masters(&mut notes),
        }
        let folder = self.role.name();
        if let Some(main) = &self.main {
            if get(main, "include").is_some() {
                notes.push(format!(
                    "{}: what its `include` names is read last, and wins over {}",
                    main.name.display(),
                    config::FILE
                ));
            }
            if get(main, "default_include").is_some_and(|text| text != format!("{folder}.d/*.conf")) {
                notes.push(format!(
                    "{}: its `default_include` is not {folder}.d/*.conf, so Salt may not read {}",
                    main.name.display(),
                    config::FILE
                ));
            }
        }
        let winning: &[&str] = match self.role {
            Role::Master => &["master_sign_pubkey"],
            Role::Minion => &["id", "master_type", "verify_master_pubkey_sign", "publish_port"],
        };
        for document in &self.after {
            for key in winning.iter().filter(|key| get(document, key).is_some()) {
                notes.push(format!(
                    "{}: its `{key}` wins over that of {}, because it is read later",
                    document.name.display(),
                    config::FILE
                ));
            }
        }
        self.places(tree, &mut notes);
        notes
    }

    /// `include_config` in salt/config/__init__.py joins the files of the folder, lists and mappings alike, and the
    /// result takes the place of what the main file says.
    fn peers(&self, notes: &mut Vec<String>) {
        for key in ["peer", "peer_run"] {
            if let Some(main) = self.main.as_ref().filter(|main| get(main, key).is_some()) {
                notes.push(format!(
                    "{}: its `{key}` does not count any more, because {} has one, too; move it to another file there",
                    main.name.display(),
                    tree_file(main, "master.d"),
                ));
            }
            for document in self.others().filter(|document| get(document, key).is_some()) {
                notes.push(format!(
                    "{}: has a `{key}`, too; Salt adds the two up, so that whatever it allows is allowed",
                    document.name.display()
                ));
            }
        }
    }

    fn masters(&self, notes: &mut Vec<String>) {
        for document in self.others().filter(|document| get(document, "master").is_some()) {
            notes.push(format!(
                "{}: has a `master`, too; Salt adds the lists up, and of other values takes the last; remove it there",
                document.name.display()
            ));
        }
    }

    /// Where Salt looks for keys, and as whom.
    fn places(&self, tree: &Tree, notes: &mut Vec<String>) {
        // A later file wins.
        let last = |key: &str| {
            let all = self.main.iter().chain(&self.before).chain(&self.after);
            let mut found = all.filter_map(|document| Some((document.name.display(), get(document, key)?)));
            found.next_back()
        };
        let pki = tree.path_of(Place::Pki, "");
        let on_host = PathBuf::from("/etc/salt/pki").join(self.role.name());
        if let Some((file, dir)) = last("pki_dir") {
            let dir = Path::new(dir);
            if ![&pki, &on_host]
                .iter()
                .any(|known| known.components().eq(dir.components()))
            {
                let (dir, pki) = (shown(dir), shown(&pki));
                notes.push(format!(
                    "{file}: its `pki_dir` is {dir}, so Salt does not look into {pki}"
                ));
            }
        }
        if let Some((file, name)) = last("master_sign_key_name").filter(|(_, name)| *name != "master_sign") {
            notes.push(format!(
                "{file}: its `master_sign_key_name` is {name}, so Salt does not look for master_sign; take it out"
            ));
        }
        let user = last("user").and_then(|(file, name)| {
            let user: User = name.parse().ok()?;
            Some((file, name, tree.look_up(&user).ok()?))
        });
        if let (Some((file, name, user)), Some(owner)) = (user, tree.owner)
            && user.user != owner.user
        {
            notes.push(format!(
                "{file}: salt-{} runs as {name}; run this again with --user {name}",
                self.role.name()
            ));
        }
    }

    fn others(&self) -> impl Iterator<Item = &Document> {
        self.before.iter().chain(&self.after)
    }
}

/// The text of a key; for anything but a text just that it is there.
fn get<'a>(document: &'a Document, key: &str) -> Option<&'a str> {
    let value = View::root(document)?.get(key)?;
    Some(value.node.scalar().unwrap_or_default())
}

fn tree_file(main: &Document, folder: &str) -> String {
    let folder = main.name.parent().unwrap_or(Path::new("")).join(folder);
    shown(folder.join(config::FILE))
}
