//! What should not be, and what a relay makes of it: a second one, junk, a minion that does not read, its own death.

use std::process::Child;
use std::time::Instant;

use integration::until;

use crate::agent::{LONG, MINION, Relay};
use crate::faults::fresh;
use crate::network;

/// What a minion that does not read may cost, in KiB: 64 MiB of publications, and a quarter of that for all else.
const UNREAD: u64 = 80 * 1024;
/// Publications while the minion stands still, and the bytes of each: more than what is kept for it.
const PUBLICATIONS: u32 = 800;
const LENGTH: u32 = 128 * 1024;
/// Who publishes them: one process, as starting `salt` takes longer than the rest.
const FLOOD: &str = r#"
import sys, salt.client
config, minion, count, length = sys.argv[1:]
client = salt.client.LocalClient(c_path=config)
for _ in range(int(count)):
    client.pub([minion], "test.arg", ["x" * int(length)], tgt_type="list", timeout=5)
"#;

/// Nobody, a browser, a peer of another kind, half a greeting, and more connections than there are places for.
const JUNK: &str = r#"
import os, socket, time
held = []
for port in (4505, 4506):
    for junk in (b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(65536), b"\xff" + bytes(8) + b"\x7f", b"\xff" + bytes(8) + b"\x7f\x03\x01NULL"):
        peer = socket.create_connection(("127.0.0.1", port))
        try:
            peer.sendall(junk)
        except OSError:
            pass
        held.append(peer)
    for _ in range(300):
        held.append(socket.create_connection(("127.0.0.1", port)))
for peer in held:
    peer.close()
"#;

/// A second relay on the host has no port for itself, says so, and does not disturb the first one.
pub(crate) fn a_second_relay_says_that_its_ports_are_taken(relay: &mut Relay<'_>) {
    let through = relay.settled();
    let lab = relay.lab;
    relay.configure("  listen: 127.0.0.1:9746\n");
    let log = lab.folder().join(MINION).join("log/second");
    let mut command = relay.second();
    let second = command.stderr(std::fs::File::create(&log).unwrap());
    let second = Ended(second.spawn().unwrap());
    let says = |words: &[&str]| {
        until(&format!("it tells {words:?}"), LONG, || {
            let said = std::fs::read_to_string(&log)?;
            let told = said
                .lines()
                .any(|line| words.iter().all(|word| line.contains(word)));
            Ok(told.then_some(()))
        })
        .unwrap();
    };
    says(&["the report is at", "9746"]);
    relay.configure("");
    for port in ["127.0.0.1:4505", "127.0.0.1:4506"] {
        says(&["another process has that port", port]);
    }
    fresh(relay, through, LONG);
    drop(second);
    fresh(relay, through, LONG);
    assert_eq!(relay.settled(), through);
}

/// Whoever connects and is no minion is got rid of, and minions do not notice.
pub(crate) fn junk_on_its_ports_harms_nobody(relay: &mut Relay<'_>) {
    let through = relay.settled();
    let (lab, process) = (relay.lab, relay.pid());
    let output = lab
        .command(MINION, lab.salt(MINION).python())
        .args(["-c", JUNK])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    fresh(relay, through, LONG);
    assert_eq!(relay.pid(), process);
    assert_eq!(relay.settled(), through);
    relay.minion_was_not_restarted();
}

/// A minion that stands still costs bounded memory, and hears on when it goes on. The publications are another minion's: it reads
/// them, and drops them.
pub(crate) fn a_minion_that_stands_still_costs_little(relay: &mut Relay<'_>) {
    let through = relay.settled();
    let lab = relay.lab;
    let other_key = lab.pki_dir(through).unwrap().join("minions/elsewhere");
    std::fs::copy(lab.pki_dir(MINION).unwrap().join("minion.pub"), &other_key).unwrap();
    let before = relay.resident();
    let minion = lab.minion(MINION).unwrap();
    minion.hang().unwrap();
    let output = lab
        .command(through, lab.salt(through).python())
        .args(["-c", FLOOD])
        .arg(lab.config_dir(through).join("master"))
        .args(["elsewhere", &PUBLICATIONS.to_string(), &LENGTH.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let after = relay.resident();
    let dropped = relay.status()["relay"]["traffic"]["dropped"]["unread"].clone();
    minion.resume().unwrap();
    let start = Instant::now();
    fresh(relay, through, LONG);
    eprintln!(
        "a minion stood still for {PUBLICATIONS} publications of {} KiB: {before} → {after} KiB resident, {dropped} dropped; a job came back \
         {:.1} s after it went on",
        LENGTH / 1024,
        start.elapsed().as_secs_f64()
    );
    assert!(after < before + UNREAD, "{before} → {after} KiB");
    assert!(dropped.as_u64().unwrap() > 0, "{dropped}");
    std::fs::remove_file(other_key).unwrap();
    relay.settled();
    relay.minion_was_not_restarted();
}

/// Its process dies and a new one starts: the minion is there again, and has not been restarted.
pub(crate) fn a_relay_that_dies_and_comes_back_finds_its_minion(relay: &mut Relay<'_>) {
    let through = relay.settled();
    relay.kill();
    let start = Instant::now();
    relay.start();
    let elected = relay.wait("jobs get through", |status| {
        (status["ready"] == true)
            .then(|| crate::agent::elected(status))
            .flatten()
    });
    fresh(relay, elected, LONG);
    eprintln!(
        "killed and started again: a fresh job was answered {:.1} s later ({through}, then {elected})",
        start.elapsed().as_secs_f64()
    );
    relay.settled();
    relay.minion_was_not_restarted();
}

/// In mode observe nobody carries what the minion sends, and the report says why it is not ready.
pub(crate) fn a_minion_without_its_relay_is_found_out(relay: &mut Relay<'_>) {
    relay.settled();
    assert!(relay.stop().success());
    let config = relay.lab.relay_config(MINION, "").unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("mode: relay", "mode: observe")).unwrap();
    relay.start();
    let why = relay.wait("it says what is wrong", |status| {
        let why = status["why"].as_str()?;
        let unready = status["ready"] == false && crate::agent::state(status, "salt1") == "up";
        (unready && why.contains("saltfo setup direct")).then(|| why.to_owned())
    });
    eprintln!("mode observe beside a minion that is made for a relay: {why}");
    assert!(relay.stop().success());
    relay.configure("");
    relay.start();
    relay.settled();
}

/// Whether the minion or the relay starts first does not matter.
pub(crate) fn a_minion_that_starts_before_its_relay_waits_for_it(relay: &mut Relay<'_>) {
    // It has been waiting for as long as the lab took to come up.
    let start = Instant::now();
    relay.start();
    let through = relay.settled();
    fresh(relay, through, LONG);
    eprintln!(
        "a minion that waited for its relay: a job came back {:.1} s after the relay was started",
        start.elapsed().as_secs_f64()
    );
    relay.minion_was_not_restarted();
    // And not on the host's own network either: nobody else may use it as a master.
    let listening = "ss -Hltn | grep -E ':450[56] ' | grep -v '127.0.0.1:' && exit 1 || exit 0";
    network::sh(relay.lab, MINION, listening, &[]);
}

/// Dropped, it ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
