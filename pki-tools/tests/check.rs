//! `pki-tools check`, the real program: each fault is found, all of them in one run.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::OnceLock;

use common::{Ran, Sandbox, data};
use serde_json::{Value, json};

const A1: &str = "a1.xyz.example";
const A2: &str = "a2.xyz.example";
const M1: &str = "m1.xyz.example";

/// A client with all its keys; made once, changed by each test.
fn client() -> Value {
    static CLIENT: OnceLock<Value> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        let bare = json!({
            "name": "Xyz",
            "configuration_management": {"type": "salt", "salt": {"masters": [
                {"fqdn": M1, "active": true}, {"fqdn": "m2.xyz.example"},
            ]}},
            "assets": [
                {"fqdn": A1, "active": true}, {"fqdn": A2},
                {"fqdn": "old.xyz.example", "active": false},
                {"fqdn": "www.xyz.example", "kind": "service"},
            ],
        });
        let sandbox = Sandbox::with(&[("x.yaml", &bare.to_string())]);
        sandbox.report(&["x.yaml"]);
        data(&sandbox.read("x.yaml"))
    });
    made.clone()
}

/// One RSA pair more, as `{pem, pub}`.
fn other_pair() -> Value {
    static PAIR: OnceLock<Value> = OnceLock::new();
    let pair = PAIR.get_or_init(|| {
        let bare = "{name: Other, configuration_management: {salt: {masters: []}}, assets: [{fqdn: o1}]}";
        let sandbox = Sandbox::with(&[("x.yaml", bare)]);
        sandbox.report(&["--only", "o1", "x.yaml"]);
        data(&sandbox.read("x.yaml"))["assets"][0]["minion"].clone()
    });
    pair.clone()
}

fn check(sandbox: &Sandbox, args: &[&str]) -> (i32, Value) {
    let mut all = vec!["check", "--out", "json"];
    all.extend(args);
    let ran = sandbox.run(&all);
    let report = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err));
    (ran.code, report)
}

/// What is found in a client, each as `severity code owner key`.
fn found(client: &Value) -> Vec<String> {
    let text = serde_json::to_string_pretty(client).unwrap();
    let sandbox = Sandbox::with(&[("x.yaml", &text)]);
    let (code, report) = check(&sandbox, &["x.yaml"]);
    let faults = report["faults"].as_u64().unwrap();
    assert_eq!(code, i32::from(faults > 0), "{report:#}");
    names(&report)
}

fn names(report: &Value) -> Vec<String> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or("-").to_owned();
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|f| {
            ["severity", "code", "owner", "key"]
                .map(|key| text(f, key))
                .join(" ")
        })
        .collect()
}

#[test]
fn a_client_as_gen_leaves_it_has_no_fault() {
    let sandbox = Sandbox::with(&[("x.yaml", &client().to_string())]);
    let Ran { code, out, err } = sandbox.run(&["check", "x.yaml"]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert_eq!(err, "checked 10 pairs in 1 file: nothing is wrong\n");
    let (code, report) = check(&sandbox, &["x.yaml"]);
    let expected = json!({"faults": 0, "warnings": 0, "files": 1, "keys": 10, "findings": []});
    assert_eq!((code, report), (0, expected));
}

#[test]
fn a_fault_is_one_line_with_its_place_and_has_a_fixed_shape_in_json() {
    let text = "name: Xyz\nconfiguration_management:\n  salt:\n    masters: []\nassets:\n  - fqdn: a1\n    \
                active: False\n    minion:\n      pem: no key\n";
    let sandbox = Sandbox::with(&[("x.yaml", text)]);
    let Ran { code, out, .. } = sandbox.run(&["check", "x.yaml"]);
    assert_eq!(code, 1);
    let line = out.lines().find(|line| line.starts_with("x.yaml:9: ")).unwrap();
    assert_eq!(
        line,
        "x.yaml:9: a1: warning: `minion.pem` is no key: there is no `-----BEGIN …-----` in it; restore it from the \
         host that has it, or remove both halves and run `pki-tools gen` for a new pair"
    );
    let (_, report) = check(&sandbox, &["x.yaml"]);
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["line"] == 9).unwrap();
    let mut keys: Vec<&str> = finding.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let shape = [
        "code", "column", "file", "key", "line", "message", "owner", "remedy", "severity",
    ];
    assert_eq!(keys, shape);
    assert_eq!(
        (&finding["code"], &finding["column"]),
        (&json!("bad_key"), &json!(7))
    );
}

#[test]
fn each_fault_of_a_pair_is_found_and_nothing_else() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change, &[&str])] = &[
        (
            "the halves of two minions mixed up",
            |c| c["assets"][0]["minion"]["pub"] = c["assets"][1]["minion"]["pub"].clone(),
            &["fault halves_differ a1.xyz.example minion.pub"],
        ),
        (
            "one pair for two hosts",
            |c| {
                c["assets"][1]["minion"] =
                    c["configuration_management"]["salt"]["masters"][0]["pki"]["minion"].clone();
            },
            &["fault key_used_twice a2.xyz.example minion"],
        ),
        (
            "one root key for two masters",
            |c| {
                let masters = &mut c["configuration_management"]["salt"]["masters"];
                masters[1]["root_ed25519"] = masters[0]["root_ed25519"].clone();
            },
            &["fault key_used_twice m2.xyz.example root_ed25519"],
        ),
        (
            "no private half",
            |c| drop(c["assets"][0]["minion"].as_object_mut().unwrap().remove("pem")),
            &["fault missing_private a1.xyz.example minion"],
        ),
        (
            "no public half",
            |c| c["assets"][0]["minion"]["pub"] = json!(null),
            &["fault missing_public a1.xyz.example minion"],
        ),
        (
            "no pair",
            |c| drop(c["assets"][0].as_object_mut().unwrap().remove("minion")),
            &["fault missing_key a1.xyz.example minion"],
        ),
        (
            "an empty pair",
            |c| c["assets"][0]["minion"] = json!({"pem": {}, "pub": ""}),
            &["fault missing_key a1.xyz.example minion"],
        ),
        (
            "no pair of the client",
            |c| c["configuration_management"]["salt"]["pki"] = json!({"master_sign": other_pair()}),
            &["fault missing_key client Xyz pki.pipeline"],
        ),
        (
            "no id",
            |c| {
                drop(
                    c["configuration_management"]["salt"]["pki"]["pipeline"]
                        .as_object_mut()
                        .unwrap()
                        .remove("id"),
                );
            },
            &["fault missing_id client Xyz pki.pipeline.id"],
        ),
        (
            "halves swapped",
            |c| {
                let minion = &mut c["assets"][0]["minion"];
                *minion = json!({"pem": minion["pub"], "pub": minion["pem"]});
            },
            &[
                "fault bad_key a1.xyz.example minion.pem",
                "fault private_in_public a1.xyz.example minion.pub",
            ],
        ),
        (
            "cut off",
            |c| {
                let pem = c["assets"][0]["minion"]["pem"].as_str().unwrap();
                c["assets"][0]["minion"]["pem"] = json!(pem.get(..pem.len() / 2));
            },
            &["fault bad_key a1.xyz.example minion.pem"],
        ),
        (
            "an RSA key for root",
            |c| {
                c["configuration_management"]["salt"]["masters"][0]["root_ed25519"]["priv"] =
                    other_pair()["pem"].clone();
            },
            &["fault bad_key m1.xyz.example root_ed25519.priv"],
        ),
        (
            "no line end after an OpenSSH key",
            |c| {
                let private =
                    &mut c["configuration_management"]["salt"]["masters"][0]["root_ed25519"]["priv"];
                *private = json!(private.as_str().unwrap().trim_end());
            },
            &["warning unusual_form m1.xyz.example root_ed25519.priv"],
        ),
        (
            "keys of an inactive host",
            |c| c["assets"][2]["minion"] = other_pair(),
            &[],
        ),
        (
            "an inactive host's pair without its private half",
            |c| c["assets"][2]["minion"] = json!({"pub": other_pair()["pub"]}),
            &[],
        ),
        (
            "an inactive host's pair that does not match",
            |c| {
                let public = c["assets"][2]["minion"]["pub"].take();
                assert!(public.is_null());
                c["assets"][2]["minion"] = other_pair();
                c["assets"][2]["minion"]["pub"] = c["assets"][0]["minion"]["pub"].clone();
            },
            &["warning halves_differ old.xyz.example minion.pub"],
        ),
        (
            "an inactive host with an active one's key",
            |c| c["assets"][2]["minion"] = c["assets"][0]["minion"].clone(),
            &["fault key_used_twice old.xyz.example minion"],
        ),
    ];
    for (what, change, expected) in cases {
        let mut client = client();
        change(&mut client);
        assert_eq!(found(&client), *expected, "{what}");
    }
}

#[test]
fn a_mixed_up_public_half_is_traced_to_its_owner() {
    let mut client = client();
    client["assets"][0]["minion"]["pub"] = client["assets"][1]["minion"]["pub"].clone();
    let text = serde_json::to_string_pretty(&client).unwrap();
    let sandbox = Sandbox::with(&[("x.yaml", &text)]);
    let (_, report) = check(&sandbox, &["x.yaml"]);
    let message = report["findings"][0]["message"].as_str().unwrap();
    let line = 1 + text.lines().position(|line| line.contains(A2)).unwrap();
    let at = text
        .lines()
        .skip(line)
        .position(|line| line.contains("\"pem\""))
        .unwrap()
        + line
        + 1;
    let expected =
        format!("`minion.pub` is not the public half of `pem`, but that of `minion` of {A2} at x.yaml:{at}");
    assert_eq!(message, expected);
}

#[test]
fn a_key_that_two_clients_have_is_found_and_a_file_that_both_include_is_no_second_one() {
    let keys = client();
    let minion = &keys["assets"][0]["minion"];
    let shared = json!({"assets": [{"fqdn": "shared.example", "minion": other_pair()}]});
    let one = json!({"name": "One", "include": {"files": ["shared.yaml"]}, "assets": [{"fqdn": "a1", "minion": minion}]});
    let two = json!({"name": "Two", "include": {"files": ["shared.yaml"]}, "assets": [{"fqdn": "b1", "minion": minion}]});
    let files = [
        ("one.yaml", one.to_string()),
        ("two.yaml", two.to_string()),
        ("shared.yaml", shared.to_string()),
    ];
    let sandbox = Sandbox::with(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    let (code, report) = check(&sandbox, &["one.yaml", "two.yaml"]);
    let faults: Vec<String> = names(&report)
        .into_iter()
        .filter(|name| name.starts_with("fault"))
        .collect();
    assert_eq!(
        (code, faults),
        (1, vec!["fault key_used_twice b1 minion".to_owned()])
    );
    let finding = &report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["severity"] == "fault")
        .unwrap();
    assert_eq!(finding["file"], "two.yaml");
    assert!(
        finding["message"]
            .as_str()
            .unwrap()
            .ends_with("of a1 at one.yaml:1")
    );
    // Each file for itself is fine.
    for file in ["one.yaml", "two.yaml"] {
        assert_eq!(check(&sandbox, &[file]).0, 0);
    }
    // The same file twice is one client.
    assert_eq!(check(&sandbox, &["one.yaml", "./one.yaml"]).0, 0);
}

#[test]
fn a_pair_that_an_alias_repeats_is_used_twice() {
    let pair = other_pair();
    let text = format!("assets:\n  - {{fqdn: a1, minion: &k {pair}}}\n  - fqdn: a2\n    minion: *k\n");
    let sandbox = Sandbox::with(&[("x.yaml", &text)]);
    let (_, report) = check(&sandbox, &["x.yaml"]);
    let finding = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["severity"] == "fault")
        .unwrap();
    assert_eq!((&finding["owner"], &finding["line"]), (&json!("a2"), &json!(4)));
    assert!(
        finding["message"]
            .as_str()
            .unwrap()
            .ends_with("of a1 at x.yaml:2")
    );
}

#[test]
fn all_faults_are_found_in_one_run_as_far_as_files_can_be_read() {
    let pem = other_pair()["pem"].to_string();
    let top = format!(
        "name: Xyz\nname: Abc\ninclude: {{files: [gone.yaml, broken.yaml, part.yaml, x.yaml], dirs: nowhere}}\n\
         configuration_management:\n  type: salt\n  salt:\n    masters:\n      - fqdn: m1\n        active: 'True'\n      \
         - active: True\n      - m3\nassets:\n  - fqdn: m1\n  - fqdn: ../etc\n    minion: [pem]\n  - fqdn: a2\n    \
         minion: {{pem: {pem}, pub: {{a: b}}}}\n"
    );
    let sandbox = Sandbox::with(&[
        ("x.yaml", &top),
        ("broken.yaml", "assets: [\n"),
        ("part.yaml", "servers:\n  - fqdn: p1\n    minion: {pub: x}\n"),
    ]);
    let (code, report) = check(&sandbox, &["x.yaml"]);
    assert_eq!(code, 1);
    let findings = report["findings"].as_array().unwrap();
    let places: Vec<String> = findings
        .iter()
        .map(|f| {
            format!(
                "{}:{} {}",
                f["file"].as_str().unwrap(),
                f["line"],
                f["code"].as_str().unwrap()
            )
        })
        .collect();
    for expected in [
        "x.yaml:2 duplicate_key",
        "x.yaml:3 include",
        "x.yaml:3 wrong_kind",
        "x.yaml:9 wrong_kind",
        "x.yaml:10 missing_value",
        "x.yaml:11 wrong_kind",
        "x.yaml:13 duplicate_fqdn",
        "x.yaml:14 bad_id",
        "x.yaml:15 wrong_kind",
        "x.yaml:17 wrong_kind",
        "x.yaml:8 missing_key",
        "broken.yaml:1 syntax",
        "part.yaml:1 old_name",
        "part.yaml:3 missing_private",
        "part.yaml:3 bad_key",
    ] {
        assert!(
            places.iter().any(|place| place == expected),
            "{expected} not in {places:#?}"
        );
    }
    // Of a client of which a part is missing, nothing is said to be missing that may be there.
    assert!(
        !places.iter().any(|place| place.contains("masters")),
        "{places:#?}"
    );
}

#[test]
fn files_that_others_can_read_or_change_are_found_by_their_mode() {
    let sandbox = Sandbox::with(&[("x.yaml", &client().to_string())]);
    let cases = [
        (0o600, 0, ""),
        (0o640, 0, "warning permissions - -"),
        (0o644, 1, "fault permissions - -"),
        (0o602, 1, "fault permissions - -"),
    ];
    for (mode, code, expected) in cases {
        fs::set_permissions(sandbox.path("x.yaml"), fs::Permissions::from_mode(mode)).unwrap();
        let (got, report) = check(&sandbox, &["x.yaml"]);
        assert_eq!(
            (got, names(&report).join("\n").as_str()),
            (code, expected),
            "{mode:o}"
        );
        let (got, report) = check(&sandbox, &["--insecure-permissions", "x.yaml"]);
        assert_eq!((got, names(&report)), (0, Vec::new()), "{mode:o}");
    }
    // Without private keys there is nothing to hide.
    let sandbox = Sandbox::with(&[("x.yaml", "name: X\n")]);
    fs::set_permissions(sandbox.path("x.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(check(&sandbox, &["x.yaml"]).0, 0);
}

#[test]
fn a_file_that_is_not_there_is_a_usage_error_and_a_broken_one_a_fault() {
    let sandbox = Sandbox::with(&[("x.yaml", "name: [\n")]);
    let ran = sandbox.run(&["check", "x.yaml", "none.yaml"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(
        ran.err.starts_with("error: none.yaml: cannot read it: "),
        "{}",
        ran.err
    );
    let ran = sandbox.run(&["check", "x.yaml"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.starts_with("x.yaml:1: fault: this is no YAML: "),
        "{}",
        ran.out
    );
}

#[test]
fn a_name_cannot_make_a_second_line_or_speak_to_the_terminal() {
    let text = "assets:\n  - fqdn: \"a\\nx.yaml:1: fault\\e[31m\"\n    minion: {pem: x}\n";
    let sandbox = Sandbox::with(&[("x.yaml", text)]);
    let ran = sandbox.run(&["check", "x.yaml"]);
    assert!(
        ran.out
            .lines()
            .all(|line| line.starts_with("x.yaml:2") || line.starts_with("x.yaml:3")),
        "{}",
        ran.out
    );
    assert!(!ran.out.contains('\u{1b}'));
    assert!(ran.out.contains("a\\nx.yaml:1: fault\\u{1b}[31m"), "{}", ran.out);
}

#[test]
fn nothing_is_written() {
    let sandbox = Sandbox::with(&[("x.yaml", "name: Xyz\nassets: [{fqdn: a1}]\n")]);
    sandbox.run(&["check", "x.yaml"]);
    assert_eq!(sandbox.read("x.yaml"), "name: Xyz\nassets: [{fqdn: a1}]\n");
    assert_eq!(fs::read_dir(sandbox.path(".")).unwrap().count(), 1);
}
