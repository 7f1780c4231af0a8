//! `pki-tools fingerprint`: what `salt-key -F` prints, and whose a fingerprint is.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use clap::ValueEnum;
use pki_tools::fingerprint::{self, ClientPrints, Form, Match, Print, Report};
use proto::crypto::Fingerprint;
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{Out, SecretArgs};
use super::{Failure, print};

const AFTER: &str = "\
Examples:
  pki-tools fingerprint clients/xyz.yaml
  pki-tools fingerprint --salt 3008 --only minion01.xyz.example clients/xyz.yaml
  pki-tools fingerprint --compare 98:4e:8b:…:3f clients/*.yaml

Salt hashes in two ways, with SHA-256. `salt-key -F` of 3006 and 3007, and the `master_finger` of a minion of any \
release, hash the lines between the first and the last of a PEM file; `salt-key -F` of 3008 hashes all of it, so what \
it prints never fits a `master_finger`. A 3008 master renames its `master.pem` and `master.pub` after its own id at its \
first start.

`master_finger` is for minions with one master: a minion ends (exit code 42) when it signs in at a master with another \
key. With two masters, `verify_master_pubkey_sign` does its work.

Fingerprints of private keys (*.pem) are those of the files, as Salt prints them. They are left out if the key is \
sealed, unless a passphrase or key file is given, which is never asked for.

Exit codes: 0 done, 1 with --compare: nobody has this fingerprint, 2 usage or configuration error.";

/// Arguments of `fingerprint`.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// Client files, with what they include
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only of this fqdn, `master_sign` or `pipeline` (repeatable)
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Only as this release of Salt prints them
    #[arg(long, value_enum, value_name = "RELEASE")]
    salt: Option<Release>,
    /// Say whose this fingerprint is, and which way it was made
    #[arg(long, value_name = "HEX", value_parser = sha256, conflicts_with = "salt")]
    compare: Option<Fingerprint>,
    #[command(flatten)]
    secret: SecretArgs,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Out::Text)]
    out: Out,
}

/// A release of Salt.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Release {
    #[value(name = "3006")]
    V3006,
    #[value(name = "3007")]
    V3007,
    #[value(name = "3008")]
    V3008,
}

impl Release {
    fn form(self) -> Form {
        match self {
            Self::V3006 | Self::V3007 => Form::BodyLines,
            Self::V3008 => Form::WholePem,
        }
    }
}

fn sha256(text: &str) -> Result<Fingerprint, String> {
    let digits = text.chars().filter(char::is_ascii_hexdigit).count();
    Fingerprint::parse(text).ok_or_else(|| {
        let hint = match digits {
            32 => "; this may be MD5, which masters with `hash_type: md5` print",
            40 => "; this may be SHA-1, which masters with `hash_type: sha1` print",
            128 => "; this may be SHA-512, which masters with `hash_type: sha512` print",
            _ => "",
        };
        format!("a SHA-256 fingerprint has 64 hex digits, with or without `:` between them{hint}")
    })
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let report = fingerprint::run(&args.files, &args.only, &args.secret.keyring_if_given())?;
    if report.sealed > 0 {
        let style = anstyle::AnsiColor::Cyan.on_default().bold();
        let (count, halves) = match report.sealed {
            1 => (1, "private half is sealed and its fingerprint"),
            many => (many, "private halves are sealed and their fingerprints"),
        };
        anstream::eprintln!(
            "{style}note:{style:#} {count} {halves} left out; \
             set PKI_TOOLS_PASSPHRASE, or give --passphrase-file or --key-file"
        );
    }
    match &args.compare {
        Some(fingerprint) => compare(&report, fingerprint, args.out),
        None => list(&report, args.salt, args.out),
    }
}

fn compare(report: &Report, fingerprint: &Fingerprint, out: Out) -> Result<(), Failure> {
    let matches = report.whose(fingerprint);
    match out {
        Out::Text => print(matches.iter().map(whose).collect::<String>().as_bytes())?,
        Out::Json => document(&json!({ "fingerprint": fingerprint.to_string(), "matches": matches }))?,
    }
    if matches.is_empty() {
        if out == Out::Text {
            anstream::eprintln!("no key of these files has this fingerprint");
        }
        return Err(Failure::Faults);
    }
    Ok(())
}

fn whose(found: &Match) -> String {
    let Match {
        file,
        owner,
        key,
        active,
        form,
    } = found;
    let form = match form {
        Form::BodyLines => "body lines: salt-key -F of 3006 and 3007, and master_finger",
        Form::WholePem => "whole PEM: salt-key -F of 3008",
    };
    let inactive = if *active { "" } else { ", which is inactive" };
    format!("{}: `{key}` of {owner}{inactive} ({form})\n", file.display())
}

fn list(report: &Report, release: Option<Release>, out: Out) -> Result<(), Failure> {
    match out {
        Out::Text => print(text(report, release).as_bytes()),
        Out::Json => match release {
            None => document(report),
            Some(release) => {
                let mut value = serde_json::to_value(report).map_err(io::Error::from)?;
                keep(&mut value, release.form());
                document(&value)
            }
        },
    }
}

/// Takes the other form out of a document.
fn keep(value: &mut Value, form: Form) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| keep(item, form)),
        Value::Object(map) => {
            let other = match form {
                Form::BodyLines => ["whole_pem", "name_3008"],
                Form::WholePem => ["body_lines", "name"],
            };
            // A client has a name, too.
            if map.contains_key("body_lines") {
                other.iter().for_each(|key| drop(map.remove(*key)));
            }
            map.values_mut().for_each(|item| keep(item, form));
        }
        _ => {}
    }
}

fn document(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    text.push('\n');
    print(text.as_bytes())
}

fn text(report: &Report, release: Option<Release>) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    for client in &report.clients {
        if report.clients.len() > 1 {
            let _ = writeln!(out, "{}{}: {}", gap(&out), client.file.display(), client.name);
        }
        match release {
            Some(release) => keys(&mut out, client, release.form()),
            None => {
                let _ = writeln!(out, "{}salt-key -F of Salt 3006 and 3007", gap(&out));
                keys(&mut out, client, Form::BodyLines);
                let _ = writeln!(out, "\nsalt-key -F of Salt 3008");
                keys(&mut out, client, Form::WholePem);
                fingers(&mut out, client);
            }
        }
    }
    out
}

/// An empty line, but not at the beginning.
fn gap(out: &str) -> &'static str {
    if out.is_empty() { "" } else { "\n" }
}

fn keys(out: &mut String, client: &ClientPrints, form: Form) {
    for master in &client.masters {
        let _ = writeln!(out, "Local Keys of {}:", master.fqdn);
        lines(out, &master.local, form);
    }
    if !client.accepted.is_empty() {
        out.push_str("Accepted Keys:\n");
        lines(out, &client.accepted, form);
    }
}

/// In the order and form in which `salt-key` prints them (salt/output/key.py).
fn lines(out: &mut String, prints: &[Print], form: Form) {
    let mut lines: Vec<(&str, &str)> = prints
        .iter()
        .map(|print| match form {
            Form::BodyLines => (print.name.as_str(), print.body_lines.as_str()),
            Form::WholePem => (print.name_3008.as_str(), print.whole_pem.as_str()),
        })
        .collect();
    lines.sort_unstable();
    for (name, fingerprint) in lines {
        let _ = writeln!(out, "{name}:  {fingerprint}");
    }
}

fn fingers(out: &mut String, client: &ClientPrints) {
    let fingers = client.masters.iter();
    let fingers: Vec<(&str, &str)> = fingers
        .filter_map(|master| Some((master.fqdn.as_str(), master.master_finger.as_deref()?)))
        .collect();
    if fingers.is_empty() {
        return;
    }
    out.push_str("\nmaster_finger of a minion of any release, which may have this master alone\n");
    for (fqdn, finger) in fingers {
        let _ = writeln!(out, "{fqdn}:  {finger}");
    }
}
