//! What is refused: the message says why and what to do, and no file changes.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;

use crate::{refused, xyz};

#[test]
fn what_stands_in_the_way_is_told_with_the_remedy_and_nothing_changes() {
    let sandbox = xyz();
    for (what, expected) in [
        (
            "nobody",
            "nobody is no master (its other pairs: FQDN:minion, FQDN:root_ed25519), server or key of this client",
        ),
        ("www.xyz.example", "www.xyz.example is no master"),
        (
            "minion01.xyz.example:root_ed25519",
            "minion01.xyz.example:root_ed25519 is no master",
        ),
        ("master_sign_old", "it has salt1.xyz.example, salt2.xyz.example"),
        (
            "old.xyz.example",
            "old.xyz.example has no `minion` in xyz.yaml; make it with `pki-tools gen`",
        ),
    ] {
        let error = refused(&sandbox, &[what]);
        assert!(error.contains(expected), "{error}");
    }
    for (args, expected) in [
        (
            ["minion01.xyz.example", "--finish"].as_slice(),
            "--finish and --abort are for `master_sign`",
        ),
        (&["master_sign", "--finish", "--abort"], "cannot be used with"),
        (
            &["master_sign", "--finish", "--bits", "2048"],
            "cannot be used with",
        ),
        (
            &["master_sign", "--abort"],
            "no rotation of `master_sign` is under way",
        ),
        (
            &["minion01.xyz.example", "--bits", "1024"],
            "possible values: 2048, 3072, 4096",
        ),
    ] {
        let error = refused(&sandbox, args);
        assert!(error.contains(expected), "{error}");
    }

    // Minions believe another key of a master by its signature only.
    let whole = sandbox.read("xyz.yaml");
    sandbox.write("xyz.yaml", &whole.replace("      master_sign:\n", "      was:\n"));
    let error = refused(&sandbox, &["salt1.xyz.example"]);
    assert!(error.contains("client Xyz has no `pki.master_sign`"), "{error}");

    // The private half is shared with another place.
    let shared = "name: X\nkeys: &k\n  pem: one\n  pub: two\nassets:\n  - fqdn: a1\n    minion: *k\n  - fqdn: a2\n    minion: {<<: *k}\n  - fqdn: a3\n    minion: {pem: &p x, pub: y}\n    copy: *p\n";
    sandbox.write("xyz.yaml", shared);
    for (what, place) in [
        ("a1", "xyz.yaml:7:13"),
        ("a2", "xyz.yaml:9:18"),
        ("a3", "xyz.yaml:11:"),
    ] {
        let error = refused(&sandbox, &[what]);
        assert!(
            error.contains(place) && error.contains("shares with other places"),
            "{error}"
        );
    }

    // Everybody can read it.
    sandbox.write("xyz.yaml", &whole);
    fs::set_permissions(sandbox.path("xyz.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = refused(&sandbox, &["minion01.xyz.example"]);
    assert!(
        error.contains("everybody can read the private keys in it (mode 0644)"),
        "{error}"
    );
    let ran = sandbox.run(&[
        "rotate",
        "--insecure-permissions",
        "xyz.yaml",
        "minion01.xyz.example",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err
            .contains("others than its owner can read its private keys (mode 0644)"),
        "{}",
        ran.err
    );

    // Another process is at work on it.
    sandbox.write("xyz.yaml", &whole);
    let lock = File::open(sandbox.path("xyz.yaml")).unwrap();
    lock.lock().unwrap();
    let error = refused(&sandbox, &["minion01.xyz.example"]);
    assert!(error.contains("another pki-tools is working on it"), "{error}");
}
