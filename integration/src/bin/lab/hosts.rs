//! What is done on the hosts of a lab in the background: look, enter, break.

use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use integration::{Daemon, Lab, LiveLab, Process, Role};

use crate::background::choose;

/// Chooses a lab.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Name of the lab, if there are several
    #[arg(long = "lab", value_name = "NAME")]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Enter {
    #[command(flatten)]
    which: Which,
    /// salt1, salt2, minion01, minion02 or runner
    host: String,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    which: Which,
    /// salt1, salt2, minion01, minion02 or runner
    host: String,
    /// Program and arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Fault {
    #[command(flatten)]
    which: Which,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Kill all processes of the daemon (SIGKILL)
    Kill { host: String },
    /// Stop all processes of the daemon (SIGSTOP)
    Hang { host: String },
    /// Stop a master's workers alone
    HangWorkers { host: String },
    /// Let stopped processes go on
    Resume { host: String },
    /// Pull the host's cable at the switch
    Cut { host: String },
    /// Plug the cable in again
    Mend { host: String },
    /// Make the cable bad, in the words of tc-netem; without words, good again
    Netem {
        host: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        faults: Vec<String>,
    },
    /// Start the daemon again, ending it first if it runs
    Restart { host: String },
    /// Restart a minion with this master as its first
    Move { minion: String, master: String },
}

impl Which {
    fn attach(&self) -> anyhow::Result<Lab> {
        let labs = LiveLab::all()?
            .into_iter()
            .filter(|lab| self.name.is_some() || lab.is_background())
            .collect();
        Lab::attach(choose(labs, self.name.as_deref())?)
    }
}

impl Enter {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let lab = self.which.attach()?;
        let host = &lab.host(&self.host)?.name;
        // Without the user's own files, which would set PATH and prompt again.
        let (shell, arguments): (&str, &[&str]) = if Path::new("/bin/bash").exists() {
            ("/bin/bash", &["--noprofile", "--norc", "-i"])
        } else {
            ("/bin/sh", &["-i"])
        };
        let prompt = format!("[{host}] $ ");
        let mut command = lab.command(host, shell);
        Err(command
            .args(arguments)
            .envs(lab.environment(host))
            .env("PS1", prompt)
            .exec())
        .context("cannot run nsenter")
    }
}

impl Exec {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let lab = self.which.attach()?;
        let host = &lab.host(&self.host)?.name;
        let Some((program, arguments)) = self.command.split_first() else {
            bail!("no command was given")
        };
        let mut command = lab.command(host, program);
        Err(command.args(arguments).envs(lab.environment(host)).exec()).context("cannot run nsenter")
    }
}

impl Fault {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let lab = self.which.attach()?;
        match &self.action {
            Action::Kill { host } => lab.daemon(host)?.kill(),
            Action::Hang { host } => lab.daemon(host)?.hang(),
            Action::HangWorkers { host } => lab.master(host)?.hang_workers(),
            Action::Resume { host } => lab.daemon(host)?.resume(),
            Action::Cut { host } => lab.cut(host),
            Action::Mend { host } => lab.mend(host),
            Action::Netem { host, faults } => lab.netem(host, &faults.join(" ")),
            Action::Restart { host } => lab.daemon(host)?.restart(),
            Action::Move { minion, master } => lab.move_minion(minion, master),
        }
    }
}

/// Prints the hosts of a lab, and how they are.
pub(crate) fn status(which: &Which) -> anyhow::Result<()> {
    let lab = which.attach()?;
    println!(
        "{}: salt {}, {}",
        lab.name(),
        lab.settings().version,
        lab.folder().display()
    );
    for host in lab.hosts() {
        let state = match host.role {
            Role::Runner => String::new(),
            Role::Master => daemon_state(&lab.daemon(&host.name)?)?.to_owned(),
            Role::Minion => {
                let masters: Vec<&str> = lab
                    .connected_to(&host.name)?
                    .iter()
                    .map(|master| master.name.as_str())
                    .collect();
                let state = daemon_state(&lab.daemon(&host.name)?)?;
                if masters.is_empty() {
                    state.to_owned()
                } else {
                    format!("{state}, connected to {}", masters.join(", "))
                }
            }
        };
        let cable = if lab.is_cut(&host.name)? { "cable cut" } else { "" };
        println!("  {:10} {:12} {state:32} {cable}", host.name, host.address);
    }
    Ok(())
}

fn daemon_state(daemon: &Daemon<'_>) -> anyhow::Result<&'static str> {
    let processes = daemon.processes()?;
    let stopped = processes
        .iter()
        .filter(|process| Process::is_stopped(process))
        .count();
    Ok(match (processes.len(), stopped) {
        (0, _) => "not running",
        (_, 0) => "running",
        (all, some) if all == some => "hung",
        _ => "workers hung",
    })
}
