//! A folder with a client's file and a host's root, and the real program on them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;

use crate::common::{Ran, Sandbox};

pub(crate) const CLIENT: &str = "name: Xyz
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
pub(crate) static KEYS: LazyLock<String> = LazyLock::new(|| {
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
pub(crate) struct Host(pub(crate) Sandbox);

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(&KEYS)
    }

    pub(crate) fn with(client: &str) -> Self {
        let sandbox = Sandbox::with(&[("x.yaml", client)]);
        fs::create_dir(sandbox.path("root")).unwrap();
        Self(sandbox)
    }

    pub(crate) fn install(&self, args: &[&str]) -> Ran {
        let mut all = vec!["install", "x.yaml", "--root", "root", "--host"];
        all.extend(args);
        self.0.run(&all)
    }

    /// The report of a run that must succeed.
    pub(crate) fn report(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.extend(["--out", "json"]);
        let ran = self.install(&all);
        assert_eq!(ran.code, 0, "{}", ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }

    pub(crate) fn master(&self) -> Value {
        self.report(&MASTER)
    }

    /// The message of a run that must be refused and must leave everything as it was.
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        let before = tree(&self.0.path("."));
        let ran = self.install(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert_eq!(tree(&self.0.path(".")), before, "{}", ran.err);
        ran.err
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path("root").join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        fs::write(path, text).unwrap();
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        fs::symlink_metadata(self.path(name)).unwrap().mode() & 0o7777
    }
}

pub(crate) const MASTER: [&str; 3] = ["salt1.xyz.example", "--role", "master"];

pub(crate) const PKI: &str = "etc/salt/pki/master";

/// Everything below a folder: what it is, whose, and what is in it.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, u32, u64, String)> {
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
pub(crate) fn with_action(report: &Value, action: &str) -> Vec<String> {
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

pub(crate) fn warnings(report: &Value) -> String {
    let warnings = report["warnings"].as_array().unwrap();
    warnings
        .iter()
        .map(|line| line.as_str().unwrap().to_owned() + "\n")
        .collect()
}

/// Root, for whom owners can be tried out.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}
