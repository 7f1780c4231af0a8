//! Faults of the elected master and of the way to it: how soon a fresh job comes back through the other one.

use std::time::{Duration, Instant};

use integration::{Daemon, Lab, Pings};
use serde_json::Value as Json;

use crate::agent::{LONG, MASTERS, Relay, elected, other, state};
use crate::impostor::Impostor;
use crate::network;
use crate::table::{Row, Table};

type Deed = fn(&Daemon<'_>, &Lab);

/// Something that is done to the elected master, and what undoes it.
struct Fault {
    name: &'static str,
    breaks: Deed,
    mends: Deed,
    /// Far more than it takes on a quiet machine.
    at_most: Duration,
}

/// A minion behind a relay has no other way to the other master: it would never be there.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// A verification comes every 5 s and may take 3, and one alone proves nothing.
const VERIFIED: Duration = Duration::from_secs(45);
/// How often the minion goes from one master to the other and back.
const SWITCHES: u32 = 10;

const FAULTS: [Fault; 6] = [
    Fault {
        name: "killed",
        breaks: |master, _| master.kill().unwrap(),
        mends: |master, _| master.start().unwrap(),
        at_most: SOON,
    },
    Fault {
        name: "hangs as a whole",
        breaks: |master, _| master.hang().unwrap(),
        mends: |master, _| master.resume().unwrap(),
        at_most: SOON,
    },
    Fault {
        name: "cable cut",
        breaks: |master, _| master.cut().unwrap(),
        mends: |master, _| master.mend().unwrap(),
        at_most: SOON,
    },
    Fault {
        name: "one way lost: to the master",
        breaks: network::lose_requests,
        mends: network::lose_no_requests,
        at_most: SOON,
    },
    Fault {
        name: "one way lost: from the master",
        breaks: network::lose_replies,
        mends: network::lose_no_replies,
        at_most: SOON,
    },
    Fault {
        name: "only its workers hang",
        breaks: |master, _| master.hang_workers().unwrap(),
        mends: |master, _| master.resume().unwrap(),
        at_most: VERIFIED,
    },
];

/// Whatever happens to the elected master, jobs get through the other one, and the minion has not noticed more than a new sign-in.
pub(crate) fn jobs_get_through_the_other_master_after_every_fault(relay: &mut Relay<'_>, table: &mut Table) {
    for fault in &FAULTS {
        let from = relay.settled();
        let master = relay.lab.master(from).unwrap();
        let row = switch(relay, fault.name, from, fault.at_most, || {
            (fault.breaks)(&master, relay.lab);
        });
        (fault.mends)(&master, relay.lab);
        table.add(row);
        relay.minion_was_not_restarted();
    }
}

/// A master that restarts has lost the minion to the other one, and does not get it back by itself (`policy: sticky`).
pub(crate) fn a_master_that_restarts_is_left_and_stays_left(relay: &mut Relay<'_>, table: &mut Table) {
    let from = relay.settled();
    let master = relay.lab.master(from).unwrap();
    let row = std::thread::scope(|scope| {
        let restart = scope.spawn(|| master.restart().unwrap());
        let row = switch(relay, "restarted", from, SOON, || {});
        restart.join().unwrap();
        row
    });
    table.add(row);
    assert_eq!(relay.settled(), other(from));
    relay.minion_was_not_restarted();
}

/// Somebody else's master at the address of a dead one is nobody's master, not even when there is no other any more.
pub(crate) fn an_impostor_is_not_elected_even_when_there_is_nobody_else(
    relay: &mut Relay<'_>,
    table: &mut Table,
) {
    let from = relay.settled();
    let mut impostor = None;
    let row = switch(relay, "another master at its address", from, SOON, || {
        let impostor = impostor.insert(Impostor::instead_of(relay.lab, from));
        impostor.start();
    });
    table.add(row);
    let last = other(from);
    relay.wait("the impostor is known", |status| {
        (state(status, from) == "impostor").then_some(())
    });
    let master = relay.lab.master(last).unwrap();
    master.kill().unwrap();
    let status = relay.wait("no master is up", |status| {
        (state(status, last) == "unreachable" && status["ready"] == false).then(|| status.clone())
    });
    assert_ne!(elected(&status), Some(from), "{status:#}");
    // It was up all the while, and would have taken the minion.
    assert_eq!(state(&status, from), "impostor", "{status:#}");
    master.start().unwrap();
    relay.wait("jobs get through the genuine one", |status| {
        (elected(status) == Some(last) && status["ready"] == true).then_some(())
    });
    fresh(relay, last, LONG);
    impostor.unwrap().give_way();
    relay.settled();
    relay.minion_was_not_restarted();
}

/// Does something to the elected master, and waits until a job that was published through the other one afterwards is answered.
pub(crate) fn switch(
    relay: &mut Relay<'_>,
    fault: &str,
    from: &str,
    at_most: Duration,
    breaks: impl FnOnce(),
) -> Row {
    let (to, before) = (other(from), relay.switches());
    let mut pings = relay.lab.pings(to, relay.minion).unwrap();
    let start = Instant::now();
    pings.begin().unwrap();
    breaks();
    let answer = pings
        .answer(LONG)
        .unwrap_or_else(|error| panic!("{fault}: {error:#}\n{:#}\n{}", relay.status(), relay.evidence()));
    let answered = answer.at - start;
    assert!(answered < at_most, "{fault}: {answered:?}\n{}", relay.evidence());
    let status = relay.status();
    let last = &status["relay"]["last_switch"];
    assert_eq!(relay.switches(), before + 1, "{fault}: {last:#}");
    let name = |short: &str| Json::from(format!("{short}.xyz.example"));
    assert_eq!(
        (&last["from"], &last["to"]),
        (&name(from), &name(to)),
        "{fault}: {last:#}"
    );
    Row {
        fault: fault.to_owned(),
        answered,
        published: answer.published,
        why: last["why"].as_str().unwrap_or_default().to_owned(),
    }
}

/// Waits until a fresh job is answered through this master; how long that took.
pub(crate) fn fresh(relay: &Relay<'_>, master: &str, at_most: Duration) -> Duration {
    let mut pings = relay.lab.pings(master, relay.minion).unwrap();
    ping(relay, &mut pings, at_most)
}

/// The same with a process that is there already.
pub(crate) fn ping(relay: &Relay<'_>, pings: &mut Pings, at_most: Duration) -> Duration {
    let start = Instant::now();
    pings.begin().unwrap();
    let answer = pings.answer(at_most);
    answer
        .unwrap_or_else(|error| panic!("{error:#}\n{}", relay.evidence()))
        .at
        - start
}

/// The masters die together, stay away, and come back: the minion was not restarted, and its connections were never broken.
pub(crate) fn both_masters_may_be_gone_for_long(relay: &mut Relay<'_>) {
    let seconds = std::env::var("SALTFO_TEST_DOWN_SECONDS").map_or(30, |text| text.parse().unwrap());
    start_anew(relay);
    let masters = MASTERS.map(|name| relay.lab.master(name).unwrap());
    masters.iter().for_each(|master| master.kill().unwrap());
    relay.wait("no master is up", |status| {
        let gone = MASTERS
            .iter()
            .all(|master| state(status, master) == "unreachable");
        (gone && status["ready"] == false).then_some(())
    });
    std::thread::sleep(Duration::from_secs(seconds));
    std::thread::scope(|scope| {
        for master in &masters {
            scope.spawn(|| master.start().unwrap());
        }
    });
    let start = Instant::now();
    let through = relay.wait("jobs get through one", |status| {
        (status["ready"] == true).then(|| elected(status)).flatten()
    });
    fresh(relay, through, LONG);
    eprintln!(
        "both masters gone for {seconds} s: a fresh job was answered {:.1} s after both were back",
        start.elapsed().as_secs_f64()
    );
    relay.settled();
    relay.minion_was_not_restarted();
}

/// To and fro, by all kinds of faults in turn; what a machine forgets after the first time shows after the third.
pub(crate) fn to_and_fro(relay: &mut Relay<'_>, table: &mut Table) {
    start_anew(relay);
    let start = Instant::now();
    for (number, fault) in (1..=SWITCHES).zip(FAULTS.iter().cycle()) {
        let from = relay.settled();
        let master = relay.lab.master(from).unwrap();
        let name = format!("to and fro, {number}: {}", fault.name);
        let row = switch(relay, &name, from, fault.at_most, || {
            (fault.breaks)(&master, relay.lab);
        });
        (fault.mends)(&master, relay.lab);
        table.add(row);
    }
    eprintln!(
        "to and fro, {SWITCHES} times: {:.0} s",
        start.elapsed().as_secs_f64()
    );
    relay.minion_was_not_restarted();
}

/// Starts a relay that has not seen its masters fall again and again, which would make it wait before it trusts them.
fn start_anew(relay: &mut Relay<'_>) {
    assert!(relay.stop().success());
    relay.start();
    relay.settled();
}
