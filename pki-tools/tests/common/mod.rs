//! A folder with client files, the real program, and what it must leave true.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// A folder of its own for a test.
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    /// With these files, each a name and a text.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let sandbox = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for (name, text) in files {
            sandbox.write(name, text);
        }
        sandbox
    }

    /// Writes a file that its owner alone can read.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The program in that folder, not yet started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.command_of(env!("CARGO_BIN_EXE_pki-tools"));
        command.args(args);
        command
    }

    /// Any program in that folder, not yet started.
    pub(crate) fn command_of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program in that folder.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// `gen --out json` with these further arguments, which must succeed.
    pub(crate) fn report(&self, args: &[&str]) -> Value {
        let mut all = vec!["gen", "--out", "json"];
        all.extend(args);
        let ran = self.run(&all);
        assert_eq!(ran.code, 0, "{}", ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }
}

/// The made-up client of the tests with all its keys, which are made once.
pub(crate) fn xyz() -> Sandbox {
    static TEXTS: OnceLock<[String; 2]> = OnceLock::new();
    let [top, more] = TEXTS.get_or_init(|| {
        let sandbox = Sandbox::with(&[
            ("xyz.yaml", include_str!("../data/xyz.yaml")),
            ("xyz/more.yaml", include_str!("../data/xyz/more.yaml")),
        ]);
        sandbox.report(&["xyz.yaml"]);
        ["xyz.yaml", "xyz/more.yaml"].map(|name| sandbox.read(name))
    });
    Sandbox::with(&[("xyz.yaml", top), ("xyz/more.yaml", more)])
}

/// What a run of the program gave.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A YAML text as data, read by another library than the program's tree.
pub(crate) fn data(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap()
}

/// The owner and path of every key in a report, as `owner path`.
pub(crate) fn made(report: &Value) -> Vec<String> {
    let made = report["made"].as_array().unwrap();
    made.iter()
        .map(|m| format!("{} {}", m["owner"].as_str().unwrap(), m["key"].as_str().unwrap()))
        .collect()
}

/// A file's text without the edits that the report names: what it must have been before.
pub(crate) fn undo(report: &Value, name: &str, text: &str) -> String {
    let files = report["edited"].as_array().unwrap();
    let Some(file) = files.iter().find(|file| file["file"] == name) else {
        return text.to_owned();
    };
    let number = |edit: &Value, key: &str| usize::try_from(edit[key].as_u64().unwrap()).unwrap();
    let mut old = String::new();
    let mut from = 0;
    for edit in file["edits"].as_array().unwrap() {
        let offset = number(edit, "offset");
        old.push_str(text.get(from..offset).unwrap());
        old.push_str(edit["replaced"].as_str().unwrap());
        from = offset + number(edit, "length");
    }
    old.push_str(text.get(from..).unwrap());
    old
}

/// Everything that was in the old data is in the new, unchanged; only nothing may have become something.
pub(crate) fn assert_kept(old: &Value, new: &Value, path: &str) {
    match (old, new) {
        (Value::Null, _) => {}
        (Value::Object(old), _) if old.is_empty() => {}
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                assert_kept(
                    value,
                    new.get(key).unwrap_or(&Value::Bool(false)),
                    &format!("{path}.{key}"),
                );
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            assert_eq!(old.len(), new.len(), "{path}");
            for (number, (old, new)) in old.iter().zip(new).enumerate() {
                assert_kept(old, new, &format!("{path}[{number}]"));
            }
        }
        _ => assert_eq!(old, new, "{path} has changed"),
    }
}

/// Every pair in the data fits, as openssl and ssh-keygen see it; their number.
pub(crate) fn assert_pairs_fit(value: &Value) -> usize {
    match value {
        Value::Object(map) => {
            let text = |key: &str| map.get(key).and_then(Value::as_str);
            let mut count = 0;
            if let (Some(private), Some(public)) = (text("pem"), text("pub")) {
                assert_eq!(
                    openssl_public(private),
                    public.trim_end(),
                    "the halves are of different keys"
                );
                count += 1;
            }
            if let (Some(private), Some(public)) = (text("priv"), text("pub")) {
                assert_eq!(
                    ssh_public(private),
                    public.trim_end(),
                    "the halves are of different keys"
                );
                count += 1;
            }
            count + map.values().map(assert_pairs_fit).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(assert_pairs_fit).sum(),
        _ => 0,
    }
}

/// The public half, as openssl makes it.
pub(crate) fn openssl_public(private: &str) -> String {
    let mut openssl = Command::new("openssl")
        .args(["pkey", "-pubout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl
        .stdin
        .take()
        .unwrap()
        .write_all(private.as_bytes())
        .unwrap();
    let output = openssl.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl does not take the key");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The public half, as ssh-keygen makes it.
fn ssh_public(private: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    write_private(&path, private);
    let output = Command::new("ssh-keygen")
        .args(["-y", "-f"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success(), "ssh-keygen does not take the key");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
