//! Jobs that are under way while the relay changes masters: each runs once, and its return arrives.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use integration::Lab;

use crate::agent::{LONG, MINION, Relay, elected, other};
use crate::faults::fresh;
use crate::once::Once;

/// The dispatches of [`none_of_many_dispatches_runs_twice`], and how many of them are under way at a time.
const DISPATCHES: usize = 40;
const AT_ONCE: usize = 4;

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

/// Jobs are dispatched all the while, and the elected master is killed in the middle: none runs twice, and of what `saltfo run` says
/// that it succeeded, everything has run.
pub(crate) fn none_of_many_dispatches_runs_twice(relay: &mut Relay<'_>) {
    let from = relay.settled();
    let lab = relay.lab;
    let file = lab.folder().join("dispatches");
    let _ = fs::remove_file(&file);
    let (next, killed) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    let start = Instant::now();
    let mut codes: Vec<(usize, i32, Duration)> = std::thread::scope(|scope| {
        let dispatch = || {
            let mut codes = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= DISPATCHES {
                    return codes;
                }
                if number == DISPATCHES / 2 {
                    lab.master(from).unwrap().kill().unwrap();
                    killed.store(number, Ordering::SeqCst);
                }
                let line = format!("echo dispatch-{number}- >> {}", file.display());
                let begun = Instant::now();
                let mut command = lab
                    .saltfo(&["run", MINION, "cmd.run", &line, "--timeout", "60"])
                    .unwrap();
                let output = command.output().unwrap();
                codes.push((number, output.status.code().unwrap_or(-1), begun.elapsed()));
            }
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(dispatch)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    codes.sort_unstable_by_key(|(number, ..)| *number);
    assert_ne!(killed.into_inner(), usize::MAX, "no switch in the middle");
    lab.master(from).unwrap().start().unwrap();
    relay.settled();
    let ran = fs::read_to_string(&file).unwrap_or_default();
    for (number, code, _) in &codes {
        let times = ran.matches(&format!("dispatch-{number}-")).count();
        assert!(times <= 1, "dispatch {number} ran {times} times: {codes:?}");
        // 0: it has run. 7: nobody knows. 3 to 5: nothing was published, and that is said.
        assert!([0, 3, 4, 5, 7].contains(code), "dispatch {number}: {codes:?}");
        if *code == 0 {
            assert_eq!(times, 1, "dispatch {number} is said to have run: {codes:?}");
        } else if *code != 7 {
            assert_eq!(
                times, 0,
                "dispatch {number} is said not to have been published: {codes:?}"
            );
        }
    }
    let with = |wanted: i32| codes.iter().filter(|(_, code, _)| *code == wanted).count();
    let longest = codes.iter().map(|(.., took)| *took).max().unwrap_or_default();
    eprintln!(
        "{DISPATCHES} dispatches, {AT_ONCE} at a time, in {:.1} s with a master killed in the middle: {} succeeded, {} with unknown outcome, \
         {} not published; the longest took {:.1} s",
        start.elapsed().as_secs_f64(),
        with(0),
        with(7),
        DISPATCHES - with(0) - with(7),
        longest.as_secs_f64()
    );
    // Those under way when it died, at most.
    assert!(with(0) + AT_ONCE + 2 >= DISPATCHES, "{codes:?}");
    relay.minion_was_not_restarted();
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
