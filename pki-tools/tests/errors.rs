//! `pki-tools gen` and files that it must refuse: the message says where and what to do, the file stays.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

mod common;

use common::{Ran, Sandbox, assert_kept, assert_pairs_fit, data, made, undo};

/// A client's text with masters and assets.
fn client(rest: &str) -> String {
    format!("name: Xyz\nconfiguration_management: {{type: salt, salt: {{}}}}\n{rest}")
}

/// The message for a text, which must be refused without a change.
fn refused(text: &str) -> String {
    let sandbox = Sandbox::with(&[("x.yaml", text)]);
    let ran = sandbox.run(&["gen", "x.yaml"]);
    assert_eq!(ran.code, 2, "{text}\n{}{}", ran.out, ran.err);
    assert_eq!(ran.out, "");
    assert_eq!(sandbox.read("x.yaml"), text);
    ran.err
}

#[test]
fn the_message_names_place_key_and_remedy() {
    let cases = [
        (
            client("assets:\n  - fqdn: a1\n    fqdn: a2\n"),
            "x.yaml:5:5: `fqdn` is used twice in this mapping, first at x.yaml:4:5",
        ),
        (
            client("assets:\n  - fqdn: a1\n  - fqdn: a1\n"),
            "x.yaml:5:11: `a1` is already at x.yaml:4:11",
        ),
        (
            client("servers:\n  - fqdn: a1\nassets: [{fqdn: a1}]\n"),
            "is already at",
        ),
        (
            client("assets:\n  - fqdn: a1\n\t  active: True\n"),
            "x.yaml:5:1: ",
        ),
        (
            client("assets:\n  fqdn: a1\n"),
            "x.yaml:4:3: `assets` must be a list, this is a mapping",
        ),
        (
            client("assets:\n  - a1\n"),
            "x.yaml:4:5: `assets` must be a mapping, this is a text",
        ),
        (
            client("assets:\n  - active: True\n"),
            "x.yaml:4:5: `fqdn` is missing here",
        ),
        (
            client("assets:\n  - fqdn: a1\n    active: maybe\n"),
            "x.yaml:5:13: `active` must be True or False",
        ),
        (
            client("assets:\n  - fqdn: a1\n    active: 'False'\n"),
            "x.yaml:5:13: `active` must be True or False",
        ),
        (
            client("assets:\n  - fqdn: a1\n    minion: [pem, pub]\n"),
            "x.yaml:5:13: `minion` must be a mapping, this is a list",
        ),
        (
            client("assets:\n  - fqdn: a1\n    minion: {pub: x}\n"),
            "x.yaml:5:13: `minion` has `pub` but no `pem`",
        ),
        (
            client("assets:\n  - fqdn: a1\n    minion: {pem: x}\n"),
            "x.yaml:5:19: cannot make `pub` from this `minion.pem`",
        ),
        (
            client("assets:\n  - fqdn: a1\n    minion: {pem: '', pub: ''}\n"),
            "x.yaml:5:19: `pem` must be a key as text",
        ),
        (
            client("assets:\n  - fqdn: a1\n    minion: &k\n      note: 1\n  - fqdn: a2\n    minion: *k\n"),
            "x.yaml:6:7: new keys for `minion` would go into what an anchor",
        ),
        (
            client("assets:\n  - &a\n    fqdn: a1\nother: *a\n"),
            "new keys for `minion` would go into what an anchor",
        ),
        (
            client("d: &d {minion: }\nassets:\n  - <<: *d\n    fqdn: a1\n"),
            "new keys for `minion` would go into what an anchor",
        ),
        (
            client("assets:\n  - fqdn: a1\n    minion: !!null\n"),
            "x.yaml:5:19: `minion` must be a mapping",
        ),
        (client("assets:\n  - fqdn: *none\n"), "x.yaml:4:11: "),
        (client("---\nname: Abc\n"), "x.yaml:3:1: a second YAML document"),
        (
            client("include: {files: [none.yaml]}\n"),
            "x.yaml:3:19: `include` names none.yaml, which cannot be read",
        ),
        (
            client("include: {dirs: none}\n"),
            "x.yaml:3:17: `dirs` must be a list",
        ),
        (
            client("include: {files: [x.yaml]}\n"),
            "x.yaml:3:19: x.yaml includes itself",
        ),
        (
            "name: a b\nconfiguration_management: {salt: {}}\n".to_owned(),
            "x.yaml:1:7: no minion id can be made of the name `a b`",
        ),
        (
            "configuration_management: {salt: {}}\n".to_owned(),
            "x.yaml:1:1: `name` is missing",
        ),
        (
            "name: X\nconfiguration_management: {type: puppet}\n".to_owned(),
            "x.yaml:2:34: `type` must be `salt` or `salt-ssh`",
        ),
        (
            "name: X\nconfiguration_management: {type: salt}\n".to_owned(),
            "`salt` is missing here",
        ),
        (
            "- name: X\n".to_owned(),
            "x.yaml:1:1: `the file` must be a mapping, this is a list",
        ),
        ("name: [\n".to_owned(), "x.yaml:"),
        (
            client("assets:\n  - note: |\n      the end"),
            "x.yaml:4:5: `fqdn` is missing",
        ),
        (
            client("assets: [fqdn: a1]\n"),
            "x.yaml:3:10: cannot add `minion` here: it is a single pair in a list",
        ),
    ];
    for (text, expected) in cases {
        let message = refused(&text);
        assert!(message.contains(expected), "{text}\n→ {message}\nnot: {expected}");
        assert!(message.starts_with("error: "), "{message}");
        assert!(
            !message.contains('\u{1b}'),
            "colour without a terminal: {message}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_named() {
    let sandbox = Sandbox::with(&[]);
    let ran = sandbox.run(&["gen", "none.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("none.yaml: cannot read it: "), "{}", ran.err);
    std::fs::write(sandbox.path("latin.yaml"), b"name: \xe9\n").unwrap();
    let ran = sandbox.run(&["gen", "latin.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("latin.yaml:1:7: not UTF-8"), "{}", ran.err);
}

#[test]
fn a_fault_in_one_file_leaves_all_of_them_alone() {
    let good = client("assets:\n  - fqdn: a1\n");
    let bad = client("assets:\n  - fqdn: b1\n    minion: {pub: x}\n");
    let sandbox = Sandbox::with(&[("good.yaml", &good), ("bad.yaml", &bad)]);
    assert_eq!(sandbox.run(&["gen", "good.yaml", "bad.yaml"]).code, 2);
    assert_eq!((sandbox.read("good.yaml"), sandbox.read("bad.yaml")), (good, bad));
}

#[test]
fn a_fault_in_an_included_file_is_placed_there() {
    let sandbox = Sandbox::with(&[
        (
            "x.yaml",
            &client("include: {dirs: [more]}\nassets: [{fqdn: a1}]\n"),
        ),
        ("more/a.yaml", "assets:\n  - fqdn: a1\n"),
    ]);
    let ran = sandbox.run(&["gen", "x.yaml"]);
    assert!(
        ran.err
            .contains("more/a.yaml:2:11: `a1` is already at x.yaml:4:17"),
        "{}",
        ran.err
    );
}

#[test]
fn a_later_file_supersedes_where_the_clients_own_keys_stand() {
    let files = [
        (
            "x.yaml",
            "name: Xyz\nconfiguration_management:\n  salt:\n    version: 3006\ninclude: {files: [b.yaml]}\n",
        ),
        (
            "b.yaml",
            "configuration_management:\n  salt:\n    pki:\n      note: here\n",
        ),
    ];
    let sandbox = Sandbox::with(&files);
    let report = sandbox.report(&["x.yaml"]);
    assert_eq!(made(&report), ["client pki.master_sign", "client pki.pipeline"]);
    assert_eq!(sandbox.read("x.yaml"), files[0].1);
    let after = sandbox.read("b.yaml");
    assert_eq!(undo(&report, "b.yaml", &after), files[1].1);
    assert_kept(&data(files[1].1), &data(&after), "b");
    assert_eq!(assert_pairs_fit(&data(&after)), 2);
}

/// Runs the program in a folder that holds so many bytes, in namespaces of its own, and says what became of the files.
fn on_a_small_disk(sandbox: &Sandbox, bytes: usize, command: &str) -> Ran {
    let script = format!(
        "mkdir disk && mount -t tmpfs -o size={bytes},mode=700 tmpfs disk && cp -p *.yaml disk && cd disk && \
         {{ {command}; code=$?; cmp -s x.yaml ../x.yaml && echo same; ls -A; exit $code; }}"
    );
    let mut unshare = sandbox.command_of("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    unshare.env("PKI_TOOLS", env!("CARGO_BIN_EXE_pki-tools"));
    Ran::of(unshare.output().unwrap())
}

#[test]
fn a_disk_that_is_full_in_mid_write_leaves_the_file_and_nothing_else() {
    let sandbox = Sandbox::with(&[("x.yaml", &client(""))]);
    // A page for the file, one for the beginning of the new one.
    let ran = on_a_small_disk(&sandbox, 8192, "\"$PKI_TOOLS\" gen x.yaml");
    assert_eq!((ran.code, ran.out.as_str()), (2, "same\nx.yaml\n"), "{}", ran.err);
    assert!(
        ran.err
            .contains("x.yaml: cannot write it: No space left on device"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("(already written: none)"), "{}", ran.err);
    let ran = on_a_small_disk(
        &Sandbox::with(&[("x.yaml", &client(""))]),
        1 << 20,
        "\"$PKI_TOOLS\" gen x.yaml",
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
}
