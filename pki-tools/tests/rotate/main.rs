//! `pki-tools rotate`, the real program: what it changes, what it leaves, and the steps that it tells.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

#[path = "../common/mod.rs"]
mod common;
mod files;
mod overlap;
mod refused;
mod sealed;
mod steps;

use std::process::Command;
use std::sync::OnceLock;

use common::{Ran, Sandbox, openssl_public};
use serde_json::Value;

/// The client Xyz with all its keys, made once: its file and the one that it includes.
pub(crate) fn xyz() -> Sandbox {
    static FILES: OnceLock<[String; 2]> = OnceLock::new();
    let [top, more] = FILES.get_or_init(|| {
        let sandbox = Sandbox::with(&[
            ("xyz.yaml", include_str!("../data/xyz.yaml")),
            ("xyz/more.yaml", include_str!("../data/xyz/more.yaml")),
        ]);
        sandbox.report(&["xyz.yaml"]);
        [sandbox.read("xyz.yaml"), sandbox.read("xyz/more.yaml")]
    });
    Sandbox::with(&[("xyz.yaml", top), ("xyz/more.yaml", more)])
}

/// A client with one pair that somebody made elsewhere, in PKCS#8 if it is of openssl's own form.
pub(crate) fn with_minion(bits: &str) -> Sandbox {
    let key = openssl(&["genrsa", bits]);
    let indent = |pem: &str| {
        pem.lines()
            .map(|line| format!("        {line}\n"))
            .collect::<String>()
    };
    Sandbox::with(&[(
        "x.yaml",
        &format!(
            "name: X\nassets:\n  - fqdn: a1\n    minion:\n      pem: |\n{}      pub: |\n{}",
            indent(&key),
            indent(&openssl_public(&key))
        ),
    )])
}

pub(crate) fn openssl(args: &[&str]) -> String {
    let output = Command::new("openssl").args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// `rotate --out json FILE` with these further arguments, which must succeed.
pub(crate) fn rotate(sandbox: &Sandbox, args: &[&str]) -> Value {
    let mut all = vec!["rotate", "--out", "json", "xyz.yaml"];
    all.extend(args);
    let ran = sandbox.run(&all);
    assert_eq!(ran.code, 0, "{}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

pub(crate) fn refused(sandbox: &Sandbox, args: &[&str]) -> String {
    let before = (sandbox.read("xyz.yaml"), sandbox.read("xyz/more.yaml"));
    let ran = sandbox.run(&[&["rotate", "xyz.yaml"], args].concat());
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    let after = (sandbox.read("xyz.yaml"), sandbox.read("xyz/more.yaml"));
    assert!(before == after, "a refused run has changed a file");
    ran.err
}

/// The commands of all steps, as `host: command`, or the command alone where the file is.
pub(crate) fn commands(report: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().unwrap().clone();
    let mut all = Vec::new();
    for run in list(&report["steps"]).iter().flat_map(|step| list(&step["run"])) {
        for command in list(&run["commands"]) {
            let command = command.as_str().unwrap().to_owned();
            all.push(match run["host"].as_str() {
                Some(host) => format!("{host}: {command}"),
                None => command,
            });
        }
    }
    all
}

/// The texts in which two documents differ, as `path`; they must have the same shape.
pub(crate) fn changed(old: &Value, new: &Value, path: &str, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            for (key, value) in a {
                changed(value, &b[key], &format!("{path}.{key}"), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (number, (a, b)) in a.iter().zip(b).enumerate() {
                changed(a, b, &format!("{path}[{number}]"), found);
            }
        }
        _ if old == new => {}
        _ => found.push(path.to_owned()),
    }
}

/// Runs the program with a passphrase.
pub(crate) fn with_passphrase(sandbox: &Sandbox, args: &[&str], passphrase: &str) -> Ran {
    Ran::of(
        sandbox
            .command(args)
            .env("PKI_TOOLS_PASSPHRASE", passphrase)
            .output()
            .unwrap(),
    )
}

pub(crate) fn must(ran: Ran) -> String {
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.out
}
