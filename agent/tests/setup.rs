//! `saltfo setup`, run as an operator runs it, on the configuration of a host in a folder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use agent::config::{Config, Permissions, RELAY_DROP_IN, Source};
use agent::sidecar::settings::Mode;
use proto::crypto::PrivateKey;
use serde_json::Value as Json;
use tempfile::TempDir;

const MINION: &str = "\
# The operator's own words.
id: minion01
master:
  - salt1.xyz.example
  - '192.0.2.12:14506'
master_type: failover
random_master: True
master_alive_interval: 60
retry_dns: 0
verify_master_pubkey_sign: True
";

/// A host's `/etc`.
struct Host(TempDir);

/// What a run said.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Every file below the folder, with its mode.
type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        let key = PrivateKey::generate(2048, &mut rand::rng()).unwrap();
        host.write("salt/pki/minion.pem", &key.to_pkcs1_pem().unwrap());
        host.set_mode("salt/pki/minion.pem", 0o400);
        host.write("salt/pki/master_sign.pub", &key.public_key().to_pem().unwrap());
        host.minion(MINION);
        host.write("salt/minion.d/10-site.conf", "log_level: info\n");
        host
    }

    fn minion(&self, text: &str) {
        let pki = self.path("salt/pki");
        self.write("salt/minion", &format!("{text}pki_dir: {}\n", pki.display()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn drop_in(&self) -> PathBuf {
        self.path("salt/minion.d").join(RELAY_DROP_IN)
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let mut folders = vec![self.0.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let mode = path.metadata().unwrap().permissions().mode();
                    tree.insert(path.clone(), (mode, fs::read(&path).unwrap()));
                }
            }
        }
        tree
    }

    fn setup(&self, arguments: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_saltfo"))
            .arg("setup")
            .args(arguments)
            .arg("--config")
            .arg(self.path("saltfo/saltfo.yaml"))
            .arg("--minion-config")
            .arg(self.path("salt/minion"))
            .env_remove("SALTFO_CONFIG")
            .output()
            .unwrap();
        Ended {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asked for, and done.
    fn applied(&self, target: &str) -> Ended {
        let ended = self.setup(&[target, "--apply"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
        ended
    }

    /// Asked for with and without `--apply`: refused, and nothing has been touched.
    fn refused(&self, target: &str) -> Ended {
        let before = self.tree();
        let printed = self.setup(&[target]);
        let ended = self.setup(&[target, "--apply"]);
        assert_eq!((printed.code, ended.code), (2, 2), "{}", ended.stdout);
        assert_eq!(printed.stderr, ended.stderr);
        assert_eq!(self.tree(), before);
        ended
    }

    fn json(&self, arguments: &[&str]) -> Json {
        let ended = self.setup(&[arguments, &["--out", "json"]].concat());
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stderr))
    }

    /// As the sidecar reads it.
    fn config(&self) -> Config {
        let source = Source::Sidecar {
            file: self.path("saltfo/saltfo.yaml"),
            minion: self.path("salt/minion"),
        };
        Config::load(&source, Permissions::Checked).unwrap()
    }
}

fn masters(config: &Config) -> Vec<(&str, u16, u16)> {
    let master = |master: &'_ agent::config::MasterConfig| (master.publish_port, master.master_port);
    let names = config.masters.iter().map(|master| master.name.as_str());
    names
        .zip(config.masters.iter().map(master))
        .map(|(name, (publish, requests))| (name, publish, requests))
        .collect()
}

#[test]
fn without_apply_it_is_only_printed() {
    let host = Host::new();
    let before = host.tree();
    let ended = host.setup(&["relay"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(host.tree(), before);
    for part in [
        "saltfo/saltfo.yaml: to be written\n",
        "      - name: salt1.xyz.example\n",
        "minion.d/zz-saltfo-relay.conf: to be written\n",
        "    master: '127.0.0.1'\n",
        "nothing has been written: --apply does it\n",
        "then: systemctl restart saltfo\n      systemctl restart salt-minion\n",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
}

#[test]
fn what_is_written_is_what_the_sidecar_needs() {
    let host = Host::new();
    let before = host.tree();
    let ended = host.applied("relay");
    assert!(
        ended.stdout.contains("zz-saltfo-relay.conf: written\n"),
        "{}",
        ended.stdout
    );
    let config = host.config();
    assert_eq!(config.identity.id().as_str(), "minion01");
    assert_eq!(config.sidecar.mode, Mode::Relay);
    assert_eq!(
        masters(&config),
        [("salt1.xyz.example", 4505, 4506), ("192.0.2.12", 4505, 14506)]
    );
    // Two files more, and none has changed.
    let after = host.tree();
    assert_eq!(after.len(), before.len() + 2);
    assert!(before.iter().all(|(path, was)| after.get(path) == Some(was)));
}

#[test]
fn a_second_time_there_is_nothing_to_do() {
    let host = Host::new();
    host.applied("relay");
    let before = host.tree();
    let ended = host.applied("relay");
    assert!(
        ended
            .stdout
            .starts_with("nothing to do: the minion's master is the relay"),
        "{}",
        ended.stdout
    );
    let document = host.json(&["relay", "--apply"]);
    assert_eq!(
        (&document["changes"], &document["next"]),
        (&Json::Array(vec![]), &Json::Array(vec![]))
    );
    assert_eq!(host.tree(), before);
}

#[test]
fn the_way_back_leaves_the_minions_files_as_they_were() {
    let host = Host::new();
    let before = host.tree();
    host.applied("relay");
    let drop_in = fs::read(host.drop_in()).unwrap();
    let ended = host.applied("direct");
    assert!(
        ended.stdout.contains("zz-saltfo-relay.conf: taken away"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("still says `mode: relay`"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.ends_with("then: systemctl restart salt-minion\n"),
        "{}",
        ended.stdout
    );
    let mut after = host.tree();
    let backup = after.remove(&host.path("salt").join(format!("{RELAY_DROP_IN}.bak")));
    assert_eq!(backup.unwrap().1, drop_in);
    assert!(after.remove(&host.path("saltfo/saltfo.yaml")).is_some());
    assert_eq!(after, before);
    let ended = host.applied("direct");
    assert!(
        ended.stdout.starts_with("nothing to do: nothing leads"),
        "{}",
        ended.stdout
    );
}

#[test]
fn the_way_back_is_open_whatever_else_is_broken() {
    let host = Host::new();
    host.applied("relay");
    host.write("saltfo/saltfo.yaml", "not: [yaml");
    fs::remove_file(host.path("salt/pki/minion.pem")).unwrap();
    host.applied("direct");
    assert!(!host.drop_in().exists());
}

#[test]
fn no_backup_takes_the_place_of_another() {
    let host = Host::new();
    let backup = |suffix: &str| host.read(&format!("salt/{RELAY_DROP_IN}.bak{suffix}"));
    host.applied("relay");
    let ours = fs::read_to_string(host.drop_in()).unwrap();
    fs::write(host.drop_in(), "master: 127.0.0.1\n# mine\n").unwrap();
    let ended = host.applied("relay");
    assert!(
        ended.stdout.contains("written anew; what was there is kept as"),
        "{}",
        ended.stdout
    );
    assert_eq!(fs::read_to_string(host.drop_in()).unwrap(), ours);
    assert_eq!(backup(""), "master: 127.0.0.1\n# mine\n");
    host.applied("direct");
    assert_eq!(backup(".1"), ours);
    // The same needs no other name.
    host.applied("relay");
    host.applied("direct");
    assert!(!host.path(&format!("salt/{RELAY_DROP_IN}.bak.2")).exists());
    assert_eq!(backup(""), "master: 127.0.0.1\n# mine\n");
}

#[test]
fn a_file_of_the_operators_gets_lines_and_loses_no_byte() {
    for text in [
        "# nothing yet\n",
        "",
        "relay:\n  publish_port: 14505   # taken: 4505",
        "signing_algorithm: PKCS1v15-SHA224\n",
        "masters:\n  - {name: other.xyz.example}\n",
        "---\nsidecar: {mode: relay}\n",
    ] {
        let host = Host::new();
        host.write("saltfo/saltfo.yaml", text);
        host.set_mode("saltfo/saltfo.yaml", 0o640);
        host.applied("relay");
        assert!(host.read("saltfo/saltfo.yaml").starts_with(text), "{text}");
        assert_eq!(host.read("saltfo/saltfo.yaml.bak"), text);
        for name in ["saltfo/saltfo.yaml", "saltfo/saltfo.yaml.bak"] {
            let mode = host.path(name).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o640, "{name}");
        }
        let config = host.config();
        assert_eq!(config.sidecar.mode, Mode::Relay);
        let names = config.masters.len();
        assert_eq!(names, if text.contains("other") { 1 } else { 2 }, "{text}");
        // The drop-in follows the section.
        let port = config.sidecar.relay.publish_port;
        let drop_in = fs::read_to_string(host.drop_in()).unwrap();
        assert!(
            drop_in.contains(&format!("\npublish_port: {port}\n")),
            "{drop_in}"
        );
        assert_eq!(port, if text.contains("14505") { 14505 } else { 4505 });
    }
}

#[test]
fn a_section_of_the_operators_is_left_to_the_operator() {
    let host = Host::new();
    host.write("saltfo/saltfo.yaml", "sidecar:\n  mode: observe\n  rise: 3\n");
    let ended = host.refused("relay");
    assert!(
        ended
            .stderr
            .contains("saltfo.yaml has a section `sidecar:` already"),
        "{}",
        ended.stderr
    );
    assert!(
        ended
            .stdout
            .contains("    masters:\n      - name: salt1.xyz.example\n"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("    sidecar:\n      mode: relay\n"),
        "{}",
        ended.stdout
    );
    let document = host.json(&["relay", "--apply"]);
    assert_eq!(document["applied"], false);
    assert!(
        document["by_hand"]["content"]
            .as_str()
            .unwrap()
            .contains("mode: relay")
    );
    // Done by hand, it goes on from there.
    host.write(
        "saltfo/saltfo.yaml",
        "masters: [{name: salt1.xyz.example}]\nsidecar:\n  mode: relay\n  rise: 3\n",
    );
    host.applied("relay");
    assert_eq!(host.config().sidecar.rise, 3);
    assert!(!host.path("saltfo/saltfo.yaml.bak").exists());
}

#[test]
fn a_file_that_lines_at_its_end_would_break_is_not_touched() {
    for text in [
        "{relay: {listen: 127.0.0.2}}\n",
        "relay: {}\n...\n",
        "relay: &a\n  listen: |\n    127.0.0.1",
    ] {
        let host = Host::new();
        host.write("saltfo/saltfo.yaml", text);
        let ended = host.refused("relay");
        assert!(ended.stderr.contains("saltfo.yaml"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn what_stands_against_the_relay_is_named_with_its_place() {
    type Case = (&'static str, fn(&Host), &'static str);
    let cases: [Case; 14] = [
        (
            "another transport",
            |host| host.minion(&format!("{MINION}transport: tcp\n")),
            "salt/minion:11:12: the minion speaks tcp",
        ),
        (
            "no master",
            |host| host.minion("id: a\nmaster_type: disable\n"),
            "salt/minion:2:14: `master_type: disable`: this minion asks no master",
        ),
        (
            "local files",
            |host| host.write("salt/minion.d/20.conf", "file_client: local\n"),
            "20.conf:1:14: `file_client: local`",
        ),
        (
            "masters from a function",
            |host| host.minion("id: a\nmaster: my.masters\nmaster_type: func\n"),
            "salt/minion:3:14: `master_type: func`: name the masters under `masters:` in ",
        ),
        (
            "no masters at all",
            |host| host.minion("id: a\nmaster: []\n"),
            "no masters: list one or two",
        ),
        (
            "one master's fingerprint",
            |host| host.minion(&format!("{MINION}master_finger: '{}'\n", ["ab"; 32].join(":"))),
            "salt/minion:11:16: `master_finger` is the fingerprint of one master's key",
        ),
        (
            "nothing that verifies the second master",
            |host| {
                fs::rename(
                    host.path("salt/pki/master_sign.pub"),
                    host.path("salt/pki/minion_master.pub"),
                )
                .unwrap();
            },
            "pki/master_sign.pub: not there, so the minion would refuse the key of every master but one",
        ),
        (
            "a later file",
            |host| host.write("salt/minion.d/zzz.conf", "a: 1\nmaster: salt9\n"),
            "zzz.conf:2:9: `master` is set here, and this file wins over ",
        ),
        (
            "a file that is included by name",
            |host| {
                host.minion(&format!("{MINION}include: more.conf\n"));
                host.write("salt/more.conf", "recon_max: 10000\n");
            },
            "more.conf:1:12: `recon_max` is set here",
        ),
        (
            "a file that such a file includes",
            |host| {
                host.minion(&format!("{MINION}include: [more.conf]\n"));
                host.write("salt/more.conf", "include: deep/*.x\n");
                host.write("salt/deep/a.x", "\nmaster_tries: 1\n");
            },
            "deep/a.x:2:15: `master_tries` is set here",
        ),
        (
            "files that include one another",
            |host| {
                host.minion(&format!("{MINION}include: more.conf\n"));
                host.write("salt/more.conf", "include: more.conf\n");
            },
            "do they include one another?",
        ),
        (
            "a folder of other names",
            |host| host.minion(&format!("{MINION}default_include: minion.d/*.yaml\n")),
            "no pattern of `default_include` takes a file named zz-saltfo-relay.conf",
        ),
        (
            "a bad file of ours",
            |host| host.write("saltfo/saltfo.yaml", "sidecar: {}\nmaster: x\n"),
            "saltfo.yaml:2:1: ",
        ),
        (
            "a minion that is at the relay by hand",
            |host| host.minion("id: a\nmaster: 127.0.0.1\n"),
            "salt/minion:2:9: the minion's `master` is the relay itself, 127.0.0.1: name the masters",
        ),
    ];
    for (name, prepare, why) in cases {
        let host = Host::new();
        prepare(&host);
        let ended = host.refused("relay");
        assert!(ended.stderr.contains(why), "{name}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{name}");
    }
}

#[test]
fn masters_with_one_key_need_no_signature() {
    let host = Host::new();
    fs::rename(
        host.path("salt/pki/master_sign.pub"),
        host.path("salt/pki/one.pub"),
    )
    .unwrap();
    let other = PrivateKey::generate(2048, &mut rand::rng()).unwrap();
    host.write("salt/pki/other.pub", &other.public_key().to_pem().unwrap());
    let pinned = |one: &str, other: &str| {
        format!(
            "masters:\n  - {{name: a.example, master_pub: ../salt/pki/{one}}}\n  - {{name: b.example, master_pub: ../salt/pki/{other}}}\n"
        )
    };
    host.write("saltfo/saltfo.yaml", &pinned("one.pub", "other.pub"));
    assert!(
        host.refused("relay")
            .stderr
            .contains("master_sign.pub: not there")
    );
    host.write("saltfo/saltfo.yaml", &pinned("one.pub", "one.pub"));
    let ended = host.refused("relay");
    assert!(
        ended
            .stderr
            .contains("salt/minion:10:28: `verify_master_pubkey_sign` is set, and "),
        "{}",
        ended.stderr
    );
    host.minion(&MINION.replace(
        "verify_master_pubkey_sign: True",
        "verify_master_pubkey_sign: False",
    ));
    host.applied("relay");
    let drop_in = fs::read_to_string(host.drop_in()).unwrap();
    assert!(!drop_in.contains("verify_master_pubkey_sign"), "{drop_in}");
    assert_eq!(host.config().masters.len(), 2);
}

#[test]
fn the_folder_of_the_minions_configuration_is_honoured() {
    let host = Host::new();
    fs::remove_dir_all(host.path("salt/minion.d")).unwrap();
    host.minion(&format!(
        "{MINION}default_include: [none/*.d, conf/site.d/*.conf]\n"
    ));
    host.applied("relay");
    assert!(host.path("salt/conf/site.d").join(RELAY_DROP_IN).exists());
    assert_eq!(host.config().masters.len(), 2);
    host.applied("direct");
    assert!(!host.path("salt/conf/site.d").join(RELAY_DROP_IN).exists());
    assert!(
        host.path("salt/conf")
            .join(format!("{RELAY_DROP_IN}.bak"))
            .exists()
    );
}

#[test]
fn a_minion_that_is_at_the_relay_by_hand_has_no_masters_to_go_back_to() {
    let host = Host::new();
    host.minion("id: a\nmaster: 127.0.0.1\n");
    let ended = host.refused("direct");
    assert!(
        ended
            .stderr
            .contains("salt/minion:2:9: the minion's own `master` is the relay, 127.0.0.1: give it"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_minion_of_several_masters_at_once_is_told_of_the_difference() {
    let host = Host::new();
    let note = "tied to one at a time";
    assert!(!host.setup(&["relay"]).stdout.contains(note));
    host.minion(&MINION.replace("master_type: failover\n", ""));
    assert!(host.setup(&["relay"]).stdout.contains(note));
}

#[test]
fn a_link_stays_a_link() {
    let host = Host::new();
    host.write("real/ours.yaml", "# ours\n");
    fs::create_dir(host.path("saltfo")).unwrap();
    symlink(host.path("real/ours.yaml"), host.path("saltfo/saltfo.yaml")).unwrap();
    host.applied("relay");
    let link = host.path("saltfo/saltfo.yaml");
    assert_eq!(fs::read_link(&link).unwrap(), host.path("real/ours.yaml"));
    assert!(host.read("real/ours.yaml").contains("mode: relay"));
}

#[test]
fn what_cannot_be_written_is_said_and_leaves_nothing_half_done() {
    let host = Host::new();
    fs::create_dir_all(host.drop_in()).unwrap();
    let ended = host.refused("relay");
    assert!(ended.stderr.contains(RELAY_DROP_IN), "{}", ended.stderr);
    assert!(is_whole(host.0.path()));
}

/// No file that was begun beside its place has been left behind.
fn is_whole(folder: &Path) -> bool {
    let mut names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    names.all(|entry| {
        let begun = entry.file_name().to_string_lossy().starts_with(".saltfo-");
        !begun && (!entry.path().is_dir() || is_whole(&entry.path()))
    })
}
