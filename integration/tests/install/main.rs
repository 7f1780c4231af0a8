//! `pki-tools install`, the real program, on real masters and minions: what it writes is all that they need.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod besides;
#[allow(dead_code, reason = "each test takes what it needs")]
#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::saltfo;
use integration::{Lab, SaltVersion, find_pki_tools};
use serde_json::Value as Json;

const MASTERS: [&str; 2] = ["salt1", "salt2"];
const MINIONS: [&str; 2] = ["minion01", "minion02"];
/// How long a daemon may take to come up and find its way on a busy machine.
const UP: Duration = Duration::from_secs(180);

#[test]
fn what_is_installed_is_all_that_masters_and_minions_need() {
    for version in SaltVersion::tested().unwrap() {
        let lab = Lab::builder()
            .version(version)
            .worker_threads(3)
            .minions(MINIONS)
            .build()
            .unwrap();
        eprintln!("== salt {version}");
        salt_reads_the_settings_as_they_are_meant(&lab);
        // Twice: the second time is what a host that is made anew goes through.
        for _ in 0..2 {
            everybody_is_wiped_and_installed_and_signs_in_at_once(&lab);
        }
        the_dispatch_identity_may_do_what_it_is_allowed_and_no_more(&lab);
        a_key_in_another_state_is_what_the_warning_says(&lab);
        besides::the_minion_of_a_masters_host_is_accepted_by_both(&lab);
        besides::a_master_runs_as_a_user_who_owns_nothing_else(&lab);
    }
}

/// Runs `pki-tools install` for a host of the lab; its report.
fn install(lab: &Lab, host: &str, args: &[&str]) -> Json {
    let fqdn = &lab.host(host).unwrap().fqdn;
    let output = Command::new(find_pki_tools().unwrap())
        .arg("install")
        .arg(lab.client_file())
        .args(["--host", fqdn, "--out", "json", "--root"])
        .arg(lab.folder().join(host))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All files of a host's `pki_dir` of a master or minion, as the names and texts that are there.
fn keys(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(keys(&path));
        } else {
            found.insert(path.clone(), fs::read_to_string(path).unwrap());
        }
    }
    found
}

fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else if path.symlink_metadata().is_ok() {
        fs::remove_file(path).unwrap();
    }
}

/// Runs a Python program with the lab's Salt; what it prints is JSON.
fn python(lab: &Lab, host: &str, program: &str, arguments: &[&str]) -> Json {
    let mut command = lab.command(host, lab.salt(host).python());
    let output = command.args(["-c", program]).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn salt_reads_the_settings_as_they_are_meant(lab: &Lab) {
    let folder = lab.folder().join("settings");
    let client = fs::read_to_string(lab.client_file()).unwrap();
    let client = client
        .replacen(
            "external_ip: 10.0.0.11\n        external_ports: [4505, 4506]",
            "external_ip: 2001:db8::11\n        external_ports: [4605, 4606]",
            1,
        )
        .replacen("external_ports: [4505, 4506]", "external_ports: [4605, 4506]", 1);
    fs::create_dir_all(folder.join("etc/salt/master.d")).unwrap();
    let file = folder.join("client.yaml");
    fs::write(&file, client).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.join("etc/salt/master"), "peer: {main: [x]}\n").unwrap();
    fs::write(
        folder.join("etc/salt/master.d/other.conf"),
        "peer: {'^pipeline\\.xyz$': [x], y: [z]}\n",
    )
    .unwrap();
    let mut warnings = String::new();
    for args in [&["salt1.xyz.example", "--role", "master"][..], &["minion01"]] {
        let output = Command::new(find_pki_tools().unwrap())
            .args(["install", "--root"])
            .args([&folder, &file])
            .arg("--host")
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        warnings.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    assert!(warnings.contains("`peer` does not count any more"), "{warnings}");
    assert!(
        warnings.contains("other.conf: has a `peer`, too; Salt adds the two up"),
        "{warnings}"
    );
    let program = "import json, sys, salt.config, salt.minion\n\
        master = salt.config.master_config(sys.argv[1] + '/master')\n\
        minion = salt.config.minion_config(sys.argv[1] + '/minion')\n\
        def read(name):\n\
        \x20   return salt.minion.prep_ip_port(dict(minion, master=name))\n\
        print(json.dumps({'peer': master['peer'], 'sign': master['master_sign_pubkey'], 'id': minion['id'],\n\
        \x20   'masters': [read(name) for name in minion['master']], 'publish': minion['publish_port'],\n\
        \x20   'type': minion['master_type'], 'verify': minion['verify_master_pubkey_sign']}, default=str))";
    let read = python(
        lab,
        "runner",
        program,
        &[folder.join("etc/salt").to_str().unwrap()],
    );
    let mine = read["peer"][r"^pipeline\.xyz$"].as_array().unwrap();
    assert_eq!(
        (&mine[0], &mine[1]),
        (&"x".into(), &r"test\.ping$".into()),
        "{read}"
    );
    assert_eq!(read["peer"]["y"], serde_json::json!(["z"]));
    assert_eq!(read["peer"]["main"], Json::Null, "the main file's does not count");
    assert_eq!(
        (&read["sign"], &read["verify"]),
        (&true.into(), &true.into()),
        "{read}"
    );
    assert_eq!(
        (&read["id"], &read["type"]),
        (&"minion01".into(), &"failover".into())
    );
    let masters = serde_json::json!([
        {"master": "2001:db8::11", "master_port": 4606},
        {"master": "10.0.0.12"},
    ]);
    assert_eq!((&read["masters"], &read["publish"]), (&masters, &4605.into()));
    remove(&folder);
}

fn everybody_is_wiped_and_installed_and_signs_in_at_once(lab: &Lab) {
    let mut accepted = BTreeMap::new();
    for host in MASTERS.iter().chain(&MINIONS) {
        lab.daemon(host).unwrap().kill().unwrap();
        let role = if MASTERS.contains(host) {
            "master"
        } else {
            "minion"
        };
        let folder = lab.folder().join(host);
        remove(&folder.join("etc/salt/pki"));
        remove(&folder.join("log").join(role));
        let include = folder.join(format!("etc/salt/{role}.d"));
        for name in [
            "saltfo.conf",
            "z-lab-masters-0.conf",
            "z-lab-masters-1.conf",
            "z-lab.conf",
        ] {
            remove(&include.join(name));
        }
        for entry in fs::read_dir(folder.join("cache")).unwrap() {
            remove(&entry.unwrap().path());
        }
        let report = install(lab, host, &["--role", role]);
        assert_eq!(report["warnings"], serde_json::json!([]), "{report}");
        if role == "master" {
            accepted.insert(host, keys(&folder.join("etc/salt/pki/master/minions")));
        }
    }
    for master in MASTERS {
        lab.master(master).unwrap().start().unwrap();
    }
    for minion in MINIONS {
        lab.minion(minion).unwrap().start().unwrap();
    }
    for minion in MINIONS {
        // With random_master it is either.
        let master = lab.wait_for(&format!("{minion} has a master"), UP, || {
            Ok(lab.connected_to(minion)?.first().map(|host| host.name.clone()))
        });
        lab.wait_answers(&master.unwrap(), &[minion], UP).unwrap();
        let log = fs::read_to_string(lab.minion(minion).unwrap().log_path()).unwrap();
        assert!(
            log.contains("Received signed and verified master pubkey"),
            "{log}"
        );
    }
    for master in MASTERS {
        let pki = lab.pki_dir(master).unwrap();
        assert_eq!(
            keys(&pki.join("minions")),
            accepted[&master],
            "{master} accepted somebody by itself"
        );
        for state in ["minions_pre", "minions_rejected", "minions_denied"] {
            assert_eq!(keys(&pki.join(state)), BTreeMap::new(), "{master}");
        }
        // What Salt makes of the files is no fault, and another run changes no key.
        let before = keys(&pki);
        let report = install(lab, master, &["--role", "master"]);
        assert_eq!(keys(&pki), before);
        let touched = ["written", "replaced", "left"];
        let files = report["files"].as_array().unwrap();
        assert!(
            files
                .iter()
                .all(|file| !touched.contains(&file["action"].as_str().unwrap())),
            "{report}"
        );
    }
    for minion in MINIONS {
        let run = saltfo(lab, &["active-master", minion]);
        assert_eq!(run.code, 0, "{run:?}");
    }
    let run = saltfo(lab, &["probe", "--out", "json"]);
    for master in MASTERS {
        assert_eq!(
            run.master(master),
            ("reachable".to_owned(), true, String::new()),
            "{run:?}"
        );
    }
}

/// Calls functions on minion01 through salt1, as this identity with the dispatch identity's key; the answers.
fn publish(lab: &Lab, id: &str, functions: &[&str]) -> Json {
    let root = lab.folder().join("runner").join(id);
    let pki = root.join("pki");
    fs::create_dir_all(&pki).unwrap();
    let dispatch = &lab.pki().pipeline.as_ref().unwrap().pair;
    let pem = dispatch.pem.open(&pki_tools::seal::Keyring::none()).unwrap();
    fs::write(pki.join("minion.pem"), pem.as_bytes()).unwrap();
    fs::write(pki.join("minion.pub"), &dispatch.pub_).unwrap();
    let sign = lab.pki().master_sign.as_ref().unwrap();
    fs::write(pki.join("master_sign.pub"), &sign.pub_).unwrap();
    let config = format!(
        "id: {id}\nroot_dir: {root}\npki_dir: {root}/pki\ncachedir: {root}/cache\nsock_dir: {root}/run\n\
         log_file: {root}/log\nlog_level: error\nmaster: 10.0.0.11\nuser: root\n\
         verify_master_pubkey_sign: True\n\
         enable_gpu_grains: False\nenable_fqdns_grains: False\n",
        root = root.display()
    );
    fs::write(root.join("minion"), config).unwrap();
    let program = "import json, sys, salt.client\n\
        caller = salt.client.Caller(sys.argv[1])\n\
        call = lambda fun: caller.cmd('publish.publish', 'minion01', fun, timeout=20)\n\
        print(json.dumps({fun: call(fun) for fun in sys.argv[2:]}))";
    let config = root.join("minion");
    let mut arguments = vec![config.to_str().unwrap()];
    arguments.extend(functions);
    python(lab, "runner", program, &arguments)
}

fn the_dispatch_identity_may_do_what_it_is_allowed_and_no_more(lab: &Lab) {
    // Again in an order that is not left to chance.
    let settings = lab.config_dir("minion01").join("minion.d/z-lab.conf");
    fs::write(settings, "random_master: False\n").unwrap();
    lab.move_minion("minion01", "salt1").unwrap();
    let allowed = ["test.ping", "test.version", "saltutil.running", "grains.items"];
    let refused = [
        "test.pingx",
        "test.echo",
        "cmd.run",
        "saltutil.wheel",
        "xtest.ping",
        "grains.item",
    ];
    let answers = publish(lab, "pipeline.xyz", &[&allowed[..], &refused].concat());
    for function in allowed {
        assert!(
            answers[function].get("minion01").is_some(),
            "{function}: {answers}"
        );
    }
    assert_eq!(answers["test.ping"]["minion01"], true);
    for function in refused {
        assert_eq!(answers[function], serde_json::json!({}), "{function}");
    }
    // Ids that only begin like it, or that its dots would match, are somebody else.
    let accepted = lab.pki_dir("salt1").unwrap().join("minions");
    for id in ["pipeline.xyz.evil", "pipelinexxyz"] {
        fs::copy(accepted.join("pipeline.xyz"), accepted.join(id)).unwrap();
        assert_eq!(
            publish(lab, id, &["test.ping"])["test.ping"],
            serde_json::json!({}),
            "{id}"
        );
    }
    let report = install(lab, "salt1", &["--role", "master", "--prune"]);
    let pruned = report["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["action"] == "pruned");
    assert_eq!(pruned.count(), 2, "{report}");
    assert!(!accepted.join("pipeline.xyz.evil").exists());
}

fn a_key_in_another_state_is_what_the_warning_says(lab: &Lab) {
    let state = || saltfo(lab, &["probe", "--out", "json"]).master("salt2").0;
    let pki = lab.pki_dir("salt2").unwrap();
    let is_3006 = lab.salt("salt2").version() == SaltVersion::V3006;
    // Salt before 3008 takes no notice of a key that waits when one is accepted.
    let pending = if is_3006 { "reachable" } else { "key_pending" };
    for (folder, expected) in [("minions_rejected", "key_rejected"), ("minions_pre", pending)] {
        let file = pki.join(folder).join("pipeline.xyz");
        fs::copy(pki.join("minions/pipeline.xyz"), &file).unwrap();
        assert_eq!(state(), expected, "{folder}");
        let report = install(lab, "salt2", &["--role", "master"]);
        let warning = format!("{}: pipeline.xyz ", file.display());
        assert!(
            report["warnings"][0].as_str().unwrap().starts_with(&warning),
            "{report}"
        );
        fs::remove_file(file).unwrap();
        assert_eq!(state(), "reachable", "{folder}");
    }
}
