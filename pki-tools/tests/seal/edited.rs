//! Files that were edited while they were sealed.

use crate::common::{Sandbox, data};
use crate::{HALVES, MORE, XYZ, done, sealed_texts, xyz};

#[test]
fn a_comment_that_was_added_behind_a_sealed_value_stays() {
    let sandbox = xyz();
    done(&sandbox, &["seal", "xyz.yaml"]);
    let before = sandbox.read("xyz.yaml");
    let mut sealed = before.clone();
    for (number, text) in sealed_texts(&before).into_iter().enumerate() {
        // Not those in braces, where more follows on the line.
        if ![2, 6].contains(&number) {
            sealed = sealed.replace(text, &format!("{text}  # added {number}"));
        }
    }
    sandbox.write("xyz.yaml", &sealed);
    done(&sandbox, &["unseal", "xyz.yaml"]);
    let unsealed = sandbox.read("xyz.yaml");
    for line in [
        "        pem: |  # added 0\n          -----BEGIN",
        "            priv: >  # added 3\n              -----BEGIN",
        "            pem: |+2  # added 4\n                -----BEGIN",
        "              |  # added 5\n                -----BEGIN",
        "\\n\"  # added 1   # until the rotation is done\n",
        "      pem: |  # added 7\n        -----BEGIN",
    ] {
        assert!(unsealed.contains(line), "{line} is not in {unsealed}");
    }
    assert_eq!(data(&unsealed), data(XYZ));
}

#[test]
fn a_file_that_was_indented_anew_keeps_its_values() {
    let sandbox = xyz();
    done(&sandbox, &["seal", "xyz.yaml"]);
    let deeper = |text: &str| {
        let lines = text.lines().map(|line| {
            let more = if line.starts_with(' ') { "  " } else { "" };
            format!("{more}{line}\n")
        });
        lines.collect::<String>()
    };
    for name in ["xyz.yaml", "more.yaml"] {
        sandbox.write(name, &deeper(&sandbox.read(name)));
    }
    done(&sandbox, &["unseal", "xyz.yaml"]);
    let (top, more) = (sandbox.read("xyz.yaml"), sandbox.read("more.yaml"));
    assert_eq!((data(&top), data(&more)), (data(XYZ), data(MORE)));
    // As gen writes it, two deeper than its key; what that cannot be, on one line.
    assert!(
        top.contains("\n          pem: |\n            -----BEGIN RSA"),
        "{top}"
    );
    assert!(
        more.contains("pem: \"-----BEGIN PRIVATE KEY-----\\nc2VjcmV0IGEy\"  # kept\n"),
        "{more}"
    );
}

#[test]
fn a_file_that_a_tool_wrote_anew_keeps_its_values() {
    for pretty in [false, true] {
        let sandbox = xyz();
        done(&sandbox, &["seal", "xyz.yaml"]);
        let sealed = data(&sandbox.read("xyz.yaml"));
        let anew = match pretty {
            true => serde_json::to_string_pretty(&sealed),
            false => serde_json::to_string(&sealed),
        };
        sandbox.write("xyz.yaml", &anew.unwrap());
        let ran = done(&sandbox, &["unseal", "xyz.yaml"]);
        assert_eq!(ran.out.lines().count(), HALVES.len() + 1, "{}", ran.out);
        assert_eq!(data(&sandbox.read("xyz.yaml")), data(XYZ));
    }
}

#[test]
fn one_value_that_does_not_fit_any_more_leaves_the_others_as_they_were() {
    let host =
        |name: &str| format!("  - fqdn: {name}\n    minion:\n      pem: |-\n         secret\n      pub: p\n");
    let text = format!("name: X\nassets:\n{}{}", host("a1"), host("a2"));
    let sandbox = Sandbox::with(&[("xyz.yaml", &text), ("key", &"k".repeat(32))]);
    done(&sandbox, &["seal", "xyz.yaml"]);
    let sealed = sandbox.read("xyz.yaml");
    // A comment that the text would swallow.
    sandbox.write(
        "xyz.yaml",
        &sealed.replacen("\n      pub: p", "\n              # added\n      pub: p", 1),
    );
    done(&sandbox, &["unseal", "xyz.yaml"]);
    let first = host("a1").replace("|-\n         secret\n", "\"secret\"\n              # added\n");
    assert_eq!(
        sandbox.read("xyz.yaml"),
        format!("name: X\nassets:\n{first}{}", host("a2"))
    );
}

#[test]
fn a_sealed_value_that_was_folded_or_quoted_opens() {
    let sandbox = Sandbox::with(&[
        (
            "xyz.yaml",
            "assets:\n  - fqdn: a1\n    minion:\n      pem: |\n        secret\n      pub: p\n",
        ),
        ("key", &"k".repeat(32)),
    ]);
    done(&sandbox, &["seal", "xyz.yaml"]);
    let sealed = sandbox.read("xyz.yaml");
    let text = sealed_texts(&sealed)[0];
    let before = sealed.replace(text, "VALUE");
    for form in [
        format!("'{text}'"),
        format!("\"{text}\""),
        format!("|\n        {text}"),
        format!(">-  # why\n          {text}"),
        format!("\"{}\\\n        {}\"", &text[..60], &text[60..]),
    ] {
        sandbox.write("xyz.yaml", &before.replace("VALUE", &form));
        done(&sandbox, &["unseal", "xyz.yaml"]);
        let comment = if form.contains("why") { "  # why" } else { "" };
        assert_eq!(
            sandbox.read("xyz.yaml"),
            before.replace("VALUE", &format!("|{comment}\n        secret"))
        );
    }
}
