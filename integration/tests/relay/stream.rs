//! Jobs that are dispatched all the while, ten a second, as the minion changes its master.

use std::fmt;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use integration::Lab;

use crate::agent::{MINION, Relay, elected, other};

const A_SECOND: u32 = 10;
const DISPATCHES: usize = 30;
/// What one of them may take on a slow machine. They are published one at a time, so they queue.
const TIMEOUT: &str = "300";

/// How one `saltfo run` ended.
struct Ended {
    code: i32,
    took: Duration,
    /// How often its line is in the file.
    times: usize,
    said: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, took) = (self.code, self.took.as_secs_f64());
        write!(
            f,
            "exit {code} after {took:.1} s, ran {} times: {}",
            self.times, self.said
        )
    }
}

/// A planned move loses nothing, and is noticed by nobody.
pub(crate) fn a_planned_move_under_a_stream_of_jobs_loses_none(relay: &mut Relay<'_>) {
    let to = other(relay.settled());
    let ended = stream(relay, "moved", |relay| {
        let (code, printed) = relay.saltfo(&["move", &format!("{to}.xyz.example")]);
        assert_eq!(code, Some(0), "{printed}\n{}", relay.evidence());
    });
    assert_eq!(elected(&relay.status()), Some(to));
    for run in &ended {
        assert_eq!(run.code, 0, "{run}");
    }
    relay.minion_was_not_restarted();
}

/// The elected master is killed: none runs twice, what is said to have run has, and only of what it was just told nobody may know.
pub(crate) fn a_master_that_dies_under_a_stream_of_jobs_loses_none(relay: &mut Relay<'_>) {
    let from = relay.settled();
    let lab = relay.lab;
    let ended = stream(relay, "killed", |_| lab.master(from).unwrap().kill().unwrap());
    lab.master(from).unwrap().start().unwrap();
    relay.settled();
    let unknown = ended.iter().filter(|run| run.code != 0);
    let unknown = unknown.inspect(|run| assert_eq!(run.code, 7, "{run}")).count();
    assert!(unknown <= 2, "of {unknown} nobody knows what became of them");
    relay.minion_was_not_restarted();
}

/// Dispatches jobs at an even pace, whatever becomes of those before, and has the master changed in the middle.
fn stream(relay: &Relay<'_>, name: &str, switch: impl Fn(&Relay<'_>) + Sync) -> Vec<Ended> {
    let lab = relay.lab;
    let file = lab.folder().join(format!("stream-{name}"));
    fs::write(&file, "").unwrap();
    let start = Instant::now();
    let mut ended: Vec<Ended> = std::thread::scope(|scope| {
        let mut runs = Vec::new();
        for number in 0..DISPATCHES {
            if number == DISPATCHES / 2 {
                scope.spawn(|| switch(relay));
            }
            let line = format!("echo {name}-{number}- >> {}", file.display());
            runs.push(scope.spawn(move || run(lab, &line)));
            let next = Duration::from_secs(1) / A_SECOND * u32::try_from(number).unwrap().strict_add(1);
            std::thread::sleep(next.saturating_sub(start.elapsed()));
        }
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let took = start.elapsed();
    let ran = fs::read_to_string(&file).unwrap();
    for (number, run) in ended.iter_mut().enumerate() {
        run.times = ran.matches(&format!("{name}-{number}-")).count();
        assert!(run.times <= 1, "dispatch {number} ran more than once: {run}");
        // 7: nobody knows.
        if run.code != 7 {
            assert_eq!(run.times == 1, run.code == 0, "dispatch {number}: {run}");
        }
    }
    let mut times: Vec<Duration> = ended.iter().map(|run| run.took).collect();
    times.sort_unstable();
    eprintln!(
        "{DISPATCHES} dispatches, {A_SECOND} a second, in {:.1} s with a master {name} in the middle: {} succeeded; half of them took at \
         most {:.1} s, the longest {:.1} s",
        took.as_secs_f64(),
        ended.iter().filter(|run| run.code == 0).count(),
        times[DISPATCHES / 2].as_secs_f64(),
        times[DISPATCHES - 1].as_secs_f64()
    );
    ended
}

/// `cmd.run_all` tells its retcode itself, so that no runner has to be asked for it.
fn run(lab: &Lab, line: &str) -> Ended {
    let start = Instant::now();
    let mut command = lab
        .saltfo(&["run", MINION, "cmd.run_all", line, "--timeout", TIMEOUT])
        .unwrap();
    let output = command.stdin(Stdio::null()).output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        took: start.elapsed(),
        times: 0,
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
