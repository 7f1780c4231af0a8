//! What is in the place of a file already: other keys, other forms, Salt's own doing, keys of those who left.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::common::data;
use crate::host::{Host, KEYS, MASTER, PKI, tree, with_action};

#[test]
fn different_private_keys_are_all_named_and_nothing_is_written_until_told_so() {
    let host = Host::new();
    host.master();
    let strange = data(&KEYS)["configuration_management"]["salt"]["masters"][1]["pki"]["master"]["pem"]
        .as_str()
        .unwrap()
        .to_owned();
    host.put(&format!("{PKI}/master.pem"), &strange);
    host.put(&format!("{PKI}/master_sign.pem"), "no key that we know");
    host.put(
        &format!("{PKI}/minions/minion02"),
        "not refused, but not written either",
    );
    let message = host.refused(&MASTER);
    for part in [
        "nothing was written",
        "root/etc/salt/pki/master/master.pem holds another private key",
        "root/etc/salt/pki/master/master_sign.pem holds another private key",
        "--replace",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("minion02"), "{message}");

    let mut args = MASTER.to_vec();
    args.push("--replace");
    let report = host.report(&args);
    let files = report["files"].as_array().unwrap();
    let file = files
        .iter()
        .find(|file| file["path"].as_str().unwrap().ends_with("/master.pem"))
        .unwrap();
    let kept = file["kept"].as_str().unwrap().strip_prefix("root/").unwrap();
    let stamp = kept.strip_prefix(&format!("{PKI}/master.pem.")).unwrap();
    assert!(
        stamp.len() == 16 && stamp.ends_with('Z') && stamp.starts_with("20"),
        "{kept}"
    );
    assert_eq!((host.read(kept), host.mode(kept)), (strange, 0o400));
    assert_eq!(host.mode(&format!("{PKI}/master.pem")), 0o400);
    assert_eq!(with_action(&report, "replaced").len(), 3);
    let accepted: Vec<_> = fs::read_dir(host.path(&format!("{PKI}/minions")))
        .unwrap()
        .collect();
    assert_eq!(accepted.len(), 5, "no old key among the accepted ones");
    assert_eq!(with_action(&host.master(), "unchanged").len(), 10);
}

#[test]
fn two_old_keys_of_one_second_are_both_kept() {
    let host = Host::new();
    let mut args = MASTER.to_vec();
    args.push("--replace");
    for old in ["first", "second", "third"] {
        host.put(&format!("{PKI}/master.pem"), old);
        host.report(&args);
    }
    let kept: Vec<String> = tree(&host.path(PKI))
        .into_iter()
        .filter(|(path, _)| path.display().to_string().contains("master.pem.2"))
        .map(|(_, (_, _, _, content))| content)
        .collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
}

#[test]
fn the_same_key_in_another_form_and_an_empty_file_are_replaced_without_asking() {
    let host = Host::new();
    host.master();
    let pem = host.path(&format!("{PKI}/master.pem"));
    let converted = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-nocrypt", "-in"])
        .arg(&pem)
        .output()
        .unwrap();
    assert!(converted.status.success());
    let text = String::from_utf8(converted.stdout).unwrap();
    assert!(text.contains("BEGIN PRIVATE KEY"));
    host.put(&format!("{PKI}/master.pem"), &text);
    host.put(&format!("{PKI}/master_sign.pem"), "");
    let report = host.master();
    assert_eq!(with_action(&report, "replaced").len(), 2);
    assert!(
        report["files"]
            .as_array()
            .unwrap()
            .iter()
            .all(|file| file["kept"].is_null())
    );
}

#[test]
fn what_salt_3008_makes_of_a_masters_own_pair_is_understood() {
    let host = Host::new();
    host.master();
    let move_away = |half: &str| {
        let (here, there) = (
            format!("{PKI}/master.{half}"),
            format!("{PKI}/salt1.xyz.example.{half}"),
        );
        fs::rename(host.path(&here), host.path(&there)).unwrap();
        symlink(format!("/{there}"), host.path(&here)).unwrap();
    };
    move_away("pem");
    move_away("pub");
    let report = host.master();
    assert_eq!(with_action(&report, "unchanged").len(), 10, "{report}");

    // A new key goes where Salt reads it.
    let moved = format!("{PKI}/salt1.xyz.example.pem");
    let right = host.read(&moved);
    host.put(&moved, "another key");
    let message = host.refused(&MASTER);
    assert!(
        message.contains("salt1.xyz.example.pem holds another private key"),
        "{message}"
    );
    let report = host.report(&["salt1.xyz.example", "--role", "master", "--replace"]);
    assert_eq!(with_action(&report, "replaced"), std::slice::from_ref(&moved));
    assert_eq!(host.read(&moved), right);
    assert!(host.path(&format!("{PKI}/master.pem")).is_symlink());

    // Somebody put a file over the link: Salt reads the other one all the same.
    host.put(&format!("{PKI}/master.pem"), &right);
    host.put(&moved, "another key");
    assert!(
        host.refused(&MASTER)
            .contains("salt1.xyz.example.pem holds another")
    );

    // A link to another file of Salt's is none of these.
    fs::remove_file(host.path(&format!("{PKI}/master.pem"))).unwrap();
    symlink("master_sign.pem", host.path(&format!("{PKI}/master.pem"))).unwrap();
    assert!(host.refused(&MASTER).contains("master.pem is a symbolic link"));
}

#[test]
fn settings_that_somebody_else_wrote_are_refused_and_kept() {
    let host = Host::new();
    host.put("etc/salt/minion.d/saltfo.conf", "id: mine\n");
    let message = host.refused(&["minion02"]);
    assert!(
        message.contains("saltfo.conf was not written by pki-tools"),
        "{message}"
    );
    let report = host.report(&["minion02", "--replace"]);
    let files = report["files"].as_array().unwrap();
    let kept = files.iter().find_map(|file| file["kept"].as_str()).unwrap();
    assert!(!kept.ends_with(".conf"), "Salt would read {kept}");
    assert_eq!(host.read(kept.strip_prefix("root/").unwrap()), "id: mine\n");
    // What we wrote ourselves may change.
    host.put(
        "etc/salt/minion.d/saltfo.conf",
        &host.read("etc/salt/minion.d/saltfo.conf").replace("60", "10"),
    );
    assert_eq!(
        with_action(&host.report(&["minion02"]), "replaced"),
        ["etc/salt/minion.d/saltfo.conf"]
    );
}

#[test]
fn keys_of_ids_that_left_are_listed_and_go_only_when_told() {
    let host = Host::new();
    host.master();
    for name in ["old.xyz.example", "gone\u{1b}[31m", ".key_cache"] {
        host.put(&format!("{PKI}/minions/{name}"), "key");
    }
    symlink("/etc/passwd", host.path(&format!("{PKI}/minions/linked"))).unwrap();
    host.put(&format!("{PKI}/other.pem"), "somebody's");
    host.put("etc/salt/master.d/other.conf", "x: 1\n");
    let left = ["gone\\u{1b}[31m", "linked", "old.xyz.example"].map(|name| format!("{PKI}/minions/{name}"));
    let report = host.master();
    assert_eq!(with_action(&report, "left"), left);
    assert_eq!(report["next"], serde_json::json!([]));
    let report = host.report(&["salt1.xyz.example", "--role", "master", "--prune"]);
    assert_eq!(with_action(&report, "pruned"), left);
    assert_eq!(report["next"][0]["command"], "systemctl restart salt-master");
    let mut names: Vec<_> = fs::read_dir(host.path(&format!("{PKI}/minions")))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let stay = [
        ".key_cache",
        "minion01.xyz.example",
        "minion02",
        "pipeline.xyz",
        "salt1.xyz.example",
        "salt2.xyz.example",
    ];
    assert_eq!(names, stay);
    assert!(host.path(&format!("{PKI}/other.pem")).exists());
    assert!(host.path("etc/salt/master.d/other.conf").exists());
}
