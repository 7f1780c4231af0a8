//! What a host gets: names, texts, modes, owners.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::Value;

use crate::common::{Ran, data};
use crate::host::{Host, KEYS, MASTER, PKI, is_root, tree, warnings, with_action};

#[test]
fn a_master_gets_exactly_its_files_with_the_texts_of_the_yaml() {
    let host = Host::new();
    let report = host.master();
    let yaml = data(&KEYS);
    let salt = &yaml["configuration_management"]["salt"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (own, sign) = (&salt["masters"][0]["pki"]["master"], &salt["pki"]["master_sign"]);
    let mut expected = BTreeMap::new();
    for (name, mode, value) in [
        ("master.pem", 0o400, &own["pem"]),
        ("master.pub", 0o644, &own["pub"]),
        ("master_sign.pem", 0o400, &sign["pem"]),
        ("master_sign.pub", 0o644, &sign["pub"]),
        (
            "minions/salt1.xyz.example",
            0o644,
            &salt["masters"][0]["pki"]["minion"]["pub"],
        ),
        (
            "minions/salt2.xyz.example",
            0o644,
            &salt["masters"][1]["pki"]["minion"]["pub"],
        ),
        (
            "minions/minion01.xyz.example",
            0o644,
            &yaml["assets"][0]["minion"]["pub"],
        ),
        ("minions/minion02", 0o644, &yaml["assets"][1]["minion"]["pub"]),
        ("minions/pipeline.xyz", 0o644, &salt["pki"]["pipeline"]["pub"]),
    ] {
        expected.insert(format!("{PKI}/{name}"), (mode, text(value)));
    }
    expected.insert(
        "etc/salt/master.d/saltfo.conf".to_owned(),
        (0o644, host.read("etc/salt/master.d/saltfo.conf")),
    );
    let mut found = BTreeMap::new();
    for (path, (mode, _, _, content)) in tree(&host.path("")) {
        if path.is_file() {
            let name = path.strip_prefix(host.path("")).unwrap().display().to_string();
            found.insert(name, (mode & 0o7777, content));
        }
    }
    assert_eq!(found, expected);
    let mut written = with_action(&report, "written");
    written.sort();
    assert_eq!(written, expected.into_keys().collect::<Vec<_>>());
    for (folder, mode) in [
        ("pki", 0o755),
        ("pki/master", 0o700),
        ("pki/master/minions", 0o700),
        ("master.d", 0o755),
    ] {
        assert_eq!(host.mode(&format!("etc/salt/{folder}")), mode, "{folder}");
    }
    assert_eq!(report["next"][0]["command"], "systemctl restart salt-master");
}

#[test]
fn a_minion_gets_its_pair_and_what_verifies_its_masters() {
    let host = Host::new();
    let report = host.report(&["minion01.xyz.example"]);
    let yaml = data(&KEYS);
    let pair = &yaml["assets"][0]["minion"];
    let sign = &yaml["configuration_management"]["salt"]["pki"]["master_sign"]["pub"];
    for (name, mode, value) in [
        ("minion.pem", 0o400, &pair["pem"]),
        ("minion.pub", 0o644, &pair["pub"]),
        ("master_sign.pub", 0o644, sign),
    ] {
        let name = format!("etc/salt/pki/minion/{name}");
        assert_eq!(
            (host.read(&name).as_str(), host.mode(&name)),
            (value.as_str().unwrap(), mode),
            "{name}"
        );
    }
    assert_eq!(with_action(&report, "written").len(), 4);
    assert_eq!(fs::read_dir(host.path("etc/salt/pki/minion")).unwrap().count(), 3);
    assert_eq!(report["role"], "minion");
    let config = data(&host.read("etc/salt/minion.d/saltfo.conf"));
    let expected = serde_json::json!({
        "id": "minion01.xyz.example", "master": ["192.0.2.11", "192.0.2.12"], "master_type": "failover",
        "random_master": true, "master_alive_interval": 60, "master_tries": -1, "retry_dns": 0,
        "ping_interval": 1, "verify_master_pubkey_sign": true,
    });
    assert_eq!(config, expected);
}

#[test]
fn the_minion_of_a_masters_host_knows_that_master_and_sees_both_as_they_see_each_other() {
    let host = Host::new();
    let args = ["salt2.xyz.example", "--role", "minion"];
    host.report(&args);
    let yaml = data(&KEYS);
    let master = &yaml["configuration_management"]["salt"]["masters"][1];
    let stored = "etc/salt/pki/minion/minion_master.pub";
    assert_eq!(
        host.read(stored),
        master["pki"]["master"]["pub"].as_str().unwrap()
    );
    assert_eq!(
        host.read("etc/salt/pki/minion/minion.pem"),
        master["pki"]["minion"]["pem"].as_str().unwrap()
    );
    let config = data(&host.read("etc/salt/minion.d/saltfo.conf"));
    assert_eq!(config["master"], serde_json::json!(["10.0.0.12", "10.0.0.11"]));
    assert_eq!(config["id"], "salt2.xyz.example");

    // Salt writes down which master it follows, without a final newline. That is no fault.
    let other = &yaml["configuration_management"]["salt"]["masters"][0]["pki"]["master"]["pub"];
    host.put(stored, other.as_str().unwrap().trim_end());
    let report = host.report(&args);
    assert!(
        with_action(&report, "unchanged").contains(&stored.to_owned()),
        "{report}"
    );
    // Anybody else's key is.
    host.put(stored, "somebody's");
    assert_eq!(with_action(&host.report(&args), "replaced"), [stored]);
}

#[test]
fn a_second_run_touches_nothing_and_asks_for_nothing() {
    let host = Host::new();
    host.master();
    let before = tree(&host.path(""));
    let report = host.master();
    assert_eq!(tree(&host.path("")), before);
    assert_eq!(with_action(&report, "unchanged").len(), 10);
    assert_eq!(report["files"].as_array().unwrap().len(), 10);
    assert_eq!(report["next"], serde_json::json!([]));
}

#[test]
fn a_dry_run_says_what_a_run_does_and_writes_nothing() {
    let host = Host::new();
    let before = tree(&host.0.path("."));
    let mut args = MASTER.to_vec();
    args.push("--dry-run");
    let dry = host.report(&args);
    assert_eq!(tree(&host.0.path(".")), before);
    let real = host.master();
    assert_eq!(with_action(&dry, "written"), with_action(&real, "written"));
    assert_eq!(dry["next"], real["next"]);
    host.put(&format!("{PKI}/minions/gone"), "key");
    host.put(&format!("{PKI}/minions/minion02"), "other");
    fs::set_permissions(
        host.path(&format!("{PKI}/minions")),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let before = tree(&host.0.path("."));
    args.push("--prune");
    let dry = host.report(&args);
    assert_eq!(tree(&host.0.path(".")), before);
    args.retain(|arg| *arg != "--dry-run");
    let real = host.report(&args);
    assert_eq!(dry["files"], real["files"]);
}

#[test]
fn wrong_modes_are_mended_and_said() {
    let host = Host::new();
    host.master();
    for (name, mode) in [
        ("master.pem", 0o644),
        ("minions/minion02", 0o600),
        ("minions", 0o755),
    ] {
        let path = host.path(&format!("{PKI}/{name}"));
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let report = host.master();
    let mut mended = with_action(&report, "mended");
    mended.sort();
    let expected = ["master.pem", "minions", "minions/minion02"].map(|name| format!("{PKI}/{name}"));
    assert_eq!(mended, expected);
    assert!(report.to_string().contains("mode was 0644, is 0400"), "{report}");
    assert_eq!(
        report["next"],
        serde_json::json!([]),
        "nothing that Salt would have to read again"
    );
    assert_eq!(host.mode(&format!("{PKI}/master.pem")), 0o400);
    assert_eq!(host.mode(&format!("{PKI}/minions")), 0o700);
    assert_eq!(host.mode(&format!("{PKI}/minions/minion02")), 0o644);
}

#[test]
fn the_user_who_runs_salt_gets_the_keys_and_nothing_else() {
    let host = Host::new();
    host.put("etc/passwd", "root:x:0:0::/:\nsalt:x:450:451::/:/bin/false\n");
    let mut args = MASTER.to_vec();
    args.extend(["--user", "salt"]);
    if !is_root() {
        let message = host.refused(&args);
        assert!(message.contains("only root can give files to salt"), "{message}");
        return;
    }
    host.report(&args);
    for (path, (mode, user, _, _)) in tree(&host.path("etc/salt")) {
        let is_key = path.starts_with(host.path(PKI));
        let group = path.symlink_metadata().unwrap().gid();
        assert_eq!(
            (user, group),
            if is_key { (450, 451) } else { (0, 0) },
            "{} {mode:o}",
            path.display()
        );
    }
    // Back to root: said, with what may be meant.
    let report = host.master();
    assert!(
        report.to_string().contains("owner was 450:451, is 0:0"),
        "{report}"
    );
    assert!(warnings(&report).contains("--user 450"), "{report}");
    assert_eq!(
        fs::metadata(host.path(&format!("{PKI}/master.pem")))
            .unwrap()
            .uid(),
        0
    );
    let message = host.refused(&["salt1.xyz.example", "--role", "master", "--user", "nobody1"]);
    assert!(message.contains("no user nobody1 in root"), "{message}");
}

#[test]
fn a_sealed_key_needs_its_passphrase() {
    let pem = data(&KEYS)["assets"][1]["minion"]["pem"]
        .as_str()
        .unwrap()
        .to_owned();
    let first = pem.lines().nth(1).unwrap();
    // In braces the key is on one line, in quotes.
    let start = KEYS.find(first).unwrap();
    let quote = KEYS[..start].rfind('"').unwrap();
    let end = start + KEYS[start..].find('"').unwrap();
    let text = format!(
        "{}\"sealed.v1.keyfile.damaged\"{}",
        &KEYS[..quote],
        &KEYS[end + 1..]
    );
    let host = Host::with(&text);
    let message = host.refused(&["minion02"]);
    assert!(
        message.contains("cannot open `minion.pem` of minion02"),
        "{message}"
    );
    // Who does not need it is not asked for it.
    host.report(&["minion01.xyz.example"]);
    host.master();
}

#[test]
fn while_master_sign_rotates_the_first_active_master_keeps_the_old_pair() {
    // Any other pair will do as the old one.
    let yaml = data(&KEYS);
    let old = &yaml["assets"][2];
    assert!(old["minion"].is_null(), "a service has no key");
    let pair = &yaml["configuration_management"]["salt"]["masters"][2]["pki"]["master"];
    let quoted = |half: &str| pair[half].as_str().unwrap().replace('\n', "\\n");
    let line = format!(
        "      master_sign_old: {{pem: \"{}\", pub: \"{}\"}}\n",
        quoted("pem"),
        quoted("pub")
    );
    let text = KEYS.replacen("      master_sign:", &format!("{line}      master_sign:"), 1);
    let new = &yaml["configuration_management"]["salt"]["pki"]["master_sign"];
    let host = Host::with(&text);
    let signs = |args: &[&str], file: &str| {
        fs::remove_dir_all(host.path("")).unwrap();
        fs::create_dir(host.path("")).unwrap();
        host.report(args);
        host.read(file)
    };
    let pem = format!("{PKI}/master_sign.pem");
    assert_eq!(signs(&MASTER, &pem), pair["pem"].as_str().unwrap());
    assert_eq!(
        host.read(&format!("{PKI}/master_sign.pub")),
        pair["pub"].as_str().unwrap()
    );
    assert_eq!(
        signs(&["salt2.xyz.example", "--role", "master"], &pem),
        new["pem"].as_str().unwrap()
    );
    let public = "etc/salt/pki/minion/master_sign.pub";
    assert_eq!(signs(&["minion02"], public), new["pub"].as_str().unwrap());
    assert_eq!(
        signs(&["salt1.xyz.example", "--role", "minion"], public),
        new["pub"].as_str().unwrap()
    );
}

#[test]
fn what_was_sealed_is_installed_as_it_was_before() {
    let host = Host::new();
    let run = |args: &[&str], passphrase: &str| {
        let mut command = host.0.command(args);
        command.env("PKI_TOOLS_PASSPHRASE", passphrase);
        Ran::of(command.output().unwrap())
    };
    let sealed = run(&["seal", "x.yaml"], "open sesame");
    assert_eq!(sealed.code, 0, "{}", sealed.err);
    assert!(!host.0.read("x.yaml").contains("PRIVATE KEY-----"));
    let message = host.refused(&MASTER);
    assert!(message.contains("PKI_TOOLS_PASSPHRASE"), "{message}");
    let args = [
        "install",
        "x.yaml",
        "--root",
        "root",
        "--host",
        "minion01.xyz.example",
    ];
    let wrong = run(&args, "open barley");
    assert_eq!((wrong.code, wrong.out.as_str()), (2, ""));
    assert!(wrong.err.contains("minion01.xyz.example"), "{}", wrong.err);
    assert!(!host.path("etc").exists());
    let right = run(&args, "open sesame");
    assert_eq!(right.code, 0, "{}", right.err);
    let pem = data(&KEYS)["assets"][0]["minion"]["pem"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(host.read("etc/salt/pki/minion/minion.pem"), pem);
}
