//! Checks clients' files: do the pairs match, can Salt read them, is anything missing, doubled or misplaced?
//!
//! `reading` tells of what cannot be read at all; `client`, `names` and `places` look at what stands where;
//! `pairs` at the keys themselves, with `open` for sealed ones and `rsa`, `ssh` and `pem` for what is in them; `twice`
//! compares all of them.

mod client;
mod finding;
mod half;
mod names;
mod open;
mod pairs;
mod pem;
mod places;
mod reading;
mod rsa;
mod ssh;
mod twice;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub use self::finding::{Code, Finding, Report, Severity};
use crate::error::Error;
use crate::include::Sources;
use crate::keys;
use crate::layout::Layout;
use crate::permissions::{Permissions, access, holds_private_keys};
use crate::seal::Keyring;
use crate::tolerance::Tolerance;

/// How to check.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Threads; all cores if not given.
    pub jobs: Option<NonZeroUsize>,
    /// Whether everybody may read the files.
    pub permissions: Permissions,
}

/// Checks these clients and what they include, and tells everything that it finds. Nothing is written.
/// Sealed halves are opened with `keyring`; if it has no secret, a note says that they were not checked.
/// `progress` is called with the number of pairs done and of all, never twice at once.
///
/// # Errors
/// [`Error::Read`] if one of `files` itself cannot be read, [`Error::Sealed`] if there should be a passphrase or
/// key file but it cannot be had. Whatever else is wrong is in the report.
pub fn run(
    files: &[PathBuf],
    options: &Options,
    keyring: &Keyring,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Report, Error> {
    let mut faults = Vec::new();
    let sources = Sources::read(files, &mut Tolerance::Noting(&mut faults))?;
    let mut findings = Vec::new();
    let mut subjects = Vec::new();
    let mut owners = reading::Owners::default();
    for (number, documents) in sources.clients().enumerate() {
        let Some(top) = documents.first() else { continue };
        let layout = Layout::read(&documents, &mut Tolerance::Noting(&mut faults))?;
        let keys = keys::read(&layout, &mut Tolerance::Noting(&mut faults))?;
        owners.add(&layout);
        let client = client::Client {
            file: &top.name,
            documents: &documents,
            layout: &layout,
            keys: &keys,
            complete: sources.is_complete(number),
        };
        let misplaced = places::check(&client, &mut findings);
        client::check(&client, &misplaced, &mut findings);
        names::check(&client, &mut findings);
        pairs::collect(keys, &mut subjects);
    }
    findings.extend(faults.iter().map(|fault| reading::finding(fault, &owners)));
    permissions(&sources, options.permissions, &mut findings);
    open::open(&mut subjects, keyring, &mut findings)?;
    let judged = pairs::judge(&subjects, options.jobs, progress);
    findings.extend(pairs::findings(&judged));
    findings.extend(twice::findings(&judged));
    Ok(Report {
        faults: 0,
        warnings: 0,
        files: sources.documents.len(),
        keys: subjects.len(),
        findings: in_order(findings, &sources),
    }
    .counted())
}

impl Report {
    fn counted(mut self) -> Self {
        let count = |severity| self.findings.iter().filter(|f| f.severity == severity).count();
        (self.faults, self.warnings) = (count(Severity::Fault), count(Severity::Warning));
        self
    }
}

/// In the order of the files, each once: a file that two clients include is looked at twice.
fn in_order(findings: Vec<Finding>, sources: &Sources) -> Vec<Finding> {
    let documents = sources.documents.iter();
    let ranks: HashMap<&Path, usize> = documents.map(|d| (d.name.as_path(), d.index)).collect();
    let rank = |file: &Path| ranks.get(file).copied().unwrap_or(usize::MAX);
    let mut findings = findings;
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (rank(&f.file), f.line, f.column, f.severity, f.code);
        let by_file = || a.file.cmp(&b.file);
        let by_text = || (&a.owner, &a.message).cmp(&(&b.owner, &b.message));
        rank(&a.file)
            .cmp(&rank(&b.file))
            .then_with(by_file)
            .then_with(|| key(a).cmp(&key(b)))
            .then_with(by_text)
    });
    findings.dedup();
    findings
}

fn permissions(sources: &Sources, permissions: Permissions, findings: &mut Vec<Finding>) {
    if permissions == Permissions::Unchecked {
        return;
    }
    for document in &sources.documents {
        let Some(mode) = access(&document.path) else {
            continue;
        };
        let holds_keys = holds_private_keys(&document.text);
        let (severity, what) = match mode {
            _ if mode & 0o002 != 0 => (Severity::Fault, "everybody can change this file"),
            _ if mode & 0o004 != 0 && holds_keys => {
                (Severity::Fault, "everybody can read the private keys in it")
            }
            _ if mode & 0o040 != 0 && holds_keys => {
                (Severity::Warning, "its group can read the private keys in it")
            }
            _ => continue,
        };
        findings.push(Finding::new(
            severity,
            Code::Permissions,
            document.top(),
            format!("{what} (mode {mode:04o})"),
            format!("`chmod 600 {}`, or seal it", document.name.display()),
        ));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random_client::client;

    proptest! {
        #[test]
        fn a_client_of_any_formatting_is_understood(choices in prop::collection::vec(any::<u8>(), 200..600)) {
            let text = client(&choices);
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("x.yaml");
            std::fs::write(&file, &text).unwrap();
            let report = run(&[file], &Options::default(), &Keyring::none(), &|_, _| {}).unwrap();
            let of_keys = |code: Code| matches!(
                code,
                Code::MissingKey | Code::MissingPrivate | Code::MissingPublic | Code::MissingId | Code::OldName
                    | Code::BadKey | Code::HalvesDiffer | Code::KeyUsedTwice | Code::Sealed | Code::SealBroken
                    | Code::Permissions
            );
            let odd: Vec<_> = report.findings.iter().filter(|finding| !of_keys(finding.code)).collect();
            prop_assert!(odd.is_empty(), "{odd:#?}\n{text}");
            // Nothing that a host lacks is passed over.
            let missing = |owner: &str| report.findings.iter().any(|f| f.owner.as_deref() == Some(owner));
            for owner in ["client Xyz", "m1", "m2", "a1", "a2", "a3"] {
                prop_assert!(missing(owner), "{owner}\n{text}");
            }
        }
    }
}
