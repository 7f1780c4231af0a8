//! What goes through a relay in good times: `salt-call` beside the daemon, large files, keys that rotate.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use integration::{Lab, until};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

use crate::agent::{LONG, MASTERS, MINION, Relay};
use crate::faults::ping;

/// Keys that each master takes.
const ROTATIONS: u32 = 8;
/// Between two jobs beside something else: a minion that is asked all the time is busy with that.
const REST: Duration = Duration::from_millis(300);
/// The longest that a job may take beside a large file.
const BESIDE: Duration = Duration::from_secs(10);

/// `salt-call` uses the relay as the daemon does, at the same time.
pub(crate) fn salt_call_works_beside_the_daemon(relay: &mut Relay<'_>) {
    let through = relay.settled();
    let lab = relay.lab;
    let file = lab.folder().join("called");
    let state = format!("line:\n  cmd.run:\n    - name: echo line >> {}\n", file.display());
    fs::write(lab.file_root().join("called.sls"), state).unwrap();
    let done = AtomicBool::new(false);
    let mut pings = lab.pings(through, MINION).unwrap();
    let (outputs, jobs) = std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let calls = [&["test.ping"][..], &["state.apply", "called"]];
            let outputs = calls.map(|arguments| salt_call(lab, arguments).output());
            done.store(true, Ordering::SeqCst);
            outputs
        });
        let mut jobs = 0;
        while !done.load(Ordering::SeqCst) {
            ping(relay, &mut pings, LONG);
            jobs += 1;
            std::thread::sleep(REST);
        }
        (calls.join().unwrap(), jobs)
    });
    for output in outputs {
        answered_well(&output.unwrap());
    }
    assert!(jobs > 0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "line\n");
}

/// A file of tens of megabytes arrives intact, and jobs get through meanwhile.
pub(crate) fn a_large_file_arrives_and_holds_up_nobody(relay: &mut Relay<'_>) {
    let mebibytes = std::env::var("SALTFO_TEST_FILE_MIB").map_or(40, |text| text.parse().unwrap());
    let through = relay.settled();
    let lab = relay.lab;
    let mut content = vec![0_u8; mebibytes << 20];
    rand::rng().fill(&mut content[..]);
    fs::write(lab.file_root().join("large"), &content).unwrap();
    let there = lab.folder().join("large");
    let memory = relay.resident();
    let arrived = AtomicBool::new(false);
    let mut pings = lab.pings(through, MINION).unwrap();
    let (took, most, longest) = std::thread::scope(|scope| {
        let transfer = scope.spawn(|| {
            let start = Instant::now();
            let output = salt_call(lab, &["cp.get_file", "salt://large", there.to_str().unwrap()]).output();
            arrived.store(true, Ordering::SeqCst);
            answered_well(&output.unwrap());
            start.elapsed()
        });
        let (mut longest, mut most) = (Duration::ZERO, 0);
        while !arrived.load(Ordering::SeqCst) {
            longest = longest.max(ping(relay, &mut pings, LONG));
            most = most.max(relay.resident());
            std::thread::sleep(REST);
        }
        (transfer.join().unwrap(), most, longest)
    });
    let digest = |bytes: &[u8]| Sha256::digest(bytes).to_vec();
    assert_eq!(digest(&fs::read(&there).unwrap()), digest(&content));
    eprintln!(
        "{mebibytes} MiB by cp.get_file in {:.1} s; jobs beside it took {:.2} s at most; {memory} → {most} KiB resident",
        took.as_secs_f64(),
        longest.as_secs_f64()
    );
    assert!(longest < BESIDE, "a job beside a large file took {longest:?}");
    fs::remove_file(there).unwrap();
    fs::remove_file(lab.file_root().join("large")).unwrap();
}

/// Masters that take a new key every few seconds are followed, and nobody moves.
pub(crate) fn keys_that_rotate_move_nobody(relay: &mut Relay<'_>) {
    let through = relay.settled();
    let (switches, log) = (relay.switches(), relay.log());
    let mut pings = relay.lab.pings(through, MINION).unwrap();
    for _ in 0..ROTATIONS {
        for master in MASTERS {
            let told = rotate(relay.lab, master);
            until("the master takes a new key", LONG, || {
                Ok((!told.exists()).then_some(()))
            })
            .unwrap();
        }
        ping(relay, &mut pings, LONG);
    }
    assert_eq!(relay.settled(), through);
    assert_eq!(relay.switches(), switches);
    let news = relay.log().split_off(log.len());
    assert!(!news.contains("changed its state"), "{news}");
    relay.minion_was_not_restarted();
}

/// As `salt-key -d` tells a master that a minion is gone (`salt.crypt.dropfile`): the id of the master in a file that it removes when
/// it acts on it.
fn rotate(lab: &Lab, master: &str) -> PathBuf {
    let file = lab.folder().join(master).join("cache/.dfn");
    let aside = file.with_extension("dfn-next");
    let _ = fs::remove_file(&aside);
    fs::write(&aside, format!("{}_master", lab.host(master).unwrap().fqdn)).unwrap();
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o400)).unwrap();
    fs::rename(aside, &file).unwrap();
    file
}

fn salt_call(lab: &Lab, arguments: &[&str]) -> Command {
    let program = lab.folder().join(MINION).join("bin/salt-call");
    let mut command = lab.command(MINION, program);
    command
        .args(["--out", "json", "--retcode-passthrough"])
        .args(arguments);
    command
}

fn answered_well(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        document["local"] != false && document["local"] != "",
        "{output:?}"
    );
}
