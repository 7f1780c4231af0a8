//! `pki-tools seal`: private keys encrypted where they stand.

use std::fmt::Write as _;
use std::path::PathBuf;

use pki_tools::seal::{self, Check, Half, Options, Report, Stray};
use serde::Serialize;

use super::args::{Out, PermissionArgs, SecretArgs};
use super::{Failure, print};

const AFTER: &str = "\
Examples:
  pki-tools seal clients/xyz.yaml                              asks for a passphrase, twice if it is a new one
  PKI_TOOLS_PASSPHRASE=… pki-tools seal clients/*.yaml         as in a pipeline
  pki-tools seal --passphrase-file ~/.xyz clients/xyz.yaml
  head -c 32 /dev/urandom > xyz.key; pki-tools seal --key-file xyz.key clients/xyz.yaml
  pki-tools seal --check clients/*.yaml                        for a pre-commit hook: exit 1 if a key is not sealed

Each private half becomes one line (AES-256-GCM; the key is made of the passphrase by Argon2id), bound to its owner
and its name; public halves stay readable, and so does every other byte. `pki-tools unseal` gives back the bytes that
were sealed. All other commands read sealed files when the passphrase or key file is there.

Who has the file can try passphrases as fast as his machines go: take six random words or more. A lost passphrase
cannot be replaced. A file has one: to change it, unseal the file and seal it again.

Sealing does not clean up what was before: the history of a git repository, backups and free blocks of the disk still
hold the open keys. Rotate keys that others could read there: see `pki-tools rotate`.

Exit codes: 0 done, 1 (--check) there are keys that are not sealed, 2 usage or configuration error or a wrong
passphrase; nothing was written.";

/// Arguments of `seal`.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// Client files; what they include is sealed too
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Seal nothing, name the private keys that are not sealed; needs no passphrase
    #[arg(long, conflicts_with_all = ["dry_run", "passphrase_file", "key_file"])]
    check: bool,
    /// Say what would be sealed, and write nothing; needs no passphrase
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    permissions: PermissionArgs,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Out::Text)]
    out: Out,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.check {
        return check(args);
    }
    let options = Options {
        dry_run: args.dry_run,
        permissions: args.permissions.into(),
    };
    let report = seal::seal(&args.files, &args.secret.keyring(), options)?;
    // In a dry run it is not over yet.
    for readable in report.readable_by_others.iter().filter(|_| !report.dry_run) {
        warn(&format!(
            "{}: others than its owner could read its private keys until now (mode {}); rotate them if somebody has",
            readable.file.display(),
            readable.mode
        ));
    }
    show(
        &report,
        ["sealed", "would seal", "every private key is sealed"],
        args.out,
    )
}

fn check(args: &Args) -> Result<(), Failure> {
    let check = seal::check(&args.files)?;
    warn_of_strays(&check.strays);
    let text = match args.out {
        Out::Text => {
            let Check { unsealed, sealed, .. } = &check;
            let mut text = rows(unsealed);
            // Writing to a text cannot fail.
            let _ = match unsealed.len() {
                0 => writeln!(text, "every private key is sealed ({sealed})"),
                n => writeln!(
                    text,
                    "{} not sealed; run `pki-tools seal`",
                    count(n, "private key")
                ),
            };
            text
        }
        Out::Json => json(&check)?,
    };
    print(text.as_bytes())?;
    match check.unsealed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Faults),
    }
}

/// Prints what was done; `verbs` are for: done, a dry run, nothing to do.
pub(super) fn show(report: &Report, verbs: [&str; 3], out: Out) -> Result<(), Failure> {
    warn_of_strays(&report.strays);
    let [done, would, nothing] = verbs;
    let text = match out {
        Out::Text => {
            let mut text = rows(&report.keys);
            let (keys, files) = (report.keys.len(), report.edited.len());
            // Writing to a text cannot fail.
            let _ = match (keys, report.dry_run) {
                (0, _) => writeln!(text, "nothing to do: {nothing}"),
                (_, dry_run) => {
                    let verb = if dry_run { would } else { done };
                    writeln!(
                        text,
                        "{verb} {} in {}",
                        count(keys, "private key"),
                        count(files, "file")
                    )
                }
            };
            text
        }
        Out::Json => json(report)?,
    };
    print(text.as_bytes())
}

pub(super) fn warn(what: &str) {
    let style = anstyle::AnsiColor::Yellow.on_default().bold();
    anstream::eprintln!("{style}warning:{style:#} {what}");
}

fn warn_of_strays(strays: &[Stray]) {
    for stray in strays {
        warn(&format!(
            "{}:{}: a private key that is no key of the client stays as it is",
            stray.file.display(),
            stray.line
        ));
    }
}

fn json(result: &impl Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(result).map_err(std::io::Error::from)?;
    text.push('\n');
    Ok(text)
}

fn rows(halves: &[Half]) -> String {
    let width = halves.iter().map(|half| half.owner.chars().count()).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for Half {
        file,
        line,
        owner,
        key,
    } in halves
    {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{}:{line}: {owner:width$}  {key}", file.display());
    }
    text
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
