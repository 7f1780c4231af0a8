//! Who vouches for a master, while one still signs with the old `master_sign` and the other one with the new.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{Client, Entry, ID, configuration, keys};
use super::fake_master::{FakeMaster, Script, SignIn};
use super::saltfo::{Ended, Saltfo};
use crate::common::{Lock, literal, pair, pem_of, sealed};

const FIRST: &str = "first.xyz.example";
const SECOND: &str = "second.xyz.example";

/// Two genuine masters in mid-rotation.
struct Rotation {
    first: FakeMaster,
    second: FakeMaster,
}

impl Rotation {
    fn start() -> Self {
        let old = |all: &mut super::acceptance::Accepted| all.master_sign = Some(&keys().other_master_sign);
        Self {
            first: FakeMaster::start(2, Script::signing_in(SignIn::Accept(old))),
            second: FakeMaster::start(3, Script::honest()),
        }
    }

    fn entries(&self, pinned: bool) -> [Entry; 2] {
        [(FIRST, &self.first), (SECOND, &self.second)].map(|(name, master)| Entry {
            name,
            address: master.address(),
            pinned,
        })
    }

    /// The client's YAML; the private half of the dispatch identity is sealed with this.
    fn yaml(&self, lock: Option<&Lock<'_>>) -> String {
        let master = |name: &str, master: &FakeMaster| {
            let (ip, port) = (master.address().ip(), master.address().port());
            format!(
                "      - fqdn: {name}\n        external_ip: {ip}\n        external_ports: [{port}, {port}]\n        \
                 pki:\n          master:\n{}",
                pair(&keys().master, 12)
            )
        };
        let text = format!(
            "name: Xyz\nconfiguration_management:\n  salt:\n    pki:\n      master_sign:\n{}      master_sign_old:\n{}      \
             pipeline:\n        id: {ID}\n{}    masters:\n{}{}",
            pair(&keys().master_sign, 8),
            pair(&keys().other_master_sign, 8),
            pair(&keys().identity, 8),
            master(FIRST, &self.first),
            master(SECOND, &self.second),
        );
        let Some(lock) = lock else { return text };
        let pem = keys().identity.to_pkcs1_pem().unwrap().to_string() + "\n";
        let value = sealed(&pem, lock, "client Xyz", "pki.pipeline.pem");
        let sealed = text.replace(&literal(&pem, 10), &format!("{value}\n"));
        assert_ne!(sealed, text);
        sealed
    }
}

fn probe(config: &std::path::Path) -> Ended {
    Saltfo::new(["probe", "--out", "json", "--timeout", "2", "--config"])
        .arg(config)
        .run()
}

/// State and reason of each master.
fn states(ended: &Ended) -> [(String, String); 2] {
    let document = ended.document();
    [0, 1].map(|number| {
        let text = |key: &str| {
            document["masters"][number][key]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        (text("state"), text("error"))
    })
}

fn assert_reachable(ended: &Ended) {
    let fine = ("reachable".to_owned(), String::new());
    assert_eq!(states(ended), [fine.clone(), fine], "{ended:?}");
    assert_eq!(ended.code(), 0, "{ended:?}");
}

#[test]
fn a_masters_own_master_sign_takes_the_place_of_the_common_one() {
    const UNTRUSTED: &str = "signed, but not by our master_sign";
    let rotation = Rotation::start();
    for pinned in [false, true] {
        let client = Client::new(&rotation.entries(pinned));
        client.write(
            "pki/old.pub",
            &pem_of(&keys().other_master_sign.public_key()),
            0o644,
        );
        let ended = probe(&client.config());
        let [(first, why), (second, _)] = states(&ended);
        assert_eq!(
            (first.as_str(), second.as_str(), ended.code()),
            ("impostor", "reachable", 5),
            "{ended:?}"
        );
        assert!(why.contains(UNTRUSTED), "{ended:?}");

        let common = fs::read_to_string(client.config()).unwrap();
        let own = |name: &str, key: &str| {
            let line = format!("  - name: {name}\n");
            assert!(common.contains(&line));
            client.configure(&common.replace(&line, &format!("{line}    master_sign_pub: {key}\n")));
            probe(&client.config())
        };
        assert_reachable(&own(FIRST, "pki/old.pub"));
        let inline = literal(&pem_of(&keys().other_master_sign.public_key()), 6);
        assert_reachable(&own(FIRST, &inline));
        // In place of it, not beside it.
        let ended = own(SECOND, "pki/old.pub");
        let [_, (second, why)] = states(&ended);
        assert_eq!(second, "impostor", "{ended:?}");
        assert!(why.contains(UNTRUSTED), "{ended:?}");
    }
}

#[test]
fn a_common_master_sign_is_not_needed_if_each_master_has_its_own() {
    let rotation = Rotation::start();
    let client = Client::new(&[]);
    client.write(
        "pki/old.pub",
        &pem_of(&keys().other_master_sign.public_key()),
        0o644,
    );
    let text = configuration(&rotation.entries(false))
        .replace("  master_sign_pub: pki/master_sign.pub\n", "")
        .replace(FIRST, &format!("{FIRST}\n    master_sign_pub: pki/old.pub"));
    client.configure(&text);
    let ended = probe(&client.config());
    assert_eq!(ended.code(), 2);
    assert!(
        ended
            .stderr
            .contains("master second.xyz.example: nothing to verify a master with"),
        "{ended:?}"
    );
    client.configure(&text.replace(
        SECOND,
        &format!("{SECOND}\n    master_sign_pub: pki/master_sign.pub"),
    ));
    assert_reachable(&probe(&client.config()));
}

#[test]
fn a_clients_yaml_tells_which_master_signs_with_what_sealed_or_not() {
    let rotation = Rotation::start();
    let client = Client::new(&[]);
    client.write("key", &"k".repeat(32), 0o600);
    client.write("passphrase", "open sesame\nnot this\n", 0o600);
    let path = |name: &str| client.path(name).to_str().unwrap().to_owned();
    let run = |options: &[&str]| {
        let common = [
            "probe",
            "--out",
            "json",
            "--timeout",
            "2",
            "--client",
            &path("xyz.yaml"),
        ];
        Saltfo::new(common.iter().chain(options))
    };
    client.write("xyz.yaml", &rotation.yaml(None), 0o600);
    assert_reachable(&run(&[]).run());

    let by_key = Lock::KeyFile(&[b'k'; 32]);
    client.write("xyz.yaml", &rotation.yaml(Some(&by_key)), 0o600);
    assert_reachable(&run(&["--key-file", &path("key")]).run());

    let by_passphrase = Lock::Passphrase("open sesame");
    client.write("xyz.yaml", &rotation.yaml(Some(&by_passphrase)), 0o600);
    assert_reachable(&run(&["--passphrase-file", &path("passphrase")]).run());
    assert_reachable(&run(&[]).env("PKI_TOOLS_PASSPHRASE", "open sesame").run());

    let sign_ins = rotation.first.sign_ins();
    let ended = run(&[]).run();
    assert_eq!(ended.code(), 2, "{ended:?}");
    assert!(
        ended.stderr.contains("it is sealed; set PKI_TOOLS_PASSPHRASE"),
        "{ended:?}"
    );
    let ended = run(&[]).env("PKI_TOOLS_PASSPHRASE", "wrong").run();
    assert_eq!(ended.code(), 2, "{ended:?}");
    assert!(ended.stderr.contains("wrong passphrase"), "{ended:?}");
    assert_eq!(rotation.first.sign_ins(), sign_ins, "something was sent");
}

#[test]
fn a_saltfo_yaml_comes_before_a_clients_yaml_and_the_other_is_named() {
    let rotation = Rotation::start();
    let client = Client::new(&rotation.entries(false));
    client.write("xyz.yaml", &rotation.yaml(None), 0o600);
    let ended = Saltfo::new(["probe", "--out", "json", "--timeout", "2", "--client"])
        .arg(client.path("xyz.yaml"))
        .env("SALTFO_CONFIG", client.config().to_str().unwrap())
        .run();
    // The saltfo.yaml knows of no rotation.
    assert_eq!(states(&ended)[0].0, "impostor", "{ended:?}");
    assert!(
        ended.stderr.contains("xyz.yaml is not used") && ended.stderr.contains("saltfo.yaml comes first"),
        "{ended:?}"
    );
}

#[test]
fn at_a_terminal_the_passphrase_is_asked_for_and_not_shown() {
    let rotation = Rotation::start();
    let client = Client::new(&[]);
    let lock = Lock::Passphrase("open sesame");
    client.write("xyz.yaml", &rotation.yaml(Some(&lock)), 0o600);
    let command = format!(
        "{} --client {} probe --out json --timeout 5",
        env!("CARGO_BIN_EXE_saltfo"),
        client.path("xyz.yaml").display()
    );
    // `script` gives it a terminal of its own; what comes out there comes out of `script`.
    let mut script = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env_remove("PKI_TOOLS_PASSPHRASE")
        .env_remove("SALTFO_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains("Passphrase of the sealed keys: ") {
        let mut some = [0; 256];
        let read = stdout.read(&mut some).unwrap();
        assert!(read > 0, "no question: {}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&some[..read]);
    }
    // The question is shown just before the echo is turned off.
    let give_up = Instant::now() + Duration::from_secs(30);
    while echoes(script.id()) {
        assert!(Instant::now() < give_up, "the echo stays on");
    }
    stdin.write_all(b"open sesame\n").unwrap();
    stdout.read_to_end(&mut shown).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    assert!(script.wait().unwrap().success(), "{shown}");
    assert!(!shown.contains("open sesame"), "{shown}");
    assert_eq!(shown.matches("\"state\": \"reachable\"").count(), 2, "{shown}");
}

/// Whether the terminal that this `script` made shows what is typed.
fn echoes(script: u32) -> bool {
    let children = fs::read_to_string(format!("/proc/{script}/task/{script}/children")).unwrap();
    let terminal = fs::read_link(format!("/proc/{}/fd/0", children.trim())).unwrap();
    let stty = Command::new("stty").arg("-aF").arg(terminal).output().unwrap();
    assert!(stty.status.success(), "{stty:?}");
    !String::from_utf8(stty.stdout).unwrap().contains(" -echo ")
}
