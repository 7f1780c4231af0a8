//! Configuration files: what is read from them, and what is said of bad ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod minion;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use agent::config::{Config, Permissions, Source};
use agent::sidecar::settings::{Mode, Settings};
use proto::crypto::{PrivateKey, SigningAlgorithm};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.path("pki")).unwrap();
        let key = PrivateKey::generate(2048, &mut rand::rng()).unwrap();
        folder.write("pki/minion.pem", &key.to_pkcs1_pem().unwrap(), 0o400);
        folder.write("pki/master_sign.pub", &key.public_key().to_pem().unwrap(), 0o644);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        let _ = fs::remove_file(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn saltfo(&self, text: &str) -> Result<Config, String> {
        let path = self.write("saltfo.yaml", text, 0o600);
        load(&Source::Saltfo(path))
    }

    fn minion(&self, text: &str) -> Result<Config, String> {
        let path = self.write("minion", text, 0o644);
        load(&Source::Minion(path))
    }
}

fn load(source: &Source) -> Result<Config, String> {
    Config::load(source, Permissions::Checked).map_err(|error| error.to_string())
}

fn refused(loaded: Result<Config, String>) -> String {
    match loaded {
        Ok(_) => panic!("should have been refused"),
        Err(error) => error,
    }
}

const GOOD: &str = "\
id: pipeline.xyz
pki:
  minion_pem: pki/minion.pem
  master_sign_pub: pki/master_sign.pub
masters:
  - name: salt1.xyz.example
    address: 10.0.0.11
  - name: salt2.xyz.example
    master_port: 14506
signing_algorithm: PKCS1v15-SHA224
sidecar: {mode: observe}
";

#[test]
fn a_good_file_is_read_with_its_defaults() {
    let config = Folder::new().saltfo(GOOD).unwrap();
    assert_eq!(config.identity.id().as_str(), "pipeline.xyz");
    assert_eq!(config.algorithms.signing, SigningAlgorithm::Pkcs1v15Sha224);
    let [one, two] = config.masters.as_slice() else {
        panic!("two masters")
    };
    assert_eq!(
        (one.name.as_str(), one.address.as_str()),
        ("salt1.xyz.example", "10.0.0.11")
    );
    assert_eq!((one.publish_port, one.master_port), (4505, 4506));
    assert_eq!(
        (two.address.as_str(), two.master_port),
        ("salt2.xyz.example", 14506)
    );
}

#[test]
fn keys_can_stand_in_the_file() {
    let folder = Folder::new();
    let indent = |path: &str| {
        let text = fs::read_to_string(folder.path(path)).unwrap();
        text.lines()
            .map(|line| format!("    {line}\n"))
            .collect::<String>()
    };
    let text = GOOD
        .replace("pki/minion.pem", &format!("|\n{}", indent("pki/minion.pem")))
        .replace(
            "pki/master_sign.pub",
            &format!("|\n{}", indent("pki/master_sign.pub")),
        );
    assert!(folder.saltfo(&text).is_ok());
    // Then the file is as private as the key.
    let path = folder.write("saltfo.yaml", &text, 0o644);
    let error = refused(load(&Source::Saltfo(path.clone())));
    assert!(
        error.contains("readable by others") && error.contains("chmod 600"),
        "{error}"
    );
    assert!(Config::load(&Source::Saltfo(path), Permissions::Unchecked).is_ok());
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_place() {
    let folder = Folder::new();
    let error = refused(folder.saltfo(&GOOD.replace("    address:", "    adress:")));
    assert!(
        error.contains("saltfo.yaml:7:5") && error.contains("adress"),
        "{error}"
    );
}

#[test]
fn a_repeated_key_and_bad_yaml_are_errors_that_name_the_place() {
    let folder = Folder::new();
    let error = refused(folder.saltfo(&format!("{GOOD}id: again\n")));
    assert!(error.contains("saltfo.yaml:12:"), "{error}");
    let error = refused(folder.saltfo(&GOOD.replace("masters:", "\tmasters:")));
    assert!(error.contains("saltfo.yaml:"), "{error}");
    let error = refused(folder.saltfo(&GOOD.replace("14506", "145060")));
    assert!(error.contains("saltfo.yaml:9:"), "{error}");
}

#[test]
fn bad_values_are_errors_that_say_what_would_do() {
    let folder = Folder::new();
    let replaced = |from: &str, to: &str| refused(folder.saltfo(&GOOD.replace(from, to)));
    let error = replaced("id: pipeline.xyz", "id: 'pipe*'");
    assert!(
        error.contains("saltfo.yaml:1:5") && error.contains("pattern"),
        "{error}"
    );
    let error = replaced("PKCS1v15-SHA224", "PKCS1v15-SHA256");
    assert!(error.contains("PKCS1v15-SHA1 or PKCS1v15-SHA224"), "{error}");
    let error = replaced("10.0.0.11", "'10.0.0.11; rm'");
    assert!(
        error.contains("saltfo.yaml:7:14") && error.contains("neither a host name"),
        "{error}"
    );
    let error = replaced("salt2.xyz.example", "salt1.xyz.example");
    assert!(error.contains("listed twice"), "{error}");
    let error = replaced("  master_sign_pub: pki/master_sign.pub\n", "");
    assert!(error.contains("nothing to verify a master with"), "{error}");
    let (head, _) = GOOD.split_once("masters:").unwrap();
    let error = refused(folder.saltfo(&format!("{head}masters: []\n")));
    assert!(error.contains("no masters"), "{error}");
}

#[test]
fn the_sidecars_section_is_read_and_strict() {
    let folder = Folder::new();
    let with = |section: &str| folder.saltfo(&GOOD.replace("sidecar: {mode: observe}\n", section));
    assert_eq!(with("").unwrap().sidecar, Settings::default());
    let config = with("sidecar:\n  mode: restart\n  verify: 1m30s\n").unwrap();
    assert_eq!(config.sidecar.mode, Mode::Restart);
    assert_eq!(config.sidecar.verify, Duration::from_secs(90));
    let error = refused(with("sidecar:\n  rise: 2\n  verify: 0s\n"));
    assert!(
        error.contains("saltfo.yaml:13:11: sidecar.verify: `0s` is out of bounds"),
        "{error}"
    );
    let error = refused(with("sidecar:\n  verfy: 5s\n"));
    assert!(
        error.contains("saltfo.yaml:12:3") && error.contains("verfy"),
        "{error}"
    );
    let error = refused(with("sidecar: observe\n"));
    assert!(error.contains("saltfo.yaml:11:10"), "{error}");
}

#[test]
fn the_relays_section_is_read_and_strict() {
    let folder = Folder::new();
    let with = |section: &str| folder.saltfo(&GOOD.replace("sidecar: {mode: observe}\n", section));
    let relay = with("relay: {listen: '::1', publish_port: 14505}\n")
        .unwrap()
        .sidecar
        .relay;
    assert_eq!(
        (
            relay.listen.to_string().as_str(),
            relay.publish_port,
            relay.master_port
        ),
        ("::1", 14505, 4506)
    );
    let error = refused(with("relay: yes\n"));
    assert!(error.contains("saltfo.yaml:11:8"), "{error}");
    let error = refused(with("relay:\n  listen: 127.0.0.1\n  port: 4506\n"));
    assert!(
        error.contains("saltfo.yaml:13:3") && error.contains("port"),
        "{error}"
    );
    let error = refused(with("relay:\n  listen: 0.0.0.0\n"));
    assert!(
        error.contains("saltfo.yaml:12:11: relay.listen: 0.0.0.0 is not a loopback address"),
        "{error}"
    );
    let error = refused(with("sidecar: {mode: relay, listen: '127.0.0.1:4506'}\n"));
    assert!(
        error.contains(
            "saltfo.yaml:11:32: sidecar.listen: `127.0.0.1:4506` is the port of `relay.master_port`, too"
        ),
        "{error}"
    );
    // Whoever asks only how the sidecar behaves is told the same.
    let path = folder.write("other.yaml", "masters: 1\nrelay: {master_port: 1}\n", 0o600);
    assert_eq!(Config::sidecar_settings(&path).unwrap().relay.master_port, 1);
    let path = folder.write("other.yaml", "masters: 1\nrelay: {master_port: 0}\n", 0o600);
    let error = Config::sidecar_settings(&path).unwrap_err().to_string();
    assert!(
        error.contains("other.yaml:2:22: relay.master_port: `0` is out of bounds"),
        "{error}"
    );
}

#[test]
fn a_relay_is_no_master_of_its_own() {
    let folder = Folder::new();
    let with = |address: &str, rest: &str| {
        let text = GOOD
            .replace("10.0.0.11", address)
            .replace("sidecar: {mode: observe}\n", rest);
        folder.saltfo(&text)
    };
    for address in ["127.0.0.1", "localhost", "'::ffff:127.0.0.1'"] {
        let error = refused(with(address, "sidecar: {mode: relay}\n"));
        assert!(
            error.contains("master salt1.xyz.example is the relay itself, 127.0.0.1:4506: give"),
            "{error}"
        );
        // A master may well be on this host: the relay is elsewhere, or there is none.
        assert!(with(address, "").is_ok());
        let other = "sidecar: {mode: relay}\nrelay: {publish_port: 14505, master_port: 14506}\n";
        assert!(with(address, other).is_ok());
    }
}

#[test]
fn a_masters_own_master_sign_is_as_strictly_read_as_the_common_one() {
    let folder = Folder::new();
    let with = |value: &str| {
        let line = "    address: 10.0.0.11\n";
        assert!(GOOD.contains(line));
        folder.saltfo(&GOOD.replace(line, &format!("{line}    master_sign_pub: {value}\n")))
    };
    assert!(with("pki/master_sign.pub").is_ok());
    let error = refused(with("pki/none.pub"));
    assert!(
        error.contains("pki/none.pub: cannot read the public key"),
        "{error}"
    );
    let error = refused(with("pki/minion.pem"));
    assert!(
        error.contains("pki/minion.pem: master_sign_pub: this is a rsa private key, not a public key"),
        "{error}"
    );
    let error = refused(with("'-----BEGIN PUBLIC KEY-----'"));
    assert!(error.contains("saltfo.yaml:8:22: master_sign_pub: "), "{error}");
    let error = refused(with("[1]"));
    assert!(error.contains("saltfo.yaml:8:22"), "{error}");
    let error = refused(with(
        "pki/master_sign.pub\n    master_sign_pub: pki/master_sign.pub",
    ));
    assert!(
        error.contains("saltfo.yaml:9:5") && error.contains("master_sign_pub"),
        "{error}"
    );
    // It belongs to one master, so it cannot stand among all.
    let error = refused(folder.saltfo(&format!("{GOOD}master_sign_pub: pki/master_sign.pub\n")));
    assert!(error.contains("saltfo.yaml:12:1"), "{error}");
}

#[test]
fn missing_files_and_keys_of_the_wrong_kind_are_named() {
    let folder = Folder::new();
    let error = refused(load(&Source::Saltfo(folder.path("none.yaml"))));
    assert!(
        error.contains("none.yaml") && error.contains("No such file"),
        "{error}"
    );
    let error = refused(folder.saltfo(&GOOD.replace("pki/minion.pem", "pki/none.pem")));
    assert!(error.contains("pki/none.pem"), "{error}");
    let error = refused(folder.saltfo(&GOOD.replace(
        "master_sign_pub: pki/master_sign.pub",
        "master_sign_pub: pki/minion.pem",
    )));
    assert!(
        error.contains("this is a rsa private key, not a public key"),
        "{error}"
    );
    folder.write("pki/garbage.pem", "nonsense", 0o400);
    let error = refused(folder.saltfo(&GOOD.replace("pki/minion.pem", "pki/garbage.pem")));
    assert!(
        error.contains("garbage.pem") && error.contains("BEGIN RSA PRIVATE KEY"),
        "{error}"
    );
}

#[test]
fn a_private_key_that_others_can_read_is_refused() {
    let folder = Folder::new();
    fs::set_permissions(folder.path("pki/minion.pem"), fs::Permissions::from_mode(0o440)).unwrap();
    let error = refused(folder.saltfo(GOOD));
    assert!(
        error.contains("mode 0440") && error.contains("--insecure-permissions"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_far_too_long_is_refused() {
    let folder = Folder::new();
    let error = refused(folder.saltfo(&format!("{GOOD}#{}", "x".repeat(2 << 20))));
    assert!(error.contains("longer than"), "{error}");
}
