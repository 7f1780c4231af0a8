//! `pki-tools gen`, the real program, over files as people write them.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use common::{Ran, Sandbox, assert_kept, assert_pairs_fit, data, made, openssl_public, undo};
use pki_tools::client::Client;
use pki_tools::seal::Keyring;

/// One master, one server, in many layouts. Each gets six pairs.
const LAYOUTS: &[(&str, &str)] = &[
    (
        "two spaces",
        "name: Xyz\nconfiguration_management:\n  type: salt\n  salt:\n    masters:\n      - fqdn: m1\n        active: True\nassets:\n  - fqdn: a1\n    active: True\n",
    ),
    (
        "four spaces, lists not indented",
        "name: Xyz\nconfiguration_management:\n    salt:\n        masters:\n        - fqdn: m1\n          active: True\nassets:\n-   fqdn: a1\n    active: True\n    kind: server\n",
    ),
    (
        "crlf",
        "name: Xyz\r\nconfiguration_management:\r\n  salt:\r\n    masters:\r\n      - fqdn: m1 # why\r\n\r\nassets:\r\n  - fqdn: a1\r\n",
    ),
    (
        "crlf without a final newline",
        "name: Xyz\r\nconfiguration_management:\r\n  salt:\r\n    masters:\r\n      - fqdn: m1\r\nassets:\r\n  - fqdn: a1",
    ),
    (
        "flow style",
        "name: Xyz\nconfiguration_management: {type: salt, salt: {masters: [{fqdn: m1, active: True}]}} # why\nassets: [{fqdn: a1, kind: }]\n",
    ),
    (
        "flow style over lines with comments",
        "name: Xyz\nconfiguration_management:\n  salt: {\n    # the masters, here\n    masters: [\n      {fqdn: m1,   # first, only\n       ip: 10.0.0.1,  # addr\n      },\n    ]  # no comma, no key\n  }\nassets: [ { 'fqdn': a1 , pki: null, minion } ]\n",
    ),
    (
        "json",
        "{\"name\": \"Xyz\", \"configuration_management\": {\"salt\": {\"masters\": [{\"fqdn\": \"m1\", \"pki\": {\"minion\": {}}}]}}, \"assets\": [{\"fqdn\": \"a1\", \"minion\": null}]}",
    ),
    (
        "comments everywhere",
        "# head\n\nname: Xyz  # the name\n# above\nconfiguration_management: # cm\n  # in cm\n  salt: # salt\n    # masters\n    masters: # list\n      # m1\n      - fqdn: m1 # fqdn\n        # in m1\n\n            # deep in m1\n      # after m1\n    # after masters\n  # after salt\n# after cm\n\nassets:\n  - fqdn: a1\n        # deeper than the keys will be\n    # in a1\n  # after a1\n# tail\n\n\n",
    ),
    (
        "document markers and a byte order mark",
        "\u{feff}%YAML 1.1\n---\nname: Xyz\nconfiguration_management:\n  salt:\n    masters:\n      - fqdn: m1\nassets:\n  - fqdn: a1\n# end\n...\n",
    ),
    (
        "no final newline",
        "name: Xyz\nassets:\n  - fqdn: a1\nconfiguration_management:\n  salt:\n    masters:\n      - fqdn: m1",
    ),
    (
        "no final newline after a comment",
        "name: Xyz\nassets:\n  - fqdn: a1\nconfiguration_management:\n  salt:\n    masters:\n      - fqdn: m1\n        # tail",
    ),
    (
        "quoted keys",
        "\"name\": 'Xyz'\n'configuration_management':\n  \"salt\":\n    'masters':\n      - 'fqdn': \"m1\"\n        \"pki\": {}\n\"assets\":\n  -\n    \"fqdn\": 'a1'\n    'minion': ~  # none\n",
    ),
    (
        "unicode",
        "name: Österreich-東京\nnote: „naïve“ – ünïcödé 🔑\nconfiguration_management:\n  salt:\n    masters:\n      - fqdn: m1\n        location: Zürich 🏔 # größer\nassets:\n  - {größe: 1, fqdn: a1, ort: 京都}\n",
    ),
    (
        "old name of assets",
        "name: Xyz\nconfiguration_management:\n  salt:\n    masters:\n      - fqdn: m1\nservers:\n  - fqdn: a1\n    active: yes\n",
    ),
    (
        "keys without a value",
        "name: Xyz\nconfiguration_management:\n  salt:\n    pki:   # ours\n    masters:\n      - root_ed25519:\n          priv:\n          pub: ~\n        fqdn: m1\n        pki:\n          # both\n          minion: null   # one\n          master:\n            pem: # private\n            pub: {}\nassets:\n  - minion:\n    fqdn: a1\n",
    ),
    (
        "texts of several lines before the new keys",
        "name: Xyz\nassets:\n  - fqdn: a1\n    note: |+\n      kept\n\n\nconfiguration_management:\n  salt:\n    masters:\n      - fqdn: m1\n        a: >-\n          folded\n          text\n\n        b: plain\n          text\n        c: \"quoted\n\n          text\"\n        d: |\n          literal\n\n   # less deep\n\n",
    ),
    (
        "a text without a line end at the end",
        "name: Xyz\nassets:\n  - fqdn: a1\nconfiguration_management:\n  salt:\n    masters:\n      - fqdn: m1\n        note: |\n          the end",
    ),
    (
        "blanks at line ends",
        "name: Xyz  \nassets:   \n  - fqdn: a1   \n      \n          \nconfiguration_management: \n  salt:  \n    masters: \n      - fqdn: m1  \n                                \n",
    ),
    (
        "anchors that are used elsewhere",
        "name: Xyz\ndefaults: &d {os: bookworm, active: True}\nassets:\n  - <<: *d\n    fqdn: a1\nconfiguration_management:\n  salt: &unused\n    masters:\n      - <<: *d\n        fqdn: m1\n",
    ),
];

#[test]
fn every_layout_keeps_its_bytes_and_data_and_gets_fitting_pairs() {
    for (name, text) in LAYOUTS {
        let sandbox = Sandbox::with(&[("x.yaml", text)]);
        let report = sandbox.report(&["x.yaml"]);
        let after = sandbox.read("x.yaml");
        assert_eq!(
            undo(&report, "x.yaml", &after),
            *text,
            "{name}: other bytes have changed"
        );
        let new = data(&after);
        assert_kept(&data(text), &new, name);
        assert_eq!(assert_pairs_fit(&new), 6, "{name}: {:?}", made(&report));
        if !text.ends_with('\n') {
            assert!(!after.ends_with('\n'), "{name}: got a final newline");
        }
        let bare = after.replace("\r\n", "");
        assert!(
            !text.contains("\r\n") || !bare.contains('\n'),
            "{name}: mixed line ends"
        );

        let again = sandbox.report(&["x.yaml"]);
        assert!(made(&again).is_empty(), "{name}: {:?}", made(&again));
        assert_eq!(sandbox.read("x.yaml"), after, "{name}: a second run changed it");
    }
}

#[test]
fn every_key_is_reported_with_its_line() {
    let (_, text) = LAYOUTS[0];
    let sandbox = Sandbox::with(&[("x.yaml", text)]);
    let report = sandbox.report(&["x.yaml"]);
    let after = sandbox.read("x.yaml");
    let lines: Vec<&str> = after.lines().collect();
    for made in report["made"].as_array().unwrap() {
        let line = usize::try_from(made["line"].as_u64().unwrap()).unwrap();
        let key = made["key"].as_str().unwrap().rsplit('.').next().unwrap();
        assert_eq!(lines[line - 1].trim(), format!("{key}:"));
    }
    let expected = [
        "m1 root_ed25519",
        "m1 pki.minion",
        "m1 pki.master",
        "client pki.master_sign",
        "client pki.pipeline",
        "a1 minion",
    ];
    assert_eq!(made(&report), expected);
}

#[test]
fn the_block_scalars_stand_two_spaces_deeper_than_their_key() {
    let (_, text) = LAYOUTS[1];
    let sandbox = Sandbox::with(&[("x.yaml", text)]);
    sandbox.report(&["x.yaml"]);
    let after = sandbox.read("x.yaml");
    let minion = "    minion:\n      pem: |\n        -----BEGIN RSA PRIVATE KEY-----\n        MII";
    assert!(after.contains(minion), "not where it should be");
    let public = "\n      pub: |\n        -----BEGIN PUBLIC KEY-----\n        MII";
    assert!(after.contains(public), "not where it should be");
}

#[test]
fn new_keys_go_into_the_file_of_their_owner() {
    let files = [
        ("xyz.yaml", include_str!("data/xyz.yaml")),
        ("xyz/more.yaml", include_str!("data/xyz/more.yaml")),
    ];
    let sandbox = Sandbox::with(&files);
    let report = sandbox.report(&["xyz.yaml"]);
    for (name, text) in files {
        let after = sandbox.read(name);
        assert_eq!(undo(&report, name, &after), text);
        assert_kept(&data(text), &data(&after), name);
    }
    assert_eq!(assert_pairs_fit(&data(&sandbox.read("xyz.yaml"))), 10);
    assert_eq!(assert_pairs_fit(&data(&sandbox.read("xyz/more.yaml"))), 2);

    let client = Client::load(&sandbox.path("xyz.yaml")).unwrap();
    assert_eq!(client.name, "Xyz");
    assert_eq!(client.pipeline.as_ref().unwrap().id, "pipeline.xyz");
    assert!(client.master_sign.is_some());
    let masters: Vec<_> = client
        .masters
        .iter()
        .map(|m| (m.fqdn.as_str(), m.external_ports))
        .collect();
    assert_eq!(
        masters,
        [
            ("salt1.xyz.example", Some((4505, 4506))),
            ("salt2.xyz.example", Some((4505, 4506)))
        ]
    );
    assert_eq!(client.masters[0].ip.as_deref(), Some("10.0.0.11"));
    assert!(
        client
            .masters
            .iter()
            .all(|m| m.master.is_some() && m.minion.is_some())
    );
    let minions: Vec<_> = client
        .minions
        .iter()
        .map(|m| (m.fqdn.as_str(), m.minion.is_some()))
        .collect();
    let expected = [
        ("minion01.xyz.example", true),
        ("minion02.xyz.example", true),
        ("old.xyz.example", false),
        ("minion03.xyz.example", true),
        ("minion04.xyz.example", true),
    ];
    assert_eq!(minions, expected);
    assert_eq!(
        openssl_public(
            &client.minions[0]
                .minion
                .as_ref()
                .unwrap()
                .pem
                .open(&Keyring::none())
                .unwrap()
        ),
        client.minions[0].minion.as_ref().unwrap().pub_.trim_end()
    );
}

#[test]
fn inactive_hosts_services_and_salt_ssh_clients_get_nothing() {
    let sandbox = Sandbox::with(&[
        (
            "x.yaml",
            "name: Xyz\nconfiguration_management:\n  salt:\n    masters:\n      - {fqdn: m1, active: False}\nassets:\n  - {fqdn: a1, active: no}\n  - {fqdn: s1, kind: service}\n",
        ),
        (
            "ssh.yaml",
            "name: S\nconfiguration_management: {type: salt-ssh}\nassets: [{fqdn: b1}]\n",
        ),
        ("none.yaml", "name: N\nassets: [{fqdn: c1}]\n"),
    ]);
    let before = (sandbox.read("ssh.yaml"), sandbox.read("none.yaml"));
    let report = sandbox.report(&["x.yaml", "ssh.yaml", "none.yaml"]);
    assert_eq!(made(&report), ["client pki.master_sign", "client pki.pipeline"]);
    assert_eq!((sandbox.read("ssh.yaml"), sandbox.read("none.yaml")), before);
    let ran = sandbox.run(&["gen", "ssh.yaml"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (
            0,
            "ssh.yaml: nothing to do: its type is salt-ssh, which has no keys here\n"
        )
    );
    let again = sandbox.run(&["gen", "x.yaml"]);
    assert_eq!(
        (again.code, again.out.as_str()),
        (0, "nothing to do: every key is there\n")
    );
}

/// A client without anything but one server.
fn server(minion: &str) -> String {
    format!(
        "name: Xyz\nconfiguration_management: {{type: salt, salt: {{}}}}\nassets:\n  - fqdn: a1\n{minion}"
    )
}

fn indented(text: &str, by: usize) -> String {
    text.lines()
        .map(|line| format!("{}{line}\n", " ".repeat(by)))
        .collect()
}

fn pkcs8() -> String {
    let output = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .unwrap();
    let pem = String::from_utf8(output.stdout).unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    pem
}

#[test]
fn a_public_half_that_is_missing_is_made_from_the_private_one() {
    let pem = pkcs8();
    for end in ["", "      pub:   # to come\n", "      pub: null\n"] {
        let text = server(&format!("    minion:\n      pem: |\n{}{end}", indented(&pem, 8)));
        let sandbox = Sandbox::with(&[("x.yaml", &text)]);
        let report = sandbox.report(&["--only", "a1", "x.yaml"]);
        assert_eq!(report["made"][0]["what"], "rsa_public");
        let after = sandbox.read("x.yaml");
        assert_eq!(undo(&report, "x.yaml", &after), text);
        let minion = &data(&after)["assets"][0]["minion"];
        assert_eq!(minion["pem"].as_str().unwrap(), pem);
        assert_eq!(minion["pub"].as_str().unwrap().trim_end(), openssl_public(&pem));
    }
}

#[test]
fn an_openssh_public_half_is_made_from_the_private_one_with_its_comment() {
    let sandbox = Sandbox::with(&[]);
    let made_key = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "root@elsewhere", "-f"])
        .arg(sandbox.path("id"))
        .status()
        .unwrap();
    assert!(made_key.success());
    let private = indented(&sandbox.read("id"), 12);
    let text = format!(
        "name: Xyz\nconfiguration_management:\n  salt:\n    masters:\n      - fqdn: m1\n        root_ed25519:\n          priv: |\n{private}"
    );
    sandbox.write("x.yaml", &text);
    let report = sandbox.report(&["--only", "m1", "x.yaml"]);
    assert_eq!(report["made"][0]["what"], "ssh_public");
    let after = sandbox.read("x.yaml");
    assert_eq!(undo(&report, "x.yaml", &after), text);
    let master = &data(&after)["configuration_management"]["salt"]["masters"][0];
    assert_eq!(
        master["root_ed25519"]["pub"].as_str().unwrap(),
        sandbox.read("id.pub")
    );
}

#[test]
fn a_private_text_at_the_end_without_a_line_end_stays_as_it_is() {
    let pem = pkcs8();
    let text = server(&format!(
        "    minion:\n      pem: |\n{}",
        indented(&pem, 8).trim_end()
    ));
    let sandbox = Sandbox::with(&[("x.yaml", &text)]);
    let report = sandbox.report(&["--only", "a1", "x.yaml"]);
    let after = sandbox.read("x.yaml");
    assert_eq!(undo(&report, "x.yaml", &after), text);
    assert!(after.ends_with("-----END PRIVATE KEY-----"));
    assert_pairs_fit(&data(&after));
}

#[test]
fn only_restricts_it_and_refuses_what_no_file_has() {
    let (_, text) = LAYOUTS[0];
    let sandbox = Sandbox::with(&[("x.yaml", text)]);
    assert_eq!(made(&sandbox.report(&["--only", "a1", "x.yaml"])), ["a1 minion"]);
    assert_eq!(
        made(&sandbox.report(&["--only", "pipeline.xyz", "x.yaml"])),
        ["client pki.pipeline"]
    );
    let report = sandbox.report(&["--only", "master_sign", "--only", "m1", "x.yaml"]);
    assert_eq!(made(&report).len(), 4);
    assert!(made(&sandbox.report(&["x.yaml"])).is_empty());
    let before = sandbox.read("x.yaml");
    let ran = sandbox.run(&["gen", "--only", "nobody", "x.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err
            .contains("no file has a master, server or key named `nobody`"),
        "{}",
        ran.err
    );
    assert_eq!(sandbox.read("x.yaml"), before);
}

#[test]
fn a_dry_run_names_the_same_lines_and_writes_nothing() {
    let (_, text) = LAYOUTS[7];
    let sandbox = Sandbox::with(&[("x.yaml", text)]);
    let planned = sandbox.report(&["--dry-run", "x.yaml"]);
    assert_eq!(sandbox.read("x.yaml"), text);
    let done = sandbox.report(&["x.yaml"]);
    assert_eq!(planned["made"], done["made"]);
}

#[test]
fn the_size_is_the_one_asked_for() {
    let sandbox = Sandbox::with(&[("x.yaml", &server(""))]);
    let report = sandbox.report(&["--bits", "3072", "--jobs", "1", "--only", "a1", "x.yaml"]);
    assert_eq!(report["made"][0]["bits"], 3072);
    let new = data(&sandbox.read("x.yaml"));
    let pem = new["assets"][0]["minion"]["pem"].as_str().unwrap();
    let key = proto::crypto::PrivateKey::from_pem(pem).unwrap();
    assert_eq!(key.public_key().bits(), 3072);
    assert_eq!(sandbox.run(&["gen", "--bits", "1024", "x.yaml"]).code, 2);
}

#[test]
fn mode_stays_links_stay_links_and_nothing_is_left_behind() {
    let (_, text) = LAYOUTS[0];
    let sandbox = Sandbox::with(&[("real/x.yaml", text)]);
    let (real, link) = (sandbox.path("real/x.yaml"), sandbox.path("x.yaml"));
    fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("real/x.yaml", &link).unwrap();
    let ran = sandbox.run(&["gen", "--only", "a1", "x.yaml"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(
        fs::read_to_string(&real)
            .unwrap()
            .contains("BEGIN RSA PRIVATE KEY")
    );
    assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(sandbox.path("real")).unwrap().count(), 1);

    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    let ran = sandbox.run(&["gen", "x.yaml"]);
    assert_eq!(ran.code, 0);
    assert!(
        ran.err
            .contains("warning: x.yaml: others than its owner can read"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("chmod 600 x.yaml"), "{}", ran.err);
    assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o640);
}

#[test]
fn a_file_that_everybody_can_read_gets_no_keys() {
    let (_, text) = LAYOUTS[0];
    let sandbox = Sandbox::with(&[("x.yaml", text)]);
    for (mode, can) in [(0o644, "read"), (0o602, "change")] {
        fs::set_permissions(sandbox.path("x.yaml"), fs::Permissions::from_mode(mode)).unwrap();
        let ran = sandbox.run(&["gen", "x.yaml"]);
        assert_eq!(ran.code, 2);
        let said =
            format!("x.yaml: everybody can {can} the private keys in it (mode {mode:04o}); chmod 600 it");
        assert!(ran.err.contains(&said), "{}", ran.err);
        assert_eq!(sandbox.read("x.yaml"), text);
    }
    let ran = sandbox.run(&["gen", "--insecure-permissions", "x.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn runs_at_once_are_refused_or_keep_each_others_keys() {
    let hosts: Vec<String> = (0..8).map(|n| format!("a{n}")).collect();
    let list: String = hosts.iter().map(|host| format!("  - fqdn: {host}\n")).collect();
    let text = format!("name: Xyz\nconfiguration_management: {{salt: {{}}}}\nassets:\n{list}");
    let sandbox = Sandbox::with(&[("x.yaml", &text)]);
    let children: Vec<_> = hosts
        .iter()
        .map(|host| {
            let mut command = sandbox.command(&["gen", "--only", host, "x.yaml"]);
            command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let mut done = 0;
    for child in children {
        let ran = Ran::of(child.wait_with_output().unwrap());
        if ran.code == 0 {
            assert!(ran.out.contains("made 1 key in 1 file"), "{}", ran.out);
            done += 1;
        } else {
            assert_eq!(ran.code, 2);
            assert!(
                ran.err.contains("x.yaml: another pki-tools is working on it"),
                "{}",
                ran.err
            );
        }
    }
    assert!(done > 0);
    let after = data(&sandbox.read("x.yaml"));
    assert_eq!(assert_pairs_fit(&after), done);
}

#[test]
fn clients_that_share_a_file_get_its_keys_once() {
    let top = "name: NAME\nconfiguration_management: {salt: {}}\ninclude: {files: [shared.yaml]}\n";
    let sandbox = Sandbox::with(&[
        ("a.yaml", &top.replace("NAME", "A")),
        ("b.yaml", &top.replace("NAME", "B")),
        ("shared.yaml", "assets:\n  - fqdn: s1\n"),
    ]);
    let report = sandbox.report(&["a.yaml", "b.yaml", "./a.yaml"]);
    let shared = made(&report).iter().filter(|key| *key == "s1 minion").count();
    assert_eq!((shared, made(&report).len()), (1, 5));
}

#[test]
fn packagers_get_completions_and_a_manual() {
    let sandbox = Sandbox::with(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let ran = sandbox.run(&["completions", shell]);
        assert!(ran.code == 0 && ran.out.contains("dry-run"), "{shell}");
    }
    let ran = sandbox.run(&["man"]);
    assert!(ran.code == 0 && ran.out.contains(".TH"));
    let help = sandbox.run(&["gen", "--help"]);
    assert!(help.out.contains("Examples:"), "{}", help.out);
    assert_eq!(sandbox.run(&["gen"]).code, 2);
}
