//! Masters of two releases of Salt, as they are while an operator upgrades one after the other, and minions of both behind relays.

use std::fs;
use std::time::Instant;

use integration::{Lab, SaltVersion};

use crate::agent::{LONG, MASTERS, Relay, elected, other, state};
use crate::faults::{SOON, fresh, switch};
use crate::once::{self, Once};
use crate::turn;

/// The first has the old release, the second the new one.
const MINIONS: [&str; 2] = ["minion01", "minion02"];

/// Jobs reach minions of either release through masters of either, moved as planned and after a fault.
#[test]
fn masters_of_two_releases_take_minions_from_each_other() {
    let _turn = turn();
    let versions = SaltVersion::tested().unwrap();
    let (Some(old), Some(new)) = (versions.first(), versions.last()) else {
        panic!("no release to test");
    };
    if old == new {
        eprintln!("SALTFO_TEST_SALT names one release, {old}: there is nothing to mix");
        return;
    }
    eprintln!("== salt1 and minion01 with {old}, salt2 and minion02 with {new}");
    let start = Instant::now();
    let lab = Lab::builder()
        .version(*old)
        .release_of("salt2", *new)
        .release_of("minion02", *new)
        .worker_threads(3)
        .minions(MINIONS)
        .relay()
        .build()
        .unwrap();
    once::write_state(&lab);
    let mut relays = MINIONS.map(|minion| Relay::beside(&lab, minion));
    relays.iter_mut().for_each(Relay::start);
    for relay in &mut relays {
        relay.settled();
        is_clear(relay);
    }
    for master in MASTERS {
        for relay in &mut relays {
            moves(relay, master);
        }
        works_through(&lab, master);
    }
    // Both minions are with the second by now, and then with the first.
    for master in ["salt2", "salt1"] {
        dies_with_all_minions_there(&mut relays, master);
    }
    for relay in &mut relays {
        is_clear(relay);
        relay.minion_was_not_restarted();
        complains_of_nothing(relay);
    }
    eprintln!("two releases: {:.0} s in all", start.elapsed().as_secs_f64());
}

/// `saltfo status` and the report show two masters that are up, and a minion that jobs reach.
fn is_clear(relay: &Relay<'_>) {
    let status = relay.status();
    for master in MASTERS {
        assert_eq!(state(&status, master), "up", "{status:#}");
    }
    assert_eq!(status["ready"], true, "{status:#}");
    assert_eq!(status["active"]["proof"], "round_trip", "{status:#}");
    let (code, printed) = relay.saltfo(&["status"]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("minion: jobs reach it"), "{printed}");
}

/// The operator moves the minion to this master.
fn moves(relay: &mut Relay<'_>, to: &'static str) {
    if relay.settled() != to {
        let start = Instant::now();
        let (code, printed) = relay.saltfo(&["move", &format!("{to}.xyz.example")]);
        assert_eq!(code, Some(0), "{printed}\n{}", relay.evidence());
        eprintln!(
            "saltfo move of {} to {to}: {:.2} s",
            relay.minion,
            start.elapsed().as_secs_f64()
        );
    }
    assert_eq!(elected(&relay.status()), Some(to));
}

/// A state of this master, and what `salt` on it says.
fn works_through(lab: &Lab, master: &str) {
    for minion in MINIONS {
        Once::start(lab, minion, 0, &[]).end().has_returned(minion);
    }
    let output = lab
        .salt_cli(master, &["minion0*", "test.ping", "--out", "json", "--static"])
        .output()
        .unwrap();
    let answers: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    for minion in MINIONS {
        assert_eq!(answers[minion], true, "{output:?}");
    }
}

/// The master is killed with both minions there, and comes back.
fn dies_with_all_minions_there(relays: &mut [Relay<'_>; 2], from: &str) {
    let to = other(from);
    let lab = relays[0].lab;
    for relay in relays.iter_mut() {
        assert_eq!(relay.settled(), from);
    }
    let master = lab.master(from).unwrap();
    let [first, second] = relays;
    let row = switch(first, "killed", from, SOON, || master.kill().unwrap());
    fresh(second, to, LONG);
    eprintln!(
        "{from} killed: {} answered through {to} after {:.2} s",
        first.minion,
        row.answered.as_secs_f64()
    );
    master.start().unwrap();
    for relay in relays.iter_mut() {
        assert_eq!(relay.settled(), to);
    }
}

/// Neither saltfo nor the minion has met anything that it did not expect.
fn complains_of_nothing(relay: &Relay<'_>) {
    let log = relay.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    let minion = relay.lab.minion(relay.minion).unwrap();
    let log = fs::read_to_string(minion.log_path()).unwrap();
    assert!(!log.contains("Traceback"), "{log}");
}
