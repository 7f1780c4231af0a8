//! `pki-tools fingerprint`, the real program, against what `salt-key -F` of 3006.25, 3007.13 and 3008.1 printed.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

mod common;

use common::Sandbox;
use serde_json::{Value, json};

/// Golden vectors that real Salt made.
fn vectors(name: &str) -> Value {
    let path = format!(
        "{}/../proto/tests/vectors/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The master and the accepted minions of the recording, and a dispatch identity and hosts that it lacks.
fn client() -> Value {
    let keys = &vectors("keys")["keys"];
    // A master keeps the key of a minion that was accepted by hand without its final line end.
    let minion = |name: &str| {
        let public = keys[name]["public"].as_str().unwrap().trim_end();
        json!({"fqdn": format!("{name}-5fea"), "minion": {"pem": keys[name]["private"], "pub": public}})
    };
    json!({
        "name": "Vec",
        "configuration_management": {"salt": {"masters": [
            {"fqdn": "vec", "pki": {"master": {"pem": keys["master"]["private"], "pub": keys["master"]["public"]}}},
        ]}},
        "assets": [minion("client"), minion("worker"), minion("offline")],
    })
}

fn sandbox(client: &Value) -> Sandbox {
    Sandbox::with(&[("x.yaml", &client.to_string())])
}

fn run(client: &Value, args: &[&str]) -> (i32, String) {
    let ran = sandbox(client).run(&[&["fingerprint", "x.yaml"], args].concat());
    assert!(ran.code < 2, "{}", ran.err);
    (ran.code, ran.out)
}

fn document(client: &Value, args: &[&str]) -> Value {
    let (_, out) = run(client, &[args, &["--out", "json"]].concat());
    serde_json::from_str(&out).unwrap()
}

#[test]
fn each_release_is_printed_as_its_salt_key_printed_it() {
    let client = client();
    let recorded = &vectors("fingerprints")["salt_key_cli"];
    for release in ["3006", "3007", "3008"] {
        let recorded = recorded[release]["sha256"].as_str().unwrap();
        let (known, _) = recorded.split_once("Denied Keys:").unwrap();
        let expected = known.replace("Local Keys:", "Local Keys of vec:");
        assert_eq!(run(&client, &["--salt", release]), (0, expected), "{release}");
    }
    // Without a release: both, under headings that tell which is which.
    let (_, both) = run(&client, &[]);
    let (first, rest) = both.split_once("\n\nsalt-key -F of Salt 3008\n").unwrap();
    let (second, fingers) = rest.split_once("\n\nmaster_finger").unwrap();
    let first = first.strip_prefix("salt-key -F of Salt 3006 and 3007\n").unwrap();
    assert_eq!(format!("{first}\n"), run(&client, &["--salt", "3006"]).1);
    assert_eq!(format!("{second}\n"), run(&client, &["--salt", "3008"]).1);
    let finger = fingers.lines().nth(1).unwrap();
    let body = vectors("fingerprints")["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["key"] == "master")
        .unwrap()["body_lines_only"]["sha256"]
        .clone();
    assert_eq!(finger, format!("vec:  {}", body.as_str().unwrap()));
}

#[test]
fn json_has_both_forms_of_every_key_and_what_goes_into_master_finger() {
    let document = document(&client(), &[]);
    let client = &document["clients"][0];
    assert_eq!(
        (&client["file"], &client["name"]),
        (&json!("x.yaml"), &json!("Vec"))
    );
    let master = &client["masters"][0];
    let local = master["local"].as_array().unwrap();
    let names: Vec<_> = local
        .iter()
        .map(|print| (&print["name"], &print["name_3008"]))
        .collect();
    assert_eq!(
        names,
        [
            (&json!("master.pem"), &json!("vec.pem")),
            (&json!("master.pub"), &json!("vec.pub"))
        ]
    );
    assert_eq!(master["master_finger"], local[1]["body_lines"]);
    let print = &client["accepted"][0];
    let mut keys: Vec<&str> = print.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["body_lines", "key", "name", "name_3008", "owner", "whole_pem"]
    );
}

#[test]
fn a_fingerprint_is_traced_to_its_key_and_form() {
    let client = client();
    let vectors = vectors("fingerprints");
    let of = |name: &str| {
        vectors["keys"]
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["key"] == name)
            .unwrap()
    };
    let cases = [
        (
            "worker",
            "body_lines_only",
            "body_lines",
            "worker-5fea",
            "minion.pub",
        ),
        (
            "worker",
            "whole_pem_stripped",
            "whole_pem",
            "worker-5fea",
            "minion.pub",
        ),
        (
            "worker",
            "whole_pem_with_newline",
            "whole_pem",
            "worker-5fea",
            "minion.pub",
        ),
        ("master", "body_lines_only", "body_lines", "vec", "pki.master.pub"),
        (
            "master",
            "whole_pem_stripped",
            "whole_pem",
            "vec",
            "pki.master.pub",
        ),
    ];
    for (name, kind, form, owner, key) in cases {
        let hex = of(name)[kind]["sha256"].as_str().unwrap();
        for hex in [hex.to_owned(), hex.replace(':', ""), hex.to_uppercase()] {
            let document = document(&client, &["--compare", &hex]);
            let expected =
                json!([{"file": "x.yaml", "owner": owner, "key": key, "active": true, "form": form}]);
            assert_eq!(document["matches"], expected, "{name} {kind}");
        }
    }
    // The private half of the recording, too.
    let recorded = vectors["salt_key_cli"]["3008"]["sha256"].as_str().unwrap();
    let hex = recorded.lines().nth(1).unwrap().rsplit(' ').next().unwrap();
    let (code, out) = run(&client, &["--compare", hex]);
    assert_eq!(
        (code, out.as_str()),
        (
            0,
            "x.yaml: `pki.master.pem` of vec (whole PEM: salt-key -F of 3008)\n"
        )
    );
    let (code, out) = run(
        &client,
        &[
            "--compare",
            of("stranger")["body_lines_only"]["sha256"].as_str().unwrap(),
        ],
    );
    assert_eq!((code, out.as_str()), (1, ""));
}

#[test]
fn what_is_no_sha256_fingerprint_is_a_usage_error_that_names_the_likely_hash() {
    let sandbox = sandbox(&client());
    let cases = [
        ("12", "64 hex digits"),
        (&"ab".repeat(16), "MD5"),
        (&"ab".repeat(64), "SHA-512"),
        (&"zz".repeat(32), "64"),
    ];
    for (text, part) in cases {
        let ran = sandbox.run(&["fingerprint", "x.yaml", "--compare", text]);
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains(part), "{}", ran.err);
    }
}

#[test]
fn only_these_hosts_and_keys_are_printed_and_an_unknown_one_is_an_error() {
    let mut client = client();
    let keys = &vectors("keys")["keys"];
    let pair = |name: &str| json!({"pem": keys[name]["private"], "pub": keys[name]["public"]});
    let mut pipeline = pair("stranger");
    pipeline["id"] = json!("pipeline.vec");
    client["configuration_management"]["salt"]["pki"] =
        json!({"master_sign": pair("master_sign"), "pipeline": pipeline});
    let names = |only: &str| -> Vec<String> {
        let (_, out) = run(&client, &["--salt", "3006", "--only", only]);
        out.lines()
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("client-5fea"), ["Accepted Keys", "client-5fea"]);
    assert_eq!(names("pipeline"), ["Accepted Keys", "pipeline.vec"]);
    assert_eq!(names("pipeline.vec"), names("pipeline"));
    assert_eq!(
        names("master_sign"),
        ["Local Keys of vec", "master_sign.pem", "master_sign.pub"]
    );
    let all = [
        "Local Keys of vec",
        "master.pem",
        "master.pub",
        "master_sign.pem",
        "master_sign.pub",
    ];
    assert_eq!(names("vec"), all);
    let ran = sandbox(&client).run(&["fingerprint", "x.yaml", "--only", "nobody"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("named `nobody`"), "{}", ran.err);
}

#[test]
fn while_a_rotation_is_under_way_the_first_active_master_signs_with_the_old_pair() {
    let mut client = client();
    let keys = &vectors("keys")["keys"];
    let pair = |name: &str| json!({"pem": keys[name]["private"], "pub": keys[name]["public"]});
    let salt = &mut client["configuration_management"]["salt"];
    salt["pki"] = json!({"master_sign": pair("rsa3072"), "master_sign_old": pair("master_sign")});
    let masters = json!([{"fqdn": "m0", "active": false}, {"fqdn": "m1"}, {"fqdn": "m2"}]);
    salt["masters"] = masters;
    let document = document(&client, &["--only", "master_sign"]);
    let masters = document["clients"][0]["masters"].as_array().unwrap();
    let signs: Vec<_> = masters
        .iter()
        .map(|m| (&m["fqdn"], &m["local"][1]["name"], &m["local"][1]["key"]))
        .collect();
    let name = json!("master_sign.pub");
    let expected = [
        (&json!("m1"), &name, &json!("pki.master_sign_old.pub")),
        (&json!("m2"), &name, &json!("pki.master_sign.pub")),
    ];
    assert_eq!(signs, expected);
}

#[test]
fn keys_of_inactive_hosts_are_not_listed_but_traced() {
    let mut client = client();
    client["assets"][0]["active"] = json!(false);
    let (_, out) = run(&client, &["--salt", "3006"]);
    assert!(!out.contains("client-5fea"));
    let vectors = vectors("fingerprints");
    let keys = vectors["keys"].as_array().unwrap();
    let hex = keys[0]["body_lines_only"]["sha256"].as_str().unwrap();
    let (code, out) = run(&client, &["--compare", hex]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("x.yaml: `minion.pub` of client-5fea, which is inactive ("),
        "{out}"
    );
}
