//! Rotated pairs on real masters and minions: the steps that `pki-tools rotate` tells are done to the letter, and after
//! each of them every minion answers through some master.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

#[allow(dead_code, reason = "each test program takes what it needs")]
mod common;

use std::fs;
use std::process::Command;
use std::time::Duration;

use common::Run;
use integration::{Client, Lab, Role, SaltVersion, find_pki_tools, find_saltfo, until};
use serde_json::Value as Json;

const MASTERS: [&str; 2] = ["salt1", "salt2"];
const MINIONS: [&str; 2] = ["minion01", "minion02"];
/// How long a look at one master may take.
const LOOK: Duration = Duration::from_secs(4);
/// How long Salt may take to get over something.
const LATER: Duration = Duration::from_secs(180);

/// One lab per release: bringing it up takes longer than a rotation.
#[test]
fn rotations_on_real_masters() {
    for version in SaltVersion::tested().unwrap() {
        let lab = Lab::builder()
            .version(version)
            .worker_threads(3)
            .minions(MINIONS)
            .build()
            .unwrap();
        eprintln!("== salt {version}");
        obey(
            &lab,
            None,
            &format!(
                "pki-tools pipeline {} --out saltfo.yaml",
                lab.client_file().display()
            ),
        );
        master_sign_rotates_and_both_masters_can_take_every_minion_over(&lab);
        a_rotation_of_master_sign_can_be_aborted(&lab);
        a_masters_own_pair_rotates(&lab);
        a_minions_pair_rotates(&lab);
        the_dispatch_identitys_pair_rotates(&lab);
        a_minion_whose_key_is_replaced_under_it_ends_and_its_new_pair_brings_it_back(&lab);
        everyone_can_change_masters(&lab);
    }
}

fn master_sign_rotates_and_both_masters_can_take_every_minion_over(lab: &Lab) {
    let old = client(lab).master_sign.unwrap().pub_;
    let report = rotate(lab, &["master_sign"]);
    // A minion that has forgotten its master has to check a signature. It has one master at any time.
    let salt2_signs_with_the_new_pair = || {
        is_impostor(lab, "salt2");
        forget_master(lab, "minion02");
        assert_eq!(
            answers(lab, "minion02"),
            "salt1",
            "the old master_sign.pub is for salt1"
        );
        refused_signature(lab, "minion02", "salt2");
    };
    let minions_have_the_new_public_key = || {
        forget_master(lab, "minion01");
        assert_eq!(
            answers(lab, "minion01"),
            "salt2",
            "the new master_sign.pub is for salt2"
        );
        refused_signature(lab, "minion01", "salt1");
        forget_master(lab, "minion02");
        assert_eq!(answers(lab, "minion02"), "salt2");
    };
    roll_out(
        lab,
        &report,
        &[
            (
                "Let salt2.xyz.example sign with the new pair",
                &salt2_signs_with_the_new_pair,
            ),
            ("Give every minion", &minions_have_the_new_public_key),
        ],
    );
    let now = client(lab);
    assert!(now.master_sign_old.is_none());
    let new = now.master_sign.unwrap().pub_;
    assert_ne!(new, old);
    for host in MASTERS.iter().chain(&MINIONS) {
        let file = lab.pki_dir(host).unwrap().join("master_sign.pub");
        assert_eq!(fs::read_to_string(file).unwrap(), new, "{host}");
    }
    everyone_can_change_masters(lab);
}

fn a_rotation_of_master_sign_can_be_aborted(lab: &Lab) {
    let before = fs::read(lab.client_file()).unwrap();
    let old = client(lab).master_sign.unwrap().pub_;
    let mut report = rotate(lab, &["master_sign"]);
    // As far as there is a way back.
    let steps = report["steps"].as_array_mut().unwrap();
    let is_last = |step: &Json| step["what"].as_str().unwrap().starts_with("Only when");
    steps.truncate(steps.iter().position(is_last).unwrap());
    roll_out(lab, &report, &[]);
    let report = rotate(lab, &["master_sign", "--abort"]);
    assert_eq!(report["done"], "aborted");
    assert!(fs::read(lab.client_file()).unwrap() == before);
    let minions_have_the_old_public_key = || {
        forget_master(lab, "minion02");
        assert_eq!(
            answers(lab, "minion02"),
            "salt1",
            "salt2 still signs with the new pair"
        );
    };
    roll_out(
        lab,
        &report,
        &[("Give every minion", &minions_have_the_old_public_key)],
    );
    for host in MASTERS.iter().chain(&MINIONS) {
        let file = lab.pki_dir(host).unwrap().join("master_sign.pub");
        assert_eq!(fs::read_to_string(file).unwrap(), old, "{host}");
    }
}

fn a_masters_own_pair_rotates(lab: &Lab) {
    let public = |client: &Client| client.masters[0].master.clone().unwrap().pub_;
    let old = public(&client(lab));
    let report = rotate(lab, &["salt1.xyz.example"]);
    let salt1_has_its_new_pair = || is_impostor(lab, "salt1");
    roll_out(
        lab,
        &report,
        &[("Give salt1.xyz.example its new pair", &salt1_has_its_new_pair)],
    );
    assert_ne!(public(&client(lab)), old);
    // Also shows that salt1 has the new key, and no copy of the old one that it prefers.
    everyone_can_change_masters(lab);
}

fn a_minions_pair_rotates(lab: &Lab) {
    let report = rotate(lab, &["minion01"]);
    let on = |master: &'static str| move || assert_eq!(answers(lab, "minion01"), master);
    roll_out(
        lab,
        &report,
        &[
            ("Keep the minion on salt1", &on("salt1")),
            ("Let salt2.xyz.example have the new key", &on("salt1")),
            ("Give the minion its new pair", &on("salt2")),
            ("Let salt1.xyz.example have the new key", &on("salt2")),
        ],
    );
}

fn the_dispatch_identitys_pair_rotates(lab: &Lab) {
    let report = rotate(lab, &["pipeline"]);
    let masters_have_the_new_key = || {
        let run = pipeline(lab, &["active-master", "minion01", "--timeout", "60"]);
        assert_eq!(run.code, 6, "the old key is refused: {run:?}");
        for master in MASTERS {
            // What the master was offered; it locks nobody out.
            let denied = lab.pki_dir(master).unwrap().join("minions_denied/pipeline.xyz");
            fs::remove_file(denied).unwrap();
        }
    };
    roll_out(
        lab,
        &report,
        &[("Let all masters have the new key", &masters_have_the_new_key)],
    );
    for (minion, master) in [("minion01", "salt1"), ("minion02", "salt2")] {
        let run = pipeline(lab, &["active-master", minion, "--timeout", "60"]);
        assert_eq!((run.code, run.stdout), (0, format!("{master}.xyz.example\n")));
    }
}

/// The order that the steps for a minion avoid.
fn a_minion_whose_key_is_replaced_under_it_ends_and_its_new_pair_brings_it_back(lab: &Lab) {
    rotate(lab, &["minion02"]);
    for master in MASTERS {
        install(lab, &format!("{master}.xyz.example"), "master");
    }
    let denied = lab.pki_dir("salt2").unwrap().join("minions_denied/minion02");
    let minion = lab.minion("minion02").unwrap();
    until("minion02 is denied and ends", LATER, || {
        // It signs in anew when a request of its own fails: the return.
        lab.salt_cli("salt2", &["--async", "minion02", "test.ping"])
            .output()?;
        Ok((denied.exists() && !minion.is_running()?).then_some(()))
    })
    .unwrap();
    install(lab, "minion02", "minion --replace");
    minion.start().unwrap();
    assert_eq!(
        answers(lab, "minion02"),
        "salt2",
        "what is left in minions_denied locks nobody out"
    );
    fs::remove_file(denied).unwrap();
}

fn install(lab: &Lab, host: &str, rest: &str) {
    let file = lab.client_file();
    let command = format!("pki-tools install {} --host {host} --role {rest}", file.display());
    obey(lab, Some(host), &command);
}

fn client(lab: &Lab) -> Client {
    Client::load(&lab.client_file()).unwrap()
}

/// Runs the real `pki-tools`; what it prints.
fn pki_tools(lab: &Lab, args: &[&str]) -> String {
    let folder = lab.folder().join("runner");
    let output = Command::new(find_pki_tools().unwrap())
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// `pki-tools rotate` of the lab's client; its report.
fn rotate(lab: &Lab, args: &[&str]) -> Json {
    let file = lab.client_file();
    let all = [&["rotate", "--out", "json", file.to_str().unwrap()], args].concat();
    serde_json::from_str(&pki_tools(lab, &all)).unwrap()
}

/// Does what the report says, step by step. After each, every minion answers through some master; then comes what belongs
/// to the step with this beginning.
fn roll_out(lab: &Lab, report: &Json, after: &[(&str, &dyn Fn())]) {
    let list = |value: &Json| value.as_array().unwrap().clone();
    let steps = list(&report["steps"]);
    assert!(!steps.is_empty());
    let mut done = 0;
    for step in steps {
        let what = step["what"].as_str().unwrap();
        eprintln!("-- {what}");
        let mut said = Vec::new();
        for run in list(&step["run"]) {
            for command in list(&run["commands"]) {
                said.extend(obey(lab, run["host"].as_str(), command.as_str().unwrap()));
            }
        }
        said.sort();
        assert!(
            said.is_empty() || said == MINIONS,
            "True was said by {said:?} alone"
        );
        std::thread::scope(|scope| {
            for minion in MINIONS {
                scope.spawn(move || answers(lab, minion));
            }
        });
        for (_, work) in after.iter().filter(|(begin, _)| what.starts_with(begin)) {
            work();
            done += 1;
        }
    }
    assert_eq!(done, after.len(), "a step is missing");
}

/// Runs one command of a report; differently only as far as a lab differs from real hosts: `/etc/salt` is in the host's folder,
/// and there is no systemd. Returns the minions that said True.
fn obey(lab: &Lab, host: Option<&str>, command: &str) -> Vec<&'static str> {
    let here = host.map(short).unwrap_or_default();
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["pki-tools", "install", args @ ..] => {
            let root = lab.folder().join(&here);
            pki_tools(
                lab,
                &[&["install"], args, &["--root", root.to_str().unwrap()]].concat(),
            );
        }
        ["pki-tools", args @ ..] => {
            assert_eq!(host, None);
            pki_tools(lab, args);
            if args.contains(&"pipeline") {
                every_master_is_verified(lab);
            }
        }
        ["saltfo", "--config", "saltfo.yaml", "probe"] => every_master_is_verified(lab),
        ["systemctl", verb, service] => {
            let daemon = lab.daemon(&here).unwrap();
            let role = format!(
                "salt-{}",
                if daemon.host().role == Role::Master {
                    "master"
                } else {
                    "minion"
                }
            );
            assert_eq!(*service, role);
            match *verb {
                "restart" => daemon.restart().unwrap(),
                "stop" => daemon.stop().unwrap(),
                "start" => daemon.start().unwrap(),
                other => panic!("{other}"),
            }
        }
        ["salt", id, "test.ping"] => lab.wait_answers(&here, &[id], LATER).unwrap(),
        ["salt", "'*'", "file.check_hash", path, hash] => {
            let said = MINIONS.into_iter().filter(|minion| answers(lab, minion) == here);
            return said
                .filter(|minion| says_true(lab, &here, minion, path, hash))
                .collect();
        }
        ["echo" | "rm", ..] => {
            let etc = lab.config_dir(&here);
            let command = command.replace("/etc/salt", etc.to_str().unwrap());
            let status = Command::new("sh").args(["-c", &command]).status().unwrap();
            assert!(status.success(), "{command}");
        }
        _ => panic!("no way to run {command}"),
    }
    Vec::new()
}

fn says_true(lab: &Lab, master: &str, minion: &str, path: &str, hash: &str) -> bool {
    let path = path.replace("/etc/salt", lab.config_dir(minion).to_str().unwrap());
    let output = lab
        .salt_cli(
            master,
            &[
                "--out",
                "json",
                "--static",
                minion,
                "file.check_hash",
                &path,
                hash,
            ],
        )
        .output()
        .unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    said[minion] == true
}

/// The master through which a minion answers, as soon as there is one.
fn answers(lab: &Lab, minion: &str) -> &'static str {
    let mut looks = MASTERS.into_iter().cycle();
    until(&format!("{minion} answers through some master"), LATER, || {
        let connected = lab.connected_to(minion)?;
        let connected = MASTERS
            .into_iter()
            .find(|name| connected.iter().any(|host| host.name == *name));
        let Some(master) = connected.or_else(|| looks.next()) else {
            return Ok(None);
        };
        Ok(lab
            .wait_answers(master, &[minion], LOOK)
            .is_ok()
            .then_some(master))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", lab.minion(minion).unwrap().log_tail()))
}

/// Restarts a minion that knows no master's key any more.
fn forget_master(lab: &Lab, minion: &str) {
    let daemon = lab.minion(minion).unwrap();
    daemon.kill().unwrap();
    fs::remove_file(lab.pki_dir(minion).unwrap().join("minion_master.pub")).unwrap();
    daemon.start().unwrap();
}

/// The minion tried this master, and refused it for its signature.
fn refused_signature(lab: &Lab, minion: &str, master: &str) {
    let refused = format!("from master {master}.xyz.example but signature verification failed!");
    assert!(
        log(lab, minion).contains(&refused),
        "{}",
        lab.minion(minion).unwrap().log_tail()
    );
}

/// Each minion changes to the other master and back, which it believes by its signature; nobody's key waits for anything.
fn everyone_can_change_masters(lab: &Lab) {
    let client = client(lab);
    for round in [["salt2", "salt1"], ["salt1", "salt2"]] {
        std::thread::scope(|scope| {
            for (minion, master) in MINIONS.into_iter().zip(round) {
                let client = &client;
                scope.spawn(move || {
                    // It checks the signature of any master then, also of the one that it is on.
                    let path = lab.pki_dir(minion).unwrap().join("minion_master.pub");
                    fs::remove_file(&path).unwrap();
                    lab.move_minion(minion, master).unwrap();
                    let fqdn = format!("{master}.xyz.example");
                    let known = client.masters.iter().find(|master| master.fqdn == fqdn).unwrap();
                    let known = known.master.as_ref().unwrap().pub_.trim();
                    assert_eq!(
                        fs::read_to_string(path).unwrap().trim(),
                        known,
                        "{minion} on {master}"
                    );
                    let verified = format!("Received signed and verified master pubkey from master {fqdn}");
                    assert!(log(lab, minion).contains(&verified), "{minion} on {master}");
                });
            }
        });
    }
    for master in MASTERS {
        for state in ["minions_pre", "minions_denied", "minions_rejected"] {
            let folder = lab.pki_dir(master).unwrap().join(state);
            let keys: Vec<_> = fs::read_dir(folder).into_iter().flatten().collect();
            assert!(keys.is_empty(), "{master} {state}: {keys:?}");
        }
    }
}

/// What a minion has logged since its last start.
fn log(lab: &Lab, minion: &str) -> String {
    let log = fs::read_to_string(lab.minion(minion).unwrap().log_path()).unwrap();
    let start = log.rfind("Setting up the Salt Minion").unwrap_or(0);
    log[start..].to_owned()
}

/// With the `saltfo.yaml` that `pki-tools pipeline` made last.
fn pipeline(lab: &Lab, args: &[&str]) -> Run {
    let mut command = lab.command("runner", find_saltfo().unwrap());
    let config = lab.folder().join("runner/saltfo.yaml");
    command.arg("--config").arg(config).args(args);
    Run::of(command)
}

fn every_master_is_verified(lab: &Lab) {
    until("every master is reachable and verified", LATER, || {
        let run = pipeline(lab, &["probe", "--out", "json"]);
        let mut all = true;
        for master in MASTERS {
            let (state, verified, _) = run.master(master);
            // A master that has just started on a busy machine may take its time; but it must never be another one.
            all &= match state.as_str() {
                "reachable" if verified => true,
                "hung" | "unreachable" => false,
                _ => anyhow::bail!("{run:?}"),
            };
        }
        Ok(all.then_some(()))
    })
    .unwrap();
}

/// For pipelines that have not got their new `saltfo.yaml`.
fn is_impostor(lab: &Lab, master: &str) {
    let run = pipeline(lab, &["probe", "--out", "json"]);
    assert_eq!(run.master(master).0, "impostor", "{run:?}");
}

fn short(fqdn: &str) -> String {
    fqdn.split('.').next().unwrap().to_owned()
}
