//! Where the passphrase or key file of sealed values comes from: a file, the environment, or whoever sits at the terminal.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::seal::{Keyring, Purpose, SealError, Secret};

/// The environment variable that holds a passphrase.
pub const PASSPHRASE: &str = "PKI_TOOLS_PASSPHRASE";

/// No passphrase or key file is longer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// What was said of where to find it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The passphrase is the first line of this file.
    pub passphrase_file: Option<PathBuf>,
    /// There is no passphrase, but this file.
    pub key_file: Option<PathBuf>,
}

impl Secrets {
    /// A keyring that looks for it when something is to be opened or sealed, and not before.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        let secrets = self.clone();
        Keyring::asking(move |purpose| secrets.find(purpose))
    }

    fn find(&self, purpose: Purpose) -> Result<Secret, SealError> {
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

fn ask(prompt: &str) -> Result<Zeroizing<String>, SealError> {
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|e| SealError::Unavailable(format!("the passphrase cannot be asked for: {e}")))
}

/// Reads a file that may be a pipe, whose length nobody knows beforehand.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let read = || {
        // Room for the whole from the start: a growing buffer would leave pieces of a secret behind.
        let room = usize::try_from(LONGEST).unwrap_or_default() + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() >= room {
            return Err(io::Error::other("it is longer than 64 KiB"));
        }
        Ok(bytes)
    };
    read().map_err(|e| SealError::Unavailable(format!("{} cannot be read: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &[u8]) -> Result<String, SealError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let secrets = Secrets {
            passphrase_file: Some(file.path().to_owned()),
            key_file: None,
        };
        match secrets.find(Purpose::Open)? {
            Secret::Passphrase(text) => Ok(text.to_string()),
            Secret::KeyFile(_) => panic!("a passphrase was given"),
        }
    }

    #[test]
    fn a_passphrase_is_the_first_line_of_its_file_without_the_line_end() {
        for text in ["open sesame", "open sesame\n", "open sesame\r\nmore\n"] {
            assert_eq!(passphrase(text.as_bytes()).unwrap(), "open sesame");
        }
        assert_eq!(passphrase(" blanks stay \n".as_bytes()).unwrap(), " blanks stay ");
    }

    #[test]
    fn a_file_that_is_too_long_or_no_text_is_refused_by_name() {
        let longest = usize::try_from(LONGEST).unwrap();
        assert_eq!(passphrase(&vec![b'x'; longest]).unwrap().len(), longest);
        let error = passphrase(&vec![b'x'; longest + 1]).unwrap_err();
        assert!(error.to_string().contains("longer than 64 KiB"), "{error}");
        let error = passphrase(b"\xff").unwrap_err();
        assert!(error.to_string().contains("is not UTF-8"), "{error}");
    }
}
