//! A value that was tampered with is refused with its owner's name, and no file is touched.

use crate::{XYZ, both, done, refused, sealed_texts, xyz};

/// Seals, changes the sealed file, and returns the message of `unseal`; `seal` must refuse it, too.
fn said(tamper: impl FnOnce(&str) -> String) -> String {
    let sandbox = xyz();
    done(&sandbox, &["seal", "xyz.yaml"]);
    let sealed = sandbox.read("xyz.yaml");
    let tampered = tamper(&sealed);
    assert_ne!(tampered, sealed);
    sandbox.write("xyz.yaml", &tampered);
    let said = refused(&sandbox, &["unseal", "--key-file", "key", "xyz.yaml"]);
    assert_eq!(
        refused(&sandbox, &["seal", "--key-file", "key", "xyz.yaml"]),
        said
    );
    // As it was, it opens.
    sandbox.write("xyz.yaml", &sealed);
    done(&sandbox, &["unseal", "xyz.yaml"]);
    assert_eq!(both(&sandbox).0, XYZ);
    said
}

/// The place, key and owner of the value with this number in the sealed file.
fn named(said: &str, line: usize, key: &str, owner: &str) {
    let start = format!("error: xyz.yaml:{line}:");
    let what = format!("cannot open `{key}` of {owner}: ");
    assert!(said.starts_with(&start) && said.contains(&what), "{said}");
}

/// The text with two of its sealed values in each other's place.
fn swapped(text: &str, a: usize, b: usize) -> String {
    let texts = sealed_texts(text);
    text.replace(texts[a], "\u{0}")
        .replace(texts[b], texts[a])
        .replace('\u{0}', texts[b])
}

#[test]
fn values_swapped_between_owners_are_refused() {
    // The master keys of m1 and of the inactive master.
    let said = said(|text| swapped(text, 4, 6));
    named(&said, 23, "pki.master.pem", "m1");
    assert!(
        said.contains("it was tampered with, or sealed for another owner"),
        "{said}"
    );
}

#[test]
fn values_swapped_between_fields_are_refused() {
    // The old and the new key that sign.
    let said = said(|text| swapped(text, 0, 1));
    named(&said, 7, "pki.master_sign.pem", "client Xyz");
    assert!(
        said.contains("it was tampered with, or sealed for another owner"),
        "{said}"
    );
}

#[test]
fn a_value_of_another_file_or_an_owner_that_was_renamed_is_refused() {
    let said = said(|text| text.replace("fqdn: a1", "fqdn: renamed"));
    named(&said, 38, "minion.pem", "renamed");
    assert!(said.contains("or under another name"), "{said}");
}

#[test]
fn a_flipped_bit_is_refused() {
    let said = said(|text| {
        let value = sealed_texts(text)[7].to_owned();
        let (head, tail) = value.split_at(value.len() - 20);
        let flipped = if tail.starts_with('A') { "B" } else { "A" };
        text.replace(&value, &format!("{head}{flipped}{}", &tail[1..]))
    });
    named(&said, 38, "minion.pem", "a1");
    assert!(said.contains("it was tampered with"), "{said}");
}

#[test]
fn a_value_that_was_cut_off_is_refused() {
    for length in [100, 99, 98, 52] {
        let said = said(|text| {
            let value = sealed_texts(text)[3].to_owned();
            text.replace(&value, &value[..length])
        });
        named(&said, 20, "root_ed25519.priv", "m1");
    }
}

#[test]
fn another_version_is_told_to_be_newer() {
    let said = said(|text| text.replacen("sealed.v1.", "sealed.v2.", 1));
    named(&said, 7, "pki.master_sign.pem", "client Xyz");
    assert!(
        said.contains("it is sealed in form v2, which this release does not know; use a newer one"),
        "{said}"
    );
}

#[test]
fn absurd_costs_are_refused_at_once() {
    let sandbox = xyz();
    let phrase = ["--passphrase-file", "phrase"];
    let seal = [&["seal", "xyz.yaml"], phrase.as_slice()].concat();
    assert_eq!(crate::run(&sandbox, &seal).code, 0);
    let sealed = sandbox.read("xyz.yaml");
    for costs in ["4194304.3.4", "65536.4000000000.4", "65536.3.16000000", "8.1.1"] {
        sandbox.write("xyz.yaml", &sealed.replacen("65536.3.4", costs, 1));
        let said = refused(&sandbox, &[&["unseal", "xyz.yaml"], phrase.as_slice()].concat());
        named(&said, 7, "pki.master_sign.pem", "client Xyz");
        assert!(
            said.contains("unreasonable amount of memory or time; it was tampered with"),
            "{said}"
        );
    }
}

#[test]
fn an_older_value_of_the_same_key_opens_with_the_passphrase_of_that_time_alone() {
    let sandbox = xyz();
    done(&sandbox, &["seal", "xyz.yaml"]);
    let old = sealed_texts(&sandbox.read("xyz.yaml"))[7].to_owned();
    done(&sandbox, &["unseal", "xyz.yaml"]);
    let ran = crate::run(&sandbox, &["seal", "--key-file", "other", "xyz.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let sealed = sandbox.read("xyz.yaml");
    sandbox.write("xyz.yaml", &sealed.replace(sealed_texts(&sealed)[7], &old));
    let said = refused(&sandbox, &["unseal", "--key-file", "other", "xyz.yaml"]);
    named(&said, 38, "minion.pem", "a1");
}
