//! `saltfo active-master` and `saltfo probe` on real masters and minions, in good times and bad.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use common::clock::Clock;
use common::disguise::Other;
use common::{Run, locate, saltfo};
use integration::{Lab, SaltVersion};
use proto::crypto::PrivateKey;

const MASTERS: [&str; 2] = ["salt1", "salt2"];
/// How long a master may take to come back.
const BACK: Duration = Duration::from_secs(60);

/// One lab per release, and everything that can be asked of it: bringing it up takes longer than asking.
#[test]
fn lookups_on_real_masters() {
    for version in SaltVersion::tested().unwrap() {
        let lab = Lab::builder().version(version).worker_threads(3).build().unwrap();
        eprintln!("== salt {version}");
        the_answer_is_in_every_form(&lab);
        the_right_master_is_named_while_minions_change_masters(&lab);
        twenty_lookups_at_once_are_all_answered_and_no_master_stalls(&lab);
        fips_algorithms_work(&lab);
        a_minions_own_configuration_is_enough(&lab);
        masters_that_are_not_the_trusted_ones_are_impostors(&lab);
        keys_that_are_not_accepted_have_their_states(&lab);
        a_minion_that_no_master_knows_is_told_at_once(&lab);
        a_slow_clock_is_named(&lab);
        a_hung_a_cut_off_and_a_killed_master_cost_nothing(&lab);
        a_minion_that_is_down_is_on_no_master(&lab);
        without_masters_there_is_no_answer(&lab);
    }
}

fn the_answer_is_in_every_form(lab: &Lab) {
    let run = saltfo(lab, &["active-master", "minion01"]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (0, "salt1.xyz.example\n"),
        "{run:?}"
    );

    let run = locate(lab, "minion02", "10");
    let document = run.json();
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(document["minion"], "minion02");
    assert_eq!(document["active"], "salt2.xyz.example");
    assert_eq!(document["jid"].as_str().unwrap().len(), 20);
    assert!(document["rtt_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(run.master("salt2"), ("active".to_owned(), true, String::new()));
    assert_eq!(run.master("salt1").0, "reachable");

    let run = saltfo(lab, &["active-master", "-L", "minion01,minion02"]);
    assert_eq!(
        run.stdout, "minion01\tsalt1.xyz.example\nminion02\tsalt2.xyz.example\n",
        "{run:?}"
    );

    let dotenv = lab.folder().join("active.env");
    let run = saltfo(
        lab,
        &["active-master", "minion01", "--dotenv", dotenv.to_str().unwrap()],
    );
    assert_eq!(run.code, 0, "{run:?}");
    let address = &lab.host("salt1").unwrap().address;
    assert_eq!(
        fs::read_to_string(&dotenv).unwrap(),
        format!(
            "SALTFO_MINION=minion01\nSALTFO_ACTIVE_MASTER=salt1.xyz.example\nSALTFO_ACTIVE_MASTER_ADDRESS={address}\n"
        )
    );

    let run = saltfo(lab, &["probe", "--out", "json"]);
    assert_eq!(run.code, 0, "{run:?}");
    for master in run.json()["masters"].as_array().unwrap() {
        assert_eq!(
            (&master["state"], &master["verified"]),
            (&"reachable".into(), &true.into()),
            "{run:?}"
        );
        assert!(master["publish"]["ping_ms"].is_number(), "{run:?}");
    }
}

fn the_right_master_is_named_while_minions_change_masters(lab: &Lab) {
    for round in 0..10 {
        let (here, there) = (MASTERS[(round + 1) % 2], MASTERS[round % 2]);
        lab.move_minion("minion01", here).unwrap();
        if round % 5 == 0 {
            lab.move_minion("minion02", there).unwrap();
        }
        let run = saltfo(lab, &["active-master", "minion01"]);
        assert_eq!(
            run.stdout,
            format!("{here}.xyz.example\n"),
            "round {round}: {run:?}"
        );
    }
    lab.move_minion("minion01", "salt1").unwrap();
    lab.move_minion("minion02", "salt2").unwrap();
}

fn twenty_lookups_at_once_are_all_answered_and_no_master_stalls(lab: &Lab) {
    let start = |minion: &str| -> Child {
        let mut command = lab.saltfo(&["active-master", minion, "--timeout", "30"]).unwrap();
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let minion_of = |number: usize| ["minion01", "minion02"][number % 2];
    let running: Vec<Child> = (0..20).map(|number| start(minion_of(number))).collect();
    for (number, child) in running.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        let expected = format!("{}.xyz.example\n", MASTERS[number % 2]);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "lookup {number}: {output:?}"
        );
    }
    // A worker that had published to itself would still hold up a part of all requests.
    for _ in 0..6 {
        let run = saltfo(lab, &["probe", "--timeout", "5", "--out", "json"]);
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(run.master("salt1").0, "reachable", "{run:?}");
        assert_eq!(run.master("salt2").0, "reachable", "{run:?}");
    }
}

fn fips_algorithms_work(lab: &Lab) {
    lab.saltfo_config("encryption_algorithm: OAEP-SHA224\nsigning_algorithm: PKCS1v15-SHA224\n")
        .unwrap();
    let run = saltfo(lab, &["active-master", "minion01"]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (0, "salt1.xyz.example\n"),
        "{run:?}"
    );
    lab.saltfo_config("").unwrap();
}

fn a_minions_own_configuration_is_enough(lab: &Lab) {
    let config = lab.config_dir("minion01").join("minion");
    let mut command = lab.command("minion01", integration::find_saltfo().unwrap());
    command.args([
        "--minion-config",
        config.to_str().unwrap(),
        "probe",
        "--out",
        "json",
    ]);
    let run = Run::of(command);
    assert_eq!(run.code, 0, "{run:?}");
    for master in MASTERS {
        assert_eq!(
            run.master(master),
            ("reachable".to_owned(), true, String::new()),
            "{run:?}"
        );
    }
    // A minion may not publish unless `peer:` says so.
    let mut command = lab.command("minion01", integration::find_saltfo().unwrap());
    command.args([
        "--minion-config",
        config.to_str().unwrap(),
        "active-master",
        "minion01",
        "--out",
        "json",
    ]);
    let run = Run::of(command);
    assert_eq!(run.code, 6, "{run:?}");
    let (state, verified, why) = run.master("salt1");
    assert_eq!((state.as_str(), verified), ("refused", true), "{run:?}");
    assert!(why.contains("peer:") && why.contains("'^minion01$'"), "{why}");
}

fn key() -> PrivateKey {
    PrivateKey::generate(2048, &mut rand::rng()).unwrap()
}

fn masters_that_are_not_the_trusted_ones_are_impostors(lab: &Lab) {
    let other = Other::new(lab, "other-sign");
    other.replace(
        "pki/master_sign.pub",
        &key().public_key().to_pem().unwrap(),
        0o644,
    );
    let run = other.locate();
    assert_eq!(run.code, 5, "{run:?}");
    for master in MASTERS {
        let (state, verified, why) = run.master(master);
        assert_eq!((state.as_str(), verified), ("impostor", false), "{run:?}");
        assert!(why.contains("not by our master_sign"), "{why}");
    }

    // Pinned: salt1 has another key; salt2 has its own, and is verified with it.
    let other = Other::new(lab, "pinned");
    let genuine = lab
        .pki()
        .masters
        .iter()
        .find(|master| master.fqdn.starts_with("salt2"))
        .unwrap();
    other.replace("pki/salt1.pub", &key().public_key().to_pem().unwrap(), 0o644);
    other.replace("pki/salt2.pub", &genuine.master.as_ref().unwrap().pub_, 0o644);
    other.edit(|text| {
        let pin = |text: &str, name: &str| {
            let line = format!("  - name: {name}.xyz.example\n");
            text.replace(&line, &format!("{line}    master_pub: pki/{name}.pub\n"))
        };
        pin(&pin(&text, "salt1"), "salt2")
    });
    let run = other.locate();
    assert_eq!(run.code, 5, "{run:?}");
    assert_eq!(run.master("salt1").0, "impostor", "{run:?}");
    assert!(run.master("salt1").2.contains("not the pinned one"), "{run:?}");
    assert_eq!(run.master("salt2").0, "reachable", "{run:?}");
    // An impostor does not spoil the answer of a genuine master.
    let run = other.run(&["active-master", "minion02"]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (0, "salt2.xyz.example\n"),
        "{run:?}"
    );
}

fn keys_that_are_not_accepted_have_their_states(lab: &Lab) {
    let stranger = Other::new(lab, "stranger");
    stranger.replace("pki/pipeline.pem", &key().to_pkcs1_pem().unwrap(), 0o400);
    stranger.edit(|text| text.replace("id: pipeline.xyz", "id: stranger.xyz"));
    let run = stranger.locate();
    assert_eq!(run.code, 6, "{run:?}");
    for master in MASTERS {
        // Without a pinned key nobody can tell who says so.
        assert_eq!(run.master(master).0, "key_pending", "{run:?}");
        assert!(!run.master(master).1, "{run:?}");
    }
    let rejected = lab
        .salt_key("salt1", &["-y", "-r", "stranger.xyz"])
        .output()
        .unwrap();
    assert!(rejected.status.success(), "{rejected:?}");
    let run = stranger.locate();
    assert_eq!(
        (run.code, run.master("salt1").0.as_str()),
        (6, "key_rejected"),
        "{run:?}"
    );

    // Another key under an accepted id: Salt calls it denied, and answers as to a rejected one.
    let denied = Other::new(lab, "denied");
    denied.replace("pki/pipeline.pem", &key().to_pkcs1_pem().unwrap(), 0o400);
    let run = denied.locate();
    assert_eq!(
        (run.code, run.master("salt2").0.as_str()),
        (6, "key_rejected"),
        "{run:?}"
    );
    assert!(
        run.master("salt2")
            .2
            .contains("another key is accepted under our id"),
        "{run:?}"
    );

    // Tidy up: keys that wait or are denied would count in later tests.
    for master in MASTERS {
        let tidied = lab
            .salt_key(master, &["-y", "-d", "stranger.xyz"])
            .output()
            .unwrap();
        assert!(tidied.status.success(), "{tidied:?}");
        let folder = lab.pki_dir(master).unwrap().join("minions_denied");
        let _ = fs::remove_file(folder.join("pipeline.xyz"));
    }
}

fn a_minion_that_no_master_knows_is_told_at_once(lab: &Lab) {
    let run = locate(lab, "minion99", "60");
    assert_eq!(run.code, 3, "{run:?}");
    for master in MASTERS {
        let (state, verified, why) = run.master(master);
        assert_eq!((state.as_str(), verified), ("unknown_minion", true), "{run:?}");
        assert!(why.contains("no accepted key of minion99"), "{why}");
    }
    assert_eq!(run.json()["active"], serde_json::Value::Null);
}

fn a_slow_clock_is_named(lab: &Lab) {
    let clock = Clock::new(lab.folder());
    clock.set(-600);
    let lookup = || {
        let mut command = lab
            .saltfo(&["active-master", "minion01", "--out", "json"])
            .unwrap();
        command.env("LD_PRELOAD", &clock.preload);
        Run::of(command)
    };
    // Salt's default does not look at the time.
    let run = lookup();
    assert_eq!(run.code, 0, "{run:?}");
    for master in MASTERS {
        let extra = lab.config_dir(master).join("master.d/ttl.conf");
        fs::write(&extra, "request_server_ttl: 60\n").unwrap();
        lab.master(master).unwrap().restart().unwrap();
    }
    bring_back(lab, "minion01", "salt1");
    let run = lookup();
    assert_eq!(run.code, 6, "{run:?}");
    for master in MASTERS {
        let (state, verified, why) = run.master(master);
        // Nobody signs `bad load`.
        assert_eq!((state.as_str(), verified), ("refused", false), "{run:?}");
        assert!(
            why.contains("our clock is behind") && why.contains("ten minutes"),
            "{why}"
        );
    }
}

fn a_hung_a_cut_off_and_a_killed_master_cost_nothing(lab: &Lab) {
    let salt2 = lab.master("salt2").unwrap();
    let finds = |state: &str| {
        let run = locate(lab, "minion01", "10");
        assert_eq!(run.json()["active"], "salt1.xyz.example", "{run:?}");
        assert_eq!(run.master("salt2").0, state, "{run:?}");
        // It did not wait for the other: its share of the time is told beside the reason.
        assert!(run.json()["rtt_ms"].as_f64().unwrap() < 5000.0, "{run:?}");
        run
    };
    salt2.hang().unwrap();
    finds("hung");
    let run = locate(lab, "minion02", "2");
    assert_eq!((run.code, run.master("salt2").0.as_str()), (3, "hung"), "{run:?}");
    salt2.resume().unwrap();
    bring_back(lab, "minion02", "salt2");

    salt2.cut().unwrap();
    finds("unreachable");
    let run = locate(lab, "minion02", "2");
    assert_eq!(
        (run.code, run.master("salt2").0.as_str()),
        (3, "unreachable"),
        "{run:?}"
    );
    salt2.mend().unwrap();
    bring_back(lab, "minion02", "salt2");

    salt2.kill().unwrap();
    let run = finds("unreachable");
    assert!(
        run.master("salt2").2.contains("refuses the connection"),
        "{run:?}"
    );
    // A restarted master has a new AES key and the same session keys.
    salt2.start().unwrap();
    bring_back(lab, "minion02", "salt2");
}

fn a_minion_that_is_down_is_on_no_master(lab: &Lab) {
    lab.minion("minion01").unwrap().kill().unwrap();
    let run = locate(lab, "minion01", "3");
    assert_eq!((run.code, run.json()["active"].is_null()), (3, true), "{run:?}");
    for master in MASTERS {
        assert_eq!(
            (run.master(master).0.as_str(), run.master(master).1),
            ("reachable", true),
            "{run:?}"
        );
    }
    assert!(run.stderr.contains("no master has minion01"), "{run:?}");
}

fn without_masters_there_is_no_answer(lab: &Lab) {
    lab.master("salt1").unwrap().kill().unwrap();
    lab.master("salt2").unwrap().hang().unwrap();
    let run = locate(lab, "minion02", "2");
    assert_eq!(run.code, 4, "{run:?}");
    assert_eq!(run.master("salt1").0, "unreachable", "{run:?}");
    assert_eq!(run.master("salt2").0, "hung", "{run:?}");
    let run = saltfo(lab, &["probe", "--timeout", "2"]);
    assert_eq!(run.code, 4, "{run:?}");
    lab.master("salt2").unwrap().resume().unwrap();
}

/// Salt's own minions may never come back after a fault (3006 does not), so the minion is started anew.
fn bring_back(lab: &Lab, minion: &str, master: &str) {
    lab.move_minion(minion, master).unwrap();
    let run = saltfo(lab, &["active-master", minion]);
    assert_eq!(run.stdout, format!("{master}.xyz.example\n"), "{run:?}");
}

/// Masters that are configured against us: one signs nothing and allows nothing, one is full.
#[test]
fn masters_that_refuse_say_why() {
    for version in SaltVersion::tested().unwrap() {
        let lab = Lab::builder()
            .version(version)
            .first_master("minion01", "salt2")
            .first_master("minion02", "salt2")
            .master_config("salt1", "master_sign_pubkey: False\n")
            .master_config("salt2", "peer: {}\n")
            .build()
            .unwrap();
        let run = locate(&lab, "minion01", "10");
        assert_eq!(run.code, 5, "{run:?}");
        let (state, verified, why) = run.master("salt1");
        assert_eq!((state.as_str(), verified), ("impostor", false), "{run:?}");
        assert!(why.contains("not signed by master_sign"), "{why}");
        let (state, verified, why) = run.master("salt2");
        assert_eq!((state.as_str(), verified), ("refused", true), "{run:?}");
        assert!(
            why.contains(r"peer: {'^pipeline\.xyz$': ['test\.ping$']}"),
            "{why}"
        );

        // Two are connected, which is more than one: no room for somebody who is not.
        fs::write(
            lab.config_dir("salt2").join("master.d/full.conf"),
            "max_minions: 1\n",
        )
        .unwrap();
        lab.master("salt2").unwrap().restart().unwrap();
        let run = lab.wait_for("salt2 is full", BACK, || {
            let run = saltfo(&lab, &["probe", "--out", "json", "--timeout", "5"]);
            Ok((run.master("salt2").0 == "full").then_some(run))
        });
        let run = run.unwrap();
        assert_eq!(run.code, 5, "{run:?}");
        assert!(run.master("salt2").2.contains("max_minions"), "{run:?}");
    }
}
