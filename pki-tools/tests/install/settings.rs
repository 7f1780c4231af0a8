//! What `saltfo.conf` says, and what other settings do to it.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;

use serde_json::Value;

use crate::common::data;
use crate::host::{Host, KEYS, PKI, is_root, warnings, with_action};

#[test]
fn other_settings_that_are_in_the_way_are_named() {
    let host = Host::new();
    host.put(
        "etc/salt/master",
        "user: root\npeer: {x: [y]}\npki_dir: /srv/pki\ninclude: more.conf\n",
    );
    host.put("etc/salt/master.d/a.conf", "peer_run: {x: [y]}\n");
    host.put(
        "etc/salt/master.d/z.conf",
        "master_sign_pubkey: False\nmaster_sign_key_name: other\n",
    );
    host.put("etc/salt/master.d/broken.conf", "a: [\n");
    let text = warnings(&host.master());
    for part in [
        "root/etc/salt/master: its `peer` does not count any more, because root/etc/salt/master.d/saltfo.conf has one",
        "root/etc/salt/master.d/a.conf: has a `peer_run`, too; Salt adds the two up",
        "root/etc/salt/master.d/z.conf: its `master_sign_pubkey` wins",
        "its `master_sign_key_name` is other",
        "its `pki_dir` is /srv/pki, so Salt does not look into root/etc/salt/pki/master",
        "root/etc/salt/master: what its `include` names is read last",
        "broken.conf: was not looked at",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let host = Host::new();
    host.put("etc/salt/minion.d/a.conf", "master: [a, b]\n");
    host.put(
        "etc/salt/minion",
        "pki_dir: /etc/salt/pki/minion/\nmaster: salt\n",
    );
    let report = host.report(&["minion02"]);
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1, "{report}");
    assert!(
        warnings(&report).contains("a.conf: has a `master`, too"),
        "{report}"
    );
}

#[test]
fn what_belongs_to_others_beside_the_keys_is_counted() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    host.put(&format!("{PKI}/minions_pre/waiting"), "key");
    host.put(&format!("{PKI}/minions/gone"), "pruned");
    let args = [
        "salt1.xyz.example",
        "--role",
        "master",
        "--prune",
        "--user",
        "450:451",
    ];
    let report = host.report(&args);
    assert!(
        warnings(&report).contains("master: 2 more there belong to others than user 450"),
        "{report}"
    );
    assert_eq!(
        host.master()["warnings"].as_array().unwrap().len(),
        1,
        "root may read everything"
    );
}

#[test]
fn a_master_that_runs_as_another_user_is_noticed() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    host.put("etc/passwd", "salt:x:450:451::/:/bin/false\n");
    host.put("etc/salt/master", "user: salt\n");
    assert!(warnings(&host.master()).contains("run this again with --user salt"));
    let report = host.report(&["salt1.xyz.example", "--role", "master", "--user", "salt"]);
    assert_eq!(report["warnings"], serde_json::json!([]));
}

#[test]
fn a_folder_that_the_user_cannot_look_into_is_named() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(host.path("etc/salt/pki"))
        .unwrap();
    let report = host.report(&["minion02", "--user", "450:451"]);
    assert!(
        warnings(&report).contains("chmod 755 root/etc/salt/pki"),
        "{report}"
    );
}

#[test]
fn the_dispatch_identity_may_call_what_is_allowed_and_nothing_like_it() {
    let host = Host::new();
    host.master();
    let config = data(&host.read("etc/salt/master.d/saltfo.conf"));
    assert_eq!(config["master_sign_pubkey"], true);
    assert_eq!(
        config["peer_run"],
        serde_json::json!({ r"^pipeline\.xyz$": [r"jobs\.list_jobs?$"] })
    );
    let allowed = config["peer"][r"^pipeline\.xyz$"].as_array().unwrap();
    for pattern in [r"test\.ping$", r"state\..*$", r"saltutil\.find_job$"] {
        assert!(allowed.contains(&pattern.into()), "{pattern}");
    }
    assert!(!config.to_string().contains("cmd"), "{config}");

    let args = [
        "salt1.xyz.example",
        "--role",
        "master",
        "--peer-allow",
        "test.*,cmd.run",
    ];
    let report = host.report(&args);
    assert_eq!(
        with_action(&report, "replaced"),
        ["etc/salt/master.d/saltfo.conf"]
    );
    let config = data(&host.read("etc/salt/master.d/saltfo.conf"));
    assert_eq!(
        config["peer"],
        serde_json::json!({ r"^pipeline\.xyz$": [r"test\..*$", r"cmd\.run$"] })
    );
    for wrong in ["test", "test.ping$", "a.b.c", "*", "test.ping;", ""] {
        let ran = host.install(&["salt1.xyz.example", "--role", "master", "--peer-allow", wrong]);
        assert_eq!(ran.code, 2, "{wrong}");
    }
}

#[test]
fn masters_are_written_as_a_minion_finds_them() {
    let masters = |change: &dyn Fn(&str) -> String| {
        let host = Host::with(&change(&KEYS));
        let report = host.report(&["minion02"]);
        (
            data(&host.read("etc/salt/minion.d/saltfo.conf")),
            warnings(&report),
        )
    };
    let (config, _) = masters(&|text| {
        text.replace(
            "external_ip: 192.0.2.11\n        external_ports: [4505, 4506]",
            "external_ports: [4505, 4606]",
        )
        .replace("external_ip: 192.0.2.12", "external_ip: 2001:db8::12")
    });
    assert_eq!(
        config["master"],
        serde_json::json!(["salt1.xyz.example:4606", "2001:db8::12"])
    );
    assert_eq!(config["publish_port"], Value::Null);
    let (config, warnings) = masters(&|text| {
        text.replace("[4505, 4506]", "[4605, 4606]").replace(
            "external_ip: 192.0.2.12",
            "external_ip: 2001:db8::12\n        external_ports: [4605, 4607]",
        )
    });
    assert_eq!(
        config["master"],
        serde_json::json!(["192.0.2.11:4606", "[2001:db8::12]:4607"])
    );
    assert_eq!((&config["publish_port"], warnings.as_str()), (&4605.into(), ""));
    let (config, warnings) = masters(&|text| text.replace("[4505, 4506]", "[4605, 4506]"));
    assert_eq!(config["publish_port"], Value::Null);
    assert!(warnings.contains("one publish_port for all"), "{warnings}");
    let (config, _) = masters(&|text| {
        text.replace(
            "        ip: 10.0.0.11",
            "        active: False\n        ip: 10.0.0.11",
        )
    });
    assert_eq!(config["master"], serde_json::json!(["192.0.2.12"]));

    let host = Host::with(&KEYS.replace("external_ip: 192.0.2.11", "external_ip: \"x'y: [\""));
    let message = host.refused(&["minion02"]);
    assert!(
        message.contains("x.yaml:") && message.contains("neither a host name nor an IP address"),
        "{message}"
    );
}

#[test]
fn ids_that_are_also_rejected_denied_or_pending_are_named() {
    let host = Host::new();
    host.put(&format!("{PKI}/minions_rejected/minion01.xyz.example"), "key");
    host.put(&format!("{PKI}/minions_pre/minion02"), "key");
    host.put(&format!("{PKI}/minions_denied/pipeline.xyz"), "key");
    host.put(&format!("{PKI}/minions_rejected/somebody.else"), "key");
    let report = host.master();
    let text = warnings(&report);
    for part in [
        "minions_rejected/minion01.xyz.example: minion01.xyz.example is rejected, and so locked out",
        "minions_pre/minion02: minion02 waits to be accepted",
        "minions_denied/pipeline.xyz: pipeline.xyz has signed in with another key",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("somebody"), "{text}");
}
