//! Rotations in sealed files.

use crate::common::{assert_pairs_fit, data};
use crate::{changed, commands, must, refused, rotate, with_passphrase, xyz};

#[test]
fn a_sealed_file_stays_sealed_under_its_passphrase_and_is_refused_without() {
    for what in [
        "minion01.xyz.example",
        "minion02.xyz.example",
        "salt1.xyz.example:root_ed25519",
        "master_sign",
    ] {
        let sandbox = xyz();
        let open = data(&sandbox.read("xyz.yaml"));
        must(with_passphrase(&sandbox, &["seal", "xyz.yaml"], "right"));
        let error = refused(&sandbox, &[what]);
        assert!(
            error.contains("it is sealed; set PKI_TOOLS_PASSPHRASE"),
            "{error}"
        );
        let before = sandbox.read("xyz.yaml");
        let wrong = with_passphrase(&sandbox, &["rotate", "xyz.yaml", what], "wrong");
        assert_eq!(wrong.code, 2);
        assert!(wrong.err.contains("wrong passphrase"), "{}", wrong.err);
        assert!(sandbox.read("xyz.yaml") == before);
        // What would be done can be told without.
        assert!(!commands(&rotate(&sandbox, &["--dry-run", what])).is_empty());
        assert!(sandbox.read("xyz.yaml") == before);

        must(with_passphrase(&sandbox, &["rotate", "xyz.yaml", what], "right"));
        must(sandbox.run(&["seal", "--check", "xyz.yaml"]));
        if what == "master_sign" {
            // Bound to its name: opened as the old one, sealed as the old one.
            let begun = sandbox.read("xyz.yaml");
            must(with_passphrase(
                &sandbox,
                &["rotate", "xyz.yaml", what, "--abort"],
                "right",
            ));
            must(sandbox.run(&["seal", "--check", "xyz.yaml"]));
            must(with_passphrase(&sandbox, &["unseal", "xyz.yaml"], "right"));
            assert_eq!(data(&sandbox.read("xyz.yaml")), open);
            sandbox.write("xyz.yaml", &begun);
            // Nothing is opened to take it out.
            must(with_passphrase(
                &sandbox,
                &["rotate", "xyz.yaml", what, "--finish"],
                "wrong",
            ));
        }
        must(with_passphrase(&sandbox, &["unseal", "xyz.yaml"], "right"));
        let after = data(&sandbox.read("xyz.yaml"));
        let mut found = Vec::new();
        changed(&open, &after, "", &mut found);
        assert_eq!(found.len(), 2, "{what}: {found:?}");
        assert_eq!(assert_pairs_fit(&after), 10, "{what}");
    }
}
