//! Options that several commands have.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use pki_tools::Permissions;
use pki_tools::seal::{Keyring, SealError, Secret};
use zeroize::Zeroizing;

/// The environment variable that holds a passphrase.
pub(super) const PASSPHRASE: &str = "PKI_TOOLS_PASSPHRASE";

/// No passphrase or key file is longer.
const LONGEST: u64 = 64 * 1024;

/// How a result is printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Out {
    Text,
    Json,
}

/// Whether files with private keys may be open to everybody.
#[derive(Clone, Copy, clap::Args)]
pub(super) struct PermissionArgs {
    /// Take files with private keys that everybody can read
    #[arg(long)]
    insecure_permissions: bool,
}

impl From<PermissionArgs> for Permissions {
    fn from(args: PermissionArgs) -> Self {
        match args.insecure_permissions {
            true => Self::Unchecked,
            false => Self::Checked,
        }
    }
}

/// What opens sealed private keys.
#[derive(Clone, clap::Args)]
pub(super) struct SecretArgs {
    /// Passphrase of sealed keys: the first line of this file [default: $PKI_TOOLS_PASSPHRASE, or asked for]
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    passphrase_file: Option<PathBuf>,
    /// Key file of sealed keys: at least 32 bytes, all of them random
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl SecretArgs {
    /// A keyring that asks when something sealed is met, and not before.
    pub(super) fn keyring(&self) -> Keyring {
        let args = self.clone();
        Keyring::asking(move || args.secret(false))
    }

    /// A keyring for commands that can do without: it has what was given, and asks nobody.
    pub(super) fn keyring_if_given(&self) -> Keyring {
        let files = self.passphrase_file.is_some() || self.key_file.is_some();
        match files || std::env::var_os(PASSPHRASE).is_some() {
            true => self.keyring(),
            false => Keyring::none(),
        }
    }

    /// A keyring for sealing: a passphrase that is typed is asked for twice.
    pub(super) fn keyring_for_sealing(&self) -> Keyring {
        let args = self.clone();
        Keyring::asking(move || args.secret(true))
    }

    fn secret(&self, twice: bool) -> Result<Secret, SealError> {
        if let Some(path) = &self.key_file {
            return Ok(Secret::KeyFile(read(path)?));
        }
        if let Some(path) = &self.passphrase_file {
            let bytes = read(path)?;
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| SealError::Unavailable(format!("{} is not UTF-8", path.display())))?;
            let line = text.lines().next().unwrap_or_default();
            return Ok(Secret::Passphrase(Zeroizing::new(line.to_owned())));
        }
        match std::env::var(PASSPHRASE) {
            Ok(text) => return Ok(Secret::Passphrase(Zeroizing::new(text))),
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(SealError::Unavailable(format!("{PASSPHRASE} is not UTF-8")));
            }
            Err(std::env::VarError::NotPresent) => {}
        }
        if !io::stdin().is_terminal() {
            return Err(SealError::NoSecret);
        }
        let ask = |prompt: &str| {
            rpassword::prompt_password(prompt)
                .map(Zeroizing::new)
                .map_err(|e| SealError::Unavailable(format!("the passphrase cannot be asked for: {e}")))
        };
        let passphrase = ask("Passphrase of the sealed keys: ")?;
        if twice && *ask("The same again: ")? != *passphrase {
            return Err(SealError::Unavailable("the two passphrases differ".to_owned()));
        }
        Ok(Secret::Passphrase(passphrase))
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let read = || {
        let length = std::fs::metadata(path)?.len();
        if length > LONGEST {
            return Err(io::Error::other("it is longer than 64 KiB"));
        }
        std::fs::read(path)
    };
    read()
        .map(Zeroizing::new)
        .map_err(|e| SealError::Unavailable(format!("{} cannot be read: {e}", path.display())))
}
