//! Which master the relay has, and what became of a switch.

use std::time::SystemTime;

use proto::message::Mark;

use super::super::{Decision, MoveError, Moved};
use super::{Course, ONE, TWO, local};
use crate::sidecar::control::Outcome;
use crate::sidecar::facts::Errand;
use crate::sidecar::facts::{Local, MasterIndex, RoundTrip, What};
use crate::sidecar::settings::{Election, Mode, Settings};

impl Course {
    /// A relay over two masters that are up; jobs reach the minion through the first.
    fn relay(policy: Election) -> Self {
        let mut course = Self::new(Settings {
            mode: Mode::Relay,
            policy,
            ..Settings::default()
        });
        for master in [ONE, TWO] {
            course.stands(master);
            course.verified(master);
        }
        course.relayed();
        course.pass(2_000);
        if let Some(elected) = course.policy.elected() {
            course.answered(elected);
        }
        assert!(
            course.policy.readiness().is_ready(),
            "{:?}",
            course.policy.readiness()
        );
        course
    }

    fn relayed(&mut self) {
        self.learn(What::Minion(Local {
            relayed: true,
            ..local(&[])
        }));
    }

    /// As `well`, and the minion is looked at.
    fn relayed_well(&mut self, milliseconds: u64, silent: &[MasterIndex]) {
        let end = self.now + milliseconds;
        while self.now < end {
            self.well(1_000, silent);
            self.relayed();
        }
    }

    fn elections(&self) -> Vec<(u64, Option<MasterIndex>, MasterIndex, bool)> {
        let election = |(at, decision): &(u64, Decision)| match decision {
            Decision::Elected {
                from, to, planned, ..
            } => Some((*at, *from, *to, *planned)),
            _ => None,
        };
        self.told.iter().filter_map(election).collect()
    }

    /// As the daemon does: it looks at once what follows.
    fn move_to(&mut self, to: Option<&str>) {
        let now = self.at();
        self.policy.move_to(to, now).unwrap();
        let decisions = self.policy.tick(now);
        self.tell(decisions);
    }

    /// A `test.ping` of somebody who does not say what follows, or a job.
    fn hands_out(&mut self, master: MasterIndex, is_ping: bool) -> bool {
        let errand = if is_ping {
            Errand::Lookup(None)
        } else {
            Errand::Job(None)
        };
        self.hands(master, &errand)
    }

    fn hands(&mut self, master: MasterIndex, errand: &Errand) -> bool {
        let now = self.at();
        let hands_out = self.policy.hands_out(master, errand, now);
        let decisions = self.policy.tick(now);
        self.tell(decisions);
        hands_out
    }

    fn last_result(&self) -> String {
        let report = self.policy.report(None, self.at(), SystemTime::now());
        report.relay.unwrap().last_switch.unwrap().result.to_owned()
    }
}

#[test]
fn the_first_of_the_list_is_elected_and_what_is_tied_to_the_relay_is_tied_to_it() {
    let course = Course::relay(Election::Sticky);
    assert_eq!(course.elections(), [(0, None, ONE, true)]);
    let report = course.policy.report(None, course.at(), SystemTime::now());
    assert_eq!(report.minion.tied_to, ["salt1"]);
    assert_eq!(report.active.unwrap().name, "salt1");
    let relay = report.relay.unwrap();
    assert_eq!(
        (relay.master.as_deref(), relay.minion_connected),
        (Some("salt1"), Some(true))
    );
}

#[test]
fn what_a_sidecar_before_had_elected_is_elected_again_but_for_prefer_and_if_it_is_up() {
    for (policy, dead, expected) in [
        (Election::Sticky, false, TWO),
        (Election::Random, false, TWO),
        (Election::Prefer, false, ONE),
        (Election::Sticky, true, ONE),
    ] {
        let mut course = Course::new(Settings {
            mode: Mode::Relay,
            policy,
            ..Settings::default()
        });
        course.policy.was_elected("salt2");
        course.stands(ONE);
        course.verified(ONE);
        if dead {
            course.dies(TWO);
        } else {
            course.stands(TWO);
            course.verified(TWO);
        }
        course.pass(3_000);
        assert_eq!(course.policy.elected(), Some(expected), "{policy:?}");
    }
}

#[test]
fn a_master_that_nothing_is_known_of_is_waited_for_but_not_for_long() {
    let mut course = Course::new(Settings {
        mode: Mode::Relay,
        ..Settings::default()
    });
    course.stands(TWO);
    course.verified(TWO);
    assert_eq!(course.elections(), []);
    course.pass(2_000);
    assert_eq!(course.elections(), [(2_000, None, TWO, true)]);
}

#[test]
fn a_dead_master_is_left_at_once_and_the_new_one_is_proven() {
    let mut course = Course::relay(Election::Sticky);
    course.pass(500);
    let at = course.now;
    course.dies(ONE);
    assert_eq!(course.elections()[1..], [(at, Some(ONE), TWO, false)]);
    assert!(!course.policy.readiness().is_ready());
    assert!(course.hands_out(TWO, true) && !course.hands_out(ONE, false));
    assert_eq!(course.last_result(), "pending");
    course.pass(2_000);
    let asked = course.round_trips();
    let (asked_at, _) = asked.iter().find(|(asked_at, _)| *asked_at >= at).unwrap();
    assert!((at..=at + 2_000).contains(asked_at), "{asked:?}");
    course.answered(TWO);
    assert_eq!(course.last_result(), "proven");
    assert_eq!(course.policy.readiness().master(), Some(TWO));
    let proofs = course.told.iter().filter(|(_, decision)| {
        matches!(decision, Decision::Proven { from: ONE, to: TWO, after } if after.as_millis() == 2_000)
    });
    assert_eq!(proofs.count(), 1);
    assert_eq!(course.policy.failovers(), 1);
}

#[test]
fn without_another_master_that_is_up_nothing_changes() {
    let mut course = Course::relay(Election::Sticky);
    course.dies(TWO);
    course.dies(ONE);
    course.pass(60_000);
    assert_eq!(course.elections().len(), 1);
    assert_eq!(course.policy.elected(), Some(ONE));
    course.stands(TWO);
    course.verified(TWO);
    course.verified(TWO);
    assert_eq!(course.policy.elected(), Some(TWO));
}

#[test]
fn with_no_master_up_one_that_has_proven_itself_need_not_be_calm() {
    let mut course = Course::relay(Election::Sticky);
    // It falls again and again, and is believed later each time.
    for _ in 0..4 {
        course.dies(TWO);
        course.stands(TWO);
        course.verified(TWO);
        course.verified(TWO);
        course.relayed_well(20_000, &[]);
    }
    course.dies(TWO);
    course.dies(ONE);
    course.pass(1_000);
    course.stands(TWO);
    course.verified(TWO);
    assert_eq!(course.policy.elected(), Some(ONE));
    course.verified(TWO);
    assert_ne!(course.policy.standing(TWO), super::Standing::Up);
    assert_eq!(course.policy.elected(), Some(TWO));
}

#[test]
fn only_prefer_goes_back_and_only_after_a_minute_without_a_break() {
    for (policy, expected) in [(Election::Sticky, TWO), (Election::Prefer, ONE)] {
        let mut course = Course::relay(policy);
        course.dies(ONE);
        course.answered(TWO);
        course.stands(ONE);
        course.verified(ONE);
        course.verified(ONE);
        let up = course.now;
        course.relayed_well(58_000, &[]);
        assert_eq!(course.policy.elected(), Some(TWO), "{policy:?}");
        course.relayed_well(10_000, &[]);
        assert_eq!(course.policy.elected(), Some(expected), "{policy:?}");
        if let Some((at, _, _, planned)) = course.elections().get(2) {
            assert!(*planned && at - up >= 60_000, "{at}");
        }
    }
}

#[test]
fn an_order_moves_the_minion_and_lets_nobody_be_led_to_the_old_master_meanwhile() {
    let mut course = Course::relay(Election::Prefer);
    let now = course.at();
    assert_eq!(
        course.policy.move_to(Some("salt1"), now),
        Err(MoveError::There("salt1".to_owned()))
    );
    assert_eq!(
        course.policy.move_to(Some("salt3"), now),
        Err(MoveError::Unknown("salt3".to_owned()))
    );
    // Somebody was led to it just before.
    assert!(course.hands_out(ONE, true));
    course.pass(50);
    course.move_to(None);
    assert!(!course.hands_out(ONE, true) && course.hands_out(ONE, false));
    course.pass(69);
    assert_eq!(course.policy.elected(), Some(ONE));
    course.pass(1);
    assert_eq!(
        course.elections().last(),
        Some(&(course.now, Some(ONE), TWO, true))
    );
    // One minion alone is moved: nobody else asks at the same time.
    assert_eq!(course.round_trips().last(), Some(&(course.now, TWO)));
    course.answered(TWO);
    // What was ordered is not undone by a preference.
    course.relayed_well(200_000, &[]);
    assert_eq!(course.policy.elected(), Some(TWO));
}

#[test]
fn a_move_waits_for_the_jobs_that_were_announced_and_for_no_other() {
    for comes in [true, false] {
        let mut course = Course::relay(Election::Sticky);
        let [one, two] = [(); 2].map(|()| Mark::generate(&mut rand::rng()));
        assert!(course.hands(ONE, &Errand::Lookup(Some(one.clone()))));
        assert!(course.hands(ONE, &Errand::Lookup(Some(two.clone()))));
        assert!(course.hands(ONE, &Errand::Job(Some(two))));
        course.pass(700);
        course.move_to(None);
        course.pass(600);
        assert_eq!(course.policy.elected(), Some(ONE));
        if comes {
            assert!(course.hands(ONE, &Errand::Job(None)));
            assert!(course.hands(ONE, &Errand::Job(Some(one))));
        } else {
            // Whoever it was is gone.
            course.pass(699);
            assert_eq!(course.policy.elected(), Some(ONE));
            course.pass(1);
        }
        assert_eq!(course.policy.elected(), Some(TWO));
    }
}

#[test]
fn a_move_waits_for_nobody_if_nobody_was_led_to_the_old_master_just_before() {
    let mut course = Course::relay(Election::Sticky);
    assert!(course.hands_out(ONE, true) && course.hands_out(ONE, false));
    course.pass(120);
    course.move_to(None);
    assert_eq!(
        course.elections().last(),
        Some(&(course.now, Some(ONE), TWO, true))
    );
}

#[test]
fn a_move_to_and_fro_is_proven_at_once_each_time() {
    let mut course = Course::relay(Election::Sticky);
    for to in [TWO, ONE, TWO] {
        course.pass(300);
        course.move_to(None);
        assert_eq!(course.round_trips().last(), Some(&(course.now, to)));
        course.pass(100);
        course.answered(to);
        assert_eq!(course.last_result(), "proven");
    }
}

#[test]
fn where_round_trips_are_not_permitted_a_move_is_not_called_proven() {
    let mut course = Course::relay(Election::Sticky);
    let ordered = course.at();
    course.move_to(None);
    course.pass(200);
    course.learn(What::RoundTrip(
        TWO,
        RoundTrip::NotPermitted("does not".to_owned()),
    ));
    assert_eq!(course.policy.elected(), Some(TWO));
    assert_eq!(course.last_result(), "connected");
    let Moved::Ended(done) = course.policy.moved_since(ordered) else {
        panic!("it is pending")
    };
    assert_eq!((done.result, done.after_ms), (Outcome::Unproven, None));
    let is_proof = |(_, decision): &(u64, Decision)| matches!(decision, Decision::Proven { .. });
    assert!(!course.told.iter().any(is_proof));
}

#[test]
fn a_master_that_is_not_up_is_no_goal() {
    let mut course = Course::relay(Election::Sticky);
    course.dies(TWO);
    let refused = course.policy.move_to(Some("salt2"), course.at());
    assert!(matches!(refused, Err(MoveError::NotUp(_))), "{refused:?}");
    assert_eq!(course.policy.move_to(None, course.at()), Err(MoveError::NoOther));
    let mut observer = Course::ready(Mode::Observe);
    assert_eq!(
        observer.policy.move_to(None, observer.at()),
        Err(MoveError::NoRelay)
    );
}

#[test]
fn a_planned_move_that_loses_the_minion_is_taken_back() {
    let mut course = Course::relay(Election::Sticky);
    course.relayed_well(3_000, &[]);
    course.move_to(None);
    course.pass(200);
    course.learn(What::RoundTrip(TWO, RoundTrip::Silent));
    assert_eq!(course.policy.elected(), Some(ONE));
    assert_eq!(course.last_result(), "taken_back");
}

#[test]
fn a_drained_master_is_left_and_taken_only_if_there_is_no_other() {
    let mut course = Course::relay(Election::Sticky);
    course.policy.drain("salt1", true).unwrap();
    course.pass(1);
    course.relayed_well(2_000, &[]);
    assert_eq!(course.policy.elected(), Some(TWO));
    course.answered(TWO);
    course.dies(TWO);
    assert_eq!(course.policy.elected(), Some(ONE));
    // It stays: the other one is not up.
    course.relayed_well(10_000, &[TWO]);
    assert_eq!(course.policy.elected(), Some(ONE));
}

#[test]
fn the_minions_of_a_dead_master_do_not_all_ask_the_other_one_at_once() {
    let asked = |seed: u64| {
        let mut course = Course::relay(Election::Sticky);
        course.policy.minion.reseed(seed);
        let at = course.now;
        course.dies(ONE);
        course.pass(2_000);
        course.round_trips().last().unwrap().0 - at
    };
    let mut times: Vec<u64> = (0..20).map(asked).collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() >= 15, "{times:?}");
}

#[test]
fn a_fleet_spreads_itself() {
    let first = |seed: u64| {
        let mut policy = super::super::Policy::new(
            Settings {
                mode: Mode::Relay,
                policy: Election::Random,
                ..Settings::default()
            },
            vec!["salt1".to_owned(), "salt2".to_owned()],
            tokio::time::Instant::now(),
            seed,
        );
        let mut course = Course::new(policy.settings.clone());
        std::mem::swap(&mut course.policy, &mut policy);
        for master in [ONE, TWO] {
            course.stands(master);
            course.verified(master);
        }
        course.policy.elected().unwrap()
    };
    let ones = (0..100).filter(|seed| first(*seed) == ONE).count();
    assert!((25..=75).contains(&ones), "{ones} of 100");
}

/// The configuration is read again: the masters that there are, each with its former number.
fn reload(course: &mut Course, masters: &[(&str, Option<MasterIndex>)]) {
    let masters = masters
        .iter()
        .map(|(name, former)| ((*name).to_owned(), *former))
        .collect();
    let settings = course.policy.settings.clone();
    let told = course.policy.reload(settings, masters, course.at());
    course.tell(told);
}

#[test]
fn masters_in_another_order_are_the_same_also_to_a_minion_whose_connections_are_not_seen() {
    let mut course = Course::relay(Election::Sticky);
    course.learn(What::Minion(Local {
        unknown: Some("no permission".to_owned()),
        ..Local::default()
    }));
    course.answered(ONE);
    assert_eq!(course.policy.readiness().master(), Some(ONE));
    reload(&mut course, &[("salt2", Some(TWO)), ("salt1", Some(ONE))]);
    assert_eq!(course.policy.elected(), Some(TWO));
    assert_eq!(course.policy.readiness().master(), Some(TWO));
    assert_eq!(course.elections().len(), 1);
}

#[test]
fn an_elected_master_that_is_taken_out_of_the_list_is_left_at_once() {
    let mut course = Course::relay(Election::Sticky);
    reload(&mut course, &[("salt2", Some(TWO))]);
    let last = course.elections().pop().unwrap();
    assert_eq!((last.1, last.2), (None, ONE));
    assert_eq!(course.policy.elected(), Some(ONE));
    course.relayed();
    course.answered(ONE);
    assert!(course.policy.readiness().is_ready());
    // When it comes back the minion stays where it is.
    reload(&mut course, &[("salt1", None), ("salt2", Some(ONE))]);
    assert_eq!(course.policy.elected(), Some(TWO));
    course.stands(ONE);
    course.verified(ONE);
    course.relayed_well(70_000, &[]);
    assert_eq!(course.policy.elected(), Some(TWO));
    assert_eq!(course.elections().len(), 2);
}
