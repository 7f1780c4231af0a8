//! `pki-tools seal`, `unseal` and what else deals with sealed files: the real program.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

#[path = "../common/mod.rs"]
mod common;
mod edited;
mod files;
mod new_keys;
mod prompt;
mod refused;
mod tampering;

use common::{Ran, Sandbox};

/// A client with every kind of key, in several styles; no text is a real key.
pub(crate) const XYZ: &str = include_str!("xyz.yaml");
/// What it includes.
pub(crate) const MORE: &str = "\
assets:
  - fqdn: a2   # the other one
    minion:
      pem: |-  # kept
         -----BEGIN PRIVATE KEY-----
         c2VjcmV0IGEy

      pub: public a2
";

/// The owner and key of each private half, and the line of its key.
pub(crate) const HALVES: &[(&str, usize, &str, &str)] = &[
    ("xyz.yaml", 7, "client Xyz", "pki.master_sign.pem"),
    ("xyz.yaml", 15, "client Xyz", "pki.master_sign_old.pem"),
    ("xyz.yaml", 17, "client Xyz", "pki.pipeline.pem"),
    ("xyz.yaml", 23, "m1", "root_ed25519.priv"),
    ("xyz.yaml", 29, "m1", "pki.master.pem"),
    ("xyz.yaml", 36, "m1", "pki.minion.pem"),
    ("xyz.yaml", 43, "old", "pki.master.pem"),
    ("xyz.yaml", 50, "a1", "minion.pem"),
    ("more.yaml", 4, "a2", "minion.pem"),
];

/// Both files, a key file, and passphrases.
pub(crate) fn xyz() -> Sandbox {
    Sandbox::with(&[
        ("xyz.yaml", XYZ),
        ("more.yaml", MORE),
        ("key", "a key file that is long enough for it"),
        ("other", "another key file that is long enough for it"),
        ("phrase", "correct horse battery staple\r\nnot this line\n"),
    ])
}

pub(crate) const KEY: [&str; 2] = ["--key-file", "key"];

/// Runs the program without a passphrase in the environment.
pub(crate) fn run(sandbox: &Sandbox, args: &[&str]) -> Ran {
    let mut command = sandbox.command(args);
    command.env_remove("PKI_TOOLS_PASSPHRASE");
    Ran::of(command.output().unwrap())
}

/// Runs it with the key file; it must succeed.
pub(crate) fn done(sandbox: &Sandbox, args: &[&str]) -> Ran {
    let ran = run(sandbox, &[args, &KEY].concat());
    assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
    ran
}

/// Runs it with the key file; it must refuse, and leave the files as they are. Returns the message.
pub(crate) fn refused(sandbox: &Sandbox, args: &[&str]) -> String {
    let before = both(sandbox);
    let ran = run(sandbox, args);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
    assert_eq!(both(sandbox), before, "{args:?}");
    ran.err
}

/// The texts of both files.
pub(crate) fn both(sandbox: &Sandbox) -> (String, String) {
    (sandbox.read("xyz.yaml"), sandbox.read("more.yaml"))
}

/// The sealed texts of a file, in its order.
pub(crate) fn sealed_texts(yaml: &str) -> Vec<&str> {
    let end = |c: char| c.is_whitespace() || c == '"' || c == ',';
    yaml.match_indices("sealed.v1.")
        .map(|(at, _)| yaml[at..].split(end).next().unwrap())
        .collect()
}
