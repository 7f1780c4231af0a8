//! Names of masters that lead elsewhere, or nowhere.

use std::time::{Duration, Instant};

use crate::network::{Names, sh};
use crate::sidecar::{MASTERS, Sample, Sidecar};
use crate::table::{Row, Table};

const NEW_ADDRESS: &str = "10.0.0.112";

/// The master moves to another address, its name follows, and so does the sidecar.
pub(crate) fn a_master_that_moves_is_found_by_its_name(sidecar: &mut Sidecar<'_>, table: &mut Table) {
    let active = sidecar.fresh();
    let moves = other(active);
    let names = Names::of(sidecar.lab);
    let old = sidecar.lab.host(moves).unwrap().address.to_string();
    let start = Instant::now();
    names.change(|line| Some(line.replace(&old, NEW_ADDRESS)));
    let script = "ip address del \"$2/24\" dev eth0; ip address add \"$1/24\" dev eth0";
    sh(sidecar.lab, moves, script, &[NEW_ADDRESS, &old]);
    let told = sidecar.wait_after(start, "the old address is gone", |now| now.state(moves) != "up");
    let why = told.of(moves, "why");
    let verdict = told.state(moves);
    let there = sidecar.wait_after(start, "up at the new address", |now| {
        let leads = |line| now.peer(moves, line).starts_with(NEW_ADDRESS);
        now.state(moves) == "up" && leads("request") && leads("publish")
    });
    table.add(Row {
        fault: "the other master moves, its name follows".to_owned(),
        verdict,
        why,
        // It is not the active one.
        not_ready: None,
        told: Some(told.at - start),
        back: Some(there.at - start),
    });
    assert!(there.is_ready(), "{there:?}");
    sh(sidecar.lab, moves, script, &[&old, NEW_ADDRESS]);
    names.put_back();
}

/// A name that leads nowhere breaks no connection, and keeps no master away that is where it was.
pub(crate) fn a_name_that_does_not_resolve_for_a_while_costs_nothing(
    sidecar: &mut Sidecar<'_>,
    table: &mut Table,
) {
    let active = sidecar.fresh();
    let quiet = other(active);
    let names = Names::of(sidecar.lab);
    let log = sidecar.log();
    names.change(|line| (!line.contains("xyz.example")).then(|| line.to_owned()));
    // Their connections break, so their names are needed again.
    let start = Instant::now();
    let master = sidecar.lab.master(quiet).unwrap();
    master.kill().unwrap();
    let told = sidecar.wait_after(start, "unreachable", |now| now.state(quiet) == "unreachable");
    master.start().unwrap();
    let started = Instant::now();
    let back = sidecar.wait_after(told.at, "up, and no name leads there", Sample::all_up);
    table.add(Row {
        fault: "no name resolves, and the other master restarts".to_owned(),
        verdict: told.state(quiet),
        why: told.of(quiet, "why"),
        not_ready: None,
        told: Some(told.at - start),
        back: Some(back.at.saturating_duration_since(started)),
    });
    let log = sidecar.log().split_off(log.len());
    assert!(!log.contains("jobs do not reach"), "{log}");

    // One that starts meanwhile cannot know better, says why, and recovers by itself.
    sidecar.stop();
    let start = Instant::now();
    sidecar.start();
    let told = sidecar.wait_after(start, "nothing resolves", |now| {
        MASTERS.iter().all(|master| now.state(master) == "unreachable")
    });
    for master in MASTERS {
        let why = told.of(master, "why");
        assert!(why.contains("resolve") && why.contains(master), "{why}");
    }
    names.put_back();
    let put_back = Instant::now();
    let back = sidecar.wait_after(put_back, "both are found", Sample::all_up);
    table.add(Row {
        fault: "no name resolves at start".to_owned(),
        verdict: told.state(active),
        why: told.of(active, "why"),
        not_ready: None,
        told: Some(told.at - start),
        back: Some(back.at - put_back),
    });
}

/// A name server that says nothing keeps the resolver busy for many seconds: nobody waits for that who wants to end.
pub(crate) fn a_silent_name_server_delays_no_end(sidecar: &mut Sidecar<'_>) {
    let lab = sidecar.lab;
    let names = Names::of(lab);
    names.change(|line| (!line.contains("xyz.example")).then(|| line.to_owned()));
    let mut server = sidecar.take_name_service();
    if sidecar.is_running() {
        sidecar.stop();
    }
    let start = Instant::now();
    sidecar.start();
    sidecar.wait_after(start, "it reports", |now| now.readyz == 503);
    let (ended, took) = sidecar.stop();
    assert!(ended.success(), "{ended}");
    assert!(took < Duration::from_secs(2), "it took {took:?} to end");
    let minion = lab.config_dir("minion01").join("minion");
    let start = Instant::now();
    let (code, printed) = sidecar.saltfo(&[
        "probe",
        "--timeout",
        "1",
        "--minion-config",
        minion.to_str().unwrap(),
    ]);
    let took = start.elapsed();
    assert_eq!(code, Some(4), "{printed}");
    // The resolver asks twice, 5 s each time.
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    server.kill().unwrap();
    server.wait().unwrap();
    names.put_back();
}

/// A host whose route is gone when the sidecar starts, and comes back.
pub(crate) fn a_host_without_a_route_is_told_and_recovers(sidecar: &mut Sidecar<'_>, table: &mut Table) {
    sidecar.fresh();
    sidecar.stop();
    let route = "ip route show 10.0.0.0/24 >\"$1\"; ip route del 10.0.0.0/24";
    let kept = sidecar.file("route");
    let kept = kept.to_str().unwrap();
    sh(sidecar.lab, "minion01", route, &[kept]);
    let start = Instant::now();
    sidecar.start();
    let told = sidecar.wait_after(start, "no route", |now| {
        MASTERS.iter().all(|master| now.state(master) == "unreachable")
    });
    for master in MASTERS {
        let why = told.of(master, "why").to_lowercase();
        assert!(why.contains("network is unreachable"), "{why}");
    }
    sh(sidecar.lab, "minion01", "ip route add $(cat \"$1\")", &[kept]);
    let mended = Instant::now();
    let back = sidecar.wait_after(mended, "both are found", Sample::all_up);
    table.add(Row {
        fault: "no route at start".to_owned(),
        verdict: told.state("salt1"),
        why: told.of("salt1", "why"),
        not_ready: None,
        told: Some(told.at - start),
        back: Some(back.at - mended),
    });
}

fn other(master: &str) -> &'static str {
    MASTERS.into_iter().find(|other| *other != master).unwrap()
}
