//! The steps in which a new pair is rolled out, so that every minion can always reach a master.
//!
//! Their order was tried on real masters and minions, release 3006 and 3008; the file of each pair says why.

mod client;
mod master;
mod master_sign;
mod minion;

use std::path::Path;

use super::report::{Done, Step};
use super::target::Target;
use crate::client::{Client, Master};
use crate::install;
use crate::keys::Role;
use crate::seal::Owner;

/// What `install` has to be told again.
const INSTALL: &str = "Give `pki-tools install` the further options that the host was installed with \
                       (--user, --peer-allow), and what opens the file if it is sealed.";

/// What is to be done, and what is good to know meanwhile.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    pub(super) notes: Vec<String>,
}

/// What the steps are about.
pub(super) struct Scene<'a> {
    pub(super) client: &'a Client,
    /// The client's file, as it was named.
    pub(super) file: &'a Path,
    /// Whether the owner of the pair is in use.
    pub(super) active: bool,
    /// The public half that is installed at the end; nothing if it was only tried.
    pub(super) public: Option<String>,
    /// The public half before.
    pub(super) old_public: Option<String>,
}

/// The steps after this was done to this pair.
pub(super) fn after(done: Done, target: &Target, scene: &Scene<'_>) -> Steps {
    let fqdn = match &target.owner {
        Owner::Host(fqdn) => fqdn.as_str(),
        Owner::Client(_) => "",
    };
    if scene.masters().is_empty() {
        return Steps {
            steps: Vec::new(),
            notes: vec!["This client has no active master: there is nothing to roll out.".to_owned()],
        };
    }
    if !scene.active {
        return Steps {
            steps: Vec::new(),
            notes: vec![format!("{fqdn} is not active: there is nothing to roll out.")],
        };
    }
    match (target.role, done) {
        (Role::Minion | Role::MasterMinion, _) => minion::steps(scene, fqdn),
        (Role::Master, _) => master::steps(scene, fqdn),
        (Role::RootEd25519, _) => client::root_ed25519(scene, fqdn),
        (Role::Pipeline, _) => client::pipeline(scene),
        (Role::MasterSign | Role::MasterSignOld, Done::Rotated) => master_sign::rotated(scene),
        (Role::MasterSign | Role::MasterSignOld, Done::Finished) => master_sign::finished(scene),
        (Role::MasterSign | Role::MasterSignOld, Done::Aborted) => master_sign::aborted(scene),
    }
}

impl Scene<'_> {
    /// The masters in use.
    fn masters(&self) -> Vec<&Master> {
        self.client.active_masters().collect()
    }

    /// Every host with a minion that the masters accept: the servers, and the masters themselves.
    fn minions(&self) -> Vec<&str> {
        let minions = self.client.minions.iter().filter(|minion| minion.active);
        let minions = minions.map(|minion| minion.fqdn.as_str());
        let own = self.masters().into_iter().map(|master| master.fqdn.as_str());
        minions.chain(own).collect()
    }

    fn file(&self) -> String {
        quoted(&self.file.display().to_string())
    }

    /// Puts a host's files in place; with `replace` also private keys that differ.
    fn install(&self, host: &str, role: &str, replace: bool) -> String {
        let replace = if replace { " --replace" } else { "" };
        format!(
            "pki-tools install {} --host {} --role {role}{replace}",
            self.file(),
            quoted(host)
        )
    }

    /// Makes the pipelines' configuration anew.
    fn pipeline(&self) -> String {
        format!("pki-tools pipeline {} --out saltfo.yaml", self.file())
    }
}

/// What a minion's `master:` says for this master. An address that is none is for `install` to refuse.
fn address(master: &Master, from_a_master: bool) -> String {
    install::address(master, from_a_master).unwrap_or_else(|_| master.fqdn.clone())
}

fn names(masters: &[&Master]) -> String {
    let names: Vec<&str> = masters.iter().map(|master| master.fqdn.as_str()).collect();
    names.join(" and ")
}

/// What a thief keeps: masters keep session keys in files, and their AES key until they are restarted.
fn stolen(id: &str) -> String {
    format!(
        "If the old key was stolen, its thief may know what it was given: at the end, on one master after \
         the other, stop salt-master, remove /var/cache/salt/master/sessions/{id}, and start it."
    )
}

fn restart(service: &str) -> String {
    format!("systemctl restart {service}")
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_word_as_it_was() {
        assert_eq!(quoted("clients/xyz-1.yaml"), "clients/xyz-1.yaml");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
