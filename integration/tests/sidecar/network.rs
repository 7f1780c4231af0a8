//! Faults of the network that are neither a dead host nor a cut cable: one direction, one port, a name.

use std::fs;

use integration::{Daemon, Lab};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The sidecar's host.
const MINION: &str = "10.0.0.21";
/// Nobody has this one: the switch carries what goes there to all, and nobody takes it.
const NOBODY: &str = "02:00:00:00:00:99";

/// A script on a host of the lab; its words are `$1` and so on.
pub(crate) fn sh(lab: &Lab, host: &str, script: &str, words: &[&str]) {
    let mut command = lab.command(host, "sh");
    command.args(["-euc", script, "sh"]).args(words).env("PATH", PATH);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
}

/// What the minion's host sends to this one vanishes.
pub(crate) fn lose_requests(master: &Daemon<'_>, lab: &Lab) {
    let address = master.host().address.to_string();
    sh(lab, "minion01", LOSE, &[&address, NOBODY]);
}

pub(crate) fn lose_no_requests(master: &Daemon<'_>, lab: &Lab) {
    let address = master.host().address.to_string();
    sh(lab, "minion01", FIND, &[&address]);
}

/// What this host sends to the minion's vanishes.
pub(crate) fn lose_replies(master: &Daemon<'_>, lab: &Lab) {
    sh(lab, &master.host().name, LOSE, &[MINION, NOBODY]);
}

pub(crate) fn lose_no_replies(master: &Daemon<'_>, lab: &Lab) {
    sh(lab, &master.host().name, FIND, &[MINION]);
}

const LOSE: &str = "ip neigh replace \"$1\" lladdr \"$2\" nud permanent dev eth0";
const FIND: &str = "ip neigh del \"$1\" dev eth0";

/// Whatever a port of this host sends to the minion's is dropped, as by a firewall that says nothing.
pub(crate) fn mute(master: &Daemon<'_>, lab: &Lab, port: u16) {
    let rule = "ip rule add pref 1 sport \"$1\" to \"$2\" blackhole";
    sh(lab, &master.host().name, rule, &[&port.to_string(), MINION]);
}

pub(crate) fn unmute(master: &Daemon<'_>, lab: &Lab) {
    sh(lab, &master.host().name, "ip rule del pref 1", &[]);
}

/// Kills the process that listens on a port, and stops the one that would start it again until [`Daemon::resume`].
pub(crate) fn close(master: &Daemon<'_>, lab: &Lab, port: u16) {
    let script = "pids=$(ss -Hltnp \"sport = :$1\" | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u)\n\
        test -n \"$pids\"\n\
        for pid in $pids; do kill -STOP \"$(awk '/^PPid:/ { print $2 }' \"/proc/$pid/status\")\"; done\n\
        for pid in $pids; do kill -KILL \"$pid\"; done";
    sh(lab, &master.host().name, script, &[&port.to_string()]);
}

/// The names of the lab, to be changed and put back.
pub(crate) struct Names<'a> {
    lab: &'a Lab,
    before: String,
}

impl<'a> Names<'a> {
    pub(crate) fn of(lab: &'a Lab) -> Self {
        let before = fs::read_to_string(lab.folder().join("etc/hosts")).unwrap();
        Self { lab, before }
    }

    /// The lines that are left of each line; in place, as the file is mounted.
    pub(crate) fn change(&self, line: impl Fn(&str) -> Option<String>) {
        let text: String = self
            .before
            .lines()
            .filter_map(line)
            .map(|line| line + "\n")
            .collect();
        fs::write(self.lab.folder().join("etc/hosts"), text).unwrap();
    }

    pub(crate) fn put_back(&self) {
        self.change(|line| Some(line.to_owned()));
    }
}
