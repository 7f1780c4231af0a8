//! What a rotation changes in the files, and what it leaves.

use serde_json::Value;

use crate::common::{Sandbox, assert_pairs_fit, data};
use crate::{changed, commands, openssl, rotate, with_minion, xyz};

#[test]
fn each_pair_that_can_be_named_gets_a_new_one_that_fits_and_nothing_else_changes() {
    const SALT: &str = ".configuration_management.salt";
    for (what, file, pair, key) in [
        (
            "minion01.xyz.example",
            "xyz.yaml",
            ".assets[0].minion".to_owned(),
            "minion",
        ),
        (
            "minion02.xyz.example",
            "xyz.yaml",
            ".assets[1].minion".to_owned(),
            "minion",
        ),
        (
            "minion04.xyz.example",
            "xyz/more.yaml",
            ".assets[1].minion".to_owned(),
            "minion",
        ),
        (
            "salt1.xyz.example",
            "xyz.yaml",
            format!("{SALT}.masters[0].pki.master"),
            "pki.master",
        ),
        (
            "salt2.xyz.example:master",
            "xyz.yaml",
            format!("{SALT}.masters[1].pki.master"),
            "pki.master",
        ),
        (
            "salt2.xyz.example:minion",
            "xyz.yaml",
            format!("{SALT}.masters[1].pki.minion"),
            "pki.minion",
        ),
        (
            "salt1.xyz.example:root_ed25519",
            "xyz.yaml",
            format!("{SALT}.masters[0].root_ed25519"),
            "root_ed25519",
        ),
        (
            "pipeline",
            "xyz.yaml",
            format!("{SALT}.pki.pipeline"),
            "pki.pipeline",
        ),
        (
            "pipeline.xyz",
            "xyz.yaml",
            format!("{SALT}.pki.pipeline"),
            "pki.pipeline",
        ),
    ] {
        let sandbox = xyz();
        let old = (sandbox.read("xyz.yaml"), sandbox.read("xyz/more.yaml"));
        let report = rotate(&sandbox, &[what]);
        let new = (sandbox.read("xyz.yaml"), sandbox.read("xyz/more.yaml"));
        let (changed_file, same) = match file {
            "xyz.yaml" => ((&old.0, &new.0), (&old.1, &new.1)),
            _ => ((&old.1, &new.1), (&old.0, &new.0)),
        };
        assert!(same.0 == same.1, "{what}: the other file has changed");
        let (before, after) = (data(changed_file.0), data(changed_file.1));
        let mut found = Vec::new();
        changed(&before, &after, "", &mut found);
        found.sort();
        let private = if key == "root_ed25519" { "priv" } else { "pem" };
        assert_eq!(
            found,
            [format!("{pair}.{private}"), format!("{pair}.pub")],
            "{what}"
        );
        assert_eq!(
            assert_pairs_fit(&data(&new.0)) + assert_pairs_fit(&data(&new.1)),
            12,
            "{what}"
        );
        // These values are as long as the old ones: every other line is where it was.
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let (before, after) = (lines(changed_file.0), lines(changed_file.1));
        assert_eq!(before.len(), after.len(), "{what}");

        assert_eq!(
            (&report["key"], &report["done"]),
            (&Value::from(key), &Value::from("rotated")),
            "{what}"
        );
        assert_eq!(report["file"], file, "{what}");
        let line = usize::try_from(report["line"].as_u64().unwrap()).unwrap();
        assert!(
            [private, "id"].iter().any(|key| after[line - 1].contains(key)),
            "{what}: {}",
            after[line - 1]
        );
        assert!(!commands(&report).is_empty(), "{what}");
    }
}

#[test]
fn the_new_key_has_the_size_of_the_old_one_but_at_least_2048_bits_unless_it_is_told() {
    for (old, args, new) in [
        ("1024", [].as_slice(), 2048),
        ("2048", &[], 2048),
        ("3072", &[], 3072),
        ("3072", &["--bits", "2048"], 2048),
        ("2048", &["--bits", "4096"], 4096),
    ] {
        let sandbox = with_minion(old);
        let ran = sandbox.run(&[&["rotate", "--out", "json", "x.yaml", "a1"], args].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(report["bits"], new);
        let text = sandbox.read("x.yaml");
        assert_eq!(assert_pairs_fit(&data(&text)), 1);
        let pem = data(&text)["assets"][0]["minion"]["pub"]
            .as_str()
            .unwrap()
            .to_owned();
        sandbox.write("pub", &pem);
        let told = openssl(&[
            "pkey",
            "-pubin",
            "-noout",
            "-text",
            "-in",
            sandbox.path("pub").to_str().unwrap(),
        ]);
        assert!(told.contains(&format!("({new} bit")), "{told}");
    }
}

#[test]
fn a_pair_that_lost_a_half_is_made_whole() {
    for lost in ["pem", "pub"] {
        for nothing in ["", ": ", ": {}"] {
            let half = if nothing.is_empty() {
                String::new()
            } else {
                format!("      {lost}{nothing}  # lost\n")
            };
            let kept = if lost == "pem" { "pub" } else { "pem" };
            let text = format!(
                "name: X\nassets:\n  - fqdn: a1\n    minion:\n      {kept}: what is left  # kept\n{half}      own: 1\n"
            );
            let sandbox = Sandbox::with(&[("x.yaml", &text)]);
            let ran = sandbox.run(&["rotate", "x.yaml", "a1"]);
            assert_eq!(ran.code, 0, "{text}\n{}", ran.err);
            let after = sandbox.read("x.yaml");
            assert_eq!(assert_pairs_fit(&data(&after)), 1, "{after}");
            assert_eq!(data(&after)["assets"][0]["minion"]["own"], 1);
            assert!(
                after.contains("# kept") && after.contains("# lost") != nothing.is_empty(),
                "{after}"
            );
        }
    }
}

#[test]
fn no_private_key_is_ever_printed() {
    for what in [
        "minion01.xyz.example",
        "salt1.xyz.example:root_ed25519",
        "master_sign",
    ] {
        for out in ["text", "json"] {
            let sandbox = xyz();
            let ran = sandbox.run(&["rotate", "--out", out, "xyz.yaml", what]);
            assert_eq!(ran.code, 0, "{}", ran.err);
            let printed = ran.out + &ran.err;
            assert!(!printed.contains("PRIVATE"));
            // A long line that is no OpenSSH public key: of any private half, old or new.
            for text in [sandbox.read("xyz.yaml"), xyz().read("xyz.yaml")] {
                let lines = text.lines().map(str::trim);
                let mut lines = lines.filter(|line| line.len() >= 64 && !line.contains(' '));
                assert!(lines.all(|line| !printed.contains(line)));
            }
        }
    }
}
