//! The sidecar's own life: what it needs at its start, its report, new configurations, quiet hours.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::sidecar::{MASTERS, Sample, Sidecar};
use crate::table::{Row, Table};

/// It has no configuration, no keys and no port, says so, and goes to work as soon as all is there.
pub(crate) fn what_is_missing_at_the_start_is_told_and_waited_for(sidecar: &mut Sidecar<'_>) {
    let keys = sidecar.lab.pki_dir("minion01").unwrap();
    let missing = [
        sidecar.lab.config_dir("minion01").join("minion"),
        // As with a minion that has not been started yet.
        keys.join("minion.pem"),
        keys.join("master_sign.pub"),
    ];
    let written_later = keys.join("minion_master.pub");
    for file in missing.iter().chain([&written_later]) {
        fs::rename(file, file.with_extension("aside")).unwrap();
    }
    let mut taken = sidecar.take_port();
    sidecar.start();
    let log = |sidecar: &Sidecar<'_>, word: &str| {
        integration::until(word, Duration::from_secs(30), || {
            Ok(sidecar.log().contains(word).then_some(()))
        })
        .unwrap();
    };
    log(sidecar, "another process has that port");
    log(sidecar, "waiting for it");
    let freed = Instant::now();
    taken.kill().unwrap();
    taken.wait().unwrap();
    for file in &missing {
        let name = file.to_str().unwrap();
        let told = sidecar.wait_after(freed, "a report that says what is missing", |now| {
            now.why.contains(name)
        });
        assert_eq!(told.readyz, 503, "{told:?}");
        fs::rename(file.with_extension("aside"), file).unwrap();
    }
    sidecar.wait_after(
        freed,
        "both masters are up and jobs reach the minion",
        Sample::all_up,
    );
    fs::rename(written_later.with_extension("aside"), &written_later).unwrap();
}

/// In good times everything says the same.
pub(crate) fn all_that_it_says_agrees_when_all_is_well(sidecar: &mut Sidecar<'_>) {
    let now = sidecar.wait_after(Instant::now(), "all is well", Sample::all_up);
    assert_eq!(now.active(), Some("salt1"));
    let active = &now.status["active"];
    assert_eq!(active["proof"], "round_trip", "{now:?}");
    assert!(active["rtt_ms"].as_f64().unwrap() > 0.0, "{now:?}");
    assert_eq!(active["jid"].as_str().unwrap().len(), 20, "{now:?}");
    assert_eq!(
        now.status["minion"]["tied_to"],
        serde_json::json!(["salt1.xyz.example"])
    );

    let (code, printed) = sidecar.saltfo(&["status", "--out", "json"]);
    let report: Json = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (code, &report["ready"]),
        (Some(0), &Json::Bool(true)),
        "{printed}"
    );
    let (code, table) = sidecar.saltfo(&["status"]);
    assert_eq!(code, Some(0), "{table}");
    assert_eq!(
        table
            .lines()
            .filter(|line| line.contains(".xyz.example  up "))
            .count(),
        2,
        "{table}"
    );
    assert_eq!(sidecar.get("/active-master"), "200\nsalt1.xyz.example\n");
    assert!(sidecar.get("/healthz").starts_with("200\n"));
    assert!(sidecar.get("/no-such-page").starts_with("404\n"));

    let metrics = sidecar.get("/metrics");
    let mut values = 0;
    for line in metrics
        .lines()
        .skip(1)
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("saltfo_"), "{line}");
        assert!(value.parse::<f64>().is_ok() || value == "+Inf", "{line}");
        values += 1;
    }
    assert!(values > 10, "{metrics}");
    for line in [
        "saltfo_master_up{master=\"salt1.xyz.example\"} 1",
        "saltfo_master_up{master=\"salt2.xyz.example\"} 1",
        "saltfo_active_master{master=\"salt1.xyz.example\"} 1",
        "saltfo_active_master{master=\"salt2.xyz.example\"} 0",
        "saltfo_failovers_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
}

/// For this long nothing happens, and nothing is told, opened or eaten up.
pub(crate) fn quiet_hours_are_quiet(sidecar: &mut Sidecar<'_>) {
    let seconds = std::env::var("SALTFO_TEST_QUIET_SECONDS").map_or(60, |text| text.parse().unwrap());
    sidecar.fresh();
    let (process, log) = (sidecar.pid(), sidecar.log());
    let (memory, descriptors) = (resident(process), open(process));
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    while Instant::now() < end {
        let now = sidecar.wait_after(Instant::now(), "a report", |_| true);
        assert!(now.all_up(), "{now:?}");
    }
    let (memory_now, descriptors_now) = (resident(process), open(process));
    eprintln!(
        "quiet for {seconds} s: {memory} → {memory_now} KiB resident, {descriptors} → {descriptors_now} descriptors"
    );
    assert_eq!(sidecar.log(), log, "it has told something");
    // Those who ask have a connection each.
    assert!(
        descriptors_now <= descriptors + 2,
        "{descriptors} → {descriptors_now}"
    );
    assert!(memory_now <= memory + 1024, "{memory} → {memory_now} KiB");
}

/// Whom the operator wants told of a change is told all of it.
pub(crate) fn hooks_are_run_at_each_change(sidecar: &mut Sidecar<'_>) {
    let told = sidecar.file("told");
    let script = "env | grep ^SALTFO_ | sort | tr '\\n' ' ' >>\"$0\"; echo >>\"$0\"";
    let words = serde_json::json!(["sh", "-c", script, told]);
    sidecar.configure(&format!("  hooks:\n    on_change: {words}\n"));
    let active = sidecar.fresh();
    let quiet = MASTERS.into_iter().find(|master| *master != active).unwrap();
    let master = sidecar.lab.master(quiet).unwrap();
    let start = Instant::now();
    master.kill().unwrap();
    sidecar.wait_after(start, "unreachable", |now| now.state(quiet) == "unreachable");
    let change = |from: Option<&str>, to: &str| {
        let words = [
            format!("SALTFO_ACTIVE_MASTER={active}.xyz.example"),
            from.map_or_else(String::new, |from| format!("SALTFO_FROM={from}")),
            format!("SALTFO_MASTER={quiet}.xyz.example"),
            "SALTFO_MINION=minion01".to_owned(),
            format!("SALTFO_TO={to}"),
        ];
        integration::until(
            &format!("the hook is told of {to}"),
            Duration::from_secs(90),
            || {
                let text = fs::read_to_string(&told).unwrap_or_default();
                let is_it = |line: &&str| {
                    words
                        .iter()
                        .all(|word| word.is_empty() || line.split(' ').any(|said| said == word))
                };
                Ok(text.lines().find(is_it).map(str::to_owned))
            },
        )
        .unwrap()
    };
    let line = change(Some("up"), "unreachable");
    assert!(
        line.contains("SALTFO_EVENT=") && line.contains("SALTFO_WHY="),
        "{line}"
    );
    master.start().unwrap();
    // By way of `degraded` if it has fallen a short while ago, too.
    change(None, "up");
    sidecar.configure("");
}

/// A bad configuration changes nothing, a good one what it says.
pub(crate) fn a_new_configuration_is_taken_if_it_is_good(sidecar: &mut Sidecar<'_>) {
    sidecar.fresh();
    let log = sidecar.log();
    let news = |sidecar: &Sidecar<'_>, word: &str| {
        integration::until(word, Duration::from_secs(30), || {
            let news = sidecar.log().split_off(log.len());
            Ok(news.contains(word).then_some(news))
        })
        .unwrap()
    };
    sidecar.configure("  heartbeat: never\n");
    sidecar.signal(Signal::HUP);
    let told = news(sidecar, "going on with the configuration that was");
    assert!(told.contains("sidecar.heartbeat"), "{told}");
    sidecar.configure("  round_trip: 5s\n");
    sidecar.signal(Signal::HUP);
    news(sidecar, "the configuration was read again");
    let read = Instant::now();
    let before = sidecar.wait_after(read, "a round trip", |now| now.is_ready());
    let jid = before.status["active"]["jid"].clone();
    let after = sidecar.wait_after(read, "the next round trip", |now| {
        now.is_ready() && now.status["active"]["jid"] != jid
    });
    assert!(after.all_up(), "{after:?}");
    let told = news(sidecar, "the configuration was read again");
    assert!(
        !told.contains("changed its state") && !told.contains("do not reach"),
        "{told}"
    );
}

/// A minion that is connected and does nothing looks well to the kernel and to its master. A round trip knows better.
pub(crate) fn a_minion_that_hears_nothing_is_found_out(sidecar: &mut Sidecar<'_>, table: &mut Table) {
    sidecar.wait_after(Instant::now(), "all is well", Sample::all_up);
    let minion = sidecar.lab.minion("minion01").unwrap();
    let start = Instant::now();
    minion.hang().unwrap();
    let told = sidecar.wait_after(start, "not ready", |now| !now.is_ready());
    assert!(
        MASTERS.iter().all(|master| told.state(master) == "up"),
        "{told:?}"
    );
    assert_eq!(
        told.status["minion"]["tied_to"].as_array().unwrap().len(),
        1,
        "{told:?}"
    );
    minion.resume().unwrap();
    let resumed = Instant::now();
    let back = sidecar.wait_after(resumed, "it answers again", Sample::all_up);
    table.add(Row {
        fault: "the minion is stopped, its connection stands (`round_trip: 5s`)".to_owned(),
        verdict: "both masters up, not ready".to_owned(),
        why: told.why,
        not_ready: Some(told.at - start),
        told: Some(told.at - start),
        back: Some(back.at - resumed),
    });
}

/// Resident memory in KiB.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn open(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}
