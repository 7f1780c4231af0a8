//! `pki-tools pillar` as Salt reads it: its renderers and its pillar give back the texts of the client's YAML.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use integration::{Progress, Salt, SaltVersion};
use pki_tools::generate;
use pki_tools::pillar::{self, Options};
use pki_tools::seal::Keyring;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// Names that mean something to YAML or jinja, and masters and minions as everybody has them.
const XYZ: &str = r#"name: "X{{ 7*7 }} {% raw %}"
include: {dirs: [more]}
configuration_management:
  type: salt
  salt:
    pki: {pipeline: {id: "{{pipeline}}.{#xyz#}"}}
    masters:
      - fqdn: salt1.xyz.example
        active: True
      - fqdn: salt2.xyz.example
        active: True
      - fqdn: salt3.xyz.example
        active: False
assets:
  - fqdn: minion01.xyz.example
  - fqdn: "{{7+7}}"
  - fqdn: "{%if%}"
  - fqdn: 'yes'
  - fqdn: '0x10'
  - fqdn: '1_000'
  - fqdn: "grün"
  - fqdn: old.xyz.example
    active: False
  - fqdn: www.xyz.example
    kind: service
"#;

/// Keys in the forms that people and other tools write.
const FORMS: &str = r#"assets:
  - fqdn: pkcs8
    minion: {pem: "-----BEGIN PRIVATE KEY-----\nAbc+/=\n-----END PRIVATE KEY-----\n", pub: "-----BEGIN PUBLIC KEY-----\nAbc\n"}
  - fqdn: no.final.newline
    minion:
      pem: |-
        -----BEGIN RSA PRIVATE KEY-----
        Abc+/=
        -----END RSA PRIVATE KEY-----
      pub: '-----BEGIN PUBLIC KEY----- on one line'
  - fqdn: many.final.newlines
    minion:
      pem: |+
        -----BEGIN RSA PRIVATE KEY-----
        Abc+/=
        -----END RSA PRIVATE KEY-----


      pub: "\n\n-----BEGIN PUBLIC KEY-----\r\nAbc\r\n-----END PUBLIC KEY-----\r\n"
  - fqdn: deep.and.odd
    minion:
      pem: |2
          -----BEGIN RSA PRIVATE KEY-----
           {{ 1/0 }} {% endraw %} {# a comment #} # not a comment

        	tab: "quoted" 'twice' \x41 \n é ☃ 𝄞
      pub: >
        folded
        lines

        here
"#;

struct Client(TempDir);

impl Client {
    fn with_keys() -> Self {
        let client = Self(tempfile::tempdir().unwrap());
        client.write("xyz.yaml", XYZ);
        client.write("more/forms.yaml", FORMS);
        let options = generate::Options::default();
        generate::run(&[client.file()], &options, &Keyring::none(), &|_, _| {}).unwrap();
        client
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("xyz.yaml")
    }

    /// Where the pillar is.
    fn out(&self) -> PathBuf {
        self.0.path().join("srv")
    }

    fn pillar(&self) {
        pillar::run(&self.file(), &self.out(), &Options::default(), &Keyring::none()).unwrap();
    }

    /// What this Salt makes of the pillar, and an independent templating of the YAML.
    fn rendered(&self, salt: &Salt) -> Json {
        let work = tempfile::tempdir().unwrap();
        let mut python = Command::new(salt.python());
        python
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pillar.py"))
            .args([&self.file(), &self.out()])
            .arg(work.path());
        let output = python.env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Salt's data are the YAML's, for each file and each host. The names of the files.
fn assert_same(read: &Json, what: &str) -> Vec<String> {
    let (expected, rendered) = (&read["expected"], &read["rendered"]);
    for (name, data) in expected.as_object().unwrap() {
        assert_eq!(&rendered[name], data, "{what}: {name}");
    }
    for (host, both) in read["hosts"].as_object().unwrap() {
        assert_eq!(both[1], both[0], "{what}: the pillar of {host}");
    }
    let names = |of: &Json| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(rendered), names(expected), "{what}");
    names(rendered)
}

#[test]
fn salt_reads_the_texts_of_the_yaml_whatever_they_mean_to_its_renderers() {
    let client = Client::with_keys();
    client.pillar();
    for version in SaltVersion::tested().unwrap() {
        let salt = Salt::ensure(version, &Progress::stderr()).unwrap();
        let read = client.rendered(&salt);
        let names = assert_same(&read, version.release());
        assert_eq!(names.len(), 2 * 2 + 7 + 4, "{names:?}");
        // That the two agree would mean little if both were wrong.
        let minions = &read["rendered"]["master_salt1_xyz_example"]["salt"]["master"]["pki"]["minions"];
        assert_eq!(minions.as_object().unwrap().len(), 2 + 7 + 4 + 1);
        assert!(
            minions["{{pipeline}}.{#xyz#}"]
                .as_str()
                .unwrap()
                .starts_with("-----BEGIN PUBLIC KEY-----\n")
        );
        let odd = &read["rendered"]["minion_deep_and_odd"]["salt"]["minion"]["pki"]["minion"];
        assert_eq!(
            odd["pem"],
            "  -----BEGIN RSA PRIVATE KEY-----\n   {{ 1/0 }} {% endraw %} {# a comment #} # not a comment\n\n\
             \ttab: \"quoted\" 'twice' \\x41 \\n é ☃ 𝄞\n"
        );
        assert_eq!(odd["pub"], "folded lines\nhere\n");
        a_state_installs_the_keys(&client, &salt, &read);
    }
}

/// By the program that people run and a state as they write them: what lands on the disk are the texts of the YAML.
fn a_state_installs_the_keys(client: &Client, salt: &Salt, read: &Json) {
    let work = tempfile::tempdir().unwrap();
    let config = format!(
        "root_dir: {work}\nid: minion01.xyz.example\nfile_client: local\npillar_roots:\n  base: [{out}/pillar]\n",
        work = work.path().display(),
        out = client.out().display()
    );
    fs::write(work.path().join("minion"), config).unwrap();
    let pki = &read["expected"]["minion_minion01_xyz_example"]["salt"]["minion"]["pki"];
    for (key, expected) in [
        ("minion:pem", &pki["minion"]["pem"]),
        ("master_sign", &pki["master_sign"]),
    ] {
        let file = work.path().join("key");
        let mut salt_call = Command::new(salt.python());
        salt_call
            .arg(salt.program("salt-call"))
            .arg("-c")
            .arg(work.path());
        salt_call.args(["--local", "--retcode-passthrough", "state.single", "file.managed"]);
        salt_call.arg(format!("name={}", file.display()));
        salt_call.arg(format!("contents_pillar=salt:minion:pki:{key}"));
        let output = salt_call.env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            expected.as_str().unwrap(),
            "{key}"
        );
    }
}

#[test]
fn during_a_rotation_salt_gives_the_first_master_the_old_pair() {
    let client = Client::with_keys();
    let other = Client::with_keys();
    let sign = |client: &Client| {
        let client = pki_tools::client::Client::load(&client.file()).unwrap();
        let pair = client.master_sign.unwrap();
        json!({"pem": *pair.pem.open(&Keyring::none()).unwrap(), "pub": pair.pub_})
    };
    let (new, old) = (sign(&client), sign(&other));
    client.write(
        "more/rotation.yaml",
        &format!("configuration_management: {{salt: {{pki: {{master_sign_old: {old}}}}}}}\n"),
    );
    client.pillar();
    let salt = Salt::ensure(SaltVersion::tested().unwrap()[0], &Progress::stderr()).unwrap();
    let read = client.rendered(&salt);
    let signs = |master: &str| &read["rendered"][master]["salt"]["master"]["pki"]["master_sign"];
    assert_eq!(signs("master_salt1_xyz_example"), &old);
    assert_eq!(signs("master_salt2_xyz_example"), &new);
    assert_eq!(
        read["rendered"]["minion_pkcs8"]["salt"]["minion"]["pki"]["master_sign"],
        new["pub"]
    );
}
