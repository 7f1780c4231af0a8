//! Jobs that are under way while the relay changes masters: each runs once, and its return arrives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use integration::{Lab, until};

use crate::agent::{LONG, MASTERS, MINION, Relay, elected, other};
use crate::faults::fresh;
use crate::once::Once;

/// A state begins through one master and ends while that one hangs for good: it runs once, and its return is at the other one.
pub(crate) fn a_state_that_runs_across_a_switch_returns_to_the_other_master(relay: &mut Relay<'_>) {
    let from = relay.settled();
    let to = other(from);
    let lab = relay.lab;
    let once = Once::start(lab, MINION, 6, &[]);
    let jid = once.jid();
    once.has_begun(lab);
    let master = lab.master(from).unwrap();
    master.hang().unwrap();
    let ended = once.end();
    ended.has_returned(MINION);
    assert!(has_return(lab, to, &jid), "no return at {to}: {ended:?}");
    master.resume().unwrap();
    assert_eq!(relay.settled(), to);
    // The one that hung has published it, and finds nobody who would run it again.
    fresh(relay, to, LONG);
    assert_eq!(ended.wait_for_line(lab), 1, "{ended:?}");
    relay.minion_was_not_restarted();
}

/// Whether the minion's return of a job is in a master's job cache (`local_cache` of Salt: a folder for each job, its id in a file).
fn has_return(lab: &Lab, master: &str, jid: &str) -> bool {
    let cache = lab.folder().join(master).join("cache/jobs");
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let jobs = folders(&cache).into_iter().flat_map(|part| folders(&part));
    let mut jobs = jobs.filter(|job| fs::read_to_string(job.join("jid")).is_ok_and(|found| found == jid));
    jobs.any(|job| job.join(MINION).join("return.p").exists())
}

/// A planned move loses nothing: what is under way ends where it began.
pub(crate) fn a_planned_move_loses_nothing(relay: &mut Relay<'_>) {
    let from = relay.settled();
    let to = other(from);
    let lab = relay.lab;
    let once = Once::start(lab, MINION, 3, &[]);
    once.has_begun(lab);
    let start = Instant::now();
    let (code, printed) = relay.saltfo(&["move", &format!("{to}.xyz.example")]);
    let took = start.elapsed();
    assert_eq!(code, Some(0), "{printed}\n{}", relay.evidence());
    assert_eq!(elected(&relay.status()), Some(to));
    eprintln!("saltfo move: {:.2} s", took.as_secs_f64());
    once.end().has_returned(MINION);
    assert_eq!(relay.settled(), to);
    relay.minion_was_not_restarted();
}

/// The minion was located for the refresh of its pillar, and moves before that has ended: the job goes where it hangs by then.
pub(crate) fn a_job_follows_a_minion_that_moves_while_its_pillar_is_rendered(relay: &mut Relay<'_>) {
    let from = relay.settled();
    let to = other(from);
    let lab = relay.lab;
    let [began, held, ran] =
        ["pillar-began", "pillar-held", "pillar-ran"].map(|name| lab.folder().join(name));
    fs::write(&held, "").unwrap();
    let pillar = |master: &str| lab.folder().join(master).join("srv/pillar");
    for master in MASTERS {
        fs::write(pillar(master).join("top.sls"), "base:\n  '*': [slow]\n").unwrap();
        let wait = format!(
            "touch {}; while [ -e {} ]; do sleep 0.1; done",
            began.display(),
            held.display()
        );
        let slow = format!("slow: \"{{{{ salt['cmd.shell']('{wait}') }}}}\"\n");
        fs::write(pillar(master).join("slow.sls"), slow).unwrap();
    }
    let line = format!("echo once >> {}", ran.display());
    let mut run = lab
        .saltfo(&["run", "--refresh-pillar", MINION, "cmd.run_all", &line])
        .unwrap();
    let run = run
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("a master renders the pillar", LONG, || {
        Ok(began.exists().then_some(()))
    })
    .unwrap();
    let (code, printed) = relay.saltfo(&["move", &format!("{to}.xyz.example")]);
    assert_eq!(code, Some(0), "{printed}\n{}", relay.evidence());
    fs::remove_file(&held).unwrap();
    let ended = run.wait_with_output().unwrap();
    for master in MASTERS {
        fs::remove_file(pillar(master).join("top.sls")).unwrap();
    }
    assert_eq!(ended.status.code(), Some(0), "{ended:?}\n{}", relay.evidence());
    assert_eq!(fs::read_to_string(&ran).unwrap(), "once\n");
    assert_eq!(relay.settled(), to);
    relay.minion_was_not_restarted();
}
