//! `--client`: what is taken from a client's YAML, and what is said of one that will not do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use agent::config::{Config, Permissions, Source};
use common::{Lock, literal, pair, pem_of, sealed};
use pki_tools::secrets::Secrets;
use proto::crypto::PrivateKey;
use tempfile::TempDir;

const KEY_FILE: &[u8] = &[3; 32];

struct Keys {
    sign: PrivateKey,
    master: PrivateKey,
    pipeline: PrivateKey,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let make = || PrivateKey::generate(2048, &mut rand::rng()).unwrap();
        Keys {
            sign: make(),
            master: make(),
            pipeline: make(),
        }
    })
}

/// A client with two masters in use and one that is not.
fn text() -> String {
    let Keys {
        sign,
        master,
        pipeline,
    } = keys();
    let host = |name: &str, rest: &str| {
        let pair = pair(master, 12);
        format!("      - fqdn: {name}\n{rest}        pki:\n          master:\n{pair}")
    };
    format!(
        "name: Xyz\nconfiguration_management:\n  type: salt\n  salt:\n    pki:\n      master_sign:\n{}      \
         pipeline:\n        id: pipeline.xyz\n{}    masters:\n{}{}{}",
        pair(sign, 8),
        pair(pipeline, 8),
        host(
            "salt1.xyz.example",
            "        ip: 10.0.0.11\n        external_ip: 192.0.2.11\n        external_ports: [14505, 14506]\n"
        ),
        host("salt2.xyz.example", ""),
        host("salt3.xyz.example", "        active: False\n"),
    )
}

/// The client with every private half sealed, though not by this key but for the pipeline's.
fn sealed_text(lock: &Lock<'_>) -> String {
    let mut text = text();
    let pipeline = keys().pipeline.to_pkcs1_pem().unwrap().to_string() + "\n";
    let value = sealed(&pipeline, lock, "client Xyz", "pki.pipeline.pem");
    text = text.replace(&literal(&pipeline, 10), &format!("{value}\n"));
    for (key, indent) in [(&keys().sign, 10), (&keys().master, 14)] {
        let pem = key.to_pkcs1_pem().unwrap();
        text = text.replace(&literal(&pem, indent), "sealed.v1.keyfile.not.to.be.opened\n");
    }
    assert!(!text.contains("PRIVATE KEY"));
    text
}

struct Folder(TempDir);

impl Folder {
    fn with(text: &str, mode: u32) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("xyz.yaml", text.as_bytes(), mode);
        folder.write("key", KEY_FILE, 0o600);
        folder.write("wrong key", &[4; 32], 0o600);
        folder.write("passphrase", b"open sesame\n", 0o600);
        folder
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) {
        fs::write(self.path(name), bytes).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(
        &self,
        passphrase: Option<&str>,
        key: Option<&str>,
        permissions: Permissions,
    ) -> Result<Config, String> {
        let source = Source::Client {
            file: self.path("xyz.yaml"),
            secrets: Secrets {
                passphrase_file: passphrase.map(|name| self.path(name)),
                key_file: key.map(|name| self.path(name)),
            },
        };
        Config::load(&source, permissions).map_err(|error| error.to_string())
    }
}

fn load(text: &str) -> Result<Config, String> {
    Folder::with(text, 0o600).load(None, None, Permissions::Checked)
}

fn refused(loaded: Result<Config, String>) -> String {
    match loaded {
        Ok(_) => panic!("should have been refused"),
        Err(error) => error,
    }
}

/// With this in place of that.
fn edited(from: &str, to: &str) -> String {
    let text = text();
    assert!(text.contains(from), "{from} is not there");
    text.replacen(from, to, 1)
}

#[test]
fn masters_in_use_and_the_dispatch_identity_are_taken_from_it() {
    let config = load(&text()).unwrap();
    assert_eq!(config.identity.id().as_str(), "pipeline.xyz");
    assert_eq!(config.identity.public_key(), keys().pipeline.public_key());
    let [one, two] = config.masters.as_slice() else {
        panic!("two masters")
    };
    assert_eq!(
        (one.name.as_str(), one.address.as_str()),
        ("salt1.xyz.example", "192.0.2.11")
    );
    assert_eq!((one.publish_port, one.master_port), (14505, 14506));
    assert_eq!(
        (two.name.as_str(), two.address.as_str()),
        ("salt2.xyz.example", "salt2.xyz.example")
    );
    assert_eq!((two.publish_port, two.master_port), (4505, 4506));
}

#[test]
fn a_sealed_key_is_opened_and_no_other_key_is() {
    let by_key = Folder::with(&sealed_text(&Lock::KeyFile(KEY_FILE)), 0o600);
    assert!(by_key.load(None, Some("key"), Permissions::Checked).is_ok());
    let by_passphrase = Folder::with(&sealed_text(&Lock::Passphrase("open sesame")), 0o600);
    let config = by_passphrase
        .load(Some("passphrase"), None, Permissions::Checked)
        .unwrap();
    assert_eq!(config.identity.public_key(), keys().pipeline.public_key());
}

#[test]
fn a_sealed_key_that_cannot_be_opened_is_named_with_its_place_and_the_remedy() {
    let folder = Folder::with(&sealed_text(&Lock::KeyFile(KEY_FILE)), 0o600);
    let line = 1 + fs::read_to_string(folder.path("xyz.yaml"))
        .unwrap()
        .lines()
        .position(|line| line.contains("id: pipeline"))
        .unwrap();
    let place = format!(
        "xyz.yaml:{}:14: cannot open `pki.pipeline.pem` of client Xyz: ",
        line + 1
    );
    let refused = |passphrase, key| refused(folder.load(passphrase, key, Permissions::Checked));
    let error = refused(None, Some("wrong key"));
    assert!(
        error.contains(&place) && error.contains("wrong passphrase or key file"),
        "{error}"
    );
    let error = refused(None, Some("none"));
    assert!(
        error.contains(&place) && error.contains("none cannot be read: No such file"),
        "{error}"
    );
    let error = refused(Some("passphrase"), None);
    assert!(
        error.contains(&place) && error.contains("sealed with a key file; give that"),
        "{error}"
    );
    // Sealed for somebody else.
    let stolen = sealed("x", &Lock::KeyFile(KEY_FILE), "client Abc", "pki.pipeline.pem");
    let other = Folder::with(
        &edited(
            &literal(&keys().pipeline.to_pkcs1_pem().unwrap(), 10),
            &format!("{stolen}\n"),
        ),
        0o600,
    );
    let error = self::refused(other.load(None, Some("key"), Permissions::Checked));
    assert!(error.contains("sealed for another owner"), "{error}");
}

#[test]
fn the_file_is_as_private_as_the_key_unless_that_is_sealed() {
    for mode in [0o640, 0o604, 0o644] {
        let folder = Folder::with(&text(), mode);
        let error = refused(folder.load(None, None, Permissions::Checked));
        assert!(
            error.contains(&format!("mode {mode:04o}")) && error.contains("--insecure-permissions"),
            "{error}"
        );
        assert!(
            folder.load(None, None, Permissions::Unchecked).is_ok(),
            "{mode:o}"
        );
    }
    let text = sealed_text(&Lock::KeyFile(KEY_FILE));
    assert!(
        Folder::with(&text, 0o644)
            .load(None, Some("key"), Permissions::Checked)
            .is_ok()
    );
    let error = refused(Folder::with(&text, 0o666).load(None, Some("key"), Permissions::Checked));
    assert!(error.contains("everybody can change"), "{error}");
}

#[test]
fn the_key_in_an_included_file_makes_that_file_private() {
    let text = text();
    let pipeline = format!(
        "      pipeline:\n        id: pipeline.xyz\n{}",
        pair(&keys().pipeline, 8)
    );
    let folder = Folder::with(
        &format!("include: {{files: [more.yaml]}}\n{}", text.replace(&pipeline, "")),
        0o600,
    );
    let more = format!("configuration_management:\n  salt:\n    pki:\n{pipeline}");
    folder.write("more.yaml", more.as_bytes(), 0o600);
    assert!(folder.load(None, None, Permissions::Checked).is_ok());
    folder.write("more.yaml", more.as_bytes(), 0o640);
    let error = refused(folder.load(None, None, Permissions::Checked));
    assert!(
        error.contains("more.yaml: the private key is readable"),
        "{error}"
    );
}

#[test]
fn what_is_missing_is_to_be_made_by_gen() {
    let error = refused(load(&edited("      pipeline:\n", "      another:\n")));
    assert!(
        error.contains("client Xyz has no `pki.pipeline` in ")
            && error.ends_with("xyz.yaml; make it with `pki-tools gen`"),
        "{error}"
    );
    let error = refused(load(&edited("      master_sign:\n", "      another:\n")));
    assert!(error.contains("client Xyz has no `pki.master_sign`"), "{error}");
    let error = refused(load(&edited("          master:\n", "          another:\n")));
    assert!(error.contains("salt1.xyz.example has no `pki.master`"), "{error}");
    let error = refused(load("name: Xyz\n"));
    assert!(error.contains("pki-tools gen"), "{error}");
}

#[test]
fn bad_values_are_named_with_their_place() {
    let error = refused(load(&edited("192.0.2.11", "'192.0.2.11; rm'")));
    assert!(
        error.contains(":22: \"192.0.2.11; rm\" is neither a host name"),
        "{error}"
    );
    let error = refused(load(&edited("id: pipeline.xyz", "id: 'pipe*'")));
    assert!(error.contains(":13: \"pipe*\" is a pattern"), "{error}");
    let error = refused(load(&edited("id: pipeline.xyz", "id: salt1.xyz.example")));
    assert!(
        error.contains("the id of the dispatch identity and the name of a host"),
        "{error}"
    );
    let error = refused(load(&edited("[14505, 14506]", "[14505]")));
    assert!(
        error.contains("`external_ports` must be two port numbers"),
        "{error}"
    );
    let swapped = literal(&pem_of(&keys().pipeline.public_key()), 10);
    let error = refused(load(&edited(
        &literal(&keys().pipeline.to_pkcs1_pem().unwrap(), 10),
        &swapped,
    )));
    assert!(
        error.contains(":11: pki.pipeline.pem: this is a public key, not a private key"),
        "{error}"
    );
    let error = refused(load(&edited(
        &literal(&pem_of(&keys().sign.public_key()), 10),
        "nonsense\n",
    )));
    assert!(
        error.contains(":14: pki.master_sign.pub: no PEM public key found"),
        "{error}"
    );
    let error = refused(load(&edited(
        &literal(&pem_of(&keys().master.public_key()), 14),
        "nonsense\n",
    )));
    assert!(
        error.contains(":18: pki.master.pub: no PEM public key found"),
        "{error}"
    );
    let error = refused(load(&format!("{}name: again\n", text())));
    assert!(error.contains("`name` is used twice"), "{error}");
    let folder = Folder::with("", 0o600);
    fs::remove_file(folder.path("xyz.yaml")).unwrap();
    let error = refused(folder.load(None, None, Permissions::Checked));
    assert!(
        error.contains("xyz.yaml: cannot read it: No such file"),
        "{error}"
    );
}
