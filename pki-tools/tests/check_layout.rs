//! `pki-tools check` and files of another layout than ours: what is out of place is found and explained.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

mod common;

use common::{Sandbox, data};
use serde_json::{Value, json};

/// A pair without a fault, and a client around it whose own keys are all there.
struct Fixture {
    client: Value,
    pair: Value,
}

impl Fixture {
    fn new() -> Self {
        let bare = json!({
            "name": "Xyz",
            "configuration_management": {"type": "salt", "salt": {"masters": [{"fqdn": "m1"}, {"fqdn": "m2"}]}},
            "assets": [{"fqdn": "a1"}, {"fqdn": "spare"}],
        });
        let sandbox = Sandbox::with(&[("x.yaml", &bare.to_string())]);
        sandbox.report(&["x.yaml"]);
        let mut client = data(&sandbox.read("x.yaml"));
        let pair = client["assets"].as_array_mut().unwrap().pop().unwrap()["minion"].clone();
        Self { client, pair }
    }

    /// What is found after a change, as `severity code owner key | message; remedy`.
    fn found(&self, change: impl FnOnce(&mut Value, &Value)) -> Vec<String> {
        let mut client = self.client.clone();
        change(&mut client, &self.pair);
        let text = serde_json::to_string_pretty(&client).unwrap();
        found(&[("x.yaml", &text)], &["x.yaml"])
    }
}

fn found(files: &[(&str, &str)], args: &[&str]) -> Vec<String> {
    let sandbox = Sandbox::with(files);
    let ran = sandbox.run(&[&["check", "--out", "json"], args].concat());
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.err));
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or("-").to_owned();
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|f| {
            let head = ["severity", "code", "owner", "key"]
                .map(|key| text(f, key))
                .join(" ");
            format!("{head} | {}; {}", text(f, "message"), text(f, "remedy"))
        })
        .collect()
}

fn salt(client: &mut Value) -> &mut Value {
    &mut client["configuration_management"]["salt"]
}

/// Takes a value out of a mapping.
fn take(map: &mut Value, key: &str) -> Value {
    map.as_object_mut().unwrap().remove(key).unwrap()
}

#[test]
fn a_key_in_another_place_is_found_and_not_called_missing() {
    type Change = fn(&mut Value, &Value);
    let cases: &[(&str, Change, &str)] = &[
        (
            "an asset's pair below pki",
            |c, _| c["assets"][0]["pki"] = json!({"minion": take(&mut c["assets"][0], "minion")}),
            "fault misplaced_key a1 pki.minion | a key stands in `pki.minion`, where nothing looks for it; \
             move it to `minion`",
        ),
        (
            "an asset's pair below salt",
            |c, _| c["assets"][0]["salt"] = take(&mut c["assets"][0], "minion"),
            "fault misplaced_key a1 salt | a key stands in `salt`, where nothing looks for it; move it to `minion`",
        ),
        (
            "an asset's halves right in it",
            |c, _| {
                let minion = take(&mut c["assets"][0], "minion");
                c["assets"][0]["pem"] = minion["pem"].clone();
                c["assets"][0]["pub"] = minion["pub"].clone();
            },
            "fault misplaced_key a1 - | a key stands right below its host, where nothing looks for it; \
             move it to `minion`",
        ),
        (
            "a master's minion without pki",
            |c, _| {
                let master = &mut salt(c)["masters"][0];
                master["minion"] = take(&mut master["pki"], "minion");
            },
            "fault misplaced_key m1 minion | a key stands in `minion`, where nothing looks for it; \
             move it to `pki.minion`",
        ),
        (
            "a master's own pair without pki",
            |c, _| {
                let master = &mut salt(c)["masters"][1];
                master["master"] = take(&mut master["pki"], "master");
            },
            "fault misplaced_key m2 master | a key stands in `master`, where nothing looks for it; \
             move it to `pki.master`",
        ),
        (
            "root's key below pki",
            |c, _| {
                let master = &mut salt(c)["masters"][0];
                master["pki"]["root_ed25519"] = take(master, "root_ed25519");
            },
            "fault misplaced_key m1 pki.root_ed25519 | a key stands in `pki.root_ed25519`, where nothing looks for \
             it; move it to `root_ed25519`",
        ),
        (
            "the dispatch identity without pki",
            |c, _| {
                let pipeline = take(&mut salt(c)["pki"], "pipeline");
                salt(c)["pipeline"] = pipeline;
            },
            "fault misplaced_key client Xyz configuration_management.salt.pipeline | a key stands in \
             `configuration_management.salt.pipeline`, where nothing looks for it; move it to \
             `configuration_management.salt.pki.pipeline`",
        ),
        (
            "master_sign under a master, and nowhere else",
            |c, _| {
                let pair = take(&mut salt(c)["pki"], "master_sign");
                salt(c)["masters"][0]["pki"]["master_sign"] = pair;
            },
            "fault misplaced_key client Xyz pki.master_sign | a key stands in `pki.master_sign`, where nothing looks \
             for it; move it to `configuration_management.salt.pki.master_sign`",
        ),
        (
            "a second master_sign under a master",
            |c, pair| salt(c)["masters"][0]["pki"]["master_sign"] = pair.clone(),
            "fault second_master_sign m1 pki.master_sign | a second `master_sign` stands in `pki.master_sign`: both \
             masters must sign with the client's; remove it, or put it in place of \
             `configuration_management.salt.pki.master_sign`",
        ),
        (
            "a master's pair in an asset",
            |c, pair| c["assets"][0]["pki"] = json!({"master": pair}),
            "warning misplaced_key a1 pki.master | a key stands in `pki.master`, where nothing looks for it; a \
             master's keys stand with it in `configuration_management.salt.masters`: `pki.master`",
        ),
        (
            "a minion's pair of nobody",
            |c, pair| c["salt_keys"] = json!({"minion": pair}),
            "warning misplaced_key - salt_keys.minion | a key stands in `salt_keys.minion`, where nothing looks for \
             it; a host's keys stand with it, in `masters` or `assets`: move it there, or leave it if it is another \
             tool's",
        ),
        (
            "a service with a pair",
            |c, pair| {
                let service = json!({"fqdn": "www", "kind": "service", "minion": pair});
                c["assets"].as_array_mut().unwrap().push(service);
            },
            "warning unused_keys www minion | a key stands in `minion`, but only assets of the kind `server` have \
             keys; remove it, or correct `kind`",
        ),
        (
            "private halves as OpenSSH calls them",
            |c, _| {
                let minion = &mut c["assets"][0]["minion"];
                minion["priv"] = take(minion, "pem");
            },
            "fault misnamed_half a1 minion.priv | `minion` has its half in `priv`, where nothing looks for it; \
             rename it to `pem`",
        ),
        (
            "an OpenSSH private half as Salt calls it",
            |c, _| {
                let root = &mut salt(c)["masters"][0]["root_ed25519"];
                root["pem"] = take(root, "priv");
            },
            "fault misnamed_half m1 root_ed25519.pem | `root_ed25519` has its half in `pem`, where nothing looks for \
             it; rename it to `priv`",
        ),
        (
            "a public half with a longer name",
            |c, _| {
                let minion = &mut c["assets"][0]["minion"];
                minion["public_key"] = take(minion, "pub");
            },
            "fault misnamed_half a1 minion.public_key | `minion` has its half in `public_key`, where nothing looks \
             for it; rename it to `pub`",
        ),
        (
            "a text instead of a pair",
            |c, _| c["assets"][0]["minion"] = c["assets"][0]["minion"]["pem"].clone(),
            "fault wrong_kind a1 minion | `minion` must be a mapping, this is a text or number; write both halves \
             below it, as texts: `pem: |` and `pub: |`",
        ),
        (
            "the old name of assets",
            |c, _| c["servers"] = take(c, "assets"),
            "warning old_name - - | `servers` is the old name of `assets`; rename it to `assets`; if that is there, \
             too, join both lists",
        ),
        (
            "one master",
            |c, _| drop(salt(c)["masters"].as_array_mut().unwrap().pop()),
            "warning masters client Xyz - | there is one active master, and nothing to fail over to; a client should \
             have two: add one, or set `active` of others to False",
        ),
        (
            "salt-ssh with keys",
            |c, _| {
                c["configuration_management"] = json!({"type": "salt-ssh"});
            },
            "warning unused_keys client Xyz - | it has a pair, though its type is salt-ssh: no master or minion uses \
             it; remove them, or correct `configuration_management.type`",
        ),
        (
            "another type",
            |c, _| c["configuration_management"]["type"] = json!("puppet"),
            "fault wrong_kind - type | `type` must be `salt` or `salt-ssh`, this is a text or number; clients of \
             another type have no keys here: take the file out of the check",
        ),
        (
            "an id that is a host's",
            |c, _| salt(c)["pki"]["pipeline"]["id"] = json!("a1"),
            "fault id_clash client Xyz pki.pipeline.id | the dispatch identity's id is that of a host at x.yaml:",
        ),
        (
            "an id that is no file name",
            |c, _| salt(c)["pki"]["pipeline"]["id"] = json!("pipeline/xyz"),
            "fault bad_id client Xyz pki.pipeline.id | Salt refuses the minion id \"pipeline/xyz\"",
        ),
        (
            "two names with one pillar file",
            |c, _| {
                c["assets"][0]["fqdn"] = json!("web.a");
                let other = json!({"fqdn": "web_a", "active": false});
                c["assets"].as_array_mut().unwrap().push(other);
            },
            "warning file_name_clash web_a fqdn | its pillar files are called `web_a`, as those of web.a",
        ),
    ];
    let fixture = Fixture::new();
    for (what, change, expected) in cases {
        let found = fixture.found(change);
        assert_eq!(found.len(), 1, "{what}: {found:#?}");
        assert!(
            found[0].starts_with(expected),
            "{what}:\n{}\n{expected}",
            found[0]
        );
    }
}

#[test]
fn keys_of_other_tools_are_left_alone() {
    let fixture = Fixture::new();
    let found = fixture.found(|c, pair| {
        c["tls"] = json!({"key": pair["pem"], "cert": "-----BEGIN CERTIFICATE-----"});
        c["assets"][0]["ssh_host_key"] = json!({"priv": pair["pem"]});
        salt(c)["masters"][0]["gpg"] = pair["pem"].clone();
        salt(c)["minion"] = json!({"log_level": "info"});
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_rotation_under_way_is_a_warning_with_the_next_step() {
    let fixture = Fixture::new();
    let found = fixture.found(|c, pair| salt(c)["pki"]["master_sign_old"] = pair.clone());
    assert_eq!(
        found,
        [
            "warning rotation_under_way client Xyz pki.master_sign_old | a rotation of `master_sign` is under way: \
             m1 still signs with the old pair, all others with the new one; when all minions have the new \
             `master_sign.pub`, run `pki-tools rotate x.yaml master_sign --finish` and install that master again"
        ]
    );
    // The old pair is looked at, too.
    let found = fixture.found(|c, pair| {
        let old = json!({"pem": pair["pem"], "pub": salt(c)["pki"]["master_sign"]["pub"]});
        salt(c)["pki"]["master_sign_old"] = old;
    });
    let codes: Vec<&str> = found.iter().filter_map(|f| f.split(' ').nth(1)).collect();
    assert_eq!(codes, ["rotation_under_way", "halves_differ"]);
}

#[test]
fn what_a_later_file_supersedes_is_told_and_two_master_signs_are_a_fault() {
    let fixture = Fixture::new();
    let mut top = fixture.client.clone();
    top["include"] = json!({"files": ["later.yaml"]});
    let pipeline = top["configuration_management"]["salt"]["pki"]["pipeline"].clone();
    let later = json!({"configuration_management": {"salt": {
        "masters": salt(&mut top)["masters"],
        "pki": {"master_sign": fixture.pair, "pipeline": pipeline},
    }}});
    let found = found(
        &[("x.yaml", &top.to_string()), ("later.yaml", &later.to_string())],
        &["x.yaml"],
    );
    let heads: Vec<&str> = found.iter().filter_map(|f| f.split(" | ").next()).collect();
    assert_eq!(
        heads,
        [
            "warning superseded client Xyz masters",
            "fault second_master_sign client Xyz pki.master_sign",
            "warning superseded client Xyz pki.pipeline",
        ],
        "{found:#?}"
    );
    assert!(found[1].contains("later.yaml:1:"), "{}", found[1]);
}

#[test]
fn a_file_that_is_no_client_is_checked_for_its_pairs() {
    let fixture = Fixture::new();
    let part = json!({"assets": [{"fqdn": "p1", "minion": fixture.pair}]});
    let found = found(&[("part.yaml", &part.to_string())], &["part.yaml"]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("note no_client - - | "), "{}", found[0]);
}
