//! The hosts of a lab, their names and addresses.

use std::net::Ipv4Addr;

use anyhow::ensure;
use serde::{Deserialize, Serialize};

/// What runs on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A salt-master.
    Master,
    /// A salt-minion.
    Minion,
    /// Nothing of Salt: where `saltfo` runs, as a pipeline would.
    Runner,
}

/// A host: a network namespace with one cable to the switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Short name, also that of its namespace: `salt1`.
    pub name: String,
    /// Name in Salt's configuration and in `/etc/hosts`: `salt1.xyz.example`. A minion's is its id.
    pub fqdn: String,
    /// Address on the lab's only network, 10.0.0.0/24.
    pub address: Ipv4Addr,
    /// What it does.
    pub role: Role,
}

/// The host from which pipelines run.
pub(crate) const RUNNER: &str = "runner";
/// The masters of the client Xyz.
pub(crate) const MASTERS: [&str; 2] = ["salt1", "salt2"];
/// There are as many addresses for minions: 10.0.0.21 to 10.0.0.30.
const MAX_MINIONS: usize = 10;

/// The hosts of a lab with these minions: two masters, the minions, the runner.
pub(crate) fn hosts(minions: &[String]) -> anyhow::Result<Vec<Host>> {
    ensure!(
        minions.len() <= MAX_MINIONS,
        "a lab has room for {MAX_MINIONS} minions, not {}",
        minions.len()
    );
    let mut hosts = Vec::new();
    for (name, last) in MASTERS.iter().zip(11..) {
        hosts.push(host(name, &format!("{name}.xyz.example"), last, Role::Master));
    }
    for (id, last) in minions.iter().zip(21..) {
        // Also the name of an interface, which Linux limits to 15 characters.
        let fits = (1..=15).contains(&id.len())
            && id
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        ensure!(
            fits,
            "{id:?} can't name a minion of the lab: 1 to 15 of a-z, 0-9 and -"
        );
        let taken = hosts.iter().any(|host| host.name == *id) || id == RUNNER || id == "switch";
        ensure!(!taken, "the lab already has a host {id}");
        hosts.push(host(id, id, last, Role::Minion));
    }
    hosts.push(host(RUNNER, "runner.xyz.example", 31, Role::Runner));
    Ok(hosts)
}

fn host(name: &str, fqdn: &str, last: u8, role: Role) -> Host {
    Host {
        name: name.to_owned(),
        fqdn: fqdn.to_owned(),
        address: Ipv4Addr::new(10, 0, 0, last),
        role,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_distinct_names_and_addresses() {
        let ids: Vec<String> = (1..=10).map(|n| format!("minion{n:02}")).collect();
        let hosts = hosts(&ids).unwrap();
        let mut addresses: Vec<_> = hosts.iter().map(|host| host.address).collect();
        addresses.dedup();
        assert_eq!(addresses.len(), 13);
    }

    #[test]
    fn ids_that_cannot_name_an_interface_are_refused() {
        for id in [
            "",
            "a-name-that-is-too-long",
            "salt1",
            "runner",
            "switch",
            "a b",
            "../x",
        ] {
            assert!(hosts(&[id.to_owned()]).is_err(), "{id:?} was taken");
        }
        assert!(hosts(&["twice".to_owned(), "twice".to_owned()]).is_err());
    }
}
