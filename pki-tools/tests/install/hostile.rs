//! Folders that belong to somebody whom root should not trust, runs at the same time, full disks.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::Ran;
use crate::host::{Host, MASTER, PKI, tree};

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
