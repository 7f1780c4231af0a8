//! `pki-tools gen`: keys for what has none.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pki_tools::generate::{self, Made, Options, Report, What};

use super::args::{Out, PermissionArgs, SecretArgs};
use super::{Failure, print};

const AFTER: &str = "\
Examples:
  pki-tools gen clients/xyz.yaml
  pki-tools gen --dry-run --out json clients/*.yaml
  pki-tools gen --only minion01.xyz.example --only pipeline clients/xyz.yaml
  pki-tools gen --bits 4096 clients/xyz.yaml

Keys that a file has are never touched, and neither is any other byte of it.
Nothing is written before all keys are made and all edits are verified.
In a sealed file new private keys are sealed, too, with the same passphrase or key file.";

/// Arguments of `gen`.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// Client files; what they include is edited too
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only for this fqdn, `master_sign` or `pipeline` (repeatable)
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Size of new RSA keys
    #[arg(long, default_value = "2048", value_parser = sizes())]
    bits: u32,
    /// Say what would be made, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
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
    let options = Options {
        only: args.only.clone(),
        bits: args.bits,
        dry_run: args.dry_run,
        jobs: args.jobs,
        permissions: args.permissions.into(),
    };
    let bar = progress_bar();
    let report = generate::run(&args.files, &options, &args.secret.keyring(), &|done, total| {
        bar.set_length(total.try_into().unwrap_or(u64::MAX));
        bar.set_position(done.try_into().unwrap_or(u64::MAX));
    });
    bar.finish_and_clear();
    let report = report?;
    for readable in &report.readable_by_others {
        let style = anstyle::AnsiColor::Yellow.on_default().bold();
        let file = readable.file.display();
        let mode = &readable.mode;
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

/// On standard error, and only if that is a terminal.
pub(super) fn progress_bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    // The template has no colours, so there is nothing for NO_COLOR to take away.
    match ProgressStyle::with_template("{bar:40} {pos}/{len} keys") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let width = |of: fn(&Made) -> &str| {
        report
            .made
            .iter()
            .map(|made| of(made).chars().count())
            .max()
            .unwrap_or(0)
    };
    let owners = width(|made| &made.owner);
    let keys = width(|made| &made.key);
    for made in &report.made {
        let Made {
            file,
            line,
            owner,
            key,
            ..
        } = made;
        let what = what(made);
        // Writing to a text cannot fail.
        let _ = writeln!(
            out,
            "{}:{line}: {owner:owners$}  {key:keys$}  {what}",
            file.display()
        );
    }
    for skipped in &report.skipped {
        let _ = writeln!(
            out,
            "{}: nothing to do: {}",
            skipped.file.display(),
            skipped.reason
        );
    }
    let (verb, made, files) = match report.dry_run {
        true => ("would make", report.made.len(), report.edited.len()),
        false => ("made", report.made.len(), report.edited.len()),
    };
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    if made > 0 {
        let _ = writeln!(out, "{verb} {} in {}", plural(made, "key"), plural(files, "file"));
    } else if report.skipped.is_empty() {
        out.push_str("nothing to do: every key is there\n");
    }
    out
}

fn what(made: &Made) -> String {
    match made.what {
        What::RsaPair => format!("RSA {}", made.bits.unwrap_or_default()),
        What::RsaPublic => "RSA, public half from the private one".to_owned(),
        What::SshPair => "OpenSSH ed25519".to_owned(),
        What::SshPublic => "OpenSSH, public half from the private one".to_owned(),
        What::Id => "minion id".to_owned(),
    }
}
