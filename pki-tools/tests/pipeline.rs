//! `pki-tools pipeline`: what is in the `saltfo.yaml`, and which files it takes the place of. `saltfo` reads it in `integration`.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use common::{Ran, Sandbox, data, xyz};
use serde_json::{Value, json};

fn pipeline(sandbox: &Sandbox, more: &[&str]) -> Ran {
    sandbox.run(&[&["pipeline", "xyz.yaml"], more].concat())
}

/// The `saltfo.yaml` of a client's text with this in place of that.
fn edited(from: &str, to: &str) -> (Ran, Value) {
    let sandbox = xyz();
    let text = sandbox.read("xyz.yaml");
    assert!(text.contains(from), "{from} is not there");
    let text = text.replacen(from, to, 1);
    sandbox.write("xyz.yaml", &text);
    (pipeline(&sandbox, &[]), data(&text))
}

#[test]
fn it_has_the_dispatch_identity_the_active_masters_and_nothing_more() {
    let sandbox = xyz();
    let ran = pipeline(&sandbox, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let client = data(&sandbox.read("xyz.yaml"));
    let salt = &client["configuration_management"]["salt"];
    assert_eq!(
        data(&ran.out),
        json!({
            "id": "pipeline.xyz",
            "pki": {
                "minion_pem": salt["pki"]["pipeline"]["pem"],
                "master_sign_pub": salt["pki"]["master_sign"]["pub"],
            },
            "masters": [
                {
                    "name": "salt1.xyz.example",
                    "address": "192.0.2.11",
                    "master_pub": salt["masters"][0]["pki"]["master"]["pub"],
                },
                {
                    "name": "salt2.xyz.example",
                    "address": "192.0.2.12",
                    "master_pub": salt["masters"][1]["pki"]["master"]["pub"],
                },
            ],
        })
    );
    assert!(
        ran.out
            .starts_with("# Written by pki-tools pipeline for the client \"Xyz\"; changes are lost.\nid: ")
    );
    assert_eq!(
        ran.out.matches("PRIVATE KEY-----").count(),
        2,
        "more than one private key is in it"
    );
}

#[test]
fn other_ports_and_missing_addresses_are_as_saltfo_expects_them() {
    let masters = |ran: &Ran| data(&ran.out)["masters"].clone();
    let (ran, _) = edited("external_ports: [4505, 4506]", "external_ports: [14505, 4506]");
    let master = &masters(&ran)[0];
    assert_eq!(
        (&master["publish_port"], &master["master_port"]),
        (&json!(14505), &Value::Null)
    );
    let (ran, _) = edited("external_ports: [4505, 4506]", "external_ports: [4505, 443]");
    let master = &masters(&ran)[0];
    assert_eq!(
        (&master["publish_port"], &master["master_port"]),
        (&Value::Null, &json!(443))
    );
    let (ran, _) = edited("        external_ip: 192.0.2.11", "        #");
    assert_eq!(masters(&ran)[0]["address"], Value::Null);
    let (ran, _) = edited("external_ip: 192.0.2.11", "external_ip: '2001:db8::1'");
    assert_eq!(masters(&ran)[0]["address"], "2001:db8::1");
    let (ran, _) = edited(
        "active: True\n        ip: 10.0.0.11",
        "active: False\n        ip: 10.0.0.11",
    );
    let names: Vec<Value> = masters(&ran)
        .as_array()
        .unwrap()
        .iter()
        .map(|master| master["name"].clone())
        .collect();
    assert_eq!(names, ["salt2.xyz.example"]);
}

#[test]
fn while_master_sign_rotates_the_master_that_still_signs_with_the_old_pair_says_so() {
    let other = Sandbox::with(&[(
        "x.yaml",
        "name: Xyz\nconfiguration_management: {type: salt, salt: {}}\n",
    )]);
    other.report(&["x.yaml"]);
    let old = data(&other.read("x.yaml"))["configuration_management"]["salt"]["pki"]["master_sign"].clone();
    let (ran, client) = edited(
        "      master_sign:\n",
        &format!("      master_sign_old: {old}\n      master_sign:\n"),
    );
    let new = &client["configuration_management"]["salt"]["pki"]["master_sign"]["pub"];
    let made = data(&ran.out);
    assert_eq!(&made["pki"]["master_sign_pub"], new);
    assert_eq!(made["masters"][0]["master_sign_pub"], old["pub"]);
    assert_eq!(made["masters"][1]["master_sign_pub"], Value::Null);
}

#[test]
fn what_is_missing_or_of_no_use_is_named_with_its_place() {
    let refused = |from: &str, to: &str| {
        let (ran, _) = edited(from, to);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""));
        ran.err
    };
    let error = refused("      pipeline:\n", "      another:\n");
    assert!(
        error.contains("client Xyz has no `pki.pipeline` in xyz.yaml; make it with `pki-tools gen`"),
        "{error}"
    );
    let error = refused("      master_sign:\n", "      another:\n");
    assert!(error.contains("client Xyz has no `pki.master_sign`"), "{error}");
    let error = refused("          master:\n", "          another:\n");
    assert!(error.contains("salt1.xyz.example has no `pki.master`"), "{error}");
    let error = refused("external_ip: 192.0.2.11 ", "external_ip: 192.0.2.11/24 ");
    assert!(
        error.contains("xyz.yaml:17:22: \"192.0.2.11/24\" is neither a host name nor an IP address"),
        "{error}"
    );
    let error = refused("id: pipeline.xyz\n", "id: pipe*\n");
    assert!(error.contains("\"pipe*\" is a pattern"), "{error}");
    let error = refused("    masters:\n", "    nobody:\n");
    assert!(error.contains("xyz.yaml: it has no active master"), "{error}");
}

#[test]
fn a_file_of_ours_is_replaced_and_left_alone_if_it_is_right() {
    let sandbox = xyz();
    let path = sandbox.path("saltfo.yaml");
    let ran = pipeline(&sandbox, &["--out", "saltfo.yaml"]);
    assert_eq!(
        ran.out, "saltfo.yaml: pipeline.xyz for salt1.xyz.example, salt2.xyz.example: new\n",
        "{}",
        ran.err
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(sandbox.read("saltfo.yaml"), pipeline(&sandbox, &[]).out);

    let inode = fs::metadata(&path).unwrap().ino();
    assert!(
        pipeline(&sandbox, &["--out", "saltfo.yaml"])
            .out
            .ends_with(": unchanged\n")
    );
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);

    let text = sandbox.read("saltfo.yaml");
    sandbox.write("saltfo.yaml", &text.replacen("192.0.2.11", "192.0.2.99", 1));
    assert!(
        pipeline(&sandbox, &["--out", "saltfo.yaml"])
            .out
            .ends_with(": changed\n")
    );
    assert_eq!(sandbox.read("saltfo.yaml"), text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(
        pipeline(&sandbox, &["--out", "saltfo.yaml"])
            .out
            .ends_with(": closed: others could read it\n")
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn what_is_not_ours_is_not_overwritten_and_the_clients_own_files_never_are() {
    let sandbox = xyz();
    let other = pipeline(&sandbox, &[]).out.replacen("\"Xyz\"", "\"Abc\"", 1);
    for (name, text) in [("by_hand.yaml", "id: mine\n"), ("other.yaml", other.as_str())] {
        sandbox.write(name, text);
        let ran = pipeline(&sandbox, &["--out", name]);
        assert_eq!((ran.code, sandbox.read(name).as_str()), (2, text));
        assert!(
            ran.err.contains(name) && ran.err.contains("--replace"),
            "{}",
            ran.err
        );
        assert_eq!(pipeline(&sandbox, &["--out", name, "--replace"]).code, 0);
        assert!(
            sandbox
                .read(name)
                .starts_with("# Written by pki-tools pipeline for the client \"Xyz\"")
        );
    }
    for name in ["xyz.yaml", "./xyz/more.yaml"] {
        let before = sandbox.read(name);
        let ran = pipeline(&sandbox, &["--out", name, "--replace"]);
        assert_eq!(ran.code, 2);
        assert!(
            ran.err.contains("this is a file of the client itself"),
            "{}",
            ran.err
        );
        assert_eq!(sandbox.read(name), before);
    }
    let ran = pipeline(&sandbox, &["--out", "xyz"]);
    assert!(
        ran.err
            .contains("xyz: there is something that is not a regular file"),
        "{}",
        ran.err
    );
    let ran = pipeline(&sandbox, &["--out", "none/saltfo.yaml"]);
    assert!(
        ran.err
            .contains("none/saltfo.yaml: cannot write it: No such file"),
        "{}",
        ran.err
    );
}

#[test]
fn a_sealed_client_gives_the_same_file_and_nothing_without_the_passphrase() {
    let sandbox = xyz();
    let unsealed = pipeline(&sandbox, &[]).out;
    sandbox.write("passphrase", "open sesame\n");
    let ran = sandbox.run(&["seal", "xyz.yaml", "--passphrase-file", "passphrase"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = pipeline(&sandbox, &["--out", "saltfo.yaml"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(
        ran.err.contains("cannot open `pki.pipeline.pem` of client Xyz"),
        "{}",
        ran.err
    );
    assert!(!sandbox.path("saltfo.yaml").exists());
    assert_eq!(
        pipeline(&sandbox, &["--passphrase-file", "passphrase"]).out,
        unsealed
    );
}
