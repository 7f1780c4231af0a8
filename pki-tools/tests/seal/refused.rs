//! What cannot be sealed or unsealed is named with its place and remedy, and no file is touched.

use crate::common::Sandbox;
use crate::{MORE, XYZ, done, refused, run, xyz};

/// The message for a client's text with this asset, which must not be sealed.
fn message(rest: &str) -> String {
    let sandbox = Sandbox::with(&[
        ("xyz.yaml", &format!("name: Xyz\n{rest}")),
        ("more.yaml", MORE),
        ("key", &"k".repeat(32)),
    ]);
    refused(&sandbox, &["seal", "--key-file", "key", "more.yaml", "xyz.yaml"])
}

#[test]
fn a_shared_value_is_refused_with_the_place_that_shares_it() {
    let shared = "shares it with other places; write it out";
    for (rest, place) in [
        (
            "assets:\n  - fqdn: a1\n    minion: &k {pem: x, pub: p}\n  - fqdn: b1\n    minion: *k\n",
            "xyz.yaml:4:16: `minion.pem` of a1",
        ),
        (
            "assets:\n  - fqdn: a1\n    minion: {pem: &k x, pub: p}\nother: *k\n",
            "xyz.yaml:4:22: `minion.pem` of a1",
        ),
        (
            "x: &k secret\nassets:\n  - fqdn: a1\n    minion: {pem: *k, pub: p}\n",
            "xyz.yaml:5:19: `minion.pem` of a1",
        ),
        (
            "x: &k {minion: {pem: x, pub: p}}\nassets:\n  - fqdn: a1\n    <<: *k\n",
            "xyz.yaml:5:9: `minion.pem` of a1",
        ),
        (
            "x: &k {pem: x}\nassets:\n  - fqdn: a1\n    minion: {<<: *k, pub: p}\n",
            "xyz.yaml:5:18: `minion.pem` of a1",
        ),
        (
            "assets:\n  - &a\n    fqdn: a1\n    minion: {pem: x, pub: p}\nother: *a\n",
            "xyz.yaml:4:5: `minion.pem` of a1",
        ),
    ] {
        let said = message(rest);
        assert!(said.contains(place) && said.contains(shared), "{rest}: {said}");
    }
    // An anchor that nobody uses, and a tag that says text, are no obstacle.
    let rest = "assets:\n  - fqdn: a1\n    minion: {pem: &k !!str x, pub: p}\n";
    let sandbox = Sandbox::with(&[("xyz.yaml", rest), ("key", &"k".repeat(32))]);
    done(&sandbox, &["seal", "xyz.yaml"]);
    assert!(
        sandbox.read("xyz.yaml").contains("pem: &k !!str \"sealed.v1."),
        "{}",
        sandbox.read("xyz.yaml")
    );
    done(&sandbox, &["unseal", "xyz.yaml"]);
    assert_eq!(sandbox.read("xyz.yaml"), rest);
}

#[test]
fn a_value_with_a_tag_of_another_kind_is_refused() {
    for tag in ["!!binary", "!vault", "!!int"] {
        let said = message(&format!(
            "assets:\n  - fqdn: a1\n    minion: {{pem: {tag} \"1\", pub: p}}\n"
        ));
        let expected = "xyz.yaml:4:14: `minion.pem` of a1 can be neither sealed nor unsealed here: its tag";
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_pair_that_two_clients_share_is_refused() {
    let top = "name: NAME\ninclude: {files: [more.yaml]}\n";
    let shared = "configuration_management: {salt: {pki: {master_sign: {pem: x, pub: p}}}}\n";
    let sandbox = Sandbox::with(&[
        ("xyz.yaml", &top.replace("NAME", "A")),
        ("b.yaml", &top.replace("NAME", "B")),
        ("more.yaml", shared),
        ("key", &"k".repeat(32)),
    ]);
    let said = refused(&sandbox, &["seal", "--key-file", "key", "xyz.yaml", "b.yaml"]);
    assert!(
        said.contains("`pki.master_sign.pem` of client A can be neither"),
        "{said}"
    );
    assert!(said.contains("two owners share it"), "{said}");
}

#[test]
fn a_value_that_is_too_long_for_a_key_is_refused() {
    let rest = format!(
        "assets:\n  - fqdn: a1\n    minion: {{pem: {}, pub: p}}\n",
        "x".repeat(300_000)
    );
    let said = message(&rest);
    let expected = "xyz.yaml:4:14: cannot seal `minion.pem` of a1: it is longer than any private key";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn without_a_passphrase_or_with_a_bad_one_nothing_is_touched() {
    let sandbox = xyz();
    sandbox.write("empty", "\nsecond line\n");
    sandbox.write("short", "short");
    sandbox.write("long", &"x".repeat(70_000));
    std::fs::write(sandbox.path("latin"), b"schl\xfcssel\n").unwrap();
    let cases: &[(&[&str], &str)] = &[
        (
            &[],
            "error: xyz.yaml:7:9: cannot seal `pki.master_sign.pem` of client Xyz: there is no passphrase; set PKI_TOOLS_PASSPHRASE, or give --passphrase-file or --key-file",
        ),
        (&["--passphrase-file", "empty"], "the passphrase is empty"),
        (
            &["--key-file", "short"],
            "the key file has less than 32 bytes; make one with `head -c 32",
        ),
        (
            &["--key-file", "long"],
            "long cannot be read: it is longer than 64 KiB",
        ),
        (&["--passphrase-file", "latin"], "latin is not UTF-8"),
        (
            &["--passphrase-file", "none"],
            "none cannot be read: No such file",
        ),
    ];
    for (args, expected) in cases {
        let said = refused(&sandbox, &[&["seal", "xyz.yaml"], *args].concat());
        assert!(said.contains(expected), "{said}");
    }
    done(&sandbox, &["seal", "xyz.yaml"]);
    let said = refused(&sandbox, &["unseal", "xyz.yaml"]);
    assert!(
        said.contains("cannot open `pki.master_sign.pem` of client Xyz: it is sealed; set PKI_TOOLS"),
        "{said}"
    );
    let said = refused(&sandbox, &["unseal", "--passphrase-file", "phrase", "xyz.yaml"]);
    assert!(
        said.contains("it is sealed with a key file; give that instead of a passphrase"),
        "{said}"
    );
    // Both at once, or a passphrase for what opens nothing, are mistakes.
    for args in [
        ["--key-file", "key", "--passphrase-file", "phrase"],
        ["--check", "--key-file", "key", "--dry-run"],
    ] {
        assert_eq!(
            run(&sandbox, &[&["seal", "xyz.yaml"], args.as_slice()].concat()).code,
            2
        );
    }
}

#[test]
fn a_file_never_has_two_passphrases() {
    let sandbox = xyz();
    done(&sandbox, &["seal", "xyz.yaml"]);
    sandbox.write("more.yaml", MORE);
    let ran = run(&sandbox, &["seal", "--key-file", "other", "more.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    // Each file has its own now, which is no fault; both in one run are.
    let said = refused(&sandbox, &["unseal", "--key-file", "key", "xyz.yaml"]);
    assert!(
        said.contains("more.yaml:4:12: cannot open `minion.pem` of a2: wrong passphrase"),
        "{said}"
    );
    sandbox.write("xyz.yaml", XYZ);
    let said = refused(&sandbox, &["seal", "--key-file", "key", "xyz.yaml"]);
    assert!(
        said.contains("more.yaml:4:12: cannot open `minion.pem` of a2"),
        "{said}"
    );
}
