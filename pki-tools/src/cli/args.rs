//! Options that several commands have.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use pki_tools::Permissions;
use pki_tools::seal::{Keyring, Purpose, SealError, Secret};
use zeroize::Zeroizing;

/// The environment variable that holds a passphrase.
pub(super) const PASSPHRASE: &str = "PKI_TOOLS_PASSPHRASE";

/// No passphrase or key file is longer.
const LONGEST: usize = 64 * 1024;

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
    /// A keyring that asks when something is to be opened or sealed, and not before.
    pub(super) fn keyring(&self) -> Keyring {
        let args = self.clone();
        Keyring::asking(move |purpose| args.secret(purpose))
    }

    fn secret(&self, purpose: Purpose) -> Result<Secret, SealError> {
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
        let passphrase = match purpose {
            Purpose::Open => ask("Passphrase of the sealed keys: ")?,
            Purpose::Seal => {
                let passphrase = ask("New passphrase to seal the keys with: ")?;
                if *ask("The same again: ")? != *passphrase {
                    return Err(SealError::Unavailable("the two passphrases differ".to_owned()));
                }
                passphrase
            }
        };
        Ok(Secret::Passphrase(passphrase))
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let read = || {
        let file = File::open(path)?;
        // Of the final size from the beginning: growing would leave copies in freed memory. A pipe has no length.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
        let most = u64::try_from(LONGEST + 1).unwrap_or(u64::MAX);
        file.take(most).read_to_end(&mut bytes)?;
        if bytes.len() > LONGEST {
            return Err(io::Error::other("it is longer than 64 KiB"));
        }
        Ok(bytes)
    };
    read().map_err(|e| SealError::Unavailable(format!("{} cannot be read: {e}", path.display())))
}
