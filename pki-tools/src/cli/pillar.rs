//! `pki-tools pillar`: pillar files with the keys of each host.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use pki_tools::Change;
use pki_tools::pillar::{self, Options, Report, Stale};

use super::args::{Out, PermissionArgs, SecretArgs};
use super::{Failure, print};

const AFTER: &str = "\
Examples:
  pki-tools pillar clients/xyz.yaml --out srv            srv/pillar/salt/{master,minion}_FQDN.sls
  pki-tools pillar clients/xyz.yaml --out srv --dry-run
  pki-tools pillar clients/xyz.yaml --out srv --prune    also remove the files of hosts that have left

The dots of FQDN are written as `_`, since Salt takes a dot in the name of an sls for a folder:
  base:
    'minion01.xyz.example': [salt.minion_minion01_xyz_example]

minion_FQDN has salt:minion:pki:{minion: {pem, pub}, master_sign}, on masters minion_master, too;
master_FQDN has salt:master:pki:{master_sign, master, minions} and salt:master:root_ed25519.

Files are readable by their owner only. A salt-master that runs as another user needs them to be its own.
Files that are there and were not written by this command for this client are left alone.";

/// Arguments of `pillar`.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// The client's file
    file: PathBuf,
    /// The folder that `pillar/salt/` is in, or is made in
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove files that this command wrote for hosts that have left the client
    #[arg(long)]
    prune: bool,
    /// Overwrite files that this command did not write
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    permissions: PermissionArgs,
    #[command(flatten)]
    secret: SecretArgs,
    /// How to print the result
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Out::Text)]
    report: Out,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let options = Options {
        dry_run: args.dry_run,
        prune: args.prune,
        replace: args.replace,
        permissions: args.permissions.into(),
    };
    let report = pillar::run(&args.file, &args.out, &options, &args.secret.keyring())?;
    for missing in &report.missing {
        let style = anstyle::AnsiColor::Yellow.on_default().bold();
        let file = args.file.display();
        anstream::eprintln!(
            "{style}warning:{style:#} {} has no `{}` in {file} and is left out; make it with `pki-tools gen`",
            missing.owner,
            missing.key
        );
    }
    let text = match args.report {
        Out::Text => text(&report),
        Out::Json => serde_json::to_string_pretty(&report).map_err(io::Error::from)? + "\n",
    };
    print(text.as_bytes())
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |what: &str, file: &std::path::Path, why: &str| {
        // Writing to a text cannot fail.
        let _ = writeln!(out, "{what:9}  {}{why}", file.display());
    };
    for file in &report.files {
        match file.change {
            Change::Written => line("new", &file.file, ""),
            Change::Replaced => line("changed", &file.file, ""),
            Change::Closed => line("closed", &file.file, ": others could read it"),
            Change::Unchanged => {}
        }
    }
    for stale in &report.stale {
        match stale.state {
            Stale::Left => line(
                "stale",
                &stale.file,
                ": no active host of the client; --prune removes it",
            ),
            Stale::Removed => line("removed", &stale.file, ""),
            Stale::Foreign => line(
                "stale",
                &stale.file,
                ": no active host of the client; not written by this command",
            ),
        }
    }
    let changed = report
        .files
        .iter()
        .filter(|file| file.change != Change::Unchanged);
    let (changed, all) = (changed.count(), report.files.len());
    let verb = if report.dry_run { "would write" } else { "wrote" };
    let plural = if changed == 1 { "" } else { "s" };
    let _ = match (changed, all) {
        (0, 0) => writeln!(out, "nothing to do: no active host of the client has keys"),
        (0, _) => writeln!(out, "nothing to do: all {all} files are as they should be"),
        _ => writeln!(out, "{verb} {changed} file{plural}, {} unchanged", all - changed),
    };
    out
}
