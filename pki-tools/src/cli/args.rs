//! Options that several commands have.

use std::path::PathBuf;

use clap::ValueEnum;
use pki_tools::Permissions;
use pki_tools::seal::Keyring;
use pki_tools::secrets::{PASSPHRASE, Secrets};

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
        self.secrets().keyring()
    }

    /// A keyring for commands that can do without: it has what was given, and asks nobody.
    pub(super) fn keyring_if_given(&self) -> Keyring {
        let files = self.passphrase_file.is_some() || self.key_file.is_some();
        match files || std::env::var_os(PASSPHRASE).is_some() {
            true => self.keyring(),
            false => Keyring::none(),
        }
    }

    fn secrets(&self) -> Secrets {
        Secrets {
            passphrase_file: self.passphrase_file.clone(),
            key_file: self.key_file.clone(),
        }
    }
}
