//! `pki-tools pipeline`: a `saltfo.yaml` with the dispatch identity and nothing more.

use std::path::PathBuf;

use pki_tools::Change;
use pki_tools::client::Client;
use pki_tools::pipeline::Pipeline;

use super::args::{PermissionArgs, SecretArgs};
use super::{Failure, print};

const AFTER: &str = "\
Examples:
  pki-tools pipeline clients/xyz.yaml --out saltfo.yaml && saltfo --config saltfo.yaml probe
  pki-tools pipeline clients/xyz.yaml | wl-copy           into the clipboard

One file has all that saltfo needs: the identity that pipelines dispatch with, the active masters, and what makes
them genuine: `master_sign`, and each master's own key as a pin. Make it anew after any of these keys has changed.

In GitLab make it a CI/CD variable SALTFO_CONFIG of type File, protected (it has too many lines to be masked).
The runner writes the file for all to read, in containers for all to change, so saltfo takes it only after
  before_script:
    - chmod 600 \"$SALTFO_CONFIG\"
If the image's user is not root, it cannot do that to root's file, but to a copy:
    - install -m 600 \"$SALTFO_CONFIG\" ~/saltfo.yaml && export SALTFO_CONFIG=~/saltfo.yaml";

/// Arguments of `pipeline`.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// The client's file
    file: PathBuf,
    /// Write it to this file, readable by its owner only [default: print it]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite a file that this command did not write for this client
    #[arg(long, requires = "out")]
    replace: bool,
    #[command(flatten)]
    permissions: PermissionArgs,
    #[command(flatten)]
    secret: SecretArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = Client::load_for_use(&args.file, args.permissions.into())?;
    let pipeline = Pipeline::of(&client)?;
    let keyring = args.secret.keyring();
    let Some(file) = &args.out else {
        return print(pipeline.to_yaml(&keyring)?.as_bytes());
    };
    let change = match pipeline.write(file, args.replace, &keyring)? {
        Change::Written => "new",
        Change::Replaced => "changed",
        Change::Closed => "closed: others could read it",
        Change::Unchanged => "unchanged",
    };
    let masters: Vec<&str> = pipeline
        .masters
        .iter()
        .map(|target| target.name.as_str())
        .collect();
    let (id, masters) = (&pipeline.dispatch.id, masters.join(", "));
    print(format!("{}: {id} for {masters}: {change}\n", file.display()).as_bytes())
}
