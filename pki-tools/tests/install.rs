//! `pki-tools install`, the real program: the files of a host, and everything that may be in their way.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are tests"
)]

#[allow(dead_code, reason = "each test takes what it needs")]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Ran, Sandbox, data};
use serde_json::Value;

const CLIENT: &str = "name: Xyz
configuration_management:
  type: salt
  salt:
    masters:
      - fqdn: salt1.xyz.example
        ip: 10.0.0.11
        external_ip: 192.0.2.11
        external_ports: [4505, 4506]
      - fqdn: salt2.xyz.example
        ip: 10.0.0.12
        external_ip: 192.0.2.12
      - fqdn: salt0.xyz.example
        active: False
assets:
  - fqdn: minion01.xyz.example
    kind: server
  - {fqdn: minion02, active: True}
  - fqdn: www.xyz.example
    kind: service
  - fqdn: old.xyz.example
    active: False
";

/// The client with keys for everybody, in use or not any more. Making them takes a while.
static KEYS: LazyLock<String> = LazyLock::new(|| {
    let everybody = CLIENT.replace("active: False", "active: True");
    let sandbox = Sandbox::with(&[("x.yaml", &everybody)]);
    assert_eq!(sandbox.run(&["gen", "x.yaml"]).code, 0);
    let mut text = sandbox.read("x.yaml");
    for retired in [
        "fqdn: salt0.xyz.example\n        active: ",
        "fqdn: old.xyz.example\n    active: ",
    ] {
        text = text.replace(&format!("{retired}True"), &format!("{retired}False"));
    }
    text
});

/// A folder with the client's file and a host's root.
struct Host(Sandbox);

impl Host {
    fn new() -> Self {
        Self::with(&KEYS)
    }

    fn with(client: &str) -> Self {
        let sandbox = Sandbox::with(&[("x.yaml", client)]);
        fs::create_dir(sandbox.path("root")).unwrap();
        Self(sandbox)
    }

    fn install(&self, args: &[&str]) -> Ran {
        let mut all = vec!["install", "x.yaml", "--root", "root", "--host"];
        all.extend(args);
        self.0.run(&all)
    }

    /// The report of a run that must succeed.
    fn report(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.extend(["--out", "json"]);
        let ran = self.install(&all);
        assert_eq!(ran.code, 0, "{}", ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }

    fn master(&self) -> Value {
        self.report(&MASTER)
    }

    /// The message of a run that must be refused and must leave everything as it was.
    fn refused(&self, args: &[&str]) -> String {
        let before = tree(&self.0.path("."));
        let ran = self.install(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert_eq!(tree(&self.0.path(".")), before, "{}", ran.err);
        ran.err
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path("root").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        fs::write(path, text).unwrap();
    }

    fn mode(&self, name: &str) -> u32 {
        fs::symlink_metadata(self.path(name)).unwrap().mode() & 0o7777
    }
}

const MASTER: [&str; 3] = ["salt1.xyz.example", "--role", "master"];
const PKI: &str = "etc/salt/pki/master";

/// Everything below a folder: what it is, whose, and what is in it.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, u32, u64, String)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let data = path.symlink_metadata().unwrap();
            let content = if data.is_dir() {
                folders.push(path.clone());
                String::new()
            } else if data.is_symlink() {
                path.read_link().unwrap().display().to_string()
            } else if data.is_file() {
                String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
            } else {
                "special".to_owned()
            };
            let inode = if data.is_dir() { 0 } else { data.ino() };
            found.insert(path, (data.mode(), data.uid(), inode, content));
        }
    }
    found
}

/// The paths below the root for which a report has this action.
fn with_action(report: &Value, action: &str) -> Vec<String> {
    let files = report["files"].as_array().unwrap();
    let chosen = files.iter().filter(|file| file["action"] == action);
    let path = |file: &Value| {
        file["path"]
            .as_str()
            .unwrap()
            .strip_prefix("root/")
            .unwrap()
            .to_owned()
    };
    chosen.map(path).collect()
}

fn warnings(report: &Value) -> String {
    let warnings = report["warnings"].as_array().unwrap();
    warnings
        .iter()
        .map(|line| line.as_str().unwrap().to_owned() + "\n")
        .collect()
}

/// Root, for whom owners can be tried out.
fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_master_gets_exactly_its_files_with_the_texts_of_the_yaml() {
    let host = Host::new();
    let report = host.master();
    let yaml = data(&KEYS);
    let salt = &yaml["configuration_management"]["salt"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (own, sign) = (&salt["masters"][0]["pki"]["master"], &salt["pki"]["master_sign"]);
    let mut expected = BTreeMap::new();
    for (name, mode, value) in [
        ("master.pem", 0o400, &own["pem"]),
        ("master.pub", 0o644, &own["pub"]),
        ("master_sign.pem", 0o400, &sign["pem"]),
        ("master_sign.pub", 0o644, &sign["pub"]),
        (
            "minions/salt1.xyz.example",
            0o644,
            &salt["masters"][0]["pki"]["minion"]["pub"],
        ),
        (
            "minions/salt2.xyz.example",
            0o644,
            &salt["masters"][1]["pki"]["minion"]["pub"],
        ),
        (
            "minions/minion01.xyz.example",
            0o644,
            &yaml["assets"][0]["minion"]["pub"],
        ),
        ("minions/minion02", 0o644, &yaml["assets"][1]["minion"]["pub"]),
        ("minions/pipeline.xyz", 0o644, &salt["pki"]["pipeline"]["pub"]),
    ] {
        expected.insert(format!("{PKI}/{name}"), (mode, text(value)));
    }
    expected.insert(
        "etc/salt/master.d/saltfo.conf".to_owned(),
        (0o644, host.read("etc/salt/master.d/saltfo.conf")),
    );
    let mut found = BTreeMap::new();
    for (path, (mode, _, _, content)) in tree(&host.path("")) {
        if path.is_file() {
            let name = path.strip_prefix(host.path("")).unwrap().display().to_string();
            found.insert(name, (mode & 0o7777, content));
        }
    }
    assert_eq!(found, expected);
    let mut written = with_action(&report, "written");
    written.sort();
    assert_eq!(written, expected.into_keys().collect::<Vec<_>>());
    for (folder, mode) in [
        ("pki", 0o755),
        ("pki/master", 0o700),
        ("pki/master/minions", 0o700),
        ("master.d", 0o755),
    ] {
        assert_eq!(host.mode(&format!("etc/salt/{folder}")), mode, "{folder}");
    }
    assert_eq!(report["next"][0]["command"], "systemctl restart salt-master");
}

#[test]
fn a_minion_gets_its_pair_and_what_verifies_its_masters() {
    let host = Host::new();
    let report = host.report(&["minion01.xyz.example"]);
    let yaml = data(&KEYS);
    let pair = &yaml["assets"][0]["minion"];
    let sign = &yaml["configuration_management"]["salt"]["pki"]["master_sign"]["pub"];
    for (name, mode, value) in [
        ("minion.pem", 0o400, &pair["pem"]),
        ("minion.pub", 0o644, &pair["pub"]),
        ("master_sign.pub", 0o644, sign),
    ] {
        let name = format!("etc/salt/pki/minion/{name}");
        assert_eq!(
            (host.read(&name).as_str(), host.mode(&name)),
            (value.as_str().unwrap(), mode),
            "{name}"
        );
    }
    assert_eq!(with_action(&report, "written").len(), 4);
    assert_eq!(fs::read_dir(host.path("etc/salt/pki/minion")).unwrap().count(), 3);
    assert_eq!(report["role"], "minion");
    let config = data(&host.read("etc/salt/minion.d/saltfo.conf"));
    let expected = serde_json::json!({
        "id": "minion01.xyz.example", "master": ["192.0.2.11", "192.0.2.12"], "master_type": "failover",
        "random_master": true, "master_alive_interval": 60, "master_tries": -1, "retry_dns": 0,
        "ping_interval": 1, "verify_master_pubkey_sign": true,
    });
    assert_eq!(config, expected);
}

#[test]
fn the_minion_of_a_masters_host_knows_that_master_and_sees_both_as_they_see_each_other() {
    let host = Host::new();
    let args = ["salt2.xyz.example", "--role", "minion"];
    host.report(&args);
    let yaml = data(&KEYS);
    let master = &yaml["configuration_management"]["salt"]["masters"][1];
    let stored = "etc/salt/pki/minion/minion_master.pub";
    assert_eq!(
        host.read(stored),
        master["pki"]["master"]["pub"].as_str().unwrap()
    );
    assert_eq!(
        host.read("etc/salt/pki/minion/minion.pem"),
        master["pki"]["minion"]["pem"].as_str().unwrap()
    );
    let config = data(&host.read("etc/salt/minion.d/saltfo.conf"));
    assert_eq!(config["master"], serde_json::json!(["10.0.0.12", "10.0.0.11"]));
    assert_eq!(config["id"], "salt2.xyz.example");

    // Salt writes down which master it follows, without a final newline. That is no fault.
    let other = &yaml["configuration_management"]["salt"]["masters"][0]["pki"]["master"]["pub"];
    host.put(stored, other.as_str().unwrap().trim_end());
    let report = host.report(&args);
    assert!(
        with_action(&report, "unchanged").contains(&stored.to_owned()),
        "{report}"
    );
    // Anybody else's key is.
    host.put(stored, "somebody's");
    assert_eq!(with_action(&host.report(&args), "replaced"), [stored]);
}

#[test]
fn a_second_run_touches_nothing_and_asks_for_nothing() {
    let host = Host::new();
    host.master();
    let before = tree(&host.path(""));
    let report = host.master();
    assert_eq!(tree(&host.path("")), before);
    assert_eq!(with_action(&report, "unchanged").len(), 10);
    assert_eq!(report["files"].as_array().unwrap().len(), 10);
    assert_eq!(report["next"], serde_json::json!([]));
}

#[test]
fn a_dry_run_says_what_a_run_does_and_writes_nothing() {
    let host = Host::new();
    let before = tree(&host.0.path("."));
    let mut args = MASTER.to_vec();
    args.push("--dry-run");
    let dry = host.report(&args);
    assert_eq!(tree(&host.0.path(".")), before);
    let real = host.master();
    assert_eq!(with_action(&dry, "written"), with_action(&real, "written"));
    assert_eq!(dry["next"], real["next"]);
    host.put(&format!("{PKI}/minions/gone"), "key");
    host.put(&format!("{PKI}/minions/minion02"), "other");
    fs::set_permissions(
        host.path(&format!("{PKI}/minions")),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let before = tree(&host.0.path("."));
    args.push("--prune");
    let dry = host.report(&args);
    assert_eq!(tree(&host.0.path(".")), before);
    args.retain(|arg| *arg != "--dry-run");
    let real = host.report(&args);
    assert_eq!(dry["files"], real["files"]);
}

#[test]
fn different_private_keys_are_all_named_and_nothing_is_written_until_told_so() {
    let host = Host::new();
    host.master();
    let strange = data(&KEYS)["configuration_management"]["salt"]["masters"][1]["pki"]["master"]["pem"]
        .as_str()
        .unwrap()
        .to_owned();
    host.put(&format!("{PKI}/master.pem"), &strange);
    host.put(&format!("{PKI}/master_sign.pem"), "no key that we know");
    host.put(
        &format!("{PKI}/minions/minion02"),
        "not refused, but not written either",
    );
    let message = host.refused(&MASTER);
    for part in [
        "nothing was written",
        "root/etc/salt/pki/master/master.pem holds another private key",
        "root/etc/salt/pki/master/master_sign.pem holds another private key",
        "--replace",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("minion02"), "{message}");

    let mut args = MASTER.to_vec();
    args.push("--replace");
    let report = host.report(&args);
    let files = report["files"].as_array().unwrap();
    let file = files
        .iter()
        .find(|file| file["path"].as_str().unwrap().ends_with("/master.pem"))
        .unwrap();
    let kept = file["kept"].as_str().unwrap().strip_prefix("root/").unwrap();
    let stamp = kept.strip_prefix(&format!("{PKI}/master.pem.")).unwrap();
    assert!(
        stamp.len() == 16 && stamp.ends_with('Z') && stamp.starts_with("20"),
        "{kept}"
    );
    assert_eq!((host.read(kept), host.mode(kept)), (strange, 0o400));
    assert_eq!(host.mode(&format!("{PKI}/master.pem")), 0o400);
    assert_eq!(with_action(&report, "replaced").len(), 3);
    let accepted: Vec<_> = fs::read_dir(host.path(&format!("{PKI}/minions")))
        .unwrap()
        .collect();
    assert_eq!(accepted.len(), 5, "no old key among the accepted ones");
    assert_eq!(with_action(&host.master(), "unchanged").len(), 10);
}

#[test]
fn two_old_keys_of_one_second_are_both_kept() {
    let host = Host::new();
    let mut args = MASTER.to_vec();
    args.push("--replace");
    for old in ["first", "second", "third"] {
        host.put(&format!("{PKI}/master.pem"), old);
        host.report(&args);
    }
    let kept: Vec<String> = tree(&host.path(PKI))
        .into_iter()
        .filter(|(path, _)| path.display().to_string().contains("master.pem.2"))
        .map(|(_, (_, _, _, content))| content)
        .collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
}

#[test]
fn the_same_key_in_another_form_and_an_empty_file_are_replaced_without_asking() {
    let host = Host::new();
    host.master();
    let pem = host.path(&format!("{PKI}/master.pem"));
    let converted = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-nocrypt", "-in"])
        .arg(&pem)
        .output()
        .unwrap();
    assert!(converted.status.success());
    let text = String::from_utf8(converted.stdout).unwrap();
    assert!(text.contains("BEGIN PRIVATE KEY"));
    host.put(&format!("{PKI}/master.pem"), &text);
    host.put(&format!("{PKI}/master_sign.pem"), "");
    let report = host.master();
    assert_eq!(with_action(&report, "replaced").len(), 2);
    assert!(
        report["files"]
            .as_array()
            .unwrap()
            .iter()
            .all(|file| file["kept"].is_null())
    );
}

#[test]
fn wrong_modes_are_mended_and_said() {
    let host = Host::new();
    host.master();
    for (name, mode) in [
        ("master.pem", 0o644),
        ("minions/minion02", 0o600),
        ("minions", 0o755),
    ] {
        let path = host.path(&format!("{PKI}/{name}"));
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let report = host.master();
    let mut mended = with_action(&report, "mended");
    mended.sort();
    let expected = ["master.pem", "minions", "minions/minion02"].map(|name| format!("{PKI}/{name}"));
    assert_eq!(mended, expected);
    assert!(report.to_string().contains("mode was 0644, is 0400"), "{report}");
    assert_eq!(
        report["next"],
        serde_json::json!([]),
        "nothing that Salt would have to read again"
    );
    assert_eq!(host.mode(&format!("{PKI}/master.pem")), 0o400);
    assert_eq!(host.mode(&format!("{PKI}/minions")), 0o700);
    assert_eq!(host.mode(&format!("{PKI}/minions/minion02")), 0o644);
}

#[test]
fn the_user_who_runs_salt_gets_the_keys_and_nothing_else() {
    let host = Host::new();
    host.put("etc/passwd", "root:x:0:0::/:\nsalt:x:450:451::/:/bin/false\n");
    let mut args = MASTER.to_vec();
    args.extend(["--user", "salt"]);
    if !is_root() {
        let message = host.refused(&args);
        assert!(message.contains("only root can give files to salt"), "{message}");
        return;
    }
    host.report(&args);
    for (path, (mode, user, _, _)) in tree(&host.path("etc/salt")) {
        let is_key = path.starts_with(host.path(PKI));
        let group = path.symlink_metadata().unwrap().gid();
        assert_eq!(
            (user, group),
            if is_key { (450, 451) } else { (0, 0) },
            "{} {mode:o}",
            path.display()
        );
    }
    // Back to root: said, with what may be meant.
    let report = host.master();
    assert!(
        report.to_string().contains("owner was 450:451, is 0:0"),
        "{report}"
    );
    assert!(warnings(&report).contains("--user 450"), "{report}");
    assert_eq!(
        fs::metadata(host.path(&format!("{PKI}/master.pem")))
            .unwrap()
            .uid(),
        0
    );
    let message = host.refused(&["salt1.xyz.example", "--role", "master", "--user", "nobody1"]);
    assert!(message.contains("no user nobody1 in root"), "{message}");
}

#[test]
fn a_folder_that_the_user_cannot_look_into_is_named() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(host.path("etc/salt/pki"))
        .unwrap();
    let report = host.report(&["minion02", "--user", "450:451"]);
    assert!(
        warnings(&report).contains("chmod 755 root/etc/salt/pki"),
        "{report}"
    );
}

#[test]
fn links_are_not_followed_and_what_they_lead_to_stays() {
    for (link, is_folder) in [
        ("etc/salt/pki", true),
        (PKI, true),
        ("etc/salt/pki/master/minions", true),
        ("etc/salt/master.d", true),
        ("etc/salt/pki/master/master.pem", false),
        ("etc/salt/pki/master/master_sign.pub", false),
        ("etc/salt/pki/master/minions/minion02", false),
        ("etc/salt/master.d/saltfo.conf", false),
    ] {
        let host = Host::new();
        let elsewhere = host.0.path("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("file"), "precious").unwrap();
        fs::create_dir_all(host.path(link).parent().unwrap()).unwrap();
        fs::set_permissions(
            host.path(link).parent().unwrap(),
            fs::Permissions::from_mode(0o700),
        )
        .unwrap();
        let target = if is_folder {
            elsewhere.clone()
        } else {
            elsewhere.join("file")
        };
        symlink(&target, host.path(link)).unwrap();
        let message = host.refused(&["salt1.xyz.example", "--role", "master", "--replace", "--prune"]);
        assert!(
            message.contains(&format!("root/{link} is a symbolic link")),
            "{message}"
        );
    }
}

#[test]
fn an_absolute_link_above_the_keys_is_read_as_the_host_reads_it() {
    let host = Host::new();
    fs::create_dir_all(host.path("data/salt")).unwrap();
    fs::create_dir_all(host.path("etc")).unwrap();
    symlink("/data/salt", host.path("etc/salt")).unwrap();
    host.master();
    assert!(host.path("data/salt/pki/master/master.pem").is_file());
    assert!(!Path::new("/data/salt/pki").exists());
}

#[test]
fn what_salt_3008_makes_of_a_masters_own_pair_is_understood() {
    let host = Host::new();
    host.master();
    let move_away = |half: &str| {
        let (here, there) = (
            format!("{PKI}/master.{half}"),
            format!("{PKI}/salt1.xyz.example.{half}"),
        );
        fs::rename(host.path(&here), host.path(&there)).unwrap();
        symlink(format!("/{there}"), host.path(&here)).unwrap();
    };
    move_away("pem");
    move_away("pub");
    let report = host.master();
    assert_eq!(with_action(&report, "unchanged").len(), 10, "{report}");

    // A new key goes where Salt reads it.
    let moved = format!("{PKI}/salt1.xyz.example.pem");
    let right = host.read(&moved);
    host.put(&moved, "another key");
    let message = host.refused(&MASTER);
    assert!(
        message.contains("salt1.xyz.example.pem holds another private key"),
        "{message}"
    );
    let report = host.report(&["salt1.xyz.example", "--role", "master", "--replace"]);
    assert_eq!(with_action(&report, "replaced"), [moved.clone()]);
    assert_eq!(host.read(&moved), right);
    assert!(host.path(&format!("{PKI}/master.pem")).is_symlink());

    // Somebody put a file over the link: Salt reads the other one all the same.
    host.put(&format!("{PKI}/master.pem"), &right);
    host.put(&moved, "another key");
    assert!(
        host.refused(&MASTER)
            .contains("salt1.xyz.example.pem holds another")
    );

    // A link to another file of Salt's is none of these.
    fs::remove_file(host.path(&format!("{PKI}/master.pem"))).unwrap();
    symlink("master_sign.pem", host.path(&format!("{PKI}/master.pem"))).unwrap();
    assert!(host.refused(&MASTER).contains("master.pem is a symbolic link"));
}

#[test]
fn a_file_that_has_other_names_too_is_exchanged_and_never_changed() {
    let host = Host::new();
    host.master();
    let elsewhere = host.0.path("elsewhere");
    fs::write(&elsewhere, "precious").unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o600)).unwrap();
    let key = host.path(&format!("{PKI}/minions/minion02"));
    // With the same text, only the mode would have to be mended.
    let same = host.0.path("same");
    fs::copy(host.path(&format!("{PKI}/minions/pipeline.xyz")), &same).unwrap();
    fs::set_permissions(&same, fs::Permissions::from_mode(0o600)).unwrap();
    for (from, to) in [
        (&elsewhere, &key),
        (&same, &host.path(&format!("{PKI}/minions/pipeline.xyz"))),
    ] {
        fs::remove_file(to).unwrap();
        fs::hard_link(from, to).unwrap();
    }
    host.master();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "precious");
    for path in [&elsewhere, &same] {
        let data = fs::metadata(path).unwrap();
        assert_eq!(
            (data.mode() & 0o7777, data.nlink()),
            (0o600, 1),
            "{}",
            path.display()
        );
    }
}

#[test]
fn folders_and_pipes_in_the_place_of_files_are_refused_at_once() {
    let host = Host::new();
    fs::create_dir_all(host.path(&format!("{PKI}/minions/minion02"))).unwrap();
    let pipe = host.path(&format!("{PKI}/master.pem"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for folder in ["pki/master", "pki/master/minions"] {
        let path = host.path("etc/salt").join(folder);
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let message = host.refused(&MASTER);
    for name in ["master.pem", "minions/minion02"] {
        assert!(message.contains(&format!("{PKI}/{name} is no file")), "{message}");
    }
}

#[test]
fn a_folder_that_is_exchanged_all_the_time_never_leads_elsewhere() {
    let host = Host::new();
    host.master();
    let (minions, aside, elsewhere) = (
        host.path(&format!("{PKI}/minions")),
        host.path(&format!("{PKI}/aside")),
        host.0.path("elsewhere"),
    );
    fs::create_dir(&elsewhere).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = fs::rename(&minions, &aside);
                let _ = symlink(&elsewhere, &minions);
                let _ = fs::remove_file(&minions);
                let _ = fs::rename(&aside, &minions);
            }
        });
        for round in 0..25 {
            // What is new must be written somewhere.
            let _ = fs::remove_file(minions.join("minion02"));
            let _ = fs::remove_file(aside.join("minion02"));
            let ran = host.install(&MASTER);
            assert!([0, 2].contains(&ran.code), "round {round}: {}", ran.err);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn ids_that_are_no_names_are_refused_with_their_place() {
    for (id, part) in [
        ("../x", "'/' is not allowed"),
        ("a/b", "'/' is not allowed"),
        (".hidden", "begins with a dot"),
        ("'*'", "is a pattern"),
        ("'a b'", "' ' is not allowed"),
        ("..", "is not a minion id"),
    ] {
        let text = KEYS.replace("- fqdn: minion01.xyz.example", &format!("- fqdn: {id}"));
        let line = 1 + text
            .lines()
            .position(|line| line.contains(&format!("- fqdn: {id}")))
            .unwrap();
        let message = Host::with(&text).refused(&MASTER);
        assert!(
            message.contains(&format!("x.yaml:{line}:11: ")) && message.contains(part),
            "{message}"
        );
    }
    let text = KEYS.replace("id: pipeline.xyz", "id: ../../x");
    let message = Host::with(&text).refused(&MASTER);
    assert!(
        message.contains("x.yaml:") && message.contains("'/' is not allowed"),
        "{message}"
    );
    let text = KEYS.replace("id: pipeline.xyz", "id: minion02");
    let message = Host::with(&text).refused(&MASTER);
    assert!(
        message.contains("`minion02` is also the name of a host"),
        "{message}"
    );
}

#[test]
fn keys_of_ids_that_left_are_listed_and_go_only_when_told() {
    let host = Host::new();
    host.master();
    for name in ["old.xyz.example", "gone\u{1b}[31m", ".key_cache"] {
        host.put(&format!("{PKI}/minions/{name}"), "key");
    }
    symlink("/etc/passwd", host.path(&format!("{PKI}/minions/linked"))).unwrap();
    host.put(&format!("{PKI}/other.pem"), "somebody's");
    host.put("etc/salt/master.d/other.conf", "x: 1\n");
    let left = ["gone\\u{1b}[31m", "linked", "old.xyz.example"].map(|name| format!("{PKI}/minions/{name}"));
    let report = host.master();
    assert_eq!(with_action(&report, "left"), left);
    assert_eq!(report["next"], serde_json::json!([]));
    let report = host.report(&["salt1.xyz.example", "--role", "master", "--prune"]);
    assert_eq!(with_action(&report, "pruned"), left);
    assert_eq!(report["next"][0]["command"], "systemctl restart salt-master");
    let mut names: Vec<_> = fs::read_dir(host.path(&format!("{PKI}/minions")))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let stay = [
        ".key_cache",
        "minion01.xyz.example",
        "minion02",
        "pipeline.xyz",
        "salt1.xyz.example",
        "salt2.xyz.example",
    ];
    assert_eq!(names, stay);
    assert!(host.path(&format!("{PKI}/other.pem")).exists());
    assert!(host.path("etc/salt/master.d/other.conf").exists());
}

#[test]
fn ids_that_are_also_rejected_denied_or_pending_are_named() {
    let host = Host::new();
    host.put(&format!("{PKI}/minions_rejected/minion01.xyz.example"), "key");
    host.put(&format!("{PKI}/minions_pre/minion02"), "key");
    host.put(&format!("{PKI}/minions_denied/pipeline.xyz"), "key");
    host.put(&format!("{PKI}/minions_rejected/somebody.else"), "key");
    let report = host.master();
    let text = warnings(&report);
    for part in [
        "minions_rejected/minion01.xyz.example: minion01.xyz.example is rejected, and so locked out",
        "minions_pre/minion02: minion02 waits to be accepted",
        "minions_denied/pipeline.xyz: pipeline.xyz has signed in with another key",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("somebody"), "{text}");
}

#[test]
fn other_settings_that_are_in_the_way_are_named() {
    let host = Host::new();
    host.put(
        "etc/salt/master",
        "user: root\npeer: {x: [y]}\npki_dir: /srv/pki\ninclude: more.conf\n",
    );
    host.put("etc/salt/master.d/a.conf", "peer_run: {x: [y]}\n");
    host.put(
        "etc/salt/master.d/z.conf",
        "master_sign_pubkey: False\nmaster_sign_key_name: other\n",
    );
    host.put("etc/salt/master.d/broken.conf", "a: [\n");
    let text = warnings(&host.master());
    for part in [
        "root/etc/salt/master: its `peer` does not count any more, because root/etc/salt/master.d/saltfo.conf has one",
        "root/etc/salt/master.d/a.conf: has a `peer_run`, too; Salt adds the two up",
        "root/etc/salt/master.d/z.conf: its `master_sign_pubkey` wins",
        "its `master_sign_key_name` is other",
        "its `pki_dir` is /srv/pki, so Salt does not look into root/etc/salt/pki/master",
        "root/etc/salt/master: what its `include` names is read last",
        "broken.conf: was not looked at",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let host = Host::new();
    host.put("etc/salt/minion.d/a.conf", "master: [a, b]\n");
    host.put(
        "etc/salt/minion",
        "pki_dir: /etc/salt/pki/minion/\nmaster: salt\n",
    );
    let report = host.report(&["minion02"]);
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1, "{report}");
    assert!(
        warnings(&report).contains("a.conf: has a `master`, too"),
        "{report}"
    );
}

#[test]
fn a_master_that_runs_as_another_user_is_noticed() {
    if !is_root() {
        return;
    }
    let host = Host::new();
    host.put("etc/passwd", "salt:x:450:451::/:/bin/false\n");
    host.put("etc/salt/master", "user: salt\n");
    assert!(warnings(&host.master()).contains("run this again with --user salt"));
    let report = host.report(&["salt1.xyz.example", "--role", "master", "--user", "salt"]);
    assert_eq!(report["warnings"], serde_json::json!([]));
}

#[test]
fn settings_that_somebody_else_wrote_are_refused_and_kept() {
    let host = Host::new();
    host.put("etc/salt/minion.d/saltfo.conf", "id: mine\n");
    let message = host.refused(&["minion02"]);
    assert!(
        message.contains("saltfo.conf was not written by pki-tools"),
        "{message}"
    );
    let report = host.report(&["minion02", "--replace"]);
    let files = report["files"].as_array().unwrap();
    let kept = files.iter().find_map(|file| file["kept"].as_str()).unwrap();
    assert!(!kept.ends_with(".conf"), "Salt would read {kept}");
    assert_eq!(host.read(kept.strip_prefix("root/").unwrap()), "id: mine\n");
    // What we wrote ourselves may change.
    host.put(
        "etc/salt/minion.d/saltfo.conf",
        &host.read("etc/salt/minion.d/saltfo.conf").replace("60", "10"),
    );
    assert_eq!(
        with_action(&host.report(&["minion02"]), "replaced"),
        ["etc/salt/minion.d/saltfo.conf"]
    );
}

#[test]
fn the_dispatch_identity_may_call_what_is_allowed_and_nothing_like_it() {
    let host = Host::new();
    host.master();
    let config = data(&host.read("etc/salt/master.d/saltfo.conf"));
    assert_eq!(config["master_sign_pubkey"], true);
    assert_eq!(
        config["peer_run"],
        serde_json::json!({ r"^pipeline\.xyz$": [r"jobs\.list_job$"] })
    );
    let allowed = config["peer"][r"^pipeline\.xyz$"].as_array().unwrap();
    for pattern in [r"test\.ping$", r"state\..*$", r"saltutil\.find_job$"] {
        assert!(allowed.contains(&pattern.into()), "{pattern}");
    }
    assert!(!config.to_string().contains("cmd"), "{config}");

    let args = [
        "salt1.xyz.example",
        "--role",
        "master",
        "--peer-allow",
        "test.*,cmd.run",
    ];
    let report = host.report(&args);
    assert_eq!(
        with_action(&report, "replaced"),
        ["etc/salt/master.d/saltfo.conf"]
    );
    let config = data(&host.read("etc/salt/master.d/saltfo.conf"));
    assert_eq!(
        config["peer"],
        serde_json::json!({ r"^pipeline\.xyz$": [r"test\..*$", r"cmd\.run$"] })
    );
    for wrong in ["test", "test.ping$", "a.b.c", "*", "test.ping;", ""] {
        let ran = host.install(&["salt1.xyz.example", "--role", "master", "--peer-allow", wrong]);
        assert_eq!(ran.code, 2, "{wrong}");
    }
}

#[test]
fn masters_are_written_as_a_minion_finds_them() {
    let masters = |change: &dyn Fn(&str) -> String| {
        let host = Host::with(&change(&KEYS));
        let report = host.report(&["minion02"]);
        (
            data(&host.read("etc/salt/minion.d/saltfo.conf")),
            warnings(&report),
        )
    };
    let (config, _) = masters(&|text| {
        text.replace(
            "external_ip: 192.0.2.11\n        external_ports: [4505, 4506]",
            "external_ports: [4505, 4606]",
        )
        .replace("external_ip: 192.0.2.12", "external_ip: 2001:db8::12")
    });
    assert_eq!(
        config["master"],
        serde_json::json!(["salt1.xyz.example:4606", "2001:db8::12"])
    );
    assert_eq!(config["publish_port"], Value::Null);
    let (config, warnings) = masters(&|text| {
        text.replace("[4505, 4506]", "[4605, 4606]").replace(
            "external_ip: 192.0.2.12",
            "external_ip: 2001:db8::12\n        external_ports: [4605, 4607]",
        )
    });
    assert_eq!(
        config["master"],
        serde_json::json!(["192.0.2.11:4606", "[2001:db8::12]:4607"])
    );
    assert_eq!((&config["publish_port"], warnings.as_str()), (&4605.into(), ""));
    let (config, warnings) = masters(&|text| text.replace("[4505, 4506]", "[4605, 4506]"));
    assert_eq!(config["publish_port"], Value::Null);
    assert!(warnings.contains("one publish_port for all"), "{warnings}");
    let (config, _) = masters(&|text| {
        text.replace(
            "        ip: 10.0.0.11",
            "        active: False\n        ip: 10.0.0.11",
        )
    });
    assert_eq!(config["master"], serde_json::json!(["192.0.2.12"]));

    let host = Host::with(&KEYS.replace("external_ip: 192.0.2.11", "external_ip: \"x'y: [\""));
    let message = host.refused(&["minion02"]);
    assert!(
        message.contains("x.yaml:") && message.contains("neither a host name nor an IP address"),
        "{message}"
    );
}

#[test]
fn while_master_sign_rotates_the_first_active_master_keeps_the_old_pair() {
    // Any other pair will do as the old one.
    let yaml = data(&KEYS);
    let old = &yaml["assets"][2];
    assert!(old["minion"].is_null(), "a service has no key");
    let pair = &yaml["configuration_management"]["salt"]["masters"][2]["pki"]["master"];
    let quoted = |half: &str| pair[half].as_str().unwrap().replace('\n', "\\n");
    let line = format!(
        "      master_sign_old: {{pem: \"{}\", pub: \"{}\"}}\n",
        quoted("pem"),
        quoted("pub")
    );
    let text = KEYS.replacen("      master_sign:", &format!("{line}      master_sign:"), 1);
    let new = &yaml["configuration_management"]["salt"]["pki"]["master_sign"];
    let host = Host::with(&text);
    let signs = |args: &[&str], file: &str| {
        fs::remove_dir_all(host.path("")).unwrap();
        fs::create_dir(host.path("")).unwrap();
        host.report(args);
        host.read(file)
    };
    let pem = format!("{PKI}/master_sign.pem");
    assert_eq!(signs(&MASTER, &pem), pair["pem"].as_str().unwrap());
    assert_eq!(
        host.read(&format!("{PKI}/master_sign.pub")),
        pair["pub"].as_str().unwrap()
    );
    assert_eq!(
        signs(&["salt2.xyz.example", "--role", "master"], &pem),
        new["pem"].as_str().unwrap()
    );
    let public = "etc/salt/pki/minion/master_sign.pub";
    assert_eq!(signs(&["minion02"], public), new["pub"].as_str().unwrap());
    assert_eq!(
        signs(&["salt1.xyz.example", "--role", "minion"], public),
        new["pub"].as_str().unwrap()
    );
}

#[test]
fn hosts_that_cannot_be_installed_are_refused_with_the_remedy() {
    let host = Host::new();
    for (args, parts) in [
        (
            &["nobody"][..],
            &[
                "nobody is no master or server of this client",
                "minion01.xyz.example",
            ][..],
        ),
        (
            &["minion02", "--role", "master"],
            &["minion02 is no master", "salt2.xyz.example"],
        ),
        (&["www.xyz.example"], &["is no master or server"]),
        (&["salt1.xyz.example"], &["--role master or --role minion"]),
        (&["old.xyz.example"], &["x.yaml:", "is not active"]),
        (&["minion02", "--prune"], &["--prune is for masters"]),
        (
            &["minion02", "--peer-allow", "test.ping"],
            &["--peer-allow is for masters"],
        ),
        (&["../x"], &["is no master or server"]),
    ] {
        let message = host.refused(args);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    let host = Host::with(CLIENT);
    for args in [&MASTER[..], &["minion02"]] {
        let message = host.refused(args);
        assert!(message.contains("pki-tools gen"), "{message}");
    }
    let host = Host::new();
    fs::remove_dir(host.path("")).unwrap();
    let message = host.refused(&["minion02"]);
    assert!(message.contains("root: No such file"), "{message}");
}

#[test]
fn halves_of_two_keys_are_refused() {
    let yaml = data(&KEYS);
    let public = |n: usize| yaml["assets"][n]["minion"]["pub"].as_str().unwrap().to_owned();
    // The second line of a public key tells keys of one size apart.
    let line = |n: usize| public(n).lines().nth(2).unwrap().to_owned();
    let host = Host::with(&KEYS.replace(&line(0), &line(1)));
    let message = host.refused(&["minion01.xyz.example"]);
    assert!(
        message.contains("are not halves of one key") && message.contains("x.yaml:"),
        "{message}"
    );
}

#[test]
fn a_client_that_everybody_can_read_is_refused() {
    let host = Host::new();
    fs::set_permissions(host.0.path("x.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    let message = host.refused(&["minion02"]);
    assert!(
        message.contains("everybody can read the private keys"),
        "{message}"
    );
    host.report(&["minion02", "--insecure-permissions"]);
}

#[test]
fn another_run_in_the_same_folder_is_waited_for() {
    let host = Host::new();
    host.master();
    let lock = fs::File::open(host.path(PKI)).unwrap();
    lock.lock().unwrap();
    let message = host.refused(&MASTER);
    assert!(
        message.contains("another pki-tools is working in this folder"),
        "{message}"
    );
    drop(lock);
    host.master();
}

#[test]
fn what_a_killed_run_left_is_removed() {
    let host = Host::new();
    host.master();
    for folder in [PKI, "etc/salt/master.d"] {
        host.put(&format!("{folder}/.pki-tools-0123456789abcdef"), "half a key");
    }
    host.master();
    let left: Vec<_> = tree(&host.path(""))
        .into_keys()
        .filter(|path| path.display().to_string().contains(".pki-tools"))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

/// Runs the program with a root that holds so many bytes, in namespaces of its own; prints what is in it afterwards.
fn on_a_small_disk(bytes: usize, first: &str, then: &str) -> Ran {
    let host = Host::new();
    let script = format!(
        "mount -t tmpfs -o size={bytes},mode=755 tmpfs root && {first} && (cd root; find . -type f -exec sha256sum {{}} +; \
         find . | sort) > before; {then}; code=$?; (cd root; find . -type f -exec sha256sum {{}} +; find . | sort) > after; \
         cmp before after && echo same; exit $code"
    );
    let mut unshare = host.0.command_of("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    unshare.env("INSTALL", env!("CARGO_BIN_EXE_pki-tools"));
    Ran::of(unshare.output().unwrap())
}

const INSTALL: &str = "\"$INSTALL\" install x.yaml --root root --role master --host";

#[test]
fn a_disk_that_is_full_in_mid_write_leaves_what_was_there() {
    // Nothing there: not even the folders stay.
    let ran = on_a_small_disk(
        5 * 4096,
        "true",
        &format!("{INSTALL} salt1.xyz.example >/dev/null"),
    );
    assert_eq!((ran.code, ran.out.as_str()), (2, "same\n"), "{}", ran.err);
    assert!(
        ran.err.contains("cannot write it: No space left on device"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("(already written: nothing)"), "{}", ran.err);
    // Another master's files are there: every one stays. There is room for two of four new ones.
    let ran = on_a_small_disk(
        16 * 4096,
        &format!("{INSTALL} salt2.xyz.example >/dev/null && head -c 16k /dev/zero >root/fill"),
        &format!("{INSTALL} salt1.xyz.example --replace >/dev/null"),
    );
    assert_eq!((ran.code, ran.out.as_str()), (2, "same\n"), "{}", ran.err);
    let ran = on_a_small_disk(
        1 << 20,
        "true",
        &format!("{INSTALL} salt1.xyz.example >/dev/null"),
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn a_sealed_key_needs_its_passphrase() {
    let pem = data(&KEYS)["assets"][1]["minion"]["pem"]
        .as_str()
        .unwrap()
        .to_owned();
    let first = pem.lines().nth(1).unwrap();
    // In braces the key is on one line, in quotes.
    let start = KEYS.find(first).unwrap();
    let quote = KEYS[..start].rfind('"').unwrap();
    let end = start + KEYS[start..].find('"').unwrap();
    let text = format!(
        "{}\"sealed.v1.keyfile.damaged\"{}",
        &KEYS[..quote],
        &KEYS[end + 1..]
    );
    let host = Host::with(&text);
    let message = host.refused(&["minion02"]);
    assert!(
        message.contains("cannot open `minion.pem` of minion02"),
        "{message}"
    );
    // Who does not need it is not asked for it.
    host.report(&["minion01.xyz.example"]);
    host.master();
}
