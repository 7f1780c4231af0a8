//! The command line: arguments to library call to exit code.

mod args;
mod check;
mod fingerprint;
mod generate;
mod install;
mod pillar;
mod pipeline;
mod rotate;
mod seal;
mod unseal;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

/// Exit code of a check that found faults, or a comparison that found nothing.
const FAULTS: u8 = 1;
/// Exit code for a usage or configuration error; nothing was written.
const USAGE: u8 = 2;

/// Makes and keeps every key of a Salt client in its YAML file.
#[derive(Parser)]
#[command(name = "pki-tools", version, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
Examples:
  pki-tools gen clients/xyz.yaml             make the keys that are missing, in place
  pki-tools gen --dry-run clients/*.yaml     say which are missing
  pki-tools check clients/*.yaml             do pairs match, can Salt read them?
  pki-tools install clients/xyz.yaml --host minion01.xyz.example
                                             put a host's keys and settings where Salt looks
  pki-tools pillar clients/xyz.yaml --out srv
                                             pillar files with each host's keys
  pki-tools pipeline clients/xyz.yaml --out saltfo.yaml
                                             the configuration of saltfo in pipelines
  pki-tools rotate clients/xyz.yaml minion01.xyz.example
                                             a new key for a minion, and how to roll it out
  pki-tools fingerprint clients/xyz.yaml     what `salt-key -F` prints on its masters
  pki-tools seal clients/xyz.yaml            encrypt the private keys, in place
  pki-tools unseal clients/xyz.yaml          and back
  pki-tools completions bash > /etc/bash_completion.d/pki-tools

Exit codes: 0 done, 1 faults found, 2 usage or configuration error.";

#[derive(Subcommand)]
enum Command {
    /// Make every key that is missing, in place; what is there stays byte for byte
    Gen(generate::Args),
    /// Find what is wrong with the keys of clients: a line for each fault, and exit code 1
    Check(check::Args),
    /// Put a host's keys, and the settings that go with them, where Salt looks for them
    Install(install::Args),
    /// Write pillar files with the keys of each host, for Salt states that install them
    Pillar(pillar::Args),
    /// Write a saltfo.yaml with the dispatch identity and nothing more
    Pipeline(pipeline::Args),
    /// Print fingerprints of keys, the same as `salt-key -F` on the masters; or say whose one is
    Fingerprint(fingerprint::Args),
    /// Put a new key in place of one, and tell the steps in which to roll it out
    Rotate(rotate::Args),
    /// Encrypt every private key, in place; public halves stay readable
    Seal(seal::Args),
    /// Decrypt every private key, in place: the bytes that were sealed
    Unseal(unseal::Args),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Gen(args) => generate::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Install(args) => install::run(&args),
        Command::Pillar(args) => pillar::run(&args),
        Command::Pipeline(args) => pipeline::run(&args),
        Command::Fingerprint(args) => fingerprint::run(&args),
        Command::Rotate(args) => rotate::run(&args),
        Command::Seal(args) => seal::run(&args),
        Command::Unseal(args) => unseal::run(&args),
        Command::Completions { shell } => print(&completions(shell)),
        Command::Man => manual().and_then(|page| print(&page)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Faults) => ExitCode::from(FAULTS),
        Err(Failure::Tools(error)) => {
            let style = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{style}error:{style:#} {error}");
            ExitCode::from(USAGE)
        }
        // Whoever reads has closed the pipe, as `head` does.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => {
            anstream::eprintln!("error: cannot write the result: {error}");
            ExitCode::from(USAGE)
        }
    }
}

/// Why a command did not succeed.
enum Failure {
    Tools(pki_tools::Error),
    /// A check found faults, or a comparison nothing; which was told.
    Faults,
    /// Standard output could not be written.
    Output(io::Error),
}

impl From<pki_tools::Error> for Failure {
    fn from(error: pki_tools::Error) -> Self {
        Self::Tools(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pki-tools", &mut script);
    script
}

/// One page for the command and its subcommands.
fn manual() -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let man = clap_mangen::Man::new(sub.clone());
        writeln!(page, ".SH \"PKI\\-TOOLS {}\"", sub.get_name().to_uppercase())?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        if sub.get_arguments().next().is_some() {
            man.render_options_section(&mut page)?;
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_manual_tells_of_every_subcommand_and_its_options() {
        let Ok(page) = manual() else { panic!("no manual") };
        let page = String::from_utf8(page).unwrap();
        for word in [
            "PKI\\-TOOLS GEN",
            "PKI\\-TOOLS ROTATE",
            "PKI\\-TOOLS SEAL",
            "PKI\\-TOOLS UNSEAL",
            "PKI\\-TOOLS CHECK",
            "PKI\\-TOOLS FINGERPRINT",
            "PKI\\-TOOLS INSTALL",
            "\\-\\-peer\\-allow",
            "PKI\\-TOOLS COMPLETIONS",
            "\\-\\-dry\\-run",
            "Exit codes",
        ] {
            assert!(page.contains(word), "{word} is not in the page");
        }
    }
}
