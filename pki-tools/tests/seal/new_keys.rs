//! `gen` on sealed files: new private halves are sealed like those that are there.

use crate::common::{Sandbox, assert_kept, assert_pairs_fit, data};
use crate::{both, done, refused, run, sealed_texts};

const MASTER: &str = "name: Xyz\ninclude: {files: [more.yaml]}\nconfiguration_management:\n  salt:\n    masters:\n      - fqdn: m1\n";
const ASSETS: &str = "assets:\n  - fqdn: a1\n  - {fqdn: a2, minion: {}}\n";

/// A client whose file has keys and is sealed, and which includes `more`.
fn sealed(more: &str) -> Sandbox {
    let sandbox = Sandbox::with(&[
        ("xyz.yaml", MASTER),
        ("more.yaml", ""),
        ("key", "a key file that is long enough for it"),
        ("other", "another key file that is long enough for it"),
    ]);
    sandbox.report(&["xyz.yaml"]);
    done(&sandbox, &["seal", "xyz.yaml"]);
    sandbox.write("more.yaml", more);
    sandbox
}

#[test]
fn new_private_keys_in_a_sealed_file_are_sealed_and_fit_after_unsealing() {
    let sandbox = sealed("");
    let before = sandbox.read("xyz.yaml");
    sandbox.write("xyz.yaml", &format!("{before}{ASSETS}"));
    let planned = run(&sandbox, &["gen", "--dry-run", "--out", "json", "xyz.yaml"]);
    assert_eq!(planned.code, 0, "{}", planned.err);
    let done_ = done(&sandbox, &["gen", "--out", "json", "xyz.yaml"]);
    let after = sandbox.read("xyz.yaml");
    let made = |out: &str| serde_json::from_str::<serde_json::Value>(out).unwrap()["made"].clone();
    assert_eq!(made(&planned.out), made(&done_.out));
    assert!(
        after.starts_with(&before) && !after.contains("PRIVATE KEY"),
        "{after}"
    );
    let texts = sealed_texts(&after);
    assert_eq!(texts.len(), 7);
    let header = |text: &str| text.rsplitn(3, '.').last().unwrap().to_owned();
    assert!(texts.iter().all(|text| header(text) == header(texts[0])));
    assert!(
        after.contains("\n    minion:\n      pem: sealed.v1.keyfile."),
        "{after}"
    );
    assert!(after.contains("{pem: \"sealed.v1.keyfile."), "{after}");
    assert_eq!(run(&sandbox, &["seal", "--check", "xyz.yaml"]).code, 0);
    // A second run has nothing to do, and needs no passphrase for it.
    assert_eq!(
        run(&sandbox, &["gen", "xyz.yaml"]).out,
        "nothing to do: every key is there\n"
    );

    done(&sandbox, &["unseal", "xyz.yaml"]);
    let unsealed = sandbox.read("xyz.yaml");
    assert_eq!(assert_pairs_fit(&data(&unsealed)), 7);
    assert!(
        unsealed.contains("\n    minion:\n      pem: |\n        -----BEGIN RSA PRIVATE KEY-----\n"),
        "{unsealed}"
    );
    assert!(
        unsealed.contains("{pem: \"-----BEGIN RSA PRIVATE KEY-----\\n"),
        "{unsealed}"
    );
}

#[test]
fn without_the_right_passphrase_no_key_is_made() {
    let sandbox = sealed("");
    sandbox.write("xyz.yaml", &format!("{}{ASSETS}", sandbox.read("xyz.yaml")));
    let said = refused(&sandbox, &["gen", "xyz.yaml"]);
    assert!(
        said.contains(": it is sealed; set PKI_TOOLS_PASSPHRASE, or give --passphrase-file or --key-file"),
        "{said}"
    );
    let said = refused(&sandbox, &["gen", "--key-file", "other", "xyz.yaml"]);
    assert!(
        said.starts_with("error: xyz.yaml:") && said.contains("wrong passphrase or key file"),
        "{said}"
    );
}

#[test]
fn a_file_without_private_keys_follows_the_other_files_of_its_client() {
    let sandbox = sealed(ASSETS);
    let said = refused(&sandbox, &["gen", "xyz.yaml"]);
    assert!(said.contains("it is sealed; set PKI_TOOLS_PASSPHRASE"), "{said}");
    let top = sandbox.read("xyz.yaml");
    done(&sandbox, &["gen", "xyz.yaml"]);
    assert_eq!(sandbox.read("xyz.yaml"), top);
    assert_eq!(sealed_texts(&sandbox.read("more.yaml")).len(), 2);
    assert!(!sandbox.read("more.yaml").contains("PRIVATE KEY"));
    assert_kept(&data(ASSETS), &data(&sandbox.read("more.yaml")), "more");
}

#[test]
fn a_file_that_is_not_sealed_stays_so() {
    let sandbox = sealed("assets:\n  - fqdn: a1\n    minion: {pem: x, pub: p}\n  - fqdn: a2\n");
    // Neither is there anything to open.
    let ran = run(&sandbox, &["gen", "xyz.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let more = sandbox.read("more.yaml");
    assert!(
        more.contains("BEGIN RSA PRIVATE KEY") && !more.contains("sealed."),
        "{more}"
    );
}

#[test]
fn a_public_half_that_is_missing_is_made_from_the_sealed_one() {
    let sandbox = sealed("");
    let before = sandbox.read("xyz.yaml");
    // Of the ssh key and of the master's.
    let mut without = String::new();
    let mut skip = false;
    let mut key = "";
    for line in before.lines() {
        let word = line.trim();
        if let Some(name) = word.strip_suffix(':') {
            key = name;
        }
        let deeper = line.starts_with("            ") && !word.contains(": ");
        skip = (word.starts_with("pub: |") && ["root_ed25519", "master"].contains(&key))
            || (skip && deeper && !word.ends_with(':'));
        if !skip {
            without.push_str(line);
            without.push('\n');
        }
    }
    assert!(
        without.matches("pub:").count() + 2 == before.matches("pub:").count(),
        "{without}"
    );
    sandbox.write("xyz.yaml", &without);
    let said = refused(&sandbox, &["gen", "xyz.yaml"]);
    assert!(
        said.contains("of m1: it is sealed; set PKI_TOOLS_PASSPHRASE"),
        "{said}"
    );
    let ran = done(&sandbox, &["gen", "xyz.yaml"]);
    assert!(
        ran.out.contains("public half from the private one"),
        "{}",
        ran.out
    );
    let after = both(&sandbox).0;
    assert_eq!(sealed_texts(&after), sealed_texts(&before));
    done(&sandbox, &["unseal", "xyz.yaml"]);
    assert_eq!(assert_pairs_fit(&data(&sandbox.read("xyz.yaml"))), 5);
}

#[test]
fn a_sealed_file_that_everybody_can_read_gets_new_keys() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = sealed("");
    sandbox.write("xyz.yaml", &format!("{}{ASSETS}", sandbox.read("xyz.yaml")));
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(sandbox.path("xyz.yaml"), readable).unwrap();
    let ran = done(&sandbox, &["gen", "xyz.yaml"]);
    assert_eq!(ran.err, "");
    assert!(!sandbox.read("xyz.yaml").contains("PRIVATE KEY"));
}
