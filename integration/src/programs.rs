//! Programs on the hosts of a lab: any, Salt's own, and `saltfo`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use rustix::process::Signal;

use crate::config::HostFolder;
use crate::host::RUNNER;
use crate::lab::Lab;
use crate::{binary, process, saltfo};

/// Where programs keep what helps them to be faster: each host has its own, as its addresses are those of every lab.
const CACHE: &str = "XDG_CACHE_HOME";

impl Lab {
    /// A command that runs this program on a host: its network, its name, the lab's `/etc/hosts`, `/run` and
    /// processes. Arguments, input and output are the caller's, as with any command.
    ///
    /// Entering costs 3 to 5 ms. A program that measures should be entered once and do all its work there.
    /// `Child::kill` kills the program; for other signals see [`Lab::signal`].
    #[must_use]
    pub fn command(&self, host: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.state.namespaces.enter(Some(host));
        // The child of `nsenter` dies with it.
        command
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program);
        command
    }

    /// Sends a signal to a program that was started with [`Lab::command`].
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&self, child: &std::process::Child, signal: Signal) -> anyhow::Result<()> {
        process::send(self.pid(child)?, signal)
    }

    /// The id, as seen from here, of a program that was started with [`Lab::command`]: the child is `nsenter`.
    ///
    /// # Errors
    /// It has ended already.
    pub fn pid(&self, child: &std::process::Child) -> anyhow::Result<i32> {
        let nsenter = i32::try_from(child.id())?;
        let children = process::children(nsenter)?;
        children.first().copied().context("the program has ended")
    }

    /// Runs `salt ARGUMENTS…` on a master, say `["minion01", "test.ping"]`.
    #[must_use]
    pub fn salt_cli(&self, master: &str, arguments: &[&str]) -> Command {
        self.salt_program(master, "salt", arguments)
    }

    /// Runs `salt-run ARGUMENTS…` on a master.
    #[must_use]
    pub fn salt_run(&self, master: &str, arguments: &[&str]) -> Command {
        self.salt_program(master, "salt-run", arguments)
    }

    /// Runs `salt-key ARGUMENTS…` on a master.
    #[must_use]
    pub fn salt_key(&self, master: &str, arguments: &[&str]) -> Command {
        self.salt_program(master, "salt-key", arguments)
    }

    /// A command that runs the real `saltfo` on the runner with the configuration of [`Lab::saltfo_config`],
    /// unless its arguments name another.
    ///
    /// # Errors
    /// There is no `saltfo` binary; see [`crate::find_saltfo`].
    pub fn saltfo(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = self.command(RUNNER, binary::find_saltfo()?);
        command
            .args(arguments)
            .env("SALTFO_CONFIG", saltfo::config_path(&self.folder))
            .env(CACHE, HostFolder::of(&self.folder, RUNNER).tmp());
        Ok(command)
    }

    /// Writes a `saltfo.yaml` with the dispatch identity for the runner, and this YAML at its end. Returns
    /// its path. [`Lab::saltfo`] uses the last one written; the lab begins with one without extras.
    ///
    /// # Errors
    /// The files can't be written.
    pub fn saltfo_config(&self, extra: &str) -> anyhow::Result<PathBuf> {
        saltfo::write_config(&self.folder, &self.client, &self.state.hosts, extra)
    }

    /// Enters a host with a clean environment, as a service manager would give to Salt.
    pub(crate) fn enter_for_salt(&self, host: &str) -> Command {
        let mut command = self.state.namespaces.enter(Some(host));
        command
            .env_clear()
            .envs(self.environment(host))
            .env("LC_ALL", "C.UTF-8");
        if let Some(home) = std::env::var_os("HOME") {
            command.env("HOME", home);
        }
        command
    }

    /// What a shell on a host finds: the host's own Salt commands, and `saltfo` with its configuration.
    #[must_use]
    pub fn environment(&self, host: &str) -> Vec<(&'static str, OsString)> {
        let folder = HostFolder::of(&self.folder, host);
        let mut path = folder.bin().into_os_string();
        if let Ok(saltfo) = binary::find_saltfo()
            && let Some(parent) = saltfo.parent()
        {
            path.push(":");
            path.push(parent);
        }
        path.push(":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        vec![
            ("PATH", path),
            ("TMPDIR", folder.tmp().into_os_string()),
            (CACHE, folder.tmp().into_os_string()),
            (
                "SALTFO_CONFIG",
                saltfo::config_path(&self.folder).into_os_string(),
            ),
        ]
    }

    /// The path of one of the lab's Python programs.
    pub(crate) fn script(&self, name: &str) -> PathBuf {
        self.folder.join("etc").join(name)
    }

    fn salt_program(&self, master: &str, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.enter_for_salt(master);
        command.args(["setpriv", "--pdeathsig", "KILL", "--"]);
        command
            .arg(HostFolder::of(&self.folder, master).bin().join(program))
            .args(arguments);
        command
    }
}
