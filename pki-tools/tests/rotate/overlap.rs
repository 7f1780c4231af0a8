//! The rotation of `master_sign`, which has an overlap: begun, finished, aborted.

use std::process::Command;

use serde_json::Value;

use crate::common::{assert_pairs_fit, data};
use crate::{changed, commands, refused, rotate, xyz};

#[test]
fn master_sign_overlaps_until_it_is_finished() {
    let sandbox = xyz();
    let before = data(&sandbox.read("xyz.yaml"));
    let pki = |data: &Value| data["configuration_management"]["salt"]["pki"].clone();
    let report = rotate(&sandbox, &["master_sign"]);
    let during = data(&sandbox.read("xyz.yaml"));
    assert_eq!(pki(&during)["master_sign_old"], pki(&before)["master_sign"]);
    assert_ne!(pki(&during)["master_sign"], pki(&before)["master_sign"]);
    assert_eq!(assert_pairs_fit(&pki(&during)), 3);

    let commands = commands(&report);
    let public = pki(&during)["master_sign"]["pub"].as_str().unwrap().to_owned();
    sandbox.write("pub", &public);
    let sum = Command::new("sha256sum")
        .arg(sandbox.path("pub"))
        .output()
        .unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap()[..64].to_owned();
    let check = |master: &str| {
        format!("{master}: salt '*' file.check_hash /etc/salt/pki/minion/master_sign.pub sha256={sum}")
    };
    let minion = |host: &str| format!("{host}: pki-tools install xyz.yaml --host {host} --role minion");
    let mut expected = vec![
        "salt2.xyz.example: pki-tools install xyz.yaml --host salt2.xyz.example --role master --replace"
            .to_owned(),
        "salt2.xyz.example: systemctl restart salt-master".to_owned(),
        "pki-tools pipeline xyz.yaml --out saltfo.yaml".to_owned(),
    ];
    // Masters have minions, too; inactive hosts and services have none.
    for host in ["minion01", "minion02", "minion03", "minion04", "salt1", "salt2"] {
        expected.push(minion(&format!("{host}.xyz.example")));
    }
    expected.extend([
        check("salt1.xyz.example"),
        check("salt2.xyz.example"),
        "pki-tools rotate xyz.yaml master_sign --finish".to_owned(),
        "salt1.xyz.example: pki-tools install xyz.yaml --host salt1.xyz.example --role master --replace"
            .to_owned(),
        "salt1.xyz.example: systemctl restart salt-master".to_owned(),
        "pki-tools pipeline xyz.yaml --out saltfo.yaml".to_owned(),
    ]);
    assert_eq!(commands, expected);

    // What needs both signatures waits; the rest does not.
    for what in [
        "master_sign",
        "minion01.xyz.example",
        "salt1.xyz.example",
        "salt1.xyz.example:minion",
    ] {
        let error = refused(&sandbox, &[what]);
        assert!(
            error.contains("is under way; end it first, with `pki-tools rotate FILE master_sign --finish`"),
            "{error}"
        );
        let line = sandbox
            .read("xyz.yaml")
            .lines()
            .position(|line| line.trim() == "master_sign_old:")
            .unwrap()
            + 2;
        assert!(error.starts_with(&format!("error: xyz.yaml:{line}:")), "{error}");
    }
    rotate(&sandbox, &["pipeline"]);
    rotate(&sandbox, &["salt1.xyz.example:root_ed25519"]);

    let during = data(&sandbox.read("xyz.yaml"));
    let report = rotate(&sandbox, &["master_sign", "--finish"]);
    assert_eq!(report["done"], "finished");
    assert_eq!(crate::commands(&report), expected[expected.len() - 3..]);
    let after = data(&sandbox.read("xyz.yaml"));
    assert_eq!(pki(&after)["master_sign"], pki(&during)["master_sign"]);
    assert!(pki(&after).get("master_sign_old").is_none());
    let error = refused(&sandbox, &["master_sign", "--finish"]);
    assert!(
        error.contains("no rotation of `master_sign` is under way"),
        "{error}"
    );
}

#[test]
fn an_aborted_rotation_leaves_the_file_as_it_was_whatever_its_style() {
    let sandbox = xyz();
    let block = sandbox.read("xyz.yaml");
    let json = serde_json::to_string_pretty(&data(&block)).unwrap();
    let crlf = block.replace('\n', "\r\n");
    for text in [
        block.clone(),
        crlf,
        json.clone(),
        serde_json::to_string(&data(&block)).unwrap(),
        json.replace("\"pipeline\": {", "\"pipeline\" : { # ours\n"),
    ] {
        sandbox.write("xyz.yaml", &text);
        rotate(&sandbox, &["master_sign"]);
        let begun = sandbox.read("xyz.yaml");
        assert!(begun.contains("master_sign_old"));
        let report = rotate(&sandbox, &["master_sign", "--abort"]);
        assert!(sandbox.read("xyz.yaml") == text, "not as it was:\n{text}");
        // The minions go back first: until then they trust the new signature only.
        let commands = commands(&report);
        assert!(
            commands[0].starts_with("minion01.xyz.example: pki-tools install"),
            "{commands:?}"
        );
        assert_eq!(
            commands[commands.len() - 3..],
            [
                "salt2.xyz.example: pki-tools install xyz.yaml --host salt2.xyz.example --role master --replace",
                "salt2.xyz.example: systemctl restart salt-master",
                "pki-tools pipeline xyz.yaml --out saltfo.yaml",
            ]
        );
        sandbox.write("xyz.yaml", &begun);
        rotate(&sandbox, &["master_sign", "--finish"]);
        let finished = data(&sandbox.read("xyz.yaml"));
        let mut found = Vec::new();
        changed(&data(&text), &finished, "", &mut found);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
