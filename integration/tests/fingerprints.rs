//! The fingerprints of `pki-tools` beside those that `salt-key -F` prints on real masters, and in a real minion's
//! `master_finger`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;

use integration::{Lab, SaltVersion};
use pki_tools::fingerprint::{self, Print, Report};
use pki_tools::seal::Keyring;

/// Fingerprints by the names that `salt-key` shows.
type Prints = BTreeMap<String, String>;

#[test]
fn salt_key_prints_the_same_for_every_key_of_both_masters() {
    for version in SaltVersion::tested().unwrap() {
        let lab = Lab::builder()
            .version(version)
            .minions(["minion01"])
            .first_master("minion01", "salt2")
            .build()
            .unwrap();
        let report = fingerprint::run(&[lab.client_file()], &[], &Keyring::none()).unwrap();
        let client = &report.clients[0];
        for master in ["salt1", "salt2"] {
            let output = lab.salt_key(master, &["-F", "--out", "json"]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let printed: BTreeMap<String, Prints> = serde_json::from_slice(&output.stdout).unwrap();
            let fqdn = format!("{master}.xyz.example");
            let own = client.masters.iter().find(|own| own.fqdn == fqdn).unwrap();
            assert_eq!(
                as_salt_key(version, &own.local),
                printed["local"],
                "salt {version}"
            );
            assert_eq!(
                as_salt_key(version, &client.accepted),
                printed["minions"],
                "salt {version}"
            );
            for hex in printed["local"].values().chain(printed["minions"].values()) {
                let parsed = proto::crypto::Fingerprint::parse(hex).unwrap();
                assert_eq!(report.whose(&parsed).len(), 1, "{hex}");
            }
        }
        a_minion_takes_the_master_finger_that_is_given_for_its_master(&lab, &report);
    }
}

fn as_salt_key(version: SaltVersion, prints: &[Print]) -> Prints {
    let print = |print: &Print| match version {
        SaltVersion::V3006 | SaltVersion::V3007 => (print.name.clone(), print.body_lines.clone()),
        SaltVersion::V3008 => (print.name_3008.clone(), print.whole_pem.clone()),
    };
    prints.iter().map(print).collect()
}

fn a_minion_takes_the_master_finger_that_is_given_for_its_master(lab: &Lab, report: &Report) {
    let own = &report.clients[0].masters[0];
    assert_eq!(own.fqdn, "salt1.xyz.example");
    let public = own.local.iter().find(|print| print.name == "master.pub").unwrap();
    let config = lab.config_dir("minion01").join("minion.d/finger.conf");
    let set = |finger: &str| fs::write(&config, format!("master_finger: '{finger}'\n")).unwrap();
    set(own.master_finger.as_ref().unwrap());
    lab.move_minion("minion01", "salt1").unwrap();
    // The other form, which `salt-key -F` of 3008 shows, makes a minion end.
    set(&public.whole_pem);
    let error = lab.move_minion("minion01", "salt1").unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("Does not match the authenticating master's key"),
        "{error}"
    );
}
