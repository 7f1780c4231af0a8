//! The steps that are told: which commands, on which hosts, in which order.

use serde_json::Value;

use crate::{commands, rotate, with_minion, xyz};

#[test]
fn a_minion_is_moved_to_the_master_that_has_its_new_key_before_the_other_gets_it() {
    let sandbox = xyz();
    let report = rotate(&sandbox, &["minion01.xyz.example"]);
    let pin = |address: &str| {
        format!("minion01.xyz.example: echo 'master: \"{address}\"' > /etc/salt/minion.d/zz-rotate.conf")
    };
    let restart = "minion01.xyz.example: systemctl restart salt-minion".to_owned();
    let master = |name: &str| format!("{name}: pki-tools install xyz.yaml --host {name} --role master");
    assert_eq!(
        commands(&report),
        [
            pin("192.0.2.11"),
            restart.clone(),
            "salt1.xyz.example: salt minion01.xyz.example test.ping".to_owned(),
            master("salt2.xyz.example"),
            "minion01.xyz.example: pki-tools install xyz.yaml --host minion01.xyz.example --role minion --replace".to_owned(),
            pin("192.0.2.12"),
            restart.clone(),
            "salt2.xyz.example: salt minion01.xyz.example test.ping".to_owned(),
            master("salt1.xyz.example"),
            "minion01.xyz.example: rm /etc/salt/minion.d/zz-rotate.conf".to_owned(),
            restart,
        ]
    );
    // The minion of a master's host sees the masters at their inner addresses.
    let report = rotate(&sandbox, &["salt1.xyz.example:minion"]);
    let commands = commands(&report);
    assert_eq!(
        commands[0],
        "salt1.xyz.example: echo 'master: \"10.0.0.11\"' > /etc/salt/minion.d/zz-rotate.conf"
    );
    // An inactive host has no keys on any master.
    let sandbox = with_minion("2048");
    let text = sandbox
        .read("x.yaml")
        .replace("- fqdn: a1", "- active: False\n    fqdn: a1");
    let text = text + "configuration_management: {salt: {masters: [{fqdn: m1}]}}\n";
    sandbox.write("xyz.yaml", &text);
    let report = rotate(&sandbox, &["a1"]);
    assert!(crate::commands(&report).is_empty());
    assert_eq!(
        report["notes"][0],
        "a1 is not active: there is nothing to roll out."
    );
}

#[test]
fn with_one_master_a_minion_is_stopped_meanwhile() {
    let sandbox = with_minion("2048");
    let text = sandbox.read("x.yaml") + "configuration_management: {salt: {masters: [{fqdn: m1}]}}\n";
    sandbox.write("xyz.yaml", &text);
    let report = rotate(&sandbox, &["a1"]);
    assert_eq!(
        commands(&report),
        [
            "a1: systemctl stop salt-minion",
            "m1: pki-tools install xyz.yaml --host m1 --role master",
            "a1: pki-tools install xyz.yaml --host a1 --role minion --replace",
            "a1: systemctl start salt-minion",
        ]
    );
}

#[test]
fn a_client_of_hundreds_of_minions_gets_a_summary_and_all_names_in_json() {
    let sandbox = xyz();
    let mut text = sandbox
        .read("xyz.yaml")
        .replace("include:", "# include:")
        .replace("  dirs:", "# dirs:");
    text = text
        .replace("  skip_files:", "# skip_files:")
        .replace("...\n", "");
    for number in 0..300 {
        text.push_str(&format!("  - fqdn: web{number:03}.xyz.example\n"));
    }
    sandbox.write("xyz.yaml", &text);
    let ran = sandbox.run(&["rotate", "--dry-run", "xyz.yaml", "master_sign"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.lines().count() < 60, "{}", ran.out);
    assert!(
        ran.out.contains(
            "the same, each with its own name, on 303 other hosts: minion02.xyz.example, web000.xyz.example"
        ),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("and 298 more (--out json names them)"),
        "{}",
        ran.out
    );
    let report = rotate(&sandbox, &["--dry-run", "master_sign"]);
    let all = commands(&report);
    assert_eq!(
        all.iter()
            .filter(|command| command.ends_with("--role minion"))
            .count(),
        304
    );
    assert!(sandbox.read("xyz.yaml") == text, "a dry run has written");
}

#[test]
fn a_dry_run_tells_the_same_steps_and_writes_nothing() {
    for what in [
        "minion01.xyz.example",
        "salt1.xyz.example",
        "pipeline",
        "master_sign",
    ] {
        let sandbox = xyz();
        let before = sandbox.read("xyz.yaml");
        let dry = rotate(&sandbox, &["--dry-run", what]);
        assert!(
            sandbox.read("xyz.yaml") == before,
            "{what}: a dry run has written"
        );
        let wet = rotate(&sandbox, &[what]);
        let without_hash = |report: &Value| -> Vec<String> {
            let commands = commands(report).into_iter();
            commands
                .map(|c| c.split("sha256=").next().unwrap().to_owned())
                .collect()
        };
        assert_eq!(without_hash(&dry), without_hash(&wet), "{what}");
        assert_eq!(
            (&dry["dry_run"], &wet["dry_run"]),
            (&Value::Bool(true), &Value::Bool(false))
        );
        assert_eq!(dry["line"], wet["line"], "{what}");
    }
}
