//! The verdicts of `pki-tools check` on keys of any form, beside those of real Salt: `salt.crypt` of each release.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use std::process::Command;

use integration::{Progress, Salt, SaltVersion};
use pki_tools::check::{self, Code, Options, Severity};
use pki_tools::seal::Keyring;
use serde_json::{Value, json};

/// What Salt takes, but nobody should have.
const STRICTER: [&str; 1] = ["private, 1024 bits"];

#[test]
fn check_calls_a_key_faulty_if_and_only_if_salt_cannot_use_it() {
    for version in SaltVersion::tested().unwrap() {
        let salt = Salt::ensure(version, &Progress::stderr()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("salt/key_forms.py");
        let output = Command::new(salt.python()).arg(script).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let tried: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert!(tried.len() > 100, "{}", tried.len());
        let differ = tried.iter().filter_map(|form| {
            let name = form["name"].as_str().unwrap();
            let works = form["works"].as_bool().unwrap() && !STRICTER.contains(&name);
            let faults = faults(form);
            (works != faults.is_empty()).then(|| format!("{name}: works: {works}, found: {faults:?}"))
        });
        assert_eq!(differ.collect::<Vec<_>>(), Vec::<String>::new(), "salt {version}");
    }
}

/// The faults that are found in the half that was tried.
fn faults(form: &Value) -> Vec<String> {
    let client = json!({"assets": [{"fqdn": "a1", "minion": {"pem": form["pem"], "pub": form["pub"]}}]});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    fs::write(&file, client.to_string()).unwrap();
    let options = Options {
        permissions: pki_tools::Permissions::Unchecked,
        ..Options::default()
    };
    let report = check::run(&[file], &options, &Keyring::none(), &|_, _| {}).unwrap();
    let half = format!("minion.{}", form["half"].as_str().unwrap());
    let of_half = |finding: &&check::Finding| {
        finding.severity == Severity::Fault
            && finding.key.as_ref() == Some(&half)
            && finding.code != Code::HalvesDiffer
    };
    let findings = report.findings.iter().filter(of_half);
    findings.map(|finding| finding.message.clone()).collect()
}
