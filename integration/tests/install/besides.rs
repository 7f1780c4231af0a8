//! Daemons that a lab does not run by itself: the minion of a master's host, a master that is not root.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Stdio};

use integration::{Lab, until};
use serde_json::Value as Json;

use crate::common::saltfo;
use crate::{UP, install, remove};

/// A daemon beside those that the lab runs. Dropped, it is gone.
struct Killed(Child);

impl Killed {
    /// Asks it to end, with all the processes that it has made, and waits for that.
    fn stop(mut self, lab: &Lab) {
        lab.signal(&self.0, rustix::process::Signal::TERM).unwrap();
        until("the daemon ends", UP, || Ok(self.0.try_wait()?)).unwrap();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn the_minion_of_a_masters_host_is_accepted_by_both(lab: &Lab) {
    let etc = lab.config_dir("salt1");
    let root = lab.folder().join("salt1");
    let config = format!(
        "user: root\nroot_dir: {root}\ncachedir: {root}/mcache\nsock_dir: {root}/mrun\npidfile: {root}/mrun/pid\n\
         pki_dir: {root}/etc/salt/pki/minion\nlog_file: {root}/log/minion\nlog_level_logfile: info\n\
         enable_gpu_grains: False\nenable_fqdns_grains: False\n",
        root = root.display()
    );
    fs::write(etc.join("minion"), config).unwrap();
    install(lab, "salt1", &["--role", "minion"]);
    let stored = || fs::read_to_string(etc.join("pki/minion/minion_master.pub")).unwrap();
    let public = |master: &str| {
        let fqdn = format!("{master}.xyz.example");
        let master = lab
            .pki()
            .masters
            .iter()
            .find(|master| master.fqdn == fqdn)
            .unwrap();
        master.master.as_ref().unwrap().pub_.clone()
    };
    assert_eq!(stored(), public("salt1"));
    let answers = |master: &str| {
        let args = ["salt1.xyz.example", "test.ping", "--out", "json", "--static"];
        let output = lab.salt_cli(master, &args).output()?;
        let answer: Json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        anyhow::Ok((answer["salt1.xyz.example"] == true).then_some(()))
    };
    // One after the other, in the order that is not left to chance.
    for (first, second) in [("salt1", "salt2"), ("salt2", "salt1")] {
        let address = |name: &str| lab.host(name).unwrap().address;
        fs::write(etc.join("minion.d/z0.conf"), "master: ''\nrandom_master: False\n").unwrap();
        let order = format!("master: [{}, {}]\n", address(first), address(second));
        fs::write(etc.join("minion.d/z1.conf"), order).unwrap();
        let mut command = lab.command("salt1", lab.salt("salt1").python());
        command
            .arg(lab.salt("salt1").program("salt-minion"))
            .arg("-c")
            .arg(&etc);
        let minion = Killed(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        until(&format!("salt1's minion answers on {first}"), UP, || {
            answers(first)
        })
        .unwrap();
        assert_eq!(stored().trim_end(), public(first).trim_end());
        // Which of the two it follows is its own affair.
        let report = install(lab, "salt1", &["--role", "minion"]);
        let files = report["files"].as_array().unwrap();
        assert!(files.iter().all(|file| file["action"] == "unchanged"), "{report}");
        minion.stop(lab);
    }
    let log = fs::read_to_string(root.join("log/minion")).unwrap();
    assert!(
        log.contains("Received signed and verified master pubkey"),
        "{log}"
    );
}

/// Sets mode or owner of something and all below it.
fn each_below(path: &Path, act: &dyn Fn(&Path)) {
    act(path);
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            each_below(&entry.unwrap().path(), act);
        }
    }
}

pub(crate) fn a_master_runs_as_a_user_who_owns_nothing_else(lab: &Lab) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tried: --user, which needs root");
        return;
    }
    const NOBODY: u32 = 65_534;
    let (root, etc) = (lab.folder().join("salt1"), lab.config_dir("salt1"));
    lab.master("salt1").unwrap().kill().unwrap();
    remove(&etc.join("pki/master"));
    fs::write(
        root.join("etc/passwd"),
        format!("salt:x:{NOBODY}:{NOBODY}::/:/bin/false\n"),
    )
    .unwrap();
    // The lab lets nobody look into its folders.
    for path in [lab.folder(), &root, &root.join("etc"), &etc] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let report = install(lab, "salt1", &["--role", "master", "--user", "salt"]);
    assert_eq!(report["warnings"], serde_json::json!([]), "{report}");
    each_below(&etc.join("pki/master"), &|path| {
        let data = path.symlink_metadata().unwrap();
        assert_eq!((data.uid(), data.gid()), (NOBODY, NOBODY), "{}", path.display());
    });

    // Salt's own folders are the lab's, too.
    fs::write(etc.join("master.d/zz-user.conf"), "user: nobody\n").unwrap();
    for name in ["cache", "run", "log", "tmp"] {
        each_below(&root.join(name), &|path| {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        });
    }
    // So is Salt itself, if it is installed where only root can read.
    let program = lab.salt("salt1").program("salt-master");
    let venv = program.parent().unwrap().parent().unwrap();
    let script = format!("mkdir /run/venv && mount --bind '{}' /run/venv", venv.display());
    assert!(
        lab.command("salt1", "sh")
            .args(["-c", &script])
            .status()
            .unwrap()
            .success()
    );
    // Not started as root, Salt cannot give itself any file.
    let mut command = lab.command("salt1", "setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"])
        .args(["/run/venv/bin/python", "/run/venv/bin/salt-master", "-c"])
        .arg(&etc)
        .env("HOME", "/")
        .current_dir("/");
    let _master = Killed(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    lab.master("salt1").unwrap().wait_ready(UP).unwrap();
    let run = saltfo(lab, &["probe", "--out", "json"]);
    assert_eq!(
        run.master("salt1"),
        ("reachable".to_owned(), true, String::new()),
        "{run:?}"
    );
    lab.minion("minion01").unwrap().restart().unwrap();
    lab.wait_for("minion01 is on salt1", UP, || {
        let run = saltfo(lab, &["active-master", "minion01"]);
        Ok((run.stdout == "salt1.xyz.example\n").then_some(()))
    })
    .unwrap();
}
