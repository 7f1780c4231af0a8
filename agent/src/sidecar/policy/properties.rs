//! Properties of the policy over generated histories of the [`simulator`](super::simulator)'s world.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::simulator::{Event, Habits, Truth, World};
use super::{Decision, Standing};
use crate::sidecar::facts::{Evidence, Line, MasterIndex, What};
use crate::sidecar::settings::{Election, Mode, Settings};
use crate::state::State;

/// By then the last change is through: the slowest is a key that was accepted after tries 30 s apart, then a calm of 60 s.
const QUIET: u64 = 120_000;

#[derive(Debug, Clone)]
struct History {
    seed: u64,
    habits: Habits,
    settings: Settings,
    first: [Truth; 2],
    changes: Vec<(u64, usize, Truth)>,
}

fn truth() -> impl Strategy<Value = Truth> {
    prop_oneof![
        6 => Just(Truth::Healthy),
        2 => Just(Truth::Slow),
        2 => Just(Truth::Killed),
        2 => Just(Truth::Stopped),
        2 => Just(Truth::WorkersStopped),
        2 => Just(Truth::Cut),
        1 => Just(Truth::PublishClosed),
        1 => Just(Truth::RequestClosed),
        1 => Just(Truth::Impostor),
        1 => Just(Truth::KeyPending),
    ]
}

fn habits() -> impl Strategy<Value = Habits> {
    let deaf_for = prop_oneof![4 => Just(0), 1 => 1_000_u64..40_000];
    let mostly = || prop::bool::weighted(0.8);
    (any::<bool>(), deaf_for, mostly(), mostly(), mostly()).prop_map(
        |(fails_over, deaf_for, permitted, seen, restarts)| Habits {
            fails_over,
            deaf_for,
            permitted,
            seen,
            restarts,
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    let mode = prop_oneof![Just(Mode::Observe), Just(Mode::Restart), Just(Mode::Relay)];
    let policy = prop_oneof![
        Just(Election::Sticky),
        Just(Election::Prefer),
        Just(Election::Random)
    ];
    (mode, policy, 1..4_u32, 1..4_u32, 1..4_u32, 15..300_u64).prop_map(
        |(mode, policy, heartbeat_misses, verify_misses, rise, backoff)| Settings {
            mode,
            policy,
            heartbeat_misses,
            verify_misses,
            rise,
            restart_backoff: Duration::from_secs(backoff),
            ..Settings::default()
        },
    )
}

fn history() -> impl Strategy<Value = History> {
    let pause = prop_oneof![1 => 25_u64..2_000, 2 => 2_000_u64..40_000];
    let change = (pause, 0..2_usize, truth());
    let changes = prop::collection::vec(change, 0..7);
    (any::<u64>(), habits(), settings(), [truth(), truth()], changes).prop_map(
        |(seed, habits, settings, first, changes)| History {
            seed,
            habits,
            settings,
            first,
            changes,
        },
    )
}

fn play(history: &History) -> World {
    let mut world = World::new(
        history.settings.clone(),
        &history.first,
        history.habits,
        history.seed,
    );
    world.run(5_000);
    for (pause, master, truth) in &history.changes {
        world.set(*master, *truth);
        world.run(*pause);
    }
    world.run(QUIET);
    world
}

/// How long after a change readiness may stay, in milliseconds: 500 for a master that is killed, and for default settings 1200 for
/// one that falls silent and 12 000 for one whose workers hang.
fn allowed(truth: Truth, settings: &Settings) -> Option<u64> {
    let (misses, unanswered) = (
        u64::from(settings.heartbeat_misses),
        u64::from(settings.verify_misses),
    );
    Some(match truth {
        Truth::Killed | Truth::PublishClosed | Truth::RequestClosed => 500,
        Truth::Stopped | Truth::Cut => 200 + 250 * (misses + 1),
        // The next request, its timeout, another at once, then quickly.
        Truth::WorkersStopped => 200 + 5_500 + 3_000 * unanswered + 550 * unanswered.saturating_sub(2),
        Truth::Impostor | Truth::KeyPending => 6_000,
        Truth::Healthy | Truth::Slow | Truth::Lossy(_) => return None,
    })
}

/// What an observer, who reads the facts of one master only, can say.
#[derive(Debug, Clone, Default)]
struct Observer {
    gone: HashMap<Line, bool>,
    misses: HashMap<Line, u32>,
    takes: HashMap<Line, bool>,
    lost_at: Option<u64>,
    verified_since_trouble: u32,
    unanswered: u32,
    verified_since_impostor: Option<u32>,
    claims_pending: bool,
    newest: u64,
}

impl Observer {
    fn note(&mut self, at: u64, evidence: &Evidence, settings: &Settings) {
        self.newest = at;
        match evidence {
            Evidence::Connected { line, .. } | Evidence::Pong { line, .. } => {
                self.misses.insert(*line, 0);
                self.takes.remove(line);
                if self.gone.insert(*line, false) == Some(true) {
                    self.verified_since_trouble = 0;
                }
            }
            Evidence::Missed { line } => {
                let misses = self.misses.entry(*line).or_default();
                *misses += 1;
                if *misses >= settings.heartbeat_misses {
                    self.lose(*line, at);
                }
            }
            Evidence::Accepts { line, taken } => {
                self.takes.insert(*line, *taken);
            }
            Evidence::Down { line, verdict } => {
                self.takes.insert(*line, verdict.state == State::Hung);
                self.lose(*line, at);
            }
            Evidence::Verified { .. } => {
                // It came over the connection for requests.
                self.misses.insert(Line::Request, 0);
                self.verified_since_trouble += 1;
                self.unanswered = 0;
                self.claims_pending = false;
                let since = self.verified_since_impostor.take().map(|so_far| so_far + 1);
                self.verified_since_impostor = since.filter(|since| *since < settings.rise);
            }
            Evidence::Unanswered => {
                self.verified_since_trouble = 0;
                self.unanswered += 1;
                self.verified_since_impostor = self.verified_since_impostor.map(|_| 0);
            }
            Evidence::Contrary(verdict) => {
                self.verified_since_trouble = 0;
                self.unanswered = 0;
                if verdict.state == State::Impostor {
                    self.verified_since_impostor = Some(0);
                } else {
                    self.claims_pending = true;
                }
            }
            Evidence::Publication | Evidence::Forged(_) => {}
        }
    }

    fn lose(&mut self, line: Line, at: u64) {
        self.verified_since_trouble = 0;
        self.gone.insert(line, true);
        self.lost_at = Some(at);
        if line == Line::Request {
            self.unanswered = 0;
        }
    }

    fn is_gone(&self, line: Line) -> bool {
        self.gone.get(&line) == Some(&true)
    }

    fn stands(&self, line: Line) -> bool {
        self.gone.get(&line) == Some(&false)
    }

    /// Whether the facts allow this state, which was left for another at `at`.
    fn allows(&self, from: Standing, to: Standing, at: u64, settings: &Settings) -> bool {
        let both_gone = self.is_gone(Line::Request) && self.is_gone(Line::Publish);
        let takes = self.takes.values().any(|takes| *takes);
        match to {
            Standing::Unknown => at >= self.newest + 30_000,
            Standing::Up => {
                let needed = if from == Standing::Unknown {
                    1
                } else {
                    settings.rise
                };
                let stand = self.stands(Line::Request) && self.stands(Line::Publish);
                stand && self.verified_since_trouble >= needed && self.verified_since_impostor.is_none()
            }
            Standing::Degraded => {
                let one = self.is_gone(Line::Request) != self.is_gone(Line::Publish);
                // What was said before is taken back, and it has fallen too often to be trusted at once.
                let outlived = from == Standing::Impostor && self.verified_since_impostor.is_none();
                one || outlived || self.lost_at.is_some_and(|lost| at - lost <= 1_000)
            }
            Standing::Hung => self.unanswered >= settings.verify_misses || (both_gone && takes),
            Standing::Unreachable => both_gone && !takes,
            Standing::Impostor => self.verified_since_impostor.is_some(),
            Standing::KeyPending => self.claims_pending,
            _ => false,
        }
    }
}

/// Checks each transition against the facts that came before it, and that nobody counts on a master without proof.
fn check_evidence(world: &World) -> Result<Vec<Observer>, TestCaseError> {
    let settings = &world.settings;
    let mut observers = vec![Observer::default(); 2];
    let mut standings = [Standing::Unknown; 2];
    let mut active: Option<MasterIndex> = None;
    let mut answered = [false; 2];
    let proof_given = |observer: &Observer| {
        observer.verified_since_trouble > 0
            || (observer.unanswered < settings.verify_misses
                && observer.stands(Line::Request)
                && observer.stands(Line::Publish))
    };
    for (at, event) in &world.log {
        // What the fact before led to has been told.
        if let (Some(active), Event::Fact(_)) = (active, event) {
            prop_assert_eq!(standings[active.0], Standing::Up);
            prop_assert!(
                proof_given(&observers[active.0]),
                "{} ms: ready without proof",
                at
            );
        }
        match event {
            Event::Fact(What::Master(index, evidence)) => {
                observers[index.0].note(*at, evidence, settings);
            }
            Event::Fact(What::RoundTrip(index, end)) => {
                use crate::sidecar::facts::RoundTrip::{Answered, NotPermitted};
                answered[index.0] |= matches!(end, Answered { .. } | NotPermitted(_));
            }
            Event::Decision(Decision::Changed(change)) => {
                let index = change.master.0;
                let observer = &observers[index];
                prop_assert_eq!(standings[index], change.from);
                prop_assert!(
                    observer.allows(change.from, change.to, *at, settings),
                    "{} ms: {:?} of {:?}",
                    at,
                    change,
                    observer
                );
                standings[index] = change.to;
                // A round trip through it counts from now on.
                answered[index] &= change.to == Standing::Up && change.from == Standing::Up;
            }
            Event::Decision(Decision::Ready(readiness)) => {
                active = readiness.master();
                if let Some(active) = active {
                    prop_assert!(answered[active.0], "{} ms: ready without a round trip", at);
                }
            }
            Event::Decision(Decision::Elected { to, .. }) => {
                prop_assert_eq!(settings.mode, Mode::Relay);
                // The last resort has proven itself as one that is up.
                let none_up = !standings.contains(&Standing::Up);
                let proven = observers[to.0].verified_since_trouble >= settings.rise;
                let may_be = standings[to.0] == Standing::Up || (none_up && proven);
                prop_assert!(may_be, "{} ms: elected, not up", at);
                prop_assert!(proof_given(&observers[to.0]), "{} ms: elected without proof", at);
            }
            Event::Decision(Decision::RestartMinion { .. }) => {
                prop_assert_eq!(settings.mode, Mode::Restart);
                let is_up = |index: usize| standings[index] == Standing::Up;
                prop_assert!(is_up(0) || is_up(1), "{} ms: restarted with no master up", at);
                prop_assert!(active.is_none(), "{} ms: restarted though all is well", at);
            }
            _ => {}
        }
    }
    Ok(observers)
}

/// For how long each master has been in its true state, at each change of it, and what was the active master then.
fn check_bounds(world: &World, observers: &[Observer]) -> Result<(), TestCaseError> {
    let mut truths = [Truth::Killed; 2];
    let mut active = None;
    // By when readiness has to have gone.
    let mut deadline: Option<(u64, Truth)> = None;
    for (at, event) in &world.log {
        if let Some((by, truth)) = deadline {
            prop_assert!(*at <= by, "still ready {} ms, {:?}", at, truth);
        }
        match event {
            Event::Truth(index, truth) => {
                truths[*index] = *truth;
                if active != Some(MasterIndex(*index)) {
                    continue;
                }
                deadline = allowed(*truth, &world.settings).map(|within| (at + within, *truth));
            }
            Event::Decision(Decision::Ready(readiness)) => {
                active = readiness.master();
                deadline = None;
            }
            _ => {}
        }
    }
    for (index, truth) in truths.iter().enumerate() {
        let standing = world.policy.standing(MasterIndex(index));
        // One that was seen in its place is believed gone when it has proven itself, not when nobody answers.
        let is_impostor = observers[index].verified_since_impostor.is_some();
        let expected = if is_impostor {
            Some(Standing::Impostor)
        } else {
            truth.standing()
        };
        prop_assert_eq!(Some(standing), expected, "salt{}", index + 1);
    }
    Ok(())
}

fn transitions(world: &World) -> Vec<(u64, usize, Standing)> {
    let change = |(at, event): &(u64, Event)| match event {
        Event::Decision(Decision::Changed(change)) => Some((*at, change.master.0, change.to)),
        _ => None,
    };
    world.log.iter().filter_map(change).collect()
}

/// In the end the relay has a master that is up, if there is one; and it went no further than masters fell.
fn check_elections(world: &World, history: &History) -> Result<(), TestCaseError> {
    if world.settings.mode != Mode::Relay {
        return Ok(());
    }
    let is_up = |index: &MasterIndex| world.policy.standing(*index) == Standing::Up;
    if world.policy.masters().any(|index| is_up(&index)) {
        prop_assert!(world.policy.elected().is_some_and(|elected| is_up(&elected)));
    }
    let elections = world
        .log
        .iter()
        .filter(|(_, event)| matches!(event, Event::Decision(Decision::Elected { .. })));
    // The first; one away from and one back to a master for each of its changes.
    let most = 1 + 2 * (history.changes.len() + 2);
    prop_assert!(elections.count() <= most);
    Ok(())
}

/// A change of a master leads to its new state in a few steps.
fn check_noise(world: &World, history: &History) -> Result<(), TestCaseError> {
    for index in 0..2 {
        let changes = history
            .changes
            .iter()
            .filter(|(_, master, _)| *master == index)
            .count();
        let transitions = transitions(world);
        let told: Vec<_> = transitions
            .iter()
            .filter(|(_, master, _)| *master == index)
            .collect();
        prop_assert!(told.len() <= 2 * (changes + 1), "{changes} changes: {told:?}");
    }
    Ok(())
}

fn check_restarts(world: &World) -> Result<Vec<u64>, TestCaseError> {
    let restarts = world.log.iter().filter_map(|(at, event)| match event {
        Event::Decision(Decision::RestartMinion { .. }) => Some(*at),
        _ => None,
    });
    let restarts: Vec<u64> = restarts.collect();
    let backoff = u64::try_from(world.settings.restart_backoff.as_millis()).unwrap();
    for pair in restarts.windows(2) {
        prop_assert!(pair[1] - pair[0] >= backoff, "{:?}", restarts);
    }
    // Not before the minion was stuck, with another master up, for `restart_after`.
    for restart in &restarts {
        let from = restart - u64::try_from(world.settings.restart_after.as_millis()).unwrap();
        let ready = |(at, event): &(u64, Event)| {
            let is_ready =
                matches!(event, Event::Decision(Decision::Ready(readiness)) if readiness.is_ready());
            is_ready && *at > from && at < restart
        };
        prop_assert!(!world.log.iter().any(ready));
    }
    Ok(restarts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_state_has_its_evidence_comes_in_time_and_is_told_once(history in history()) {
        let world = play(&history);
        let observers = check_evidence(&world)?;
        check_bounds(&world, &observers)?;
        check_restarts(&world)?;
        check_noise(&world, &history)?;
        check_elections(&world, &history)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_quiet_world_stays_quiet(
        seed in any::<u64>(), slow in any::<bool>(), habits in habits(), misses in 1..4_u32,
    ) {
        let first = [if slow { Truth::Slow } else { Truth::Healthy }, Truth::Healthy];
        let settings = Settings { mode: Mode::Restart, heartbeat_misses: misses, ..Settings::default() };
        let mut world = World::new(settings, &first, habits, seed);
        world.run(60_000);
        let (told, from) = (transitions(&world), world.log.len());
        prop_assert_eq!(told.len(), 2, "{:?}", told);
        let can_be_known = habits.permitted || habits.seen;
        prop_assert_eq!(world.policy.readiness().is_ready(), can_be_known, "{:?}", world.policy.readiness());
        world.run(900_000);
        let decisions: Vec<_> = world.log[from..].iter().filter_map(|(at, event)| match event {
            Event::Decision(Decision::RoundTrip(_)) => None,
            Event::Decision(decision) => Some((at, decision)),
            _ => None,
        }).collect();
        prop_assert!(decisions.is_empty(), "{decisions:?}");
        let asked = world.log[from..].iter();
        let asked = asked.filter(|(_, event)| matches!(event, Event::Decision(Decision::RoundTrip(_)))).count();
        // Every 5 minutes, a fifth more or less.
        let masters = if can_be_known { 1 } else { 2 };
        prop_assert!((2 * masters..=4 * masters).contains(&asked), "{asked} round trips in 15 minutes");
    }

    #[test]
    fn a_path_that_loses_packets_makes_little_noise(seed in any::<u64>(), percent in 5..70_u32) {
        let habits = Habits { fails_over: false, deaf_for: 0, permitted: true, seen: true, restarts: true };
        let first = [Truth::Lossy(percent), Truth::Healthy];
        let mut world = World::new(Settings::default(), &first, habits, seed);
        world.run(600_000);
        let falls = transitions(&world).iter().filter(|(_, master, to)| {
            *master == 0 && *to == Standing::Up
        }).count();
        // 1 + the six that lead to the longest calm + one in each such minute.
        prop_assert!(falls <= 17, "up {falls} times in ten minutes");
        let others = transitions(&world).iter().filter(|(_, master, _)| *master == 1).count();
        prop_assert_eq!(others, 1);
    }

    #[test]
    fn the_verdict_on_an_impostor_leaves_when_the_genuine_master_is_back_and_verified(
        seed in any::<u64>(), rise in 1..4_u32, stays in prop::collection::vec(6_000..40_000_u64, 1..6),
        killed in any::<bool>(),
    ) {
        let habits = Habits { fails_over: true, deaf_for: 0, permitted: true, seen: true, restarts: true };
        let settings = Settings { rise, ..Settings::default() };
        let within = u64::from(rise) * u64::try_from(settings.verify.as_millis()).unwrap();
        let mut world = World::new(settings, &[Truth::Healthy, Truth::Healthy], habits, seed);
        world.run(30_000);
        for stay in stays {
            if killed {
                world.set(0, Truth::Killed);
                world.run(1_000);
            }
            world.set(0, Truth::Impostor);
            world.run(stay);
            prop_assert_eq!(world.policy.standing(MasterIndex(0)), Standing::Impostor);
            if killed {
                world.set(0, Truth::Killed);
                world.run(1_000);
            }
            let from = world.log.len();
            world.set(0, Truth::Healthy);
            let verified = |(_, event): &(u64, Event)| {
                matches!(event, Event::Fact(What::Master(MasterIndex(0), Evidence::Verified { .. })))
            };
            while !world.log[from..].iter().any(verified) {
                world.run(25);
                prop_assert!(world.now < 1_000_000, "never verified");
            }
            world.run(within);
            let standing = world.policy.standing(MasterIndex(0));
            prop_assert!(standing != Standing::Impostor, "{standing} {within} ms after a verified answer");
            // It is trusted again in the end.
            world.run(70_000);
            prop_assert_eq!(world.policy.standing(MasterIndex(0)), Standing::Up);
        }
    }

    #[test]
    fn a_master_that_falls_silent_as_a_whole_is_told_in_one_step(
        seed in any::<u64>(), misses in 1..6_u32, pause in 0..1_000_u64, cut in any::<bool>(),
    ) {
        let habits = Habits { fails_over: false, deaf_for: 0, permitted: true, seen: true, restarts: true };
        let settings = Settings { heartbeat_misses: misses, ..Settings::default() };
        let mut world = World::new(settings, &[Truth::Healthy, Truth::Healthy], habits, seed);
        world.run(30_000 + pause);
        let from = transitions(&world).len();
        world.set(0, if cut { Truth::Cut } else { Truth::Stopped });
        world.run(20_000);
        let expected = if cut { Standing::Unreachable } else { Standing::Hung };
        let told: Vec<_> = transitions(&world).split_off(from);
        prop_assert_eq!(told.iter().map(|(_, _, to)| *to).collect::<Vec<_>>(), [expected], "{:?}", told);
    }

    #[test]
    fn heartbeats_alone_bring_nothing_up(seed in any::<u64>(), pause in 0..10_000_u64) {
        let habits = Habits { fails_over: true, deaf_for: 0, permitted: true, seen: true, restarts: true };
        let first = [Truth::WorkersStopped, Truth::Healthy];
        let mut world = World::new(Settings::default(), &first, habits, seed);
        world.run(60_000 + pause);
        world.set(0, Truth::Killed);
        world.run(10_000);
        world.set(0, Truth::WorkersStopped);
        world.run(60_000);
        prop_assert!(transitions(&world).iter().all(|(_, master, to)| *master == 1 || *to != Standing::Up));
        prop_assert_eq!(world.policy.standing(MasterIndex(0)), Standing::Hung);
    }

    #[test]
    fn a_minion_that_hangs_on_a_dead_master_is_restarted_and_proven_to_answer(
        seed in any::<u64>(), fault in prop_oneof![Just(Truth::Stopped), Just(Truth::Cut), Just(Truth::WorkersStopped)],
    ) {
        let habits = Habits { fails_over: false, deaf_for: 0, permitted: true, seen: true, restarts: true };
        let settings = Settings { mode: Mode::Restart, ..Settings::default() };
        let mut world = World::new(settings, &[Truth::Healthy, Truth::Healthy], habits, seed);
        world.run(30_000);
        let tied = world.tied.unwrap();
        world.set(tied, fault);
        let at = world.now;
        world.run(60_000);
        let restart = world.log.iter().find_map(|(at, event)| {
            matches!(event, Event::Decision(Decision::RestartMinion { .. })).then_some(*at)
        });
        let restart = restart.expect("a restart") - at;
        prop_assert!((10_000..=23_000).contains(&restart), "after {restart} ms");
        let report = world.policy.report(None, world.at(), std::time::SystemTime::now());
        let last = report.last_restart.unwrap();
        prop_assert_eq!(last.result, "helped");
        prop_assert_eq!(last.master, Some(format!("salt{}", 2 - tied)));
        prop_assert_eq!(report.failovers, 1);
        prop_assert!(last.after_ms.unwrap() < Duration::from_secs(20).as_secs_f64() * 1e3);
    }

    #[test]
    fn a_restart_that_does_not_help_is_tried_again_once_per_backoff(seed in any::<u64>(), backoff in 15..120_u64) {
        let habits = Habits { fails_over: false, deaf_for: 0, permitted: true, seen: true, restarts: false };
        let settings = Settings {
            mode: Mode::Restart,
            restart_backoff: Duration::from_secs(backoff),
            ..Settings::default()
        };
        let mut world = World::new(settings, &[Truth::Healthy, Truth::Healthy], habits, seed);
        world.run(30_000);
        world.set(world.tied.unwrap(), Truth::Stopped);
        world.run(300_000);
        let restarts = check_restarts(&world)?;
        prop_assert!(restarts.len() >= 2, "{restarts:?}");
    }
}
