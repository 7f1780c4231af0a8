//! Restarting the minion: who may, when, how often, and whether it helped.

use std::fs;
use std::time::{Duration, Instant};

use integration::Lab;
use rustix::process::Signal;

use crate::sidecar::{LONG, MASTERS, Sidecar};
use crate::table::{Row, Table};

/// Asks the test to restart the minion, as one would ask systemd, and waits until it has.
fn command(sidecar: &Sidecar<'_>) -> String {
    let folder = sidecar.file("restarts");
    fs::create_dir_all(&folder).unwrap();
    let script = "echo please >>\"$0/asked\"; until [ -e \"$0/done\" ]; do sleep 0.1; done";
    let words = serde_json::json!(["sh", "-c", script, folder]);
    format!("  restart_command: {words}\n")
}

fn asked(sidecar: &Sidecar<'_>) -> usize {
    let text = fs::read_to_string(sidecar.file("restarts/asked")).unwrap_or_default();
    text.lines().count()
}

/// The minion's first process.
fn minion(lab: &Lab) -> i32 {
    let processes = lab.minion("minion01").unwrap().processes().unwrap();
    let first = processes
        .iter()
        .find(|process| process.inner_pid == process.session);
    first.unwrap().pid
}

/// In `mode: observe` the minion is left alone, though all that `mode: restart` waits for has long been there.
pub(crate) fn who_only_observes_restarts_nothing(sidecar: &mut Sidecar<'_>) {
    let settings = |mode: &str| format!("  mode: {mode}\n  restart_after: 1s\n{}", command(sidecar));
    let restarting = settings("restart");
    sidecar.configure(&settings("observe"));
    let active = sidecar.fresh();
    let lab = sidecar.lab;
    let before = minion(lab);
    let start = Instant::now();
    lab.master(active).unwrap().hang().unwrap();
    let seconds = |text: &str| humantime::parse_rfc3339(text).unwrap();
    sidecar.wait_after(start, "it hangs for much longer than `restart_after`", |now| {
        let since = now.of(active, "since");
        let at = now.status["at"].as_str().unwrap_or_default();
        now.state(active) == "hung" && seconds(at) >= seconds(&since) + Duration::from_secs(5)
    });
    assert_eq!(
        (asked(sidecar), minion(lab)),
        (0, before),
        "it restarts in mode observe"
    );
    // Nothing else was missing.
    sidecar.configure(&restarting);
    sidecar.signal(Signal::HUP);
    integration::until("now that it may, it wants the minion restarted", LONG, || {
        Ok((asked(sidecar) > 0).then_some(()))
    })
    .unwrap();
    assert_eq!(minion(lab), before);
    sidecar.stop();
    lab.master(active).unwrap().resume().unwrap();
    fs::remove_dir_all(sidecar.file("restarts")).unwrap();
    fs::remove_dir_all(sidecar.file("state")).unwrap();
    sidecar.configure("");
}

/// Held on a master that hangs, the minion is restarted once, and then answers through the other one.
pub(crate) fn a_minion_on_a_dead_master_is_restarted_once(sidecar: &mut Sidecar<'_>, table: &mut Table) {
    sidecar.configure(&format!("  mode: restart\n{}", command(sidecar)));
    let lab = sidecar.lab;
    let [active, other] = MASTERS;
    // The first in its list.
    lab.move_minion("minion01", active).unwrap();
    assert_eq!(sidecar.fresh(), active);
    let master = lab.master(active).unwrap();
    let start = Instant::now();
    master.hang().unwrap();
    let not_ready = sidecar.wait_after(start, "not ready", |now| !now.is_ready());
    integration::until("it wants the minion restarted", LONG, || {
        Ok((asked(sidecar) > 0).then_some(()))
    })
    .unwrap();
    let wanted = start.elapsed();
    // Where it goes then is its own business.
    let minion = lab.minion("minion01").unwrap();
    minion.kill().unwrap();
    minion.start().unwrap();
    fs::write(sidecar.file("restarts/done"), "").unwrap();
    let restarted = Instant::now();
    let helped = sidecar.wait_after(start, "it helped", |now| {
        now.is_ready() && now.status["last_restart"]["result"] == "helped"
    });
    assert_eq!(helped.active(), Some(other), "{helped:?}");
    let report = &helped.status;
    assert_eq!(report["restarts"], 1, "{report}");
    assert_eq!(report["failovers"], 1, "{report}");
    assert_eq!(
        report["last_restart"]["master"],
        format!("{other}.xyz.example"),
        "{report}"
    );
    table.add(Row {
        fault: "hangs as a whole (`mode: restart`)".to_owned(),
        verdict: format!("minion restarted after {:.2} s", wanted.as_secs_f64()),
        why: report["last_restart"]["why"].as_str().unwrap().to_owned(),
        not_ready: Some(not_ready.at - start),
        told: None,
        back: Some(helped.at.saturating_duration_since(restarted)),
    });
    // The master is back, and nothing more is restarted.
    master.resume().unwrap();
    let resumed = Instant::now();
    let up = sidecar.wait_after(resumed, "the other one is up again", |now| now.all_up());
    assert_eq!(up.status["restarts"], 1);
    assert_eq!(asked(sidecar), 1);
    // Nor by a sidecar that was started anew.
    sidecar.fresh();
    let log = sidecar.log();
    assert!(log.contains("before this sidecar started: that counts"), "{log}");
    fs::remove_dir_all(sidecar.file("restarts")).unwrap();
}
