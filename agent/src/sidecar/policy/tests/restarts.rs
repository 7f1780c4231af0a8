//! When the minion is restarted.

use std::time::{Duration, SystemTime};

use super::super::simulator::down;
use super::{Course, ONE, TWO, local};
use crate::sidecar::facts::Line::{Publish, Request};
use crate::sidecar::facts::{Local, What};
use crate::sidecar::policy::Standing;
use crate::sidecar::settings::{Mode, Settings};
use crate::state::State;

/// The first master hangs as a whole; the minion stays on it, and is looked at every second.
fn hangs(course: &mut Course, milliseconds: u64) {
    let end = course.now + milliseconds;
    course.misses(ONE, &[Request, Publish], 3);
    while course.now < end {
        course.well(1_000, &[ONE]);
        course.note(ONE, down(Request, State::Hung));
        course.note(ONE, down(Publish, State::Hung));
        course.tied(&[ONE]);
    }
}

#[test]
fn a_minion_that_hangs_on_a_dead_master_is_restarted_once_per_backoff() {
    let mut course = Course::ready(Mode::Restart);
    let from = course.now;
    hangs(&mut course, 20_000);
    course.learn(What::Restarted(Ok(())));
    hangs(&mut course, 380_000);
    let restarts = course.restarts();
    let [first, second] = restarts.as_slice() else {
        panic!("{restarts:?}")
    };
    assert!((10_750..=11_750).contains(&(first - from)), "{restarts:?}");
    assert!(second - first >= 300_000, "{restarts:?}");
    let report = course.policy.report(None, course.at(), SystemTime::now());
    assert_eq!(report.restarts, 2);
    let last = report.last_restart.unwrap();
    assert!(
        last.why.contains("salt1, which is hung") && last.why.contains("salt2 is up"),
        "{}",
        last.why
    );
}

#[test]
fn a_command_that_takes_longer_than_the_backoff_has_no_other_beside_it() {
    let mut course = Course::new(Settings {
        mode: Mode::Restart,
        restart_backoff: Duration::from_secs(30),
        ..Settings::default()
    });
    course.becomes_ready();
    hangs(&mut course, 100_000);
    assert_eq!(course.restarts().len(), 1);
    course.learn(What::Restarted(Ok(())));
    hangs(&mut course, 15_000);
    assert_eq!(course.restarts().len(), 2);
}

#[test]
fn a_minion_is_left_where_it_is_served_though_its_master_has_not_been_calm_for_long() {
    let mut course = Course::ready(Mode::Restart);
    let mut calm = 0;
    // The more often it has fallen, the longer it takes until it is up again.
    for _ in 0..6 {
        course.dies(ONE);
        course.well(1_000, &[ONE]);
        course.stands(ONE);
        let from = course.now;
        while course.policy.standing(ONE) != Standing::Up {
            course.well(1_000, &[]);
            course.tied(&[ONE]);
        }
        calm = course.now - from;
    }
    assert!(calm > 15_000, "{calm} ms");
    assert!(course.restarts().is_empty());
}

#[test]
fn a_minion_that_waits_for_a_relay_is_not_helped_by_a_restart() {
    let mut course = Course::ready(Mode::Restart);
    course.policy.minion_waits_for_relay(true);
    for _ in 0..200 {
        course.learn(What::Minion(Local {
            processes: vec![77],
            ..Local::default()
        }));
        course.well(1_000, &[]);
    }
    assert!(course.restarts().is_empty());
}

#[test]
fn a_restart_by_the_sidecar_before_counts() {
    for (ago, allowed) in [(0, 300_000), (100, 200_000), (299, 11_000), (1_000_000, 11_000)] {
        let mut course = Course::new(Settings {
            mode: Mode::Restart,
            ..Settings::default()
        });
        course.policy.was_restarted(Duration::from_secs(ago));
        course.becomes_ready();
        hangs(&mut course, 320_000);
        let first = course.restarts().first().copied().unwrap();
        assert!(
            (allowed..allowed + 15_000).contains(&first),
            "{ago} s ago, again at {first} ms"
        );
    }
}

#[test]
fn nothing_is_restarted_when_observing_or_when_no_master_is_up_or_nothing_is_clear() {
    let mut observing = Course::ready(Mode::Observe);
    hangs(&mut observing, 60_000);
    assert!(observing.restarts().is_empty());

    let mut all_down = Course::ready(Mode::Restart);
    for _ in 0..60 {
        all_down.dies(ONE);
        all_down.dies(TWO);
        all_down.pass(1_000);
        all_down.tied(&[ONE]);
    }
    assert!(all_down.restarts().is_empty());

    let mut unclear = Course::ready(Mode::Restart);
    for _ in 0..60 {
        unclear.dies(ONE);
        unclear.well(1_000, &[ONE]);
        let unknown = Some("no permission".to_owned());
        unclear.learn(What::Minion(Local {
            unknown,
            ..local(&[ONE])
        }));
    }
    assert!(unclear.restarts().is_empty());
}

#[test]
fn another_master_must_be_up_all_the_while() {
    let mut course = Course::ready(Mode::Restart);
    for _ in 0..6 {
        course.dies(ONE);
        course.well(8_000, &[ONE]);
        course.tied(&[ONE]);
        course.note(TWO, down(Publish, State::Unreachable));
        course.stands(TWO);
        course.verified(TWO);
        course.verified(TWO);
    }
    assert!(course.restarts().is_empty());
}

#[test]
fn a_minion_without_a_connection_is_given_a_minute_after_it_started() {
    let mut course = Course::ready(Mode::Restart);
    let from = course.now;
    while course.now < from + 100_000 {
        course.learn(What::Minion(Local {
            processes: vec![77],
            ..Local::default()
        }));
        course.well(1_000, &[]);
    }
    assert_eq!(course.restarts(), [from + 60_000]);
}

#[test]
fn what_became_of_a_restart_is_in_the_report() {
    let result = |course: &Course| {
        let report = course.policy.report(None, course.at(), SystemTime::now());
        report.last_restart.unwrap().result
    };
    let mut course = Course::ready(Mode::Restart);
    hangs(&mut course, 15_000);
    assert_eq!(result(&course), "running");
    course.learn(What::Restarted(Ok(())));
    assert_eq!(result(&course), "restarted");
    course.learn(What::Minion(Local {
        processes: vec![90],
        tied_to: vec![TWO],
        ..Local::default()
    }));
    course.answered(TWO);
    assert_eq!(result(&course), "helped");

    let mut course = Course::ready(Mode::Restart);
    hangs(&mut course, 15_000);
    course.learn(What::Restarted(Err("exit status 5".to_owned())));
    assert_eq!(result(&course), "failed");

    let mut course = Course::ready(Mode::Restart);
    hangs(&mut course, 15_000);
    course.learn(What::Restarted(Ok(())));
    course.pass(300_000);
    assert_eq!(result(&course), "in_vain");
}
