//! `pki-tools rotate`: a new key in place of another one, and how to roll it out.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::error::ErrorKind;
use pki_tools::rotate::{self, Done, Options, Report, Rotation, Run, Step};

use super::args::{Out, PermissionArgs, SecretArgs};
use super::{Cli, Failure, print};

const AFTER: &str = "\
Examples:
  pki-tools rotate clients/xyz.yaml minion01.xyz.example            a minion's pair
  pki-tools rotate clients/xyz.yaml salt1.xyz.example               a master's own pair
  pki-tools rotate clients/xyz.yaml salt1.xyz.example:minion        that of the minion on its host
  pki-tools rotate clients/xyz.yaml salt1.xyz.example:root_ed25519  its root ssh pair
  pki-tools rotate clients/xyz.yaml pipeline                        the dispatch identity's
  pki-tools rotate clients/xyz.yaml master_sign                     the signing pair: begins an overlap
  pki-tools rotate clients/xyz.yaml master_sign --finish            ends it, when every minion has the new public key
  pki-tools rotate clients/xyz.yaml master_sign --abort             goes back to the old pair
  pki-tools rotate --dry-run clients/xyz.yaml master_sign           only tell the steps

Only the pair in the file changes. The steps that are printed bring it to the hosts, in an order in which every
minion can reach a master at any time; do one after the other.";

/// From so many hosts on that get the same commands, text shows those of the first one alone.
const MANY: usize = 6;

/// So many of the others are named.
const NAMED: usize = 5;

/// Arguments of `rotate`.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// The client's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// An fqdn, FQDN:minion, FQDN:root_ed25519, `pipeline` or `master_sign`
    #[arg(value_name = "WHAT")]
    what: String,
    /// End a rotation of master_sign: remove the old pair
    #[arg(long, conflicts_with = "abort")]
    finish: bool,
    /// Undo a rotation of master_sign: put the old pair back
    #[arg(long)]
    abort: bool,
    /// Size of the new RSA key [default: that of the old one, at least 2048]
    #[arg(long, value_parser = sizes(), conflicts_with_all = ["finish", "abort"])]
    bits: Option<u32>,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    permissions: PermissionArgs,
    #[command(flatten)]
    secret: SecretArgs,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Out::Text)]
    out: Out,
}

fn sizes() -> impl clap::builder::TypedValueParser<Value = u32> {
    PossibleValuesParser::new(["2048", "3072", "4096"]).try_map(|size| size.parse::<u32>())
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let report = rotate::run(
        &args.file,
        &rotation(args),
        &Options {
            bits: args.bits,
            dry_run: args.dry_run,
            permissions: args.permissions.into(),
        },
        &args.secret.keyring(),
    )?;
    for readable in &report.readable_by_others {
        let style = anstyle::AnsiColor::Yellow.on_default().bold();
        let (file, mode) = (readable.file.display(), &readable.mode);
        anstream::eprintln!(
            "{style}warning:{style:#} {file}: others than its owner can read its private keys (mode {mode}); \
             chmod 600 {file}"
        );
    }
    let text = match args.out {
        Out::Text => text(&report),
        Out::Json => {
            let mut text = serde_json::to_string_pretty(&report).map_err(io::Error::from)?;
            text.push('\n');
            text
        }
    };
    print(text.as_bytes())
}

fn rotation(args: &Args) -> Rotation {
    match (args.finish, args.abort) {
        (false, false) => Rotation::New(args.what.clone()),
        _ if args.what != "master_sign" => {
            let why = "--finish and --abort are for `master_sign`: no other rotation has an overlap";
            Cli::command().error(ErrorKind::ArgumentConflict, why).exit()
        }
        (true, _) => Rotation::Finish,
        (_, true) => Rotation::Abort,
    }
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let Report {
        file,
        line,
        owner,
        key,
        ..
    } = report;
    let done = match (report.done, report.dry_run) {
        (Done::Rotated, false) => "a new pair",
        (Done::Rotated, true) => "would get a new pair",
        (Done::Finished, false) => "the old pair is removed",
        (Done::Finished, true) => "the old pair would be removed",
        (Done::Aborted, false) => "the old pair is back",
        (Done::Aborted, true) => "the old pair would be put back",
    };
    let bits = report
        .bits
        .map(|bits| format!(", RSA {bits}"))
        .unwrap_or_default();
    // Writing to a text cannot fail.
    let _ = writeln!(out, "{}:{line}: {owner}  {key}  {done}{bits}", file.display());
    if !report.steps.is_empty() {
        out.push_str("\nTo roll it out, one step after the other:\n");
    }
    for (number, step) in report.steps.iter().enumerate() {
        write_step(&mut out, number + 1, step);
    }
    if !report.notes.is_empty() {
        out.push_str("\nGood to know:\n");
    }
    for note in &report.notes {
        let _ = writeln!(out, "- {note}");
    }
    out
}

fn write_step(out: &mut String, number: usize, step: &Step) {
    let _ = writeln!(out, "\n{number}. {}", step.what);
    let shown = match step.run.len() {
        many if many >= MANY && alike(&step.run) => 1,
        all => all,
    };
    let (shown, others) = step.run.split_at_checked(shown).unwrap_or((&step.run, &[]));
    for Run { host, commands } in shown {
        let _ = match host {
            Some(host) => writeln!(out, "   on {host}"),
            None => writeln!(out, "   where the client's file is"),
        };
        for command in commands {
            let _ = writeln!(out, "     {command}");
        }
    }
    if !others.is_empty() {
        let names: Vec<&str> = others
            .iter()
            .filter_map(|run| run.host.as_deref())
            .take(NAMED)
            .collect();
        let more = others.len() - names.len();
        let more = if more > 0 {
            format!(" and {more} more (--out json names them)")
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "   the same, each with its own name, on {} other hosts: {}{more}",
            others.len(),
            names.join(", ")
        );
    }
}

/// Whether the commands are the same but for the host's name.
fn alike(runs: &[Run]) -> bool {
    let pattern = |run: &Run| -> Vec<String> {
        let host = run.host.as_deref().unwrap_or_default();
        run.commands
            .iter()
            .map(|command| command.replace(host, "\0"))
            .collect()
    };
    runs.iter().all(|run| run.host.is_some())
        && runs
            .windows(2)
            .all(|two| matches!(two, [a, b] if pattern(a) == pattern(b)))
}
