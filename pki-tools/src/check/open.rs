//! Opening the private halves that are sealed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::finding::{Code, Finding, Severity};
use super::pairs::{Half, Subject};
use crate::error::{Error, Place};
use crate::seal::{Keyring, SealError};

const OLDER_COPY: &str = "restore it from an older copy of the file";

/// Opens what can be opened, and tells what can't and why. Without a secret that is a note for each file.
///
/// # Errors
/// [`Error::Sealed`] if there should be a passphrase or key file, but it cannot be had or used.
pub(super) fn open(
    subjects: &mut [Subject],
    keyring: &Keyring,
    findings: &mut Vec<Finding>,
) -> Result<(), Error> {
    let mut files: BTreeMap<PathBuf, File> = BTreeMap::new();
    for subject in subjects.iter_mut() {
        let Some((Half::Sealed(private), place)) = &subject.private else {
            continue;
        };
        let (opened, place) = (private.open(keyring), place.clone());
        let file = files.entry(place.file.clone()).or_default();
        let half = match opened {
            Ok(text) => {
                file.opened += 1;
                Half::Open(text)
            }
            Err(Error::Sealed { source, .. }) if is_elsewhere(&source) => {
                file.closed += 1;
                file.why.get_or_insert(source);
                Half::Closed
            }
            Err(Error::Sealed { source, .. }) if is_refused(&source) => {
                let message =
                    "does not open: it was tampered with, or sealed for another owner or under another name";
                file.refused.push(fault(subject, &place, message, OLDER_COPY));
                Half::Closed
            }
            Err(Error::Sealed { source, .. }) if is_damaged(&source) => {
                let text = source.to_string();
                let (what, remedy) = text.split_once("; ").unwrap_or((&text, OLDER_COPY));
                let message = format!("cannot be opened: {what}");
                findings.push(fault(subject, &place, &message, remedy));
                Half::Closed
            }
            Err(error) => return Err(error),
        };
        subject.private = Some((half, place));
    }
    for (path, file) in files {
        file.tell(path, findings);
    }
    Ok(())
}

/// There is no secret for it, or one for something else.
fn is_elsewhere(why: &SealError) -> bool {
    matches!(why, SealError::NoSecret | SealError::OtherKind { .. })
}

fn is_refused(why: &SealError) -> bool {
    matches!(why, SealError::Refused | SealError::Tampered)
}

fn is_damaged(why: &SealError) -> bool {
    matches!(
        why,
        SealError::Version(_) | SealError::Malformed | SealError::Cost
    )
}

fn fault(subject: &Subject, place: &Place, message: &str, remedy: &str) -> Finding {
    let half = subject.role.private();
    subject.finding(Severity::Fault, Code::SealBroken, place, half, message, remedy)
}

/// How it went in one file.
#[derive(Default)]
struct File {
    opened: usize,
    /// Those for which there is no secret.
    closed: usize,
    why: Option<SealError>,
    /// Those that the secret does not open.
    refused: Vec<Finding>,
}

impl File {
    fn tell(self, path: PathBuf, findings: &mut Vec<Finding>) {
        if let Some(why) = self.why {
            let place = Place {
                file: path,
                line: 1,
                column: 1,
            };
            let remedy = match &why {
                SealError::OtherKind { sealed, .. } => format!("give the {sealed} that it was sealed with"),
                _ => "set PKI_TOOLS_PASSPHRASE, or give --passphrase-file or --key-file".to_owned(),
            };
            let message = match self.closed {
                1 => "a private half is sealed and was not checked".to_owned(),
                many => format!("{many} private halves are sealed and were not checked"),
            };
            findings.push(Finding::new(Severity::Note, Code::Sealed, place, message, remedy));
        }
        let many = self.refused.len();
        if self.opened > 0 {
            findings.extend(self.refused);
        } else if let Some(first) = self.refused.into_iter().next() {
            // If none opens, the secret is more likely to blame than all of them.
            let message = match many {
                1 => "the sealed private half in this file does not open".to_owned(),
                many => format!("none of the {many} sealed private halves in this file opens"),
            };
            findings.push(Finding {
                severity: Severity::Fault,
                message: format!("{message}: wrong passphrase or key file, or tampered with"),
                remedy: "give the passphrase or key file that the file was sealed with".to_owned(),
                ..first
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proto::crypto::PrivateKey;
    use zeroize::Zeroizing;

    use super::*;
    use crate::check::{Options, Report, run};
    use crate::keys::Role;
    use crate::seal::{Opened, Owner, Secret};

    fn passphrase(text: &str) -> Keyring {
        Keyring::new(Secret::Passphrase(Zeroizing::new(text.to_owned())))
    }

    fn key_file() -> Keyring {
        Keyring::new(Secret::KeyFile(Zeroizing::new(vec![7; 32])))
    }

    /// A file with two servers whose private halves are sealed, after a change to its text.
    fn check(change: impl FnOnce(String) -> String, keyring: &Keyring) -> Result<Report, Error> {
        let sealer = passphrase("secret");
        let mut text = "assets:\n".to_owned();
        for fqdn in ["a1", "a2"] {
            let key = PrivateKey::generate(2048, &mut rand::rng()).unwrap();
            let opened = Opened::plain(key.to_pkcs1_pem().unwrap());
            let owner = Owner::Host(fqdn.to_owned());
            let sealed = sealer.seal(&opened, &owner, Role::Minion).unwrap();
            let public = serde_json::to_string(&key.public_key().to_pem().unwrap()).unwrap();
            text.push_str(&format!(
                "  - fqdn: {fqdn}\n    minion:\n      pem: {sealed}\n      pub: {public}\n"
            ));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.yaml");
        std::fs::write(&path, change(text)).unwrap();
        // Everybody may read what is sealed.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        run(&[path], &Options::default(), keyring, &|_, _| {})
    }

    /// Everything that was found about seals and halves, as `line code owner`.
    fn found(change: impl FnOnce(String) -> String, keyring: &Keyring) -> Vec<String> {
        let report = check(change, keyring).unwrap_or_else(|e| panic!("{e}"));
        let findings = report.findings.iter().filter(|f| f.code != Code::NoClient);
        findings
            .map(|f| format!("{} {:?} {}", f.line, f.code, f.owner.as_deref().unwrap_or("-")))
            .collect()
    }

    #[test]
    fn with_the_passphrase_sealed_halves_are_checked_as_others_are() {
        assert_eq!(found(|text| text, &passphrase("secret")), Vec::<String>::new());
        let swap_public_halves = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            let order = [0, 1, 2, 3, 8, 5, 6, 7, 4];
            order.map(|n| lines[n]).join("\n")
        };
        assert_eq!(
            found(swap_public_halves, &passphrase("secret")),
            ["5 HalvesDiffer a1", "9 HalvesDiffer a2"]
        );
    }

    #[test]
    fn without_a_passphrase_a_note_a_file_says_so_and_the_rest_is_checked() {
        let same_public_half = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            let order = [0, 1, 2, 3, 4, 5, 6, 7, 4];
            order.map(|n| lines[n]).join("\n")
        };
        for keyring in [Keyring::none(), key_file()] {
            assert_eq!(found(|text| text, &keyring), ["1 Sealed -"]);
            assert_eq!(
                found(same_public_half, &keyring),
                ["1 Sealed -", "8 KeyUsedTwice a2"]
            );
            let report = check(|text| text, &keyring).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!((report.faults, report.warnings), (0, 0));
        }
    }

    #[test]
    fn a_wrong_passphrase_is_one_fault_a_file() {
        let report = check(|text| text, &passphrase("wrong")).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(report.faults, 1);
        let finding = report
            .findings
            .iter()
            .find(|f| f.severity == Severity::Fault)
            .unwrap();
        assert_eq!((finding.code, finding.line), (Code::SealBroken, 4));
        assert!(
            finding.message.starts_with("none of the 2 sealed"),
            "{}",
            finding.message
        );
    }

    #[test]
    fn a_half_that_was_tampered_with_is_named_and_so_is_one_of_an_unknown_form() {
        let swap_private_halves = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            let order = [0, 1, 2, 3, 4, 5, 6, 3, 8];
            order.map(|n| lines[n]).join("\n")
        };
        assert_eq!(
            found(swap_private_halves, &passphrase("secret")),
            ["8 SealBroken a2"]
        );
        let cut = |text: String| text.replacen("sealed.v1.argon2id", "sealed.v1", 1);
        assert_eq!(found(cut, &passphrase("secret")), ["4 SealBroken a1"]);
        let newer = |text: String| text.replacen("sealed.v1", "sealed.v9", 1);
        assert_eq!(found(newer, &Keyring::none()), ["1 Sealed -", "4 SealBroken a1"]);
    }

    #[test]
    fn a_passphrase_that_cannot_be_had_ends_the_check() {
        let keyring = Keyring::new(Secret::Passphrase(Zeroizing::new(String::new())));
        assert!(matches!(check(|text| text, &keyring), Err(Error::Sealed { .. })));
    }
}
