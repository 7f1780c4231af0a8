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
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::saltfo;
use integration::{Client, Lab, Role, SaltVersion, until};
use pki_tools::client::RsaPair;
use pki_tools::rotate::{self, Done, Options, Report, Rotation, Run};
use pki_tools::seal::Keyring;

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
    let report = rotate(lab, &new("master_sign"));
    // A minion that has forgotten its master has to check a signature. It has one master at any time.
    let salt2_signs_with_the_new_pair = || {
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
    let mut report = rotate(lab, &new("master_sign"));
    // As far as there is a way back.
    let last = report
        .steps
        .iter()
        .position(|step| step.what.starts_with("Only when"))
        .unwrap();
    report.steps.truncate(last);
    roll_out(lab, &report, &[]);
    let report = rotate(lab, &Rotation::Abort);
    assert_eq!(report.done, Done::Aborted);
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
    let report = rotate(lab, &new("salt1.xyz.example"));
    roll_out(lab, &report, &[]);
    assert_ne!(public(&client(lab)), old);
    // Also shows that salt1 has the new key, and no copy of the old one that it prefers.
    everyone_can_change_masters(lab);
}

fn a_minions_pair_rotates(lab: &Lab) {
    let report = rotate(lab, &new("minion01"));
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
    let report = rotate(lab, &new("pipeline"));
    let masters_have_the_new_key = || {
        let run = saltfo(lab, &["active-master", "minion01"]);
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
        let run = saltfo(lab, &["active-master", minion]);
        assert_eq!((run.code, run.stdout), (0, format!("{master}.xyz.example\n")));
    }
}

/// The order that the steps for a minion avoid.
fn a_minion_whose_key_is_replaced_under_it_ends_and_its_new_pair_brings_it_back(lab: &Lab) {
    rotate(lab, &new("minion02"));
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
    install(lab, "minion02", "minion");
    minion.start().unwrap();
    assert_eq!(
        answers(lab, "minion02"),
        "salt2",
        "what is left in minions_denied locks nobody out"
    );
    fs::remove_file(denied).unwrap();
}

fn client(lab: &Lab) -> Client {
    Client::load(&lab.client_file()).unwrap()
}

fn new(what: &str) -> Rotation {
    Rotation::New(what.to_owned())
}

fn rotate(lab: &Lab, rotation: &Rotation) -> Report {
    rotate::run(
        &lab.client_file(),
        rotation,
        &Options::default(),
        &Keyring::none(),
    )
    .unwrap()
}

/// Does what the report says, step by step. After each, every minion answers through some master; then comes what belongs
/// to the step with this beginning.
fn roll_out(lab: &Lab, report: &Report, after: &[(&str, &dyn Fn())]) {
    assert!(!report.steps.is_empty());
    let mut done = 0;
    for step in &report.steps {
        eprintln!("-- {}", step.what);
        let mut said = Vec::new();
        for Run { host, commands } in &step.run {
            for command in commands {
                said.extend(obey(lab, host.as_deref(), command));
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
        for (_, work) in after.iter().filter(|(begin, _)| step.what.starts_with(begin)) {
            work();
            done += 1;
        }
    }
    assert_eq!(done, after.len(), "a step is missing");
}

/// Runs one command of a report as far as a lab differs from real hosts: `/etc/salt` is in the host's folder, and there is no
/// systemd. Returns the minions that said True.
fn obey(lab: &Lab, host: Option<&str>, command: &str) -> Vec<&'static str> {
    let short = |fqdn: &str| fqdn.split('.').next().unwrap().to_owned();
    let words: Vec<&str> = command.split_whitespace().collect();
    let here = host.map(short).unwrap_or_default();
    match words.as_slice() {
        ["pki-tools", "install", file, "--host", fqdn, "--role", role, ..] => {
            assert_eq!(
                (Path::new(file), Some(*fqdn)),
                (lab.client_file().as_path(), host)
            );
            install(lab, fqdn, role);
        }
        ["pki-tools", "rotate", _, "master_sign", "--finish"] => {
            let report = rotate(lab, &Rotation::Finish);
            assert_eq!(report.done, Done::Finished);
        }
        ["pki-tools", "pipeline", ..] => install_pipeline(lab),
        ["saltfo", "--config", "saltfo.yaml", "probe"] => {
            let run = saltfo(lab, &["probe"]);
            assert_eq!(run.code, 0, "{run:?}");
        }
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

/// The files of a host, as `pki-tools install` puts them in place.
fn install(lab: &Lab, fqdn: &str, role: &str) {
    let client = client(lab);
    let name = fqdn.split('.').next().unwrap();
    let pki = lab.config_dir(name).join("pki").join(role);
    let master = client.masters.iter().find(|master| master.fqdn == fqdn);
    let sign = client.master_sign.as_ref().unwrap();
    match (role, master) {
        ("master", Some(master)) => {
            put_pair(&pki, "master", master.master.as_ref().unwrap());
            // While a rotation is under way the first master signs with the old pair.
            let old = client
                .master_sign_old
                .as_ref()
                .filter(|_| fqdn == client.masters[0].fqdn);
            put_pair(&pki, "master_sign", old.unwrap_or(sign));
            let own = client.masters.iter().map(|master| (&master.fqdn, &master.minion));
            let minions = client.minions.iter().map(|minion| (&minion.fqdn, &minion.minion));
            for (id, pair) in own.chain(minions) {
                put(&pki.join("minions").join(id), &pair.as_ref().unwrap().pub_, 0o644);
            }
            let dispatch = client.pipeline.as_ref().unwrap();
            put(
                &pki.join("minions").join(&dispatch.id),
                &dispatch.pair.pub_,
                0o644,
            );
        }
        ("minion", _) => {
            let minion = client.minions.iter().find(|minion| minion.fqdn == fqdn);
            let pair = match (minion, master) {
                (Some(minion), _) => &minion.minion,
                (None, master) => &master.unwrap().minion,
            };
            put_pair(&pki, "minion", pair.as_ref().unwrap());
            put(&pki.join("master_sign.pub"), &sign.pub_, 0o644);
            if let Some(master) = master {
                put(
                    &pki.join("minion_master.pub"),
                    &master.master.as_ref().unwrap().pub_,
                    0o644,
                );
            }
        }
        _ => panic!("{fqdn} is no {role}"),
    }
}

/// The runner's own key.
fn install_pipeline(lab: &Lab) {
    let client = client(lab);
    let pki = lab.folder().join("runner/saltfo/pki");
    let dispatch = client.pipeline.unwrap();
    put(
        &pki.join("pipeline.pem"),
        &dispatch.pair.pem.open(&Keyring::none()).unwrap(),
        0o400,
    );
    put(
        &pki.join("master_sign.pub"),
        &client.master_sign.unwrap().pub_,
        0o644,
    );
}

fn put_pair(folder: &Path, name: &str, pair: &RsaPair) {
    let pem = pair.pem.open(&Keyring::none()).unwrap();
    put(&folder.join(format!("{name}.pem")), &pem, 0o400);
    put(&folder.join(format!("{name}.pub")), &pair.pub_, 0o644);
}

fn put(path: &Path, text: &str, mode: u32) {
    // Salt 3008 has moved a master's own pair, and left links.
    let path = if path.is_symlink() {
        fs::canonicalize(path).unwrap()
    } else {
        path.to_owned()
    };
    if fs::read_to_string(&path).is_ok_and(|there| there == text) {
        return;
    }
    let mut aside = path.clone().into_os_string();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&aside, text).unwrap();
    fs::set_permissions(&aside, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(&aside, &path).unwrap();
}
