//! To whom a job goes, and what must be so before it does.

use std::fs;
use std::time::Duration;

use integration::Lab;

use super::common::saltfo;
use super::once::Once;

pub(crate) fn several_minions_are_one_publish_per_master(lab: &Lab) {
    let both = [
        "run",
        "-L",
        "minion02,minion01,minion02",
        "--out",
        "json",
        "test.arg",
        "x",
    ];
    let run = saltfo(lab, &both);
    assert_eq!(run.code, 0, "{run:?}");
    let document = run.json();
    let minions: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(minions, ["minion01", "minion02"], "{run:?}");
    // Each hangs on a master of its own.
    assert_eq!(run.stderr.matches("saltfo: jid ").count(), 2, "{run:?}");
    lab.move_minion("minion02", "salt1").unwrap();
    let run = saltfo(lab, &both);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.stderr.matches("saltfo: jid ").count(), 1, "{run:?}");
    let jids = |minion: &str| run.json()[minion]["kwargs"]["__pub_jid"].clone();
    assert_eq!(jids("minion01"), jids("minion02"), "{run:?}");
    lab.move_minion("minion02", "salt2").unwrap();
    // The worst of all.
    let run = saltfo(lab, &["run", "-L", "minion01,minion99", "test.ping"]);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stdout.starts_with("minion01:"), "{run:?}");
}

pub(crate) fn the_pillar_is_fresh_before_the_job_begins(lab: &Lab) {
    for master in ["salt1", "salt2"] {
        let folder = lab.folder().join(master).join("srv/pillar");
        fs::write(folder.join("top.sls"), "base:\n  '*': [fresh]\n").unwrap();
        fs::write(folder.join("fresh.sls"), "fresh: yes it is\n").unwrap();
    }
    // What the minion has in memory; a run of states compiles the pillar anew in any case. 3008 masks what `pillar.get` returns.
    let matches = ["minion01", "match.pillar", "fresh:yes*"];
    let run = saltfo(lab, &[&["run"], &matches[..]].concat());
    assert_eq!(
        (run.code, run.stdout.trim()),
        (0, "minion01:\n    False"),
        "{run:?}"
    );
    let run = saltfo(lab, &[&["run", "--refresh-pillar"], &matches[..]].concat());
    assert_eq!(
        (run.code, run.stdout.trim()),
        (0, "minion01:\n    True"),
        "{run:?}"
    );
}

pub(crate) fn what_is_not_allowed_names_the_lines_to_add(lab: &Lab) {
    let run = saltfo(lab, &["run", "minion01", "network.interfaces"]);
    assert_eq!((run.code, run.stdout.as_str()), (6, ""), "{run:?}");
    assert!(
        run.stderr
            .contains(r"peer: {'^pipeline\.xyz$': ['network\.interfaces$']}"),
        "{run:?}"
    );
}

pub(crate) fn a_minion_that_is_nowhere_gets_nothing(lab: &Lab) {
    let run = saltfo(lab, &["run", "minion99", "test.ping", "--out", "json"]);
    assert_eq!((run.code, run.stdout.trim()), (3, "{}"), "{run:?}");
    assert!(!run.stderr.contains("jid"), "{run:?}");
}

pub(crate) fn an_earlier_job_is_picked_up(lab: &Lab) {
    let run = Once::start(lab, "minion02", 4, &["--timeout", "3"]);
    let jid = run.jid();
    let ended = run.end();
    assert_eq!(ended.code, 7, "{ended:?}");
    let again = format!("saltfo run --jid {jid} minion02");
    assert!(ended.stderr.contains(&again), "{ended:?}");
    let run = saltfo(lab, &["run", "--jid", &jid, "minion02", "--out", "json"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.json()["minion02"].as_object().unwrap().len(), 2, "{run:?}");
    assert_eq!(ended.wait_for_line(lab), 1);
    // One that nobody ever published is not waited for.
    let began = std::time::Instant::now();
    let run = saltfo(lab, &["run", "--jid", "20200101000000000000", "minion01"]);
    assert_eq!((run.code, run.stdout.as_str()), (7, ""), "{run:?}");
    assert!(began.elapsed() < Duration::from_secs(60), "{run:?}");
}
