//! The cables of a lab: pulled, bad, and what the kernel believes is connected through them.

use anyhow::Context as _;

use crate::host::Host;
use crate::lab::Lab;

impl Lab {
    /// Pulls a host's cable; see [`Daemon::cut`](crate::Daemon::cut).
    ///
    /// # Errors
    /// There is no such host.
    pub fn cut(&self, host: &str) -> anyhow::Result<()> {
        let name = &self.host(host)?.name;
        self.state
            .namespaces
            .run(None, &["ip", "link", "set", name, "nomaster"])
            .map(drop)
    }

    /// Plugs a host's cable in again.
    ///
    /// # Errors
    /// There is no such host.
    pub fn mend(&self, host: &str) -> anyhow::Result<()> {
        let name = &self.host(host)?.name;
        self.state
            .namespaces
            .run(None, &["ip", "link", "set", name, "master", "switch"])
            .map(drop)
    }

    /// Whether a host's cable is pulled.
    ///
    /// # Errors
    /// There is no such host.
    pub fn is_cut(&self, host: &str) -> anyhow::Result<bool> {
        let name = &self.host(host)?.name;
        let link = self
            .state
            .namespaces
            .run(None, &["ip", "-oneline", "link", "show", "dev", name])?;
        Ok(!link.contains("master switch"))
    }

    /// The masters to whose publish port a minion has an ESTABLISHED connection: Salt's own idea of an alive
    /// master. It may be dead; see [`Lab::wait_answers`] for proof.
    ///
    /// # Errors
    /// There is no such minion.
    pub fn connected_to(&self, minion: &str) -> anyhow::Result<Vec<&Host>> {
        let name = &self.minion(minion)?.host().name;
        let query = ["ss", "-Htn", "state", "established", "dport", "=", ":4505"];
        let sockets = self.state.namespaces.run(Some(name), &query)?;
        let is_peer = |host: &&Host| sockets.contains(&format!(" {}:4505", host.address));
        Ok(self.state.hosts.iter().filter(is_peer).collect())
    }

    /// Makes a host's cable bad in both directions, in the words of tc-netem(8): `loss 30% delay 200ms`. An
    /// empty text makes it good again.
    ///
    /// # Errors
    /// There is no such host, or the kernel has no netem.
    pub fn netem(&self, host: &str, faults: &str) -> anyhow::Result<()> {
        let name = &self.host(host)?.name;
        for (at, device) in [(Some(name.as_str()), "eth0"), (None, name.as_str())] {
            let rules = self
                .state
                .namespaces
                .run(at, &["tc", "qdisc", "show", "dev", device])?;
            let run = |arguments: &[&str]| self.state.namespaces.run(at, arguments);
            if !faults.is_empty() {
                let mut arguments = vec!["tc", "qdisc", "replace", "dev", device, "root", "netem"];
                arguments.extend(faults.split_whitespace());
                run(&arguments)
                    .context("the kernel may lack netem (CONFIG_NET_SCH_NETEM, module sch_netem)")?;
            } else if rules.contains("netem") {
                run(&["tc", "qdisc", "del", "dev", device, "root"])?;
            }
        }
        Ok(())
    }
}
