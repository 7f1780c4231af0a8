//! `pki-tools unseal`: sealed private keys become what they were.

use std::path::PathBuf;

use pki_tools::seal::{self, Options};

use super::Failure;
use super::args::{Out, PermissionArgs, SecretArgs};
use super::seal::{show, warn};

const AFTER: &str = "\
Examples:
  pki-tools unseal clients/xyz.yaml                    asks for the passphrase
  pki-tools unseal --key-file xyz.key clients/xyz.yaml
  pki-tools unseal --dry-run clients/*.yaml            does the passphrase open everything?

A file that was not edited in the meantime is byte for byte what it was before it was sealed. With a wrong passphrase,
or if one value was tampered with, no file is touched.";

/// Arguments of `unseal`.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// Client files; what they include is unsealed too
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Open everything, say what would be unsealed, and write nothing
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
    let options = Options {
        dry_run: args.dry_run,
        permissions: args.permissions.into(),
    };
    let report = seal::unseal(&args.files, &args.secret.keyring(), options)?;
    if !report.dry_run {
        for readable in &report.readable_by_others {
            let file = readable.file.display();
            warn(&format!(
                "{file}: others than its owner can read its private keys (mode {}); chmod 600 {file}",
                readable.mode
            ));
        }
    }
    show(
        &report,
        ["unsealed", "would unseal", "no private key is sealed"],
        args.out,
    )
}
