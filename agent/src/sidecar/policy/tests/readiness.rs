//! Whether jobs reach the local minion, how that is proven, and what is told of it.

use std::time::{Duration, SystemTime};

use super::super::simulator::down;
use super::super::{ActiveProof, Decision, Standing};
use super::{Course, ONE, TWO, local};
use crate::sidecar::facts::Line::Publish;
use crate::sidecar::facts::{Local, MasterIndex, RoundTrip, What};
use crate::sidecar::settings::{Mode, Settings};
use crate::state::{State, Verdict};

#[test]
fn the_sidecar_is_ready_when_the_minion_answers_through_a_master_that_is_up() {
    let mut course = Course::new(Settings::default());
    course.stands(ONE);
    course.verified(ONE);
    course.tied(&[ONE]);
    assert!(!course.policy.readiness().is_ready());
    course.pass(2_000);
    assert_eq!(course.round_trips().len(), 1);
    course.answered(ONE);
    assert_eq!(course.policy.readiness().master(), Some(ONE));
    course.dies(ONE);
    assert!(!course.policy.readiness().is_ready());
    assert!(
        course
            .policy
            .readiness()
            .why
            .contains("salt1, which is unreachable")
    );
    // It is back, and so is the minion: but only a new round trip tells.
    course.stands(ONE);
    course.verified(ONE);
    course.verified(ONE);
    assert_eq!(course.standing(), Standing::Up);
    assert!(!course.policy.readiness().is_ready());
    course.pass(2_000);
    course.answered(ONE);
    assert!(course.policy.readiness().is_ready());
}

#[test]
fn the_loss_of_a_connection_ends_readiness_before_it_is_degraded() {
    let mut course = Course::ready(Mode::Observe);
    course.note(ONE, down(Publish, State::Unreachable));
    assert_eq!(course.standing(), Standing::Up);
    assert!(!course.policy.readiness().is_ready());
}

#[test]
fn a_new_tie_is_proven_at_once_and_counted_as_a_failover() {
    let mut course = Course::ready(Mode::Observe);
    let now = course.now;
    course.tied(&[TWO]);
    assert!(!course.policy.readiness().is_ready());
    assert_eq!(course.round_trips(), [(now, TWO)]);
    course.answered(TWO);
    assert_eq!(course.policy.readiness().master(), Some(TWO));
    assert!(
        course
            .told
            .iter()
            .any(|(_, decision)| *decision == Decision::FailedOver { from: ONE, to: TWO })
    );
    assert_eq!(course.policy.failovers(), 1);
}

#[test]
fn a_minion_that_hears_nothing_is_asked_again_and_again_at_growing_pauses() {
    let mut course = Course::ready(Mode::Observe);
    course.tied(&[TWO]);
    for _ in 0..6 {
        course.learn(What::RoundTrip(TWO, RoundTrip::Silent));
        let why = &course.policy.readiness().why;
        assert!(why.contains("salt2, which is up, and hears nothing"), "{why}");
        let asked = course.round_trips().len();
        while course.round_trips().len() == asked {
            course.well(1_000, &[]);
            course.tied(&[TWO]);
        }
    }
    let times: Vec<u64> = course.round_trips().iter().map(|(at, _)| *at).collect();
    let pauses: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1_000).collect();
    assert_eq!(pauses, [10, 20, 40, 60, 60, 60]);
    course.answered(TWO);
    assert!(course.policy.readiness().is_ready());
}

#[test]
fn where_round_trips_are_not_permitted_the_connection_is_all_that_is_known() {
    let mut course = Course::ready(Mode::Observe);
    course.tied(&[TWO]);
    course.learn(What::RoundTrip(
        TWO,
        RoundTrip::NotPermitted("does not let minion01 publish test.ping".to_owned()),
    ));
    let active = course.policy.readiness().active.clone().unwrap();
    assert_eq!((active.master, active.proof), (TWO, ActiveProof::Connection));
    let report = course.policy.report(None, course.at(), SystemTime::now());
    assert_eq!(report.active.unwrap().proof, "connection");
    assert_eq!(
        report.why,
        "connected to salt2; more is not known: salt2 does not let minion01 publish test.ping"
    );
}

#[test]
fn a_round_trip_that_could_not_be_tried_changes_nothing() {
    let mut course = Course::ready(Mode::Observe);
    let crowded = || RoundTrip::Failed(Verdict::because(State::Refused, true, "others publish"));
    course.learn(What::RoundTrip(ONE, crowded()));
    assert!(course.policy.readiness().is_ready());
    course.tied(&[TWO]);
    course.learn(What::RoundTrip(TWO, crowded()));
    assert!(!course.policy.readiness().is_ready());
}

#[test]
fn an_answer_to_what_was_asked_before_a_change_proves_nothing() {
    let mut course = Course::ready(Mode::Observe);
    course.tied(&[TWO]);
    course.tied(&[]);
    course.tied(&[TWO]);
    course.pass(100);
    course.tied(&[ONE]);
    course.pass(100);
    course.tied(&[TWO]);
    course.answered(TWO);
    assert!(!course.policy.readiness().is_ready());
    course.pass(2_000);
    course.answered(TWO);
    assert!(course.policy.readiness().is_ready());
}

#[test]
fn a_minion_that_cannot_be_seen_is_found_by_asking_all_masters() {
    let mut course = Course::ready(Mode::Observe);
    let unknown = Some("no permission".to_owned());
    course.learn(What::Minion(Local {
        unknown,
        ..Local::default()
    }));
    assert_eq!(course.policy.readiness().master(), Some(ONE), "it answered there");
    course.dies(ONE);
    assert!(course.policy.readiness().why.contains("no permission"));
    course.pass(2_000);
    assert_eq!(
        course
            .round_trips()
            .iter()
            .map(|(_, master)| *master)
            .collect::<Vec<_>>(),
        [TWO]
    );
    course.answered(TWO);
    assert_eq!(course.policy.readiness().master(), Some(TWO));
}

#[test]
fn a_minion_that_does_not_run_or_hangs_on_a_stranger_is_not_reachable() {
    let mut course = Course::ready(Mode::Restart);
    course.learn(What::Minion(Local::default()));
    assert_eq!(course.policy.readiness().why, "no salt-minion runs here");
    let strangers = vec!["192.0.2.9:4505".parse().unwrap()];
    course.learn(What::Minion(Local {
        strangers,
        ..local(&[])
    }));
    assert!(course.policy.readiness().why.contains("192.0.2.9:4505"));
    assert!(course.restarts().is_empty());
}

#[test]
fn nobody_relies_on_an_old_look_at_the_minion() {
    let mut course = Course::ready(Mode::Observe);
    course.well(40_000, &[]);
    assert!(!course.policy.readiness().is_ready());
    course.tied(&[ONE]);
    assert!(course.policy.readiness().is_ready());
}

#[test]
fn a_reload_keeps_what_is_known_of_the_masters_that_stay() {
    let mut course = Course::ready(Mode::Observe);
    course.dies(TWO);
    let masters = vec![
        ("salt3".to_owned(), None),
        ("salt2".to_owned(), Some(TWO)),
        ("salt1".to_owned(), Some(ONE)),
    ];
    let told = course.policy.reload(Settings::default(), masters, course.at());
    assert_eq!(told, []);
    let standings = [0, 1, 2].map(|index| course.policy.standing(MasterIndex(index)));
    assert_eq!(
        standings,
        [Standing::Unknown, Standing::Unreachable, Standing::Up]
    );
    assert_eq!(course.policy.readiness().master(), Some(MasterIndex(2)));
    // Without the active one there is none.
    let masters = vec![("salt2".to_owned(), Some(MasterIndex(1)))];
    course.policy.reload(Settings::default(), masters, course.at());
    assert!(!course.policy.readiness().is_ready());
    assert_eq!(course.policy.failovers(), 0);
}

/// The same masters under other settings.
fn reloaded(course: &mut Course, settings: Settings) {
    let masters = vec![("salt1".to_owned(), Some(ONE)), ("salt2".to_owned(), Some(TWO))];
    let told = course.policy.reload(settings, masters, course.at());
    course.tell(told);
}

#[test]
fn a_shorter_round_trip_counts_from_the_reload_on() {
    let mut course = Course::ready(Mode::Observe);
    let before = course.round_trips().len();
    let round_trip = Duration::from_secs(5);
    reloaded(
        &mut course,
        Settings {
            round_trip,
            ..Settings::default()
        },
    );
    course.well(7_000, &[]);
    assert_eq!(course.round_trips().len(), before + 1);
    assert!(course.policy.readiness().is_ready());
}

#[test]
fn a_round_trip_that_a_reload_gave_up_is_made_again_soon() {
    let mut course = Course::ready(Mode::Observe);
    course.tied(&[TWO]);
    let through_two = |course: &Course| {
        let asked = course.round_trips();
        asked.iter().filter(|(_, master)| *master == TWO).count()
    };
    assert_eq!(through_two(&course), 1);
    reloaded(&mut course, Settings::default());
    course.well(3_000, &[]);
    assert_eq!(through_two(&course), 2);
}

#[test]
fn a_minion_that_waits_for_a_relay_that_is_not_there_is_told() {
    let mut course = Course::ready(Mode::Observe);
    course.policy.minion_waits_for_relay(true);
    assert!(course.policy.readiness().is_ready());
    course.tied(&[]);
    let why = &course.policy.readiness().why;
    assert!(
        why.contains("mode: relay") && why.contains("saltfo setup direct"),
        "{why}"
    );
}

#[test]
fn the_report_has_its_shape() {
    let course = Course::ready(Mode::Observe);
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let report = serde_json::to_value(course.policy.report(None, course.at(), wall)).unwrap();
    assert_eq!(report["at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(report["ready"], true);
    assert_eq!(report["mode"], "observe");
    assert_eq!(report["active"]["name"], "salt1");
    assert_eq!(report["active"]["proof"], "round_trip");
    assert_eq!(report["active"]["rtt_ms"], 70.0);
    let one = &report["masters"][0];
    assert_eq!((&one["name"], &one["state"]), (&"salt1".into(), &"up".into()));
    assert_eq!(one["since"], "2027-01-15T07:59:58.000Z");
    assert_eq!(one["last_verified"]["latency_ms"], 3.0);
    assert_eq!(one["request"]["state"], "stands");
    assert_eq!(one["last_round_trip"]["result"], "answered");
    assert_eq!(report["masters"][1]["active"], false);
    assert_eq!(report["minion"]["tied_to"][0], "salt1");
    assert_eq!(report["last_restart"], serde_json::Value::Null);
}
