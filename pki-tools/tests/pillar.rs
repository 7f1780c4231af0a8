//! `pki-tools pillar`: which files there are, what is in them, and what is left alone. Real Salt reads them in `integration`.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use common::{Ran, Sandbox, data, xyz};
use serde_json::{Value, json};

const FOLDER: &str = "srv/pillar/salt";

fn pillar(sandbox: &Sandbox, more: &[&str]) -> Ran {
    let mut args = vec!["pillar", "xyz.yaml", "--out", "srv"];
    args.extend(more);
    sandbox.run(&args)
}

/// The report as data, of a run that must succeed.
fn report(sandbox: &Sandbox, more: &[&str]) -> Value {
    let ran = pillar(sandbox, &[&["--report", "json"], more].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

/// Each file of a report and what became of it.
fn changes(report: &Value, of: &str, what: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let files = report[of].as_array().unwrap().iter();
    files
        .map(|file| (text(&file["file"]), text(&file[what])))
        .collect()
}

fn names(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path(FOLDER)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn sls(sandbox: &Sandbox, name: &str) -> Value {
    data(&sandbox.read(&format!("{FOLDER}/{name}.sls")))
}

fn mode(sandbox: &Sandbox, name: &str) -> u32 {
    fs::metadata(sandbox.path(name)).unwrap().permissions().mode() & 0o7777
}

#[test]
fn every_active_host_gets_its_file_with_exactly_the_texts_of_the_yaml() {
    let sandbox = xyz();
    report(&sandbox, &[]);
    assert_eq!(
        names(&sandbox),
        [
            "master_salt1_xyz_example.sls",
            "master_salt2_xyz_example.sls",
            "minion_minion01_xyz_example.sls",
            "minion_minion02_xyz_example.sls",
            "minion_minion03_xyz_example.sls",
            "minion_minion04_xyz_example.sls",
            "minion_salt1_xyz_example.sls",
            "minion_salt2_xyz_example.sls",
        ]
    );
    let (client, more) = (
        data(&sandbox.read("xyz.yaml")),
        data(&sandbox.read("xyz/more.yaml")),
    );
    let salt = &client["configuration_management"]["salt"];
    let sign = &salt["pki"]["master_sign"];
    let (one, two) = (&salt["masters"][0], &salt["masters"][1]);
    let minion = &client["assets"][0]["minion"];
    assert_eq!(
        sls(&sandbox, "minion_minion01_xyz_example"),
        json!({"salt": {"minion": {"pki": {"minion": minion, "master_sign": sign["pub"]}}}})
    );
    assert_eq!(
        sls(&sandbox, "minion_salt2_xyz_example"),
        json!({"salt": {"minion": {"pki": {
            "minion": two["pki"]["minion"],
            "master_sign": sign["pub"],
            "minion_master": two["pki"]["master"]["pub"],
        }}}})
    );
    assert_eq!(
        sls(&sandbox, "master_salt1_xyz_example"),
        json!({"salt": {"master": {
            "pki": {
                "master_sign": sign,
                "master": one["pki"]["master"],
                "minions": {
                    "salt1.xyz.example": one["pki"]["minion"]["pub"],
                    "salt2.xyz.example": two["pki"]["minion"]["pub"],
                    "minion01.xyz.example": minion["pub"],
                    "minion02.xyz.example": client["assets"][1]["minion"]["pub"],
                    "minion03.xyz.example": more["assets"][0]["minion"]["pub"],
                    "minion04.xyz.example": more["assets"][1]["minion"]["pub"],
                    "pipeline.xyz": salt["pki"]["pipeline"]["pub"],
                },
            },
            "root_ed25519": one["root_ed25519"],
        }}})
    );
}

#[test]
fn files_are_their_owners_alone_and_say_who_wrote_them() {
    let sandbox = xyz();
    report(&sandbox, &[]);
    for folder in ["srv", "srv/pillar", FOLDER] {
        assert_eq!(mode(&sandbox, folder), 0o700, "{folder}");
    }
    for name in names(&sandbox) {
        let name = format!("{FOLDER}/{name}");
        assert_eq!(mode(&sandbox, &name), 0o600, "{name}");
        let first = sandbox.read(&name).lines().next().unwrap().to_owned();
        assert_eq!(
            first,
            "# Written by pki-tools pillar for the client \"Xyz\"; changes are lost."
        );
    }
    // A folder that was there keeps its mode.
    let sandbox = xyz();
    fs::create_dir(sandbox.path("srv")).unwrap();
    fs::set_permissions(sandbox.path("srv"), fs::Permissions::from_mode(0o755)).unwrap();
    report(&sandbox, &[]);
    assert_eq!(
        (mode(&sandbox, "srv"), mode(&sandbox, "srv/pillar")),
        (0o755, 0o700)
    );
}

#[test]
fn a_file_that_is_right_is_left_alone_and_one_that_is_not_is_replaced() {
    let sandbox = xyz();
    report(&sandbox, &[]);
    let inodes = || -> Vec<u64> {
        let inode = |name: &String| {
            fs::metadata(sandbox.path(&format!("{FOLDER}/{name}")))
                .unwrap()
                .ino()
        };
        names(&sandbox).iter().map(inode).collect()
    };
    let before = inodes();
    let again = report(&sandbox, &[]);
    assert!(
        changes(&again, "files", "change")
            .iter()
            .all(|(_, change)| change == "unchanged")
    );
    assert_eq!(inodes(), before);
    assert_eq!(
        pillar(&sandbox, &[]).out,
        "nothing to do: all 8 files are as they should be\n"
    );

    let (one, two) = (
        format!("{FOLDER}/minion_minion01_xyz_example.sls"),
        format!("{FOLDER}/minion_minion02_xyz_example.sls"),
    );
    let right = sandbox.read(&one);
    sandbox.write(&one, &right.replacen("minion:", "minion: # edited", 1));
    fs::set_permissions(sandbox.path(&two), fs::Permissions::from_mode(0o644)).unwrap();
    let dry = pillar(&sandbox, &["--dry-run"]).out;
    assert!(
        dry.contains(&format!("changed    {one}\n")) && dry.contains("would write 2 files, 6 unchanged"),
        "{dry}"
    );
    assert!(
        dry.contains(&format!("closed     {two}: others could read it\n")),
        "{dry}"
    );
    assert_ne!(sandbox.read(&one), right);
    assert!(
        pillar(&sandbox, &[])
            .out
            .ends_with("wrote 2 files, 6 unchanged\n")
    );
    assert_eq!((sandbox.read(&one), mode(&sandbox, &two)), (right, 0o600));
}

#[test]
fn a_dry_run_writes_nothing() {
    let sandbox = xyz();
    let dry = report(&sandbox, &["--dry-run"]);
    assert_eq!(dry["files"].as_array().unwrap().len(), 8);
    assert!(!sandbox.path("srv").exists());
}

#[test]
fn files_of_hosts_that_have_left_are_listed_and_only_ours_are_removed() {
    let sandbox = xyz();
    report(&sandbox, &[]);
    let file = |name: &str| format!("{FOLDER}/{name}.sls");
    let ours = sandbox.read(&file("minion_minion01_xyz_example"));
    // A host that is gone, one by hand, one of another client, and files that are no host's.
    sandbox.write(&file("minion_gone"), &ours);
    sandbox.write(&file("master_by_hand"), "salt: {}\n");
    sandbox.write(&file("minion_abc"), &ours.replacen("\"Xyz\"", "\"Abc\"", 1));
    sandbox.write(&file("init"), &ours);
    sandbox.write(&format!("{FOLDER}/minion_gone.txt"), &ours);
    // A host that is no longer active.
    let text = sandbox.read("xyz.yaml");
    sandbox.write(
        "xyz.yaml",
        &text.replacen(
            "minion02.xyz.example, active: True",
            "minion02.xyz.example, active: False",
            1,
        ),
    );

    let expected = |ours: &str| {
        let state = |name: &str, state: &str| (file(name), state.to_owned());
        vec![
            state("master_by_hand", "foreign"),
            state("minion_gone", ours),
            state("minion_minion02_xyz_example", ours),
        ]
    };
    let before = names(&sandbox);
    assert_eq!(
        changes(&report(&sandbox, &[]), "stale", "state"),
        expected("left")
    );
    assert_eq!(
        changes(&report(&sandbox, &["--prune", "--dry-run"]), "stale", "state"),
        expected("removed")
    );
    assert_eq!(names(&sandbox), before);
    let out = pillar(&sandbox, &[]).out;
    assert!(
        out.contains("minion_gone.sls: no active host of the client; --prune removes it\n"),
        "{out}"
    );
    assert!(
        out.contains("master_by_hand.sls: no active host of the client; not written by this command\n"),
        "{out}"
    );

    assert_eq!(
        changes(&report(&sandbox, &["--prune"]), "stale", "state"),
        expected("removed")
    );
    let gone = ["minion_gone.sls", "minion_minion02_xyz_example.sls"];
    let left: Vec<String> = before
        .into_iter()
        .filter(|name| !gone.contains(&name.as_str()))
        .collect();
    assert_eq!(names(&sandbox), left);
}

#[test]
fn what_somebody_else_wrote_is_not_overwritten_without_being_told_to() {
    let sandbox = xyz();
    let by_hand = format!("{FOLDER}/minion_minion01_xyz_example.sls");
    sandbox.write(&by_hand, "salt: {minion: {}}\n");
    let ran = pillar(&sandbox, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(
        ran.err.contains(&by_hand) && ran.err.contains("--replace"),
        "{}",
        ran.err
    );
    assert_eq!(
        names(&sandbox),
        ["minion_minion01_xyz_example.sls"],
        "something was written"
    );

    report(&sandbox, &["--replace"]);
    assert!(
        sandbox
            .read(&by_hand)
            .starts_with("# Written by pki-tools pillar")
    );
    assert_eq!(names(&sandbox).len(), 8);
}

#[test]
fn links_are_not_followed() {
    let sandbox = xyz();
    sandbox.write("elsewhere", "precious\n");
    fs::create_dir_all(sandbox.path(FOLDER)).unwrap();
    symlink(
        sandbox.path("elsewhere"),
        sandbox.path(&format!("{FOLDER}/minion_salt1_xyz_example.sls")),
    )
    .unwrap();
    let ran = pillar(&sandbox, &["--replace"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err
            .contains("minion_salt1_xyz_example.sls: there is something that is not a regular file"),
        "{}",
        ran.err
    );
    assert_eq!(sandbox.read("elsewhere"), "precious\n");
    assert_eq!(names(&sandbox).len(), 1);
}

#[test]
fn names_that_are_no_ids_or_share_a_file_are_refused_with_their_place() {
    let client = |assets: &str, pipeline: &str| {
        let text = format!(
            "name: Xyz\nconfiguration_management:\n  salt:\n    pki: {{pipeline: {{id: {pipeline}}}}}\n    \
             masters: [{{fqdn: salt1}}]\nassets:\n{assets}"
        );
        let sandbox = Sandbox::with(&[("xyz.yaml", &text)]);
        let made = sandbox.run(&["gen", "xyz.yaml"]);
        assert_eq!(made.code, 0, "{}", made.err);
        let line = |of: &str| {
            1 + sandbox
                .read("xyz.yaml")
                .lines()
                .position(|line| line.contains(of))
                .unwrap()
        };
        let ran = pillar(&sandbox, &[]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(!sandbox.path("srv").exists());
        (ran.err, line("- fqdn:"), line("pipeline"))
    };
    let (error, line, _) = client("  - fqdn: ../../../etc/x\n", "p");
    assert!(
        error.contains(&format!(
            "xyz.yaml:{line}:11: \"../../../etc/x\" is not a minion id: '/'"
        )),
        "{error}"
    );
    let (error, ..) = client("  - fqdn: a.b\n  - fqdn: a_b\n", "p");
    assert!(error.contains("minion_a_b.sls: both a.b and a_b"), "{error}");
    let (error, _, line) = client("  - fqdn: a\n", "a");
    assert!(
        error.contains(&format!("xyz.yaml:{line}:"))
            && error.contains("a is the id of the dispatch identity"),
        "{error}"
    );
}

#[test]
fn missing_keys_are_told_and_those_of_masters_are_errors() {
    let sandbox = xyz();
    let text = sandbox.read("xyz.yaml");
    sandbox.write(
        "xyz.yaml",
        &text.replacen("assets:\n", "assets:\n  - fqdn: new.xyz.example\n", 1),
    );
    let ran = pillar(&sandbox, &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err
            .contains("warning: new.xyz.example has no `minion` in xyz.yaml"),
        "{}",
        ran.err
    );
    assert!(!names(&sandbox).iter().any(|name| name.contains("new")));
    // Its file, from before, say, is not a stale one.
    sandbox.write(
        &format!("{FOLDER}/minion_new_xyz_example.sls"),
        &sandbox.read(&format!("{FOLDER}/minion_minion01_xyz_example.sls")),
    );
    assert_eq!(report(&sandbox, &["--prune"])["stale"], json!([]));

    let keyless = Sandbox::with(&[(
        "xyz.yaml",
        "name: Xyz\nconfiguration_management: {salt: {masters: [{fqdn: m1}]}}\n",
    )]);
    let ran = pillar(&keyless, &[]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err
            .contains("client Xyz has no `pki.master_sign` in xyz.yaml; make it with `pki-tools gen`"),
        "{}",
        ran.err
    );
}

#[test]
fn a_client_without_masters_has_no_files() {
    let text = "name: Xyz\nconfiguration_management: {type: salt-ssh}\nassets: [{fqdn: a1}]\n";
    let sandbox = Sandbox::with(&[("xyz.yaml", text)]);
    let ran = pillar(&sandbox, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, "nothing to do: no active host of the client has keys\n");
    assert!(!sandbox.path("srv").exists());
}

#[test]
fn while_master_sign_rotates_the_first_active_master_signs_with_the_old_pair() {
    let sandbox = xyz();
    let old = Sandbox::with(&[(
        "xyz.yaml",
        "name: Xyz\nconfiguration_management: {type: salt, salt: {}}\n",
    )]);
    old.report(&["xyz.yaml"]);
    let old = data(&old.read("xyz.yaml"))["configuration_management"]["salt"]["pki"]["master_sign"].clone();
    let text = sandbox.read("xyz.yaml");
    let text = text.replacen(
        "      master_sign:\n",
        &format!("      master_sign_old: {old}\n      master_sign:\n"),
        1,
    );
    sandbox.write("xyz.yaml", &text);
    report(&sandbox, &[]);
    let new = &data(&text)["configuration_management"]["salt"]["pki"]["master_sign"];
    assert_ne!(&old, new);
    let signs = |name: &str| sls(&sandbox, name)["salt"]["master"]["pki"]["master_sign"].clone();
    assert_eq!(&signs("master_salt1_xyz_example"), &old);
    assert_eq!(&signs("master_salt2_xyz_example"), new);
    for minion in ["minion_minion01_xyz_example", "minion_salt1_xyz_example"] {
        assert_eq!(
            sls(&sandbox, minion)["salt"]["minion"]["pki"]["master_sign"],
            new["pub"],
            "{minion}"
        );
    }
    // Without the first one, the other one is the first.
    sandbox.write(
        "xyz.yaml",
        &text.replacen(
            "salt1.xyz.example\n        active: True",
            "salt1.xyz.example\n        active: False",
            1,
        ),
    );
    report(&sandbox, &["--prune"]);
    assert_eq!(&signs("master_salt2_xyz_example"), &old);
    assert_eq!(names(&sandbox).len(), 6);
}

#[test]
fn a_clients_file_that_everybody_can_read_is_refused() {
    let sandbox = xyz();
    fs::set_permissions(sandbox.path("xyz.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    let ran = pillar(&sandbox, &[]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err
            .contains("everybody can read the private keys in it (mode 0644)"),
        "{}",
        ran.err
    );
    assert!(!sandbox.path("srv").exists());
    assert_eq!(pillar(&sandbox, &["--insecure-permissions"]).code, 0);
}

#[test]
fn what_a_killed_run_left_is_cleared_away_and_nothing_else() {
    let sandbox = xyz();
    report(&sandbox, &[]);
    let before = names(&sandbox);
    let file = |name: &str| format!("{FOLDER}/{name}");
    sandbox.write(&file(".minion_salt1_xyz_example.sls.aB3dEf.pki-tools"), "a key");
    sandbox.write(
        &file(".minion_salt9_xyz_example.sls.aB3dEf.pki-tools"),
        "somebody else's",
    );
    sandbox.write(
        &file("minion_salt1_xyz_example.sls"),
        &sandbox.read(&file("minion_salt2_xyz_example.sls")),
    );
    report(&sandbox, &[]);
    let mut expected = vec![".minion_salt9_xyz_example.sls.aB3dEf.pki-tools".to_owned()];
    expected.extend(before);
    assert_eq!(names(&sandbox), expected);
}

#[test]
fn a_disk_that_is_full_leaves_every_file_as_it_was() {
    let sandbox = xyz();
    let script = "mkdir disk && mount -t tmpfs -o size=40k,mode=700 tmpfs disk && mkdir -p disk/pillar/salt && \
        echo '# Written by pki-tools pillar for the client \"Xyz\"; changes are lost.' \
            > disk/pillar/salt/minion_minion01_xyz_example.sls && \
        { \"$PKI_TOOLS\" pillar xyz.yaml --out disk; code=$?; \
          wc -l disk/pillar/salt/* ; ls -A disk/pillar/salt; exit $code; }";
    let mut unshare = sandbox.command_of("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    unshare.env("PKI_TOOLS", env!("CARGO_BIN_EXE_pki-tools"));
    let ran = Ran::of(unshare.output().unwrap());
    assert_eq!(ran.code, 2, "{}{}", ran.out, ran.err);
    assert!(
        ran.err.contains("cannot write it: No space left on device"),
        "{}",
        ran.err
    );
    let file = "minion_minion01_xyz_example.sls";
    assert_eq!(ran.out, format!("1 disk/pillar/salt/{file}\n{file}\n"));
}

#[test]
fn a_sealed_client_gives_the_same_files_and_nothing_without_the_passphrase() {
    let sandbox = xyz();
    report(&sandbox, &[]);
    let files = |sandbox: &Sandbox| -> Vec<String> {
        let read = |name: &String| sandbox.read(&format!("{FOLDER}/{name}"));
        names(sandbox).iter().map(read).collect()
    };
    let unsealed = files(&sandbox);
    let sealed = xyz();
    sealed.write("passphrase", "open sesame\n");
    sealed.write("wrong", "something else\n");
    let ran = sealed.run(&["seal", "xyz.yaml", "--passphrase-file", "passphrase"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(!sealed.read("xyz.yaml").contains("PRIVATE KEY"));
    for more in [&[][..], &["--passphrase-file", "wrong"]] {
        let ran = pillar(&sealed, more);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains("cannot open"), "{}", ran.err);
        assert!(!sealed.path("srv").exists());
    }
    report(&sealed, &["--passphrase-file", "passphrase"]);
    assert_eq!(files(&sealed), unsealed);
}
