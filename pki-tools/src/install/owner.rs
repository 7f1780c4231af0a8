//! Whom the files belong to: `--user NAME|UID[:GID]`, looked up where the host looks.

use std::fmt;
use std::process::{Command, Stdio};
use std::str::FromStr;

use super::error::InstallError;
use super::folder::Folder;

/// A user as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    user: String,
    group: Option<String>,
}

/// A text that names no user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no user: write NAME, UID or UID:GID")]
pub struct UserError(String);

/// A user and a group, as the kernel knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) user: u32,
    pub(super) group: u32,
}

impl Owner {
    pub(super) const ROOT: Self = Self { user: 0, group: 0 };
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

/// Who everything is given to; nobody if it stays with whoever runs this.
pub(super) fn owner(
    user: Option<&User>,
    root: &Folder,
    is_system: bool,
) -> Result<Option<Owner>, InstallError> {
    let we_are_root = rustix::process::geteuid().is_root();
    let Some(user) = user else {
        return Ok(we_are_root.then_some(Owner::ROOT));
    };
    let owner = user.look_up(root, is_system)?;
    if we_are_root {
        return Ok(Some(owner));
    }
    if owner.user == rustix::process::geteuid().as_raw() && owner.group == rustix::process::getegid().as_raw()
    {
        return Ok(None);
    }
    Err(InstallError::NotRoot {
        user: user.to_string(),
    })
}

impl User {
    pub(super) fn look_up(&self, root: &Folder, is_system: bool) -> Result<Owner, InstallError> {
        let unknown = |what: &'static str, remedy: &'static str| InstallError::UnknownUser {
            user: self.to_string(),
            what,
            root: root.path().to_owned(),
            remedy,
        };
        let account = || Database::Users.find(&self.user, root, is_system);
        let group = match &self.group {
            None => None,
            Some(name) => match number(name) {
                Some(id) => Some(id),
                None => {
                    let entry = Database::Groups.find(name, root, is_system)?;
                    Some(entry.ok_or_else(|| unknown("group", "give its number"))?.id)
                }
            },
        };
        match (number(&self.user), group) {
            (Some(user), Some(group)) => Ok(Owner { user, group }),
            (_, group) => {
                let account =
                    account()?.ok_or_else(|| unknown("user", "make the user first, or give UID:GID"))?;
                Ok(Owner {
                    user: account.id,
                    group: group.unwrap_or(account.group),
                })
            }
        }
    }
}

impl FromStr for User {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        let plain = |part: &str| {
            let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '$' | '\\');
            !part.is_empty() && !part.starts_with('-') && part.chars().all(good)
        };
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        if !plain(user) || !group.is_none_or(plain) {
            return Err(UserError(text.to_owned()));
        }
        Ok(Self {
            user: user.to_owned(),
            group: group.map(str::to_owned),
        })
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        match &self.group {
            Some(group) => write!(f, ":{group}"),
            None => Ok(()),
        }
    }
}

fn number(text: &str) -> Option<u32> {
    // The highest number means "leave it" to chown(2).
    text.parse().ok().filter(|number| *number != u32::MAX)
}

/// passwd(5) or group(5): a name, a password and a number, separated by colons; a user's group comes fourth.
#[derive(Clone, Copy)]
enum Database {
    Users,
    Groups,
}

struct Account {
    id: u32,
    group: u32,
}

impl Database {
    fn find(self, name: &str, root: &Folder, is_system: bool) -> Result<Option<Account>, InstallError> {
        let file = match self {
            Self::Users => "etc/passwd",
            Self::Groups => "etc/group",
        };
        let text = root.read_below(file)?.unwrap_or_default();
        let found = text.lines().find_map(|line| self.account(line, name));
        if found.is_some() || !is_system {
            return Ok(found);
        }
        // Users that a directory service has are known to the C library alone.
        let database = match self {
            Self::Users => "passwd",
            Self::Groups => "group",
        };
        let output = Command::new("getent")
            .args([database, name])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().find_map(|line| self.account(line, name)))
    }

    fn account(self, line: &str, name: &str) -> Option<Account> {
        let mut fields = line.split(':');
        let (known, _, id) = (fields.next()?, fields.next()?, number(fields.next()?)?);
        if known != name && number(name) != Some(id) {
            return None;
        }
        let group = match self {
            Self::Users => number(fields.next()?)?,
            Self::Groups => id,
        };
        Some(Account { id, group })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn look_up(user: &str) -> Result<Owner, InstallError> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbad line\nsalt:x:450:451::/:\nn:x:x:x::/:\n";
        fs::write(dir.path().join("etc/passwd"), passwd).unwrap();
        fs::write(dir.path().join("etc/group"), "root:x:0:\nadm:x:4:salt\n").unwrap();
        let root = Folder::open_root(dir.path()).unwrap();
        user.parse::<User>().unwrap().look_up(&root, false)
    }

    #[test]
    fn names_and_numbers_are_looked_up_in_the_hosts_own_files() {
        for (user, expected) in [
            ("salt", (450, 451)),
            ("450", (450, 451)),
            ("salt:adm", (450, 4)),
            ("salt:7", (450, 7)),
            ("1000:1001", (1000, 1001)),
        ] {
            let owner = look_up(user).unwrap();
            assert_eq!((owner.user, owner.group), expected, "{user}");
        }
    }

    #[test]
    fn an_unknown_user_or_group_is_named_with_the_remedy() {
        for (user, word) in [
            ("nobody1", "UID:GID"),
            ("1000", "UID:GID"),
            ("salt:nogroup1", "number"),
        ] {
            let message = look_up(user).unwrap_err().to_string();
            assert!(message.contains(user) && message.contains(word), "{message}");
        }
    }

    #[test]
    fn what_cannot_be_a_user_is_refused() {
        for text in ["", ":", "salt:", ":4", "-x", "a b", "a/b", "a:b:c", "a\n"] {
            assert!(text.parse::<User>().is_err(), "{text:?}");
        }
        assert!(look_up("4294967295:0").is_err());
    }
}
