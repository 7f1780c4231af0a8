//! Files are sealed in place, read while they are sealed, and unsealed to what they were.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use pki_tools::Permissions;
use pki_tools::client::Client;
use pki_tools::seal::{Keyring, Secret};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::common::{Sandbox, data};
use crate::{HALVES, MORE, XYZ, both, done, refused, run, sealed_texts, xyz};

/// The rows of a report, as in [`HALVES`].
fn rows(keys: &Value) -> Vec<(String, usize, String, String)> {
    let keys = keys.as_array().unwrap().iter();
    let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
    keys.map(|key| {
        let line = usize::try_from(key["line"].as_u64().unwrap()).unwrap();
        (text(key, "file"), line, text(key, "owner"), text(key, "key"))
    })
    .collect()
}

fn owned(halves: &[(&str, usize, &str, &str)]) -> Vec<(String, usize, String, String)> {
    halves
        .iter()
        .map(|(file, line, owner, key)| ((*file).to_owned(), *line, (*owner).to_owned(), (*key).to_owned()))
        .collect()
}

#[test]
fn every_private_half_is_sealed_on_one_line_and_unsealed_byte_for_byte() {
    let sandbox = xyz();
    let sealed: Value =
        serde_json::from_str(&done(&sandbox, &["seal", "--out", "json", "xyz.yaml"]).out).unwrap();
    let (top, more) = both(&sandbox);
    assert_eq!(sealed_texts(&top).len() + sealed_texts(&more).len(), HALVES.len());
    for text in [&top, &more] {
        assert!(!text.contains("c2VjcmV0") && !text.contains("PRIVATE"), "{text}");
    }
    // Each stands where the report says, and everything else is there.
    for (file, line, _, key) in rows(&sealed["keys"]) {
        let text = if file == "xyz.yaml" { &top } else { &more };
        let line = text.lines().nth(line - 1).unwrap();
        assert!(line.contains(key.rsplit('.').next().unwrap()), "{line}");
    }
    for (text, old) in [(&top, XYZ), (&more, MORE)] {
        for line in old.lines() {
            if line.contains("public") && !line.contains("c2VjcmV0") {
                assert!(text.contains(line), "{line} is not in {text}");
            }
            let comment = line.find('#').map_or("", |at| &line[at..]);
            assert!(text.contains(comment), "{comment} is not in {text}");
        }
    }
    assert!(top.contains("pem: sealed.v1.keyfile."));
    assert!(top.contains("\"pem\": \"sealed.v1.keyfile."));
    assert!(more.contains("  # kept\n\n      pub:"), "{more}");

    let unsealed: Value =
        serde_json::from_str(&done(&sandbox, &["unseal", "--out", "json", "xyz.yaml"]).out).unwrap();
    assert_eq!(both(&sandbox), (XYZ.to_owned(), MORE.to_owned()));
    assert_eq!(rows(&unsealed["keys"]), owned(HALVES));
    assert_eq!(unsealed["edited"], serde_json::json!(["xyz.yaml", "more.yaml"]));
}

#[test]
fn a_second_run_leaves_the_files_and_tries_the_passphrase() {
    let sandbox = xyz();
    let nothing = done(&sandbox, &["unseal", "xyz.yaml"]).out;
    assert_eq!(nothing, "nothing to do: no private key is sealed\n");
    let first = done(&sandbox, &["seal", "xyz.yaml"]).out;
    assert!(first.ends_with("sealed 9 private keys in 2 files\n"), "{first}");
    let sealed = both(&sandbox);
    assert_eq!(
        done(&sandbox, &["seal", "xyz.yaml"]).out,
        "nothing to do: every private key is sealed\n"
    );
    assert_eq!(both(&sandbox), sealed);
    let said = refused(&sandbox, &["seal", "--key-file", "other", "xyz.yaml"]);
    assert!(
        said.starts_with(
            "error: xyz.yaml:7:14: cannot open `pki.master_sign.pem` of client Xyz: wrong passphrase"
        ),
        "{said}"
    );
}

#[test]
fn passphrases_come_from_a_file_or_the_environment() {
    let sandbox = xyz();
    let ran = run(&sandbox, &["seal", "--passphrase-file", "phrase", "xyz.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        sandbox
            .read("xyz.yaml")
            .contains("pem: sealed.v1.argon2id.65536.3.4.")
    );
    // One derivation for all of them.
    let salts = sealed_texts(&sandbox.read("xyz.yaml"))
        .iter()
        .map(|text| text[..51].to_owned())
        .collect::<Vec<_>>();
    assert!(salts.iter().all(|salt| *salt == salts[0]), "{salts:?}");
    let mut command = sandbox.command(&["unseal", "xyz.yaml"]);
    command.env("PKI_TOOLS_PASSPHRASE", "correct horse battery staple");
    assert!(command.output().unwrap().status.success());
    assert_eq!(both(&sandbox), (XYZ.to_owned(), MORE.to_owned()));
}

#[test]
fn a_half_that_was_added_to_a_sealed_file_is_sealed_under_the_same_key() {
    let sandbox = xyz();
    done(&sandbox, &["seal", "xyz.yaml"]);
    let before = sandbox.read("xyz.yaml");
    let more = "  - fqdn: a4\n    minion: {pem: c2VjcmV0IGE0, pub: public a4}\n";
    sandbox.write("xyz.yaml", &format!("{before}{more}"));
    let said = refused(&sandbox, &["seal", "--key-file", "other", "xyz.yaml"]);
    assert!(
        said.contains("cannot open `pki.master_sign.pem` of client Xyz"),
        "{said}"
    );
    done(&sandbox, &["seal", "xyz.yaml"]);
    let after = sandbox.read("xyz.yaml");
    assert!(after.starts_with(&before) && !after.contains("c2VjcmV0"));
    let texts = sealed_texts(&after);
    let header = |text: &str| text.rsplitn(3, '.').last().unwrap().to_owned();
    assert_eq!(header(texts[0]), header(texts.last().unwrap()));
    done(&sandbox, &["unseal", "xyz.yaml"]);
    assert_eq!(sandbox.read("xyz.yaml"), format!("{XYZ}{more}"));
}

#[test]
fn other_commands_read_sealed_files_when_the_key_is_there() {
    let sandbox = xyz();
    let path = sandbox.path("xyz.yaml");
    let texts = |client: &Client, keyring: &Keyring| {
        let mut texts = Vec::new();
        let own = [&client.master_sign, &client.master_sign_old];
        let pairs = own.into_iter().flatten();
        let pairs = pairs.chain(client.pipeline.iter().map(|dispatch| &dispatch.pair));
        let pairs = pairs.chain(
            client
                .masters
                .iter()
                .flat_map(|m| m.master.iter().chain(&m.minion)),
        );
        let pairs = pairs.chain(client.minions.iter().filter_map(|m| m.minion.as_ref()));
        for pair in pairs {
            texts.push((pair.pem.open(keyring).unwrap().to_string(), pair.pub_.clone()));
        }
        let ssh = client.masters[0].root_ed25519.as_ref().unwrap();
        texts.push((ssh.priv_.open(keyring).unwrap().to_string(), ssh.pub_.clone()));
        texts
    };
    let open = texts(&Client::load(&path).unwrap(), &Keyring::none());
    assert_eq!(open.len(), HALVES.len());
    done(&sandbox, &["seal", "xyz.yaml"]);
    let client = Client::load_for_use(&path, Permissions::Checked).unwrap();
    let key = fs::read(sandbox.path("key")).unwrap();
    let keyring = Keyring::new(Secret::KeyFile(Zeroizing::new(key)));
    assert_eq!(texts(&client, &keyring), open);
    let error = client
        .master_sign
        .unwrap()
        .pem
        .open(&Keyring::none())
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("xyz.yaml:7:14: cannot open `pki.master_sign.pem` of client Xyz: it is sealed; set PKI_TOOLS_PASSPHRASE, or give --passphrase-file or --key-file"), "{error}");
}

#[test]
fn a_check_names_what_is_not_sealed_and_opens_nothing() {
    let sandbox = xyz();
    let ran = run(&sandbox, &["seal", "--check", "--out", "json", "xyz.yaml"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(rows(&found["unsealed"]), owned(HALVES));
    assert_eq!(found["sealed"], 0);
    assert_eq!(both(&sandbox), (XYZ.to_owned(), MORE.to_owned()));

    done(&sandbox, &["seal", "more.yaml"]);
    let ran = run(&sandbox, &["seal", "--check", "xyz.yaml"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("xyz.yaml:50: a1          minion.pem\n"),
        "{}",
        ran.out
    );
    assert!(!ran.out.contains("a2"), "{}", ran.out);
    assert!(
        ran.out
            .ends_with("8 private keys not sealed; run `pki-tools seal`\n"),
        "{}",
        ran.out
    );

    done(&sandbox, &["seal", "xyz.yaml"]);
    let ran = run(&sandbox, &["seal", "--check", "xyz.yaml"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "every private key is sealed (9)\n")
    );
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    let sandbox = xyz();
    // Without a passphrase.
    let planned = run(&sandbox, &["seal", "--dry-run", "--out", "json", "xyz.yaml"]);
    assert_eq!((planned.code, planned.err.as_str()), (0, ""));
    assert_eq!(both(&sandbox), (XYZ.to_owned(), MORE.to_owned()));
    let planned: Value = serde_json::from_str(&planned.out).unwrap();
    let sealed: Value =
        serde_json::from_str(&done(&sandbox, &["seal", "--out", "json", "xyz.yaml"]).out).unwrap();
    assert_eq!(
        (&planned["keys"], &planned["edited"]),
        (&sealed["keys"], &sealed["edited"])
    );
    assert_eq!(
        (&planned["dry_run"], &sealed["dry_run"]),
        (&Value::Bool(true), &Value::Bool(false))
    );
    let before = both(&sandbox);
    let planned = done(&sandbox, &["unseal", "--dry-run", "xyz.yaml"]).out;
    assert!(
        planned.ends_with("would unseal 9 private keys in 2 files\n"),
        "{planned}"
    );
    assert_eq!(both(&sandbox), before);
    refused(
        &sandbox,
        &["unseal", "--dry-run", "--key-file", "other", "xyz.yaml"],
    );
}

#[test]
fn results_hold_no_secrets() {
    let sandbox = xyz();
    for command in ["seal", "unseal"] {
        for out in ["json", "text"] {
            let ran = done(&sandbox, &[command, "--dry-run", "--out", out, "xyz.yaml"]);
            for secret in ["c2VjcmV0", "BEGIN", "sealed.v1", "long enough"] {
                assert!(
                    !ran.out.contains(secret) && !ran.err.contains(secret),
                    "{}{}",
                    ran.out,
                    ran.err
                );
            }
        }
        done(&sandbox, &["seal", "xyz.yaml"]);
    }
}

#[test]
fn a_file_that_everybody_can_read_can_be_sealed_and_not_unsealed() {
    let sandbox = xyz();
    let path = sandbox.path("more.yaml");
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let ran = done(&sandbox, &["seal", "xyz.yaml"]);
    assert!(
        ran.err.contains("warning: more.yaml: others than its owner could read its private keys until now (mode 0644); rotate them"),
        "{}",
        ran.err
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    let said = refused(&sandbox, &["unseal", "--key-file", "key", "xyz.yaml"]);
    assert!(
        said.contains("more.yaml: everybody can read the private keys in it (mode 0644); chmod 600 it"),
        "{said}"
    );
    mode(0o646);
    let said = refused(&sandbox, &["seal", "--key-file", "key", "xyz.yaml"]);
    assert!(said.contains("everybody can change"), "{said}");
    mode(0o640);
    let ran = done(&sandbox, &["unseal", "xyz.yaml"]);
    assert!(
        ran.err.contains(
            "warning: more.yaml: others than its owner can read its private keys (mode 0640); chmod 600"
        ),
        "{}",
        ran.err
    );
    assert_eq!(both(&sandbox), (XYZ.to_owned(), MORE.to_owned()));
}

#[test]
fn keys_that_a_later_file_supersedes_are_sealed_and_others_are_named() {
    let top = "\
name: Xyz
include: {files: [later.yaml]}
# -----BEGIN RSA PRIVATE KEY-----
tls: |
  -----BEGIN EC PRIVATE KEY-----
cert: -----BEGIN CERTIFICATE-----
configuration_management:
  salt:
    pki: {master_sign: {pem: secret1, pub: p}}
    masters: [{fqdn: m1, pki: {master: {pem: secret2, pub: p}}}]
";
    let later = top
        .lines()
        .skip(6)
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    let later = later.replace("secret1", "secret3").replace("secret2", "secret4");
    let sandbox = Sandbox::with(&[
        ("xyz.yaml", top),
        ("later.yaml", &later),
        ("key", &"k".repeat(32)),
    ]);
    let ran = done(&sandbox, &["seal", "xyz.yaml"]);
    assert!(
        ran.out.ends_with("sealed 4 private keys in 2 files\n"),
        "{}",
        ran.out
    );
    let stray = "warning: xyz.yaml:LINE: a private key that is no key of the client stays as it is\n";
    assert_eq!(
        ran.err,
        format!("{}{}", stray.replace("LINE", "3"), stray.replace("LINE", "5"))
    );
    assert!(!sandbox.read("xyz.yaml").contains("secret") && !sandbox.read("later.yaml").contains("secret"));
    // The hook still passes: nothing could be done about them.
    let ran = run(&sandbox, &["seal", "--check", "xyz.yaml"]);
    assert_eq!((ran.code, ran.err.matches("stays as it is").count()), (0, 2));
    done(&sandbox, &["unseal", "xyz.yaml"]);
    assert_eq!(
        (sandbox.read("xyz.yaml").as_str(), sandbox.read("later.yaml")),
        (top, later)
    );
}

#[test]
fn clients_that_share_a_file_seal_its_halves_once() {
    let top = "name: NAME\ninclude: {files: [shared.yaml]}\n";
    let shared = "assets: [{fqdn: s1, minion: {pem: secret, pub: p}}]\n";
    let sandbox = Sandbox::with(&[
        ("a.yaml", &top.replace("NAME", "A")),
        ("b.yaml", &top.replace("NAME", "B")),
        ("shared.yaml", shared),
        ("key", &"k".repeat(32)),
    ]);
    let ran = done(&sandbox, &["seal", "a.yaml", "b.yaml", "./a.yaml"]);
    assert!(
        ran.out.ends_with("sealed 1 private key in 1 file\n"),
        "{}",
        ran.out
    );
    // A host's key is bound to the host, so either client can unseal it.
    done(&sandbox, &["unseal", "b.yaml"]);
    assert_eq!(sandbox.read("shared.yaml"), shared);
}

#[test]
fn a_sealed_file_says_the_same_but_for_its_private_halves() {
    let sandbox = xyz();
    done(&sandbox, &["seal", "xyz.yaml"]);
    let (old, new) = (data(XYZ), data(&sandbox.read("xyz.yaml")));
    let path = "/configuration_management/salt/pki/master_sign";
    assert_eq!(
        old.pointer(path).unwrap()["pub"],
        new.pointer(path).unwrap()["pub"]
    );
    let pem = new.pointer(path).unwrap()["pem"].as_str().unwrap();
    assert_eq!(pem, sealed_texts(&sandbox.read("xyz.yaml"))[0]);
}

#[test]
fn help_says_what_sealing_does_not_do() {
    let sandbox = Sandbox::with(&[]);
    let help = run(&sandbox, &["seal", "--help"]).out;
    for words in [
        "Examples:",
        "history of a git repository",
        "Rotate keys",
        "--check",
    ] {
        assert!(help.contains(words), "{help}");
    }
    assert!(run(&sandbox, &["unseal", "--help"]).out.contains("Examples:"));
}
