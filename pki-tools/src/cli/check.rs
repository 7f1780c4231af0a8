//! `pki-tools check`: what is wrong with the keys of clients.

use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use pki_tools::check::{self, Finding, Options, Report, Severity};

use super::args::{Out, PermissionArgs, SecretArgs};
use super::generate::progress_bar;
use super::{Failure, print};

const AFTER: &str = "\
Examples:
  pki-tools check clients/xyz.yaml
  pki-tools check clients/*.yaml                 also finds keys that two clients share
  pki-tools check --out json clients/xyz.yaml | jq -r '.findings[].message'
  PKI_TOOLS_PASSPHRASE=… pki-tools check clients/sealed.yaml

A line on standard output for each fault and warning: FILE:LINE: OWNER: fault|warning: WHAT; REMEDY. Notes and a \
summary go to standard error.

Sealed private halves are checked if a passphrase or key file is given, which is never asked for; public halves and \
everything else are checked in any case.

Exit codes: 0 no fault (warnings may be there), 1 faults, 2 a FILE cannot be read, or wrong usage.";

/// Arguments of `check`.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// Client files; what they include is checked too
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    permissions: PermissionArgs,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Out::Text)]
    out: Out,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let options = Options {
        jobs: args.jobs,
        permissions: args.permissions.into(),
    };
    let bar = progress_bar();
    let report = check::run(
        &args.files,
        &options,
        &args.secret.keyring_if_given(),
        &|done, total| {
            bar.set_length(total.try_into().unwrap_or(u64::MAX));
            bar.set_position(done.try_into().unwrap_or(u64::MAX));
        },
    );
    bar.finish_and_clear();
    let report = report?;
    match args.out {
        Out::Text => text(&report)?,
        Out::Json => {
            let mut text = serde_json::to_string_pretty(&report).map_err(io::Error::from)?;
            text.push('\n');
            print(text.as_bytes())?;
        }
    }
    match report.faults {
        0 => Ok(()),
        _ => Err(Failure::Faults),
    }
}

fn text(report: &Report) -> io::Result<()> {
    let (notes, rest): (Vec<&Finding>, Vec<&Finding>) = report
        .findings
        .iter()
        .partition(|finding| finding.severity == Severity::Note);
    let mut out = anstream::stdout().lock();
    for finding in rest {
        writeln!(out, "{}", line(finding))?;
    }
    out.flush()?;
    let mut err = anstream::stderr().lock();
    for finding in notes {
        writeln!(err, "{}", line(finding))?;
    }
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let found = match (report.faults, report.warnings) {
        (0, 0) => "nothing is wrong".to_owned(),
        (faults, 0) => plural(faults, "fault"),
        (0, warnings) => format!("no fault, {}", plural(warnings, "warning")),
        (faults, warnings) => format!("{}, {}", plural(faults, "fault"), plural(warnings, "warning")),
    };
    let (pairs, files) = (plural(report.keys, "pair"), plural(report.files, "file"));
    writeln!(err, "checked {pairs} in {files}: {found}")
}

/// The finding's line, with its severity in colour.
fn line(finding: &Finding) -> String {
    let style = match finding.severity {
        Severity::Fault => anstyle::AnsiColor::Red.on_default().bold(),
        Severity::Warning => anstyle::AnsiColor::Yellow.on_default().bold(),
        Severity::Note => anstyle::AnsiColor::Cyan.on_default().bold(),
    };
    finding.to_line(format_args!("{style}{}{style:#}", finding.severity))
}
