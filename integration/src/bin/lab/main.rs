//! `lab`: real salt-masters and salt-minions in network namespaces, to show, to try and to break.

mod background;
mod demo;
mod hosts;
mod narrator;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use integration::{Progress, Salt, SaltVersion};

/// Real salt-masters and salt-minions of the made-up client Xyz, each host in a network namespace of its own.
#[derive(Debug, Parser)]
#[command(
    name = "lab",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  lab demo                        a master dies; saltfo tells who has the minion, before and after
  lab demo --salt 3007            the same with another release (3006, 3007, 3008)
  lab up && lab enter runner      a lab in the background, and a shell in it: try `saltfo probe`
  lab fault cut salt1             pull a cable of it; `lab fault mend salt1` plugs it in again
  lab down                        and it is gone

Salt comes from PyPI into a cache on first use: $SALTFO_LAB_CACHE, else $XDG_CACHE_HOME/saltfo-lab, else
~/.cache/saltfo-lab. Needs Python 3.10 or newer ($SALTFO_LAB_PYTHON names another one than python3), util-linux,
iproute2, and root or user namespaces."
)]
struct Arguments {
    #[command(subcommand)]
    command: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Show what saltfo is for: a master dies, and who has the minion now?
    #[command(after_help = "\
Example:
  lab demo --salt 3006 --wait 10

Takes about 20 s once Salt is installed. Exits 0 if saltfo gave the right answer both times.")]
    Demo(demo::Demo),
    /// Bring a lab up that stays in the background
    #[command(after_help = "\
Examples:
  lab up
  lab up --relay                  the minions' only master is the saltfo agent beside them
  lab up --salt 3006 --name old
  lab exec --lab old salt1 salt '*' test.ping")]
    Up(background::Up),
    /// Remove a background lab with everything in it
    Down(background::Down),
    /// List the labs of this machine
    List,
    /// Show the hosts of a lab and how they are
    Status(hosts::Which),
    /// Open a shell on a host: `salt`, `salt-run`, `salt-key`, `salt-call` and `saltfo` work as on a real one
    Enter(hosts::Enter),
    /// Run a command on a host
    #[command(after_help = "\
Examples:
  lab exec runner saltfo active-master minion01
  lab exec salt1 salt minion01 test.ping")]
    Exec(hosts::Exec),
    /// Break something, or mend it
    #[command(after_help = "\
Examples:
  lab fault kill salt1            SIGKILL to all its processes: connections are refused
  lab fault hang salt1            SIGSTOP: connections are accepted, nobody answers
  lab fault hang-workers salt1    only the workers: heartbeats are answered, requests are not
  lab fault resume salt1
  lab fault cut salt1             its cable: packets vanish
  lab fault mend salt1
  lab fault netem salt1 loss 30% delay 200ms
  lab fault netem salt1           a good cable again
  lab fault restart salt1         also starts a killed one
  lab fault move minion01 salt2   restarts the minion with another first master")]
    Fault(hosts::Fault),
    /// Only install Salt into the cache
    #[command(after_help = "\
Examples:
  lab install                     all releases
  lab install --salt 3006 --salt 3008")]
    Install {
        /// A release: 3006, 3007 or 3008; all of them if not said
        #[arg(long = "salt", value_name = "RELEASE")]
        versions: Vec<SaltVersion>,
    },
    /// Hold a lab until killed; `lab up` starts this
    #[command(hide = true)]
    Hold(background::Up),
}

/// How results are written: Salt's own option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Out {
    /// For people
    Text,
    /// One document
    Json,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            let red = anstyle::AnsiColor::Red.on_default();
            // `{:#}` without a backtrace: these errors are for whoever typed the command.
            anstream::eprintln!("{red}lab: {error:#}{red:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Subject) -> anyhow::Result<ExitCode> {
    match command {
        Subject::Demo(demo) => return demo.run(),
        Subject::Up(up) => up.run()?,
        Subject::Hold(up) => up.hold()?,
        Subject::Down(down) => down.run()?,
        Subject::List => background::list()?,
        Subject::Status(which) => hosts::status(&which)?,
        Subject::Enter(enter) => enter.run()?,
        Subject::Exec(exec) => exec.run()?,
        Subject::Fault(fault) => fault.run()?,
        Subject::Install { versions } => {
            let versions = if versions.is_empty() {
                SaltVersion::ALL.to_vec()
            } else {
                versions
            };
            for version in versions {
                let salt = Salt::ensure(version, &Progress::stderr())?;
                println!("salt {version}: {}", salt.program("salt").display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
