//! A client's YAML as all that `saltfo` needs on real masters: by `--client`, and by what `pki-tools pipeline` makes of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[allow(dead_code, reason = "each test takes what it needs")]
mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use common::Run;
use integration::{Lab, SaltVersion};
use pki_tools::client::Client;
use pki_tools::generate;
use pki_tools::pipeline::Pipeline;
use pki_tools::seal::{self, Keyring, Secret};
use zeroize::Zeroizing;

const SALT1: &str = "salt1.xyz.example\n";

/// One lab per release: bringing it up takes longer than asking.
#[test]
fn a_clients_yaml_is_all_that_saltfo_needs() {
    for version in SaltVersion::tested().unwrap() {
        let lab = Lab::builder()
            .version(version)
            .minions(["minion01"])
            .build()
            .unwrap();
        eprintln!("== salt {version}");
        the_yaml_itself_will_do(&lab);
        a_sealed_yaml_will_do_with_its_passphrase(&lab);
        one_file_for_pipelines_will_do(&lab);
        a_gitlab_variable_will_do_once_it_is_private(&lab);
        masters_may_sign_with_different_pairs_while_master_sign_rotates(&lab);
    }
}

fn the_yaml_itself_will_do(lab: &Lab) {
    let client = lab.client_file();
    let run = saltfo(lab, &["--client", text(&client), "active-master", "minion01"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, SALT1), "{run:?}");
    assert_verified(&saltfo(
        lab,
        &["--client", text(&client), "probe", "--out", "json"],
    ));
}

fn a_sealed_yaml_will_do_with_its_passphrase(lab: &Lab) {
    let file = lab.folder().join("sealed.yaml");
    fs::copy(lab.client_file(), &file).unwrap();
    let keyring = Keyring::new(Secret::Passphrase(Zeroizing::new("open sesame".to_owned())));
    seal::seal(std::slice::from_ref(&file), &keyring, seal::Options::default()).unwrap();
    assert!(!fs::read_to_string(&file).unwrap().contains("PRIVATE KEY"));
    let with = |passphrase: Option<&str>| {
        let mut command = lab.command("runner", integration::find_saltfo().unwrap());
        command.args(["--client", text(&file), "active-master", "minion01"]);
        command
            .env_remove("SALTFO_CONFIG")
            .env_remove("PKI_TOOLS_PASSPHRASE");
        command.envs(passphrase.map(|passphrase| ("PKI_TOOLS_PASSPHRASE", passphrase)));
        command.stdin(std::process::Stdio::null());
        Run::of(command)
    };
    let run = with(Some("open sesame"));
    assert_eq!((run.code, run.stdout.as_str()), (0, SALT1), "{run:?}");
    for (passphrase, why) in [
        (None, "set PKI_TOOLS_PASSPHRASE"),
        (Some("wrong"), "wrong passphrase"),
    ] {
        let run = with(passphrase);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
        assert!(run.stderr.contains(why), "{run:?}");
    }
}

fn one_file_for_pipelines_will_do(lab: &Lab) {
    let config = pipeline(lab, &lab.client_file());
    let run = saltfo(lab, &["--config", text(&config), "active-master", "minion01"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, SALT1), "{run:?}");
    assert_verified(&saltfo(
        lab,
        &["--config", text(&config), "probe", "--out", "json"],
    ));
}

/// GitLab's runner writes variables of type File by `printf '%s' … > FILE`, in containers with umask 0000
/// (gitlab-runner, shells/bash.go and executors/docker). A web form sends CRLF and no final line end.
fn a_gitlab_variable_will_do_once_it_is_private(lab: &Lab) {
    let value = fs::read_to_string(pipeline(lab, &lab.client_file())).unwrap();
    let value = value.replace('\n', "\r\n");
    let folder = lab.folder().join("runner/project.tmp");
    let job = |before_script: &str| {
        let mut shell = lab.command("runner", "sh");
        let script = format!(
            "umask 0000\nmkdir -p \"$1\"\nprintf '%s' \"$VALUE\" > \"$1/SALTFO_CONFIG\"\n\
             export SALTFO_CONFIG=\"$1/SALTFO_CONFIG\"\n{before_script}\n\"$0\" active-master minion01\n"
        );
        shell
            .args(["-c", &script])
            .arg(integration::find_saltfo().unwrap())
            .arg(&folder);
        shell
            .env("VALUE", value.trim_end())
            .env("HOME", lab.folder().join("runner"));
        Run::of(shell)
    };
    let run = job("");
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
    assert!(run.stderr.contains("(mode 0666): run chmod 600 "), "{run:?}");
    let run = job("chmod 600 \"$SALTFO_CONFIG\"");
    assert_eq!((run.code, run.stdout.as_str()), (0, SALT1), "{run:?}");
    fs::remove_dir_all(&folder).unwrap();
    let run = job("install -m 600 \"$SALTFO_CONFIG\" ~/saltfo.yaml && export SALTFO_CONFIG=~/saltfo.yaml");
    assert_eq!((run.code, run.stdout.as_str()), (0, SALT1), "{run:?}");
}

fn masters_may_sign_with_different_pairs_while_master_sign_rotates(lab: &Lab) {
    let rotated = rotate_on_salt2(lab);
    // The rotation is real: who knows of one pair trusts one master.
    let old = saltfo(
        lab,
        &["--client", text(&lab.client_file()), "probe", "--out", "json"],
    );
    assert_eq!(
        (old.code, old.master("salt2").0.as_str()),
        (5, "impostor"),
        "{old:?}"
    );
    assert_eq!(old.master("salt1").0, "reachable", "{old:?}");

    assert_verified(&saltfo(
        lab,
        &["--client", text(&rotated), "probe", "--out", "json"],
    ));
    let run = saltfo(lab, &["--client", text(&rotated), "active-master", "minion01"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, SALT1), "{run:?}");

    let config = pipeline(lab, &rotated);
    assert_verified(&saltfo(
        lab,
        &["--config", text(&config), "probe", "--out", "json"],
    ));
    let with_own = fs::read_to_string(&config).unwrap();
    let (before, after) = with_own.split_once("    master_sign_pub: |\n").unwrap();
    let (_, after) = after.split_once("-----END PUBLIC KEY-----\n").unwrap();
    fs::write(&config, format!("{before}{after}")).unwrap();
    let new = saltfo(lab, &["--config", text(&config), "probe", "--out", "json"]);
    assert_eq!(
        (new.code, new.master("salt1").0.as_str()),
        (5, "impostor"),
        "{new:?}"
    );
    assert_eq!(new.master("salt2").0, "reachable", "{new:?}");
}

/// A copy of the client with a new `master_sign`, which the second master has got and the first one has not.
fn rotate_on_salt2(lab: &Lab) -> PathBuf {
    let path = lab.folder().join("rotated.yaml");
    let text = fs::read_to_string(lab.client_file()).unwrap();
    let renamed = text.replacen("      master_sign:\n", "      master_sign_old:\n", 1);
    assert_ne!(renamed, text);
    fs::write(&path, renamed).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    generate::run(
        std::slice::from_ref(&path),
        &generate::Options::default(),
        &Keyring::none(),
        &|_, _| {},
    )
    .unwrap();
    let sign = Client::load(&path).unwrap().master_sign.unwrap();
    let pki = lab.pki_dir("salt2").unwrap();
    for (name, text) in [
        (
            "master_sign.pem",
            sign.pem.open(&Keyring::none()).unwrap().as_str(),
        ),
        ("master_sign.pub", &sign.pub_),
    ] {
        fs::remove_file(pki.join(name)).unwrap();
        fs::write(pki.join(name), text).unwrap();
        fs::set_permissions(pki.join(name), fs::Permissions::from_mode(0o400)).unwrap();
    }
    lab.master("salt2").unwrap().restart().unwrap();
    path
}

/// Writes what pipelines get.
fn pipeline(lab: &Lab, client: &Path) -> PathBuf {
    let file = lab.folder().join("runner/pipeline.yaml");
    let client = Client::load(client).unwrap();
    let pipeline = Pipeline::of(&client).unwrap();
    pipeline.write(&file, false, &Keyring::none()).unwrap();
    file
}

/// `saltfo` on the runner, with no configuration but what the arguments name.
fn saltfo(lab: &Lab, arguments: &[&str]) -> Run {
    let mut command = lab.command("runner", integration::find_saltfo().unwrap());
    command.args(arguments).env_remove("SALTFO_CONFIG");
    Run::of(command)
}

fn assert_verified(probe: &Run) {
    assert_eq!(probe.code, 0, "{probe:?}");
    for master in ["salt1", "salt2"] {
        assert_eq!(
            probe.master(master),
            ("reachable".to_owned(), true, String::new()),
            "{probe:?}"
        );
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
