//! Faults after the publish: the state runs once, and its return is found, or it is said that it is not known.

use std::thread::sleep;
use std::time::Duration;

use integration::Lab;

use super::common::saltfo;
use super::once::{Ended, Once};

/// Both minions hang on it at first. `minion01` keeps its returns (`cache_jobs`), `minion02` does not.
const MASTER: &str = "salt1";
/// In seconds: far longer than any of these takes, as Salt may take minutes on a slow machine until a minion is back.
const TIMEOUT: &str = "300";
/// How long a cable is out.
const OUT: Duration = Duration::from_secs(10);

/// Brings everything back to the beginning: Salt's own minions may never come back after a fault.
fn bring_back(lab: &Lab) {
    for minion in ["minion01", "minion02"] {
        lab.move_minion(minion, MASTER).unwrap();
        let run = saltfo(lab, &["active-master", minion]);
        assert_eq!(run.stdout, format!("{MASTER}.xyz.example\n"), "{run:?}");
    }
}

/// Starts the state on both, and waits until it runs: without its master a minion would have no state to run.
fn on_both(lab: &Lab, seconds: u32, timeout: &str) -> [Once; 2] {
    let runs =
        ["minion01", "minion02"].map(|minion| Once::start(lab, minion, seconds, &["--timeout", timeout]));
    for run in &runs {
        run.has_begun(lab);
    }
    runs
}

/// Whatever else: not twice, and what is not known is called that.
fn is_honest(ended: &Ended, lab: &Lab) {
    assert!(matches!(ended.code, 0 | 7), "{ended:?}");
    assert_eq!(ended.wait_for_line(lab), 1, "{ended:?}");
    if ended.code == 7 {
        assert!(ended.stderr.contains("look again with"), "{ended:?}");
    }
}

pub(crate) fn the_cable_of_the_runner_is_cut_for_ten_seconds(lab: &Lab) {
    let [kept, unkept] = on_both(lab, 4, TIMEOUT);
    lab.cut("runner").unwrap();
    sleep(OUT);
    lab.mend("runner").unwrap();
    kept.end().has_returned("minion01");
    unkept.end().has_returned("minion02");
}

pub(crate) fn the_cable_of_the_master_is_cut_for_ten_seconds(lab: &Lab) {
    let [kept, unkept] = on_both(lab, 4, TIMEOUT);
    lab.master(MASTER).unwrap().cut().unwrap();
    sleep(OUT);
    lab.master(MASTER).unwrap().mend().unwrap();
    kept.end().has_returned("minion01");
    is_honest(&unkept.end(), lab);
    bring_back(lab);
}

pub(crate) fn the_master_hangs_for_a_while(lab: &Lab) {
    let [kept, unkept] = on_both(lab, 4, TIMEOUT);
    lab.master(MASTER).unwrap().hang().unwrap();
    sleep(Duration::from_secs(6));
    lab.master(MASTER).unwrap().resume().unwrap();
    kept.end().has_returned("minion01");
    is_honest(&unkept.end(), lab);
    bring_back(lab);
}

pub(crate) fn the_master_hangs_for_good(lab: &Lab) {
    let run = Once::start(lab, "minion01", 4, &["--timeout", "20"]);
    run.has_begun(lab);
    let jid = run.jid();
    lab.master(MASTER).unwrap().hang().unwrap();
    let ended = run.end();
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(
        ended.stderr.contains(&jid) && ended.stderr.contains("salt1.xyz.example"),
        "{ended:?}"
    );
    assert!(ended.took < Duration::from_secs(30), "{ended:?}");
    assert_eq!(ended.wait_for_line(lab), 1);
    lab.master(MASTER).unwrap().resume().unwrap();
    bring_back(lab);
    let again = saltfo(lab, &["run", "--jid", &jid, "minion01", "--out", "json"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(ended.wait_for_line(lab), 1);
}

pub(crate) fn the_minion_restarts(lab: &Lab) {
    let runs = on_both(lab, 600, TIMEOUT);
    for minion in ["minion01", "minion02"] {
        lab.minion(minion).unwrap().kill().unwrap();
        lab.minion(minion).unwrap().start().unwrap();
    }
    for run in runs {
        let ended = run.end();
        assert_eq!((ended.code, ended.lines), (7, 0), "{ended:?}");
        // Noticed, not waited for.
        assert!(ended.took < Duration::from_secs(90), "{ended:?}");
        assert!(ended.stderr.contains("the job died"), "{ended:?}");
    }
    bring_back(lab);
}

pub(crate) fn the_master_restarts(lab: &Lab) {
    let [kept, unkept] = on_both(lab, 4, TIMEOUT);
    lab.master(MASTER).unwrap().kill().unwrap();
    lab.master(MASTER).unwrap().start().unwrap();
    kept.end().has_returned("minion01");
    is_honest(&unkept.end(), lab);
    bring_back(lab);
}

pub(crate) fn the_master_is_killed_and_the_minions_fail_over(lab: &Lab) {
    let [kept, unkept] = on_both(lab, 4, TIMEOUT);
    lab.master(MASTER).unwrap().kill().unwrap();
    kept.end().has_returned("minion01");
    is_honest(&unkept.end(), lab);
    lab.master(MASTER).unwrap().start().unwrap();
    bring_back(lab);
}
