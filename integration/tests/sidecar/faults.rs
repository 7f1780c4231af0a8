//! Faults of masters and of the way to them: what the sidecar says of each, and how soon.

use std::cell::{Cell, RefCell};
use std::fs;
use std::time::{Duration, Instant};

use integration::{Daemon, Lab};
use proto::crypto::PrivateKey;

use crate::impostor::Impostor;
use crate::network;
use crate::sidecar::{LONG, MASTERS, Sample, Sidecar};
use crate::table::{Row, Table};

type Deed = fn(&Daemon<'_>, &Lab);

/// Something that is done to the active master, what it is called then, and what undoes it.
struct Fault {
    name: &'static str,
    breaks: Deed,
    verdicts: &'static [&'static str],
    mends: Deed,
}

/// On the active master, one after the other. Each finds a sidecar that has just become ready: one that saw a master fall again
/// and again would wait longer and longer before it trusts it.
const FAULTS: [Fault; 10] = [
    Fault {
        name: "killed",
        breaks: |master, _| master.kill().unwrap(),
        verdicts: &["unreachable"],
        mends: |master, _| master.start().unwrap(),
    },
    Fault {
        name: "hangs as a whole",
        breaks: |master, _| master.hang().unwrap(),
        verdicts: &["hung"],
        mends: resume,
    },
    Fault {
        name: "only its workers hang",
        breaks: |master, _| master.hang_workers().unwrap(),
        verdicts: &["hung"],
        mends: resume,
    },
    Fault {
        name: "cable cut",
        breaks: |master, _| master.cut().unwrap(),
        verdicts: &["unreachable"],
        mends: |master, _| master.mend().unwrap(),
    },
    Fault {
        name: "one way lost: to the master",
        breaks: network::lose_requests,
        verdicts: &["unreachable"],
        mends: network::lose_no_requests,
    },
    Fault {
        name: "one way lost: from the master",
        breaks: network::lose_replies,
        verdicts: &["unreachable"],
        mends: network::lose_no_replies,
    },
    Fault {
        name: "4505 closed, 4506 works",
        breaks: |master, lab| network::close(master, lab, 4505),
        verdicts: &["degraded"],
        mends: resume,
    },
    Fault {
        name: "4506 closed, 4505 works",
        breaks: |master, lab| network::close(master, lab, 4506),
        verdicts: &["degraded"],
        mends: resume,
    },
    Fault {
        name: "4505 silent, 4506 works",
        breaks: |master, lab| network::mute(master, lab, 4505),
        verdicts: &["degraded"],
        mends: network::unmute,
    },
    Fault {
        name: "4506 silent, 4505 works",
        breaks: |master, lab| network::mute(master, lab, 4506),
        verdicts: &["degraded"],
        mends: network::unmute,
    },
];

fn resume(master: &Daemon<'_>, _: &Lab) {
    master.resume().unwrap();
}

/// Each fault of the active master gets its verdict; `/readyz` says no meanwhile, and yes again afterwards.
pub(crate) fn every_fault_of_the_active_master_is_called_by_its_name(
    sidecar: &mut Sidecar<'_>,
    table: &mut Table,
) {
    for fault in &FAULTS {
        let active = sidecar.fresh();
        let lab = sidecar.lab;
        let master = lab.master(active).unwrap();
        let start = Instant::now();
        (fault.breaks)(&master, lab);
        let row = observe(sidecar, fault.name, active, fault.verdicts, start);
        // A sidecar ends in time whatever its masters do.
        let (status, took) = sidecar.stop();
        assert!(
            status.success() && took < STOP,
            "{}: {status} {took:?}",
            fault.name
        );
        (fault.mends)(&master, lab);
        table.add(row);
    }
}

/// The bound of the contract, 2 s, and what a busy machine may add to look at it.
pub(crate) const STOP: Duration = Duration::from_secs(3);

fn observe(sidecar: &mut Sidecar<'_>, name: &str, master: &str, verdicts: &[&str], start: Instant) -> Row {
    let not_ready = sidecar.wait_after(start, &format!("{name}: not ready"), |now| !now.is_ready());
    assert_eq!(not_ready.readyz, 503, "{not_ready:?}");
    let told = sidecar.wait_after(start, &format!("{name}: {verdicts:?}"), |now| {
        verdicts.contains(&now.state(master).as_str())
    });
    assert!(!told.is_ready(), "{told:?}");
    let other = MASTERS.into_iter().find(|other| *other != master).unwrap();
    sidecar.wait_after(told.at, &format!("{name}: the other master is up"), |now| {
        now.state(other) == "up"
    });
    Row {
        fault: name.to_owned(),
        verdict: told.state(master),
        why: told.of(master, "why"),
        not_ready: Some(not_ready.at - start),
        told: Some(told.at - start),
        back: None,
    }
}

/// A master that restarts is not ready meanwhile, and is trusted again without anybody's help.
pub(crate) fn a_restarted_master_is_up_again(sidecar: &mut Sidecar<'_>, table: &mut Table) {
    let active = sidecar.fresh();
    let start = Instant::now();
    sidecar.lab.master(active).unwrap().restart().unwrap();
    let restarted = Instant::now();
    let row = observe(
        sidecar,
        "restarted",
        active,
        &["degraded", "unreachable", "hung"],
        start,
    );
    let back = sidecar.wait_after(row_end(&row, start), "up again", Sample::all_up);
    table.add(Row {
        back: Some(back.at.saturating_duration_since(restarted)),
        ..row
    });
}

fn row_end(row: &Row, start: Instant) -> Instant {
    start + row.told.unwrap_or_default()
}

/// How long a cable stays bad.
const BAD: Duration = Duration::from_secs(60);

/// Thirty of a hundred frames are lost, the others are late: such a master is not called back and forth, nor anything that it is not.
pub(crate) fn a_bad_cable_is_told_without_flapping(sidecar: &mut Sidecar<'_>, table: &mut Table) {
    let active = sidecar.fresh();
    let other = MASTERS.into_iter().find(|other| *other != active).unwrap();
    let lab = sidecar.lab;
    let start = Instant::now();
    let cable = lab.spoil_cable(active, Duration::from_millis(200), 0.3).unwrap();
    let seen = RefCell::new(vec![("up".to_owned(), String::new())]);
    let not_ready = Cell::new(None);
    sidecar.wait_after(start, "a bad cable for a minute", |now| {
        let (state, why) = (now.state(active), now.of(active, "why"));
        if seen.borrow().last().is_none_or(|(last, _)| *last != state) {
            seen.borrow_mut().push((state, why));
        }
        if !now.is_ready() && not_ready.get().is_none() {
            not_ready.set(Some(now.at - start));
        }
        assert_eq!(now.state(other), "up", "the other one has a good cable: {now:?}");
        now.at > start + BAD
    });
    drop(cable);
    let mended = Instant::now();
    let back = sidecar.wait_after(mended, "up again", Sample::all_up);
    let seen = seen.into_inner();
    let allowed = ["up", "degraded", "unreachable", "hung"];
    assert!(
        seen.iter().all(|(state, _)| allowed.contains(&state.as_str())),
        "{seen:?}"
    );
    let times_up = seen.iter().skip(1).filter(|(state, _)| state == "up").count();
    assert!(times_up <= 2, "it flaps: {seen:?}");
    let states: Vec<&str> = seen.iter().skip(1).map(|(state, _)| state.as_str()).collect();
    table.add(Row {
        fault: "30 % of all frames lost, 200 ms delay, for a minute".to_owned(),
        verdict: states.join(", "),
        why: seen.last().map(|(_, why)| why.clone()).unwrap_or_default(),
        not_ready: not_ready.get(),
        told: None,
        back: Some(back.at - mended),
    });
}

/// Somebody else's master at the active master's address: the address answers, and is trusted by nobody.
pub(crate) fn an_impostor_at_a_masters_address_is_known(sidecar: &mut Sidecar<'_>, table: &mut Table) {
    let active = sidecar.fresh();
    let impostor = Impostor::instead_of(sidecar.lab, active);
    let start = Instant::now();
    impostor.start();
    let row = observe(
        sidecar,
        "another master at its address",
        active,
        &["impostor"],
        start,
    );
    table.add(Row {
        // It was not ready before.
        not_ready: None,
        ..row
    });
    let metrics = sidecar.get("/metrics");
    assert!(
        metrics.contains(&format!(
            "saltfo_verification_failures_total{{master=\"{active}.xyz.example\",reason=\"impostor\"}}"
        )),
        "{metrics}"
    );
    let start = Instant::now();
    impostor.give_way();
    // A minion that met an impostor may have given up.
    sidecar.lab.move_minion("minion01", active).unwrap();
    sidecar.wait_after(start, "the genuine one is up again", Sample::all_up);
}

/// Both are gone for so long, and both come back.
pub(crate) fn both_masters_may_be_gone_and_come_back(
    sidecar: &mut Sidecar<'_>,
    gone_for: Duration,
    table: &mut Table,
) {
    sidecar.fresh();
    let lab = sidecar.lab;
    let masters = MASTERS.map(|name| lab.master(name).unwrap());
    let start = Instant::now();
    masters.iter().for_each(|master| master.kill().unwrap());
    let not_ready = sidecar.wait_after(start, "not ready", |now| !now.is_ready());
    let told = sidecar.wait_after(start, "both are unreachable", |now| {
        MASTERS.iter().all(|master| now.state(master) == "unreachable")
    });
    assert_eq!(told.status["active"], serde_json::Value::Null);
    let (code, _) = sidecar.saltfo(&["status"]);
    assert_eq!(code, Some(3));
    let log = sidecar.log();
    while start.elapsed() < gone_for {
        let now = sidecar.wait_after(Instant::now(), "a report", |_| true);
        let stays = |master: &str| now.state(master) == "unreachable";
        assert!(!now.is_ready() && MASTERS.into_iter().all(stays), "{now:?}");
    }
    assert_eq!(sidecar.log(), log, "it has told something, and nothing was new");
    std::thread::scope(|scope| {
        for master in &masters {
            scope.spawn(|| master.start().unwrap());
        }
    });
    let mended = Instant::now();
    let back = sidecar.wait_after(told.at, "both are back", Sample::all_up);
    table.add(Row {
        fault: format!("both killed, for {} s at least", gone_for.as_secs()),
        verdict: told.state("salt1"),
        why: told.why,
        not_ready: Some(not_ready.at - start),
        told: Some(told.at - start),
        back: Some(back.at.saturating_duration_since(mended)),
    });
}

/// A key that rotates is nobody's fault: the next publication is read, and nothing changes.
pub(crate) fn a_rotated_key_changes_nothing(sidecar: &mut Sidecar<'_>, table: &mut Table) {
    let active = sidecar.fresh();
    let before = sidecar.log();
    let lab = sidecar.lab;
    let leaver = PrivateKey::generate(2048, &mut rand::rng())
        .unwrap()
        .public_key()
        .to_pem()
        .unwrap();
    // A minion that was deleted must not read on: the master takes a new key.
    fs::write(lab.pki_dir(active).unwrap().join("minions/leaver"), leaver).unwrap();
    let start = Instant::now();
    let deleted = lab.salt_key(active, &["-y", "-d", "leaver"]).output().unwrap();
    assert!(deleted.status.success(), "{deleted:?}");
    // The master is told by this file, and removes it when it acts on it.
    let told = lab.folder().join(active).join("cache/.dfn");
    integration::until("the master takes a new key", LONG, || {
        Ok((!told.exists()).then_some(()))
    })
    .unwrap();
    // The first one may have been on its way already.
    let mut heard = publication(sidecar, active, start);
    heard = publication(sidecar, active, heard.at);
    // A master that could not be verified under it would be known by its next answer.
    let moment = heard.status["at"].as_str().unwrap();
    let after = sidecar.wait_after(start, "a verified answer later", |now| {
        now.verified_at(active).as_str() > moment
    });
    assert!(after.all_up(), "{after:?}");
    let log = sidecar.log();
    let news = log.strip_prefix(&before).unwrap();
    assert!(
        !news.contains("changed its state") && !news.contains("do not reach"),
        "{news}"
    );
    table.add(Row {
        fault: "AES key rotated".to_owned(),
        verdict: "up".to_owned(),
        why: "no change; the publication under the new key was read".to_owned(),
        not_ready: None,
        told: None,
        back: None,
    });
}

/// Publishes something, and waits until the sidecar has read it.
fn publication(sidecar: &mut Sidecar<'_>, master: &str, start: Instant) -> Sample {
    let before = sidecar.wait_after(start, "a report", |_| true);
    let before = before.of(master, "last_publication");
    let mut command = sidecar
        .lab
        .salt_cli(master, &["--async", "minion01", "test.ping"]);
    let published = command.output().unwrap();
    assert!(published.status.success(), "{published:?}");
    sidecar.wait_after(start, "a publication is read", |now| {
        now.of(master, "last_publication") > before
    })
}
