//! The states of a master.

use super::super::simulator::{contrary, down};
use super::super::{Pace, Standing};
use super::{Course, ONE, pong};
use crate::sidecar::facts::Line::{Publish, Request};
use crate::sidecar::facts::{Evidence, Fact, What};
use crate::sidecar::settings::Settings;
use crate::state::State;

fn up() -> Course {
    let mut course = Course::new(Settings::default());
    course.stands(ONE);
    course.verified(ONE);
    assert_eq!(course.standing(), Standing::Up);
    course.told.clear();
    course
}

#[test]
fn the_first_verified_answer_makes_a_master_up_once_both_connections_stand() {
    let mut course = Course::new(Settings::default());
    assert_eq!(course.standing(), Standing::Unknown);
    assert_eq!(course.policy.wants(ONE), Pace::Quick);
    course.verified(ONE);
    assert_eq!(course.standing(), Standing::Unknown);
    course.stands(ONE);
    assert_eq!(course.standing(), Standing::Up);
    assert_eq!(course.policy.wants(ONE), Pace::Steady);
}

#[test]
fn connections_and_heartbeats_bring_nothing_up() {
    let mut course = Course::new(Settings::default());
    course.stands(ONE);
    for _ in 0..100 {
        course.note(ONE, pong(Request));
        course.note(ONE, pong(Publish));
        course.note(ONE, Evidence::Publication);
        course.pass(250);
    }
    assert_eq!(course.changes(), []);
}

#[test]
fn a_killed_master_is_unreachable_at_once_and_never_seems_degraded() {
    let mut course = up();
    course.note(ONE, down(Request, State::Unreachable));
    assert!(!course.policy.masters[0].is_usable());
    course.pass(5);
    course.note(ONE, down(Publish, State::Unreachable));
    assert_eq!(course.changes(), [(5, Standing::Unreachable)]);
}

#[test]
fn one_lost_connection_is_doubted_at_once_and_told_after_a_heartbeat() {
    for line in [Request, Publish] {
        let mut course = up();
        course.note(ONE, down(line, State::Unreachable));
        assert!(!course.policy.masters[0].is_usable());
        assert_eq!(course.policy.wants(ONE), Pace::Quick);
        course.pass(10_000);
        assert_eq!(course.changes(), [(250, Standing::Degraded)]);
    }
}

#[test]
fn misses_in_a_row_are_needed_and_a_late_answer_breaks_the_row() {
    let mut course = up();
    for _ in 0..10 {
        course.misses(ONE, &[Request, Publish], 2);
        course.note(ONE, pong(Request));
        course.note(ONE, pong(Publish));
    }
    assert_eq!(course.changes(), []);
    course.misses(ONE, &[Request, Publish], 3);
    assert_eq!(course.changes().len(), 1);
    assert_eq!(course.standing(), Standing::Unreachable);
}

#[test]
fn a_system_that_takes_connections_of_a_silent_master_tells_that_it_hangs() {
    let mut course = up();
    course.misses(ONE, &[Request, Publish], 1);
    course.note(
        ONE,
        Evidence::Accepts {
            line: Request,
            taken: true,
        },
    );
    course.misses(ONE, &[Request, Publish], 2);
    assert_eq!(course.changes(), [(750, Standing::Hung)]);
    // What was seen before it answered again is old.
    let mut course = up();
    course.misses(ONE, &[Request], 1);
    course.note(
        ONE,
        Evidence::Accepts {
            line: Request,
            taken: true,
        },
    );
    course.note(ONE, pong(Request));
    course.misses(ONE, &[Request, Publish], 3);
    assert_eq!(course.standing(), Standing::Unreachable);
}

#[test]
fn hung_and_unreachable_do_not_take_turns() {
    let mut course = up();
    course.dies(ONE);
    for _ in 0..20 {
        course.pass(1_000);
        course.note(ONE, down(Request, State::Hung));
        course.pass(1_000);
        course.note(ONE, down(Request, State::Unreachable));
    }
    assert_eq!(course.changes(), [(0, Standing::Unreachable)]);
    course.note(ONE, down(Request, State::Hung));
    course.pass(3_000);
    assert_eq!(course.standing(), Standing::Hung);
}

#[test]
fn requests_unanswered_in_a_row_show_that_workers_hang() {
    let mut course = up();
    course.note(ONE, Evidence::Unanswered);
    assert_eq!(
        (course.standing(), course.policy.wants(ONE)),
        (Standing::Up, Pace::Quick)
    );
    course.verified(ONE);
    course.note(ONE, Evidence::Unanswered);
    assert_eq!(course.changes(), []);
    course.note(ONE, Evidence::Unanswered);
    assert_eq!(course.changes(), [(0, Standing::Hung)]);
    let why = &course.policy.masters[0].why;
    assert!(
        why.contains("does not answer requests (2 times in a row)"),
        "{why}"
    );
}

#[test]
fn a_connection_made_anew_does_not_excuse_unanswered_requests() {
    let mut course = up();
    course.note(ONE, Evidence::Unanswered);
    course.stands(ONE);
    course.note(ONE, Evidence::Unanswered);
    assert_eq!(course.standing(), Standing::Hung);
}

#[test]
fn a_master_that_was_down_needs_as_many_verified_answers_as_rise_says() {
    let mut course = up();
    course.dies(ONE);
    course.pass(1_000);
    course.verified(ONE);
    assert_eq!(course.standing(), Standing::Unreachable, "no publish connection");
    course.stands(ONE);
    course.verified(ONE);
    assert_eq!(
        course.standing(),
        Standing::Unreachable,
        "what came before it stood does not count"
    );
    assert_eq!(course.policy.wants(ONE), Pace::Quick);
    course.note(ONE, Evidence::Unanswered);
    course.verified(ONE);
    assert_eq!(course.standing(), Standing::Unreachable, "not in a row");
    course.verified(ONE);
    assert_eq!(course.standing(), Standing::Up);
}

#[test]
fn a_connection_that_is_back_at_once_must_be_proven_all_the_same() {
    let mut course = up();
    course.note(ONE, down(Publish, State::Unreachable));
    course.pass(50);
    course.stands(ONE);
    course.verified(ONE);
    course.pass(1_000);
    assert_eq!(course.changes(), [(250, Standing::Degraded)]);
    course.verified(ONE);
    assert_eq!(course.standing(), Standing::Up);
}

#[test]
fn connections_that_fall_silent_one_after_the_other_are_told_as_one() {
    let mut course = up();
    course.misses(ONE, &[Request], 1);
    course.misses(ONE, &[Request, Publish], 2);
    assert!(!course.policy.standing(ONE).is_dead());
    // The next beat, on a busy host.
    course.pass(450);
    course.note(ONE, Evidence::Missed { line: Publish });
    assert_eq!(course.changes(), [(1_200, Standing::Unreachable)]);

    let mut course = up();
    course.misses(ONE, &[Request], 3);
    course.note(ONE, pong(Publish));
    course.pass(250);
    assert_eq!(course.changes(), [(1_000, Standing::Degraded)]);
}

#[test]
fn an_impostor_is_one_at_once_and_until_the_master_has_proven_itself() {
    let mut course = up();
    course.note(ONE, contrary(State::Impostor));
    assert_eq!(course.changes(), [(0, Standing::Impostor)]);
    // Neither silence nor another word takes that back.
    course.note(ONE, contrary(State::KeyPending));
    course.dies(ONE);
    course.pass(20_000);
    course.stands(ONE);
    course.verified(ONE);
    course.note(ONE, contrary(State::Impostor));
    course.verified(ONE);
    assert_eq!(course.standing(), Standing::Impostor);
    course.verified(ONE);
    assert_eq!(course.standing(), Standing::Up);
}

#[test]
fn what_speaks_no_zmtp_is_an_impostor_on_either_port() {
    for line in [Request, Publish] {
        let mut course = up();
        course.note(ONE, down(line, State::Impostor));
        assert_eq!(course.changes(), [(0, Standing::Impostor)]);
        // The other port does not excuse it, however often it answers.
        if line == Publish {
            for _ in 0..10 {
                course.pass(500);
                course.verified(ONE);
                course.note(ONE, down(line, State::Impostor));
            }
            assert_eq!(course.changes().len(), 1);
        }
    }
}

#[test]
fn what_it_says_of_our_key_is_told_at_once() {
    let states = [
        (State::KeyPending, Standing::KeyPending),
        (State::KeyRejected, Standing::KeyRejected),
        (State::KeyDenied, Standing::KeyDenied),
        (State::Full, Standing::Full),
    ];
    for (state, standing) in states {
        let mut course = up();
        course.note(ONE, contrary(state));
        assert_eq!(course.changes(), [(0, standing)]);
        course.verified(ONE);
        course.verified(ONE);
        assert_eq!(course.standing(), Standing::Up);
    }
}

#[test]
fn one_refusal_is_forgiven() {
    let mut course = up();
    course.note(ONE, contrary(State::Refused));
    course.verified(ONE);
    course.note(ONE, contrary(State::Refused));
    assert_eq!(course.changes(), []);
    course.note(ONE, contrary(State::Refused));
    assert_eq!(course.changes(), [(0, Standing::Refused)]);
}

#[test]
fn forged_publications_are_counted_and_prove_nothing() {
    let mut course = up();
    for _ in 0..1_000 {
        course.note(ONE, Evidence::Forged("signature"));
    }
    assert_eq!(course.changes(), []);
    assert_eq!(course.policy.masters[0].failures["signature"], 1_000);
    // Nor do they show that the connection lives.
    course.misses(ONE, &[Publish], 2);
    course.note(ONE, Evidence::Forged("signature"));
    course.misses(ONE, &[Publish], 1);
    assert!(!course.policy.masters[0].is_usable());
}

#[test]
fn old_evidence_is_none() {
    let mut course = up();
    // Heartbeats go on, but nothing is verified any more: 4 × 5 s + 2 × 3 s + 10 s.
    while course.now < 60_000 {
        course.note(ONE, pong(Request));
        course.note(ONE, pong(Publish));
        course.pass(250);
    }
    assert_eq!(course.changes(), [(36_000, Standing::Unknown)]);
    course.verified(ONE);
    assert_eq!(course.standing(), Standing::Up);
    // No news at all.
    let mut course = up();
    course.dies(ONE);
    course.told.clear();
    course.pass(60_000);
    assert_eq!(course.changes(), [(30_750, Standing::Unknown)]);
}

#[test]
fn who_falls_again_and_again_is_believed_later_each_time() {
    let mut course = up();
    let mut waits = Vec::new();
    for _ in 0..8 {
        course.dies(ONE);
        course.stands(ONE);
        let back = course.now;
        course.verified(ONE);
        while course.standing() != Standing::Up {
            course.verified(ONE);
            course.pass(500);
        }
        waits.push((course.now - back) / 1_000);
    }
    assert_eq!(waits, [0, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn time_does_not_go_back() {
    let mut course = up();
    course.pass(1_000);
    course.note(ONE, pong(Request));
    let early = Fact {
        at: course.start,
        what: What::Master(ONE, down(Request, State::Unreachable)),
    };
    course.policy.note(&early);
    assert!(course.policy.next_tick().unwrap() > course.at());
}
