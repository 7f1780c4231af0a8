//! A world in virtual time for tests: masters in true states that the policy cannot see, watches that turn them into the facts
//! that real ones would tell, and a minion.

use std::time::Duration;

use proto::message::Jid;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use super::{Decision, Pace, Policy, Standing};
use crate::sidecar::facts::{Evidence, Fact, Line, Local, MasterIndex, RoundTrip, What};
use crate::sidecar::settings::{Mode, Settings};
use crate::state::{State, Verdict};

/// The grain of time, in milliseconds.
const STEP: u64 = 25;
const LINES: [Line; 2] = [Line::Request, Line::Publish];

/// The true state of a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Healthy,
    /// Every heartbeat and request is answered late, but in time.
    Slow,
    Killed,
    /// SIGSTOP: its system still takes connections.
    Stopped,
    WorkersStopped,
    Cut,
    PublishClosed,
    RequestClosed,
    Impostor,
    KeyPending,
    /// So many heartbeats of a hundred are lost.
    Lossy(u32),
}

impl Truth {
    /// What has to be said of it after some time.
    pub(super) fn standing(self) -> Option<Standing> {
        Some(match self {
            Self::Healthy | Self::Slow => Standing::Up,
            Self::Killed | Self::Cut => Standing::Unreachable,
            Self::Stopped | Self::WorkersStopped => Standing::Hung,
            Self::PublishClosed | Self::RequestClosed => Standing::Degraded,
            Self::Impostor => Standing::Impostor,
            Self::KeyPending => Standing::KeyPending,
            Self::Lossy(_) => return None,
        })
    }

    pub(super) fn works(self) -> bool {
        matches!(self, Self::Healthy | Self::Slow | Self::Lossy(_))
    }

    fn takes(self, line: Line) -> bool {
        match self {
            Self::Killed | Self::Cut => false,
            Self::PublishClosed => line == Line::Request,
            Self::RequestClosed => line == Line::Publish,
            _ => true,
        }
    }

    fn is_silent(self) -> bool {
        matches!(self, Self::Stopped | Self::Cut)
    }
}

/// A connection as the watch has it.
#[derive(Debug)]
enum Wire {
    /// Dialled at, after so many failed tries.
    Down(u64, u32),
    /// What comes of a dial, and when.
    Dialling(u64, u32, Option<State>),
    Stands {
        ping_at: u64,
        pong_at: Option<u64>,
        waits: bool,
        misses: u32,
    },
}

#[derive(Debug)]
struct Host {
    truth: Truth,
    wires: [Wire; 2],
    verify_at: u64,
    /// Sent at.
    verifying: Option<u64>,
    unanswered: u32,
    contrary: u32,
    pace: Pace,
    /// When a round trip through it ends, and how.
    round_trip: Option<(u64, RoundTrip)>,
}

/// How the local minion behaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    /// It leaves a master that it cannot reach by itself; otherwise it hangs on it.
    pub(super) fails_over: bool,
    /// It stays deaf after it changed masters, until so much later.
    pub(super) deaf_for: u64,
    /// Round trips are permitted.
    pub(super) permitted: bool,
    /// The kernel shows its connections.
    pub(super) seen: bool,
    /// Its service can be restarted.
    pub(super) restarts: bool,
}

/// What happened, in milliseconds since the start.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Truth(usize, Truth),
    Fact(What),
    Decision(Decision),
}

/// The world.
pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) settings: Settings,
    pub(super) log: Vec<(u64, Event)>,
    pub(super) now: u64,
    start: Instant,
    hosts: Vec<Host>,
    random: StdRng,
    habits: Habits,
    /// The master that the minion is connected to.
    pub(super) tied: Option<usize>,
    tie_at: u64,
    deaf_until: u64,
    look_at: u64,
    pid: u32,
    jobs: u32,
    restarted_at: Option<u64>,
}

impl World {
    pub(super) fn new(settings: Settings, truths: &[Truth], habits: Habits, seed: u64) -> Self {
        let start = Instant::now();
        let names = (1..=truths.len()).map(|number| format!("salt{number}")).collect();
        let host = |truth: &Truth| Host {
            truth: *truth,
            wires: [Wire::Down(0, 0), Wire::Down(0, 0)],
            verify_at: 0,
            verifying: None,
            unanswered: 0,
            contrary: 0,
            pace: Pace::Quick,
            round_trip: None,
        };
        Self {
            policy: Policy::new(settings.clone(), names, start, seed),
            settings,
            log: truths
                .iter()
                .enumerate()
                .map(|(index, truth)| (0, Event::Truth(index, *truth)))
                .collect(),
            now: 0,
            start,
            hosts: truths.iter().map(host).collect(),
            random: StdRng::seed_from_u64(seed),
            habits,
            tied: None,
            tie_at: 0,
            deaf_until: 0,
            look_at: 0,
            pid: 100,
            jobs: 0,
            restarted_at: None,
        }
    }

    pub(super) fn truth(&self, master: usize) -> Truth {
        self.hosts[master].truth
    }

    /// The true state of a master changes.
    pub(super) fn set(&mut self, master: usize, truth: Truth) {
        self.log.push((self.now, Event::Truth(master, truth)));
        self.hosts[master].truth = truth;
        for line in LINES {
            // Its system says that nobody is there any more; one connection is told a little later.
            let breaks = truth == Truth::Killed || (!truth.is_silent() && !truth.takes(line));
            if breaks && matches!(self.hosts[master].wires[line as usize], Wire::Stands { .. }) {
                self.hosts[master].wires[line as usize] = Wire::Down(self.now + 100, 0);
                self.evidence(master, down(line, State::Unreachable));
            }
        }
        if self.tied == Some(master) && (truth == Truth::Killed || truth == Truth::PublishClosed) {
            self.untie();
        }
    }

    pub(super) fn tie(&mut self, master: usize) {
        self.tied = Some(master);
        self.deaf_until = self.now + self.habits.deaf_for;
        self.look();
    }

    fn untie(&mut self) {
        self.tied = None;
        self.tie_at = self.now + self.random.random_range(1_000..11_000);
    }

    /// Time passes.
    pub(super) fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while self.now < end {
            self.now += STEP;
            for master in 0..self.hosts.len() {
                for line in LINES {
                    self.wire(master, line);
                }
                self.verification(master);
                let due = self.hosts[master].round_trip.take_if(|(at, _)| *at <= self.now);
                if let Some((_, end)) = due {
                    self.fact(What::RoundTrip(MasterIndex(master), end));
                }
            }
            self.minion();
            self.tick();
        }
    }

    fn wire(&mut self, master: usize, line: Line) {
        let (now, truth) = (self.now, self.hosts[master].truth);
        let heartbeat = u64::try_from(self.settings.heartbeat.as_millis()).unwrap();
        let limit = self.settings.heartbeat_misses;
        let lost = matches!(truth, Truth::Lossy(percent) if self.random.random_range(0..100) < percent);
        let wire = &mut self.hosts[master].wires[line as usize];
        let mut told = Vec::new();
        match wire {
            Wire::Down(at, tries) if *at <= now => {
                let (takes, end) = match truth {
                    Truth::Stopped => (1_000, Some(State::Hung)),
                    Truth::Cut => (1_000, Some(State::Unreachable)),
                    // So the beats of the two connections are up to an interval apart.
                    _ if truth.takes(line) => (self.random.random_range(1..=heartbeat), None),
                    _ => (0, Some(State::Unreachable)),
                };
                *wire = Wire::Dialling(now + takes, *tries, end);
            }
            Wire::Dialling(at, tries, end) if *at <= now => match end {
                Some(state) => {
                    told.push(down(line, *state));
                    *wire = Wire::Down(now + (100 << (*tries).min(4)).min(2_000), *tries + 1);
                }
                None if truth.is_silent() || !truth.takes(line) => {
                    told.push(down(line, State::Unreachable));
                    *wire = Wire::Down(now + 100, 0);
                }
                None => {
                    let peer = "10.0.0.1:4505".parse().unwrap();
                    told.push(Evidence::Connected { line, peer });
                    *wire = Wire::Stands {
                        ping_at: now,
                        pong_at: None,
                        waits: false,
                        misses: 0,
                    };
                    self.hosts[master].verify_at = now;
                }
            },
            Wire::Stands {
                ping_at,
                pong_at,
                waits,
                misses,
            } => {
                if truth.is_silent() {
                    *pong_at = None;
                }
                if pong_at.take_if(|at| *at <= now).is_some() {
                    (*misses, *waits) = (0, false);
                    told.push(Evidence::Pong {
                        line,
                        after: Duration::from_millis(1),
                    });
                }
                if *ping_at <= now {
                    if *waits {
                        *misses += 1;
                        told.push(Evidence::Missed { line });
                        // A host that is cut off says nothing in this time.
                        if *misses == 1 && truth != Truth::Cut {
                            told.push(Evidence::Accepts {
                                line,
                                taken: truth.takes(line),
                            });
                        }
                    }
                    *ping_at = now + heartbeat;
                    *waits = true;
                    let late = if truth == Truth::Slow { 200 } else { 0 };
                    if pong_at.is_none() && !lost && !truth.is_silent() {
                        *pong_at = Some(now + late);
                    }
                }
                if *misses >= limit {
                    *wire = Wire::Down(now, 0);
                }
            }
            _ => {}
        }
        told.into_iter()
            .for_each(|evidence| self.evidence(master, evidence));
    }

    fn verification(&mut self, master: usize) {
        let (now, timeout) = (self.now, self.settings.verify_timeout);
        let host = &mut self.hosts[master];
        if !matches!(host.wires[0], Wire::Stands { .. }) {
            host.verifying = None;
            return;
        }
        let Some(sent) = host.verifying else {
            if host.verify_at <= now {
                host.verifying = Some(now);
            }
            return;
        };
        let took = Duration::from_millis(now - sent);
        let answer = match host.truth {
            Truth::Healthy | Truth::PublishClosed | Truth::Lossy(_) => Some(Evidence::Verified {
                after: took,
                signed_in: false,
            }),
            Truth::Slow if took >= timeout.mul_f64(0.8) => Some(Evidence::Verified {
                after: took,
                signed_in: false,
            }),
            Truth::Impostor => Some(contrary(State::Impostor)),
            Truth::KeyPending => Some(contrary(State::KeyPending)),
            _ => (took >= timeout).then_some(Evidence::Unanswered),
        };
        let Some(answer) = answer else { return };
        host.verifying = None;
        let count = |so_far: u32, is: bool| if is { so_far + 1 } else { 0 };
        host.unanswered = count(host.unanswered, matches!(answer, Evidence::Unanswered));
        host.contrary = count(host.contrary, matches!(answer, Evidence::Contrary(_)));
        let pause = match (host.unanswered, host.contrary) {
            (1, _) => Duration::ZERO,
            (_, 0) => host.pace.interval(&self.settings),
            (_, tries) => {
                let most = Duration::from_secs(30).max(self.settings.verify);
                (self.settings.verify * 2_u32.pow(tries.min(10) - 1)).min(most)
            }
        };
        let pause = pause.mul_f64(self.random.random_range(0.9..1.1));
        self.hosts[master].verify_at = now + u64::try_from(pause.as_millis()).unwrap();
        self.evidence(master, answer);
    }

    /// Whether the minion has our relay instead of a master.
    fn relayed(&self) -> bool {
        self.settings.mode == Mode::Relay
    }

    fn minion(&mut self) {
        if self.relayed() {
            if self.look_at <= self.now {
                self.look();
            }
            return;
        }
        if self.restarted_at.take_if(|at| *at <= self.now).is_some() {
            if self.habits.restarts {
                self.pid += 10;
                self.fact(What::Restarted(Ok(())));
                self.untie();
            } else {
                self.fact(What::Restarted(Err("exit status 5".to_owned())));
            }
        }
        if let Some(master) = self.tied {
            let leaves = self.habits.fails_over && !self.truth(master).works();
            if leaves && self.random.random_range(0..400) == 0 {
                self.untie();
            }
        } else if self.tie_at <= self.now {
            let works = |master: &usize| self.truth(*master).works();
            let works: Vec<usize> = (0..self.hosts.len()).filter(works).collect();
            match works.as_slice() {
                [] => self.tie_at = self.now + 1_000,
                works => {
                    let chosen = works[self.random.random_range(0..works.len())];
                    self.tie(chosen);
                }
            }
        }
        if self.look_at <= self.now {
            self.look();
        }
    }

    fn look(&mut self) {
        self.look_at = self.now + 1_000;
        // Children come and go.
        let child = self.pid + 1 + u32::try_from(self.now / 1_000 % 2).unwrap();
        let local = if self.habits.seen {
            Local {
                processes: vec![self.pid, child],
                tied_to: self.tied.map(MasterIndex).into_iter().collect(),
                relayed: self.relayed(),
                strangers: Vec::new(),
                unknown: None,
            }
        } else {
            Local {
                unknown: Some("no permission".to_owned()),
                ..Local::default()
            }
        };
        self.fact(What::Minion(local));
    }

    fn evidence(&mut self, master: usize, evidence: Evidence) {
        self.fact(What::Master(MasterIndex(master), evidence));
    }

    fn fact(&mut self, what: What) {
        self.log.push((self.now, Event::Fact(what.clone())));
        let decisions = self.policy.note(&Fact { at: self.at(), what });
        self.take(decisions);
    }

    pub(super) fn at(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    /// Ticks when it is due; and sometimes when it is not, which must change nothing.
    fn tick(&mut self) {
        let is_due = self.policy.next_tick().is_some_and(|due| due <= self.at());
        if is_due {
            let decisions = self.policy.tick(self.at());
            self.take(decisions);
        } else if self.random.random_range(0..8) == 0 {
            assert_eq!(
                self.policy.tick(self.at()),
                [],
                "a tick was due that was not told"
            );
        }
        assert!(
            self.policy.next_tick().is_none_or(|due| due > self.at()),
            "a busy loop"
        );
    }

    fn take(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            match &decision {
                Decision::RoundTrip(master) => self.begin_round_trip(master.0),
                Decision::Elected { .. } => self.deaf_until = self.now + self.habits.deaf_for,
                Decision::RestartMinion { .. } => {
                    assert!(self.restarted_at.is_none());
                    self.restarted_at = Some(self.now + 500);
                }
                _ => {}
            }
            self.log.push((self.now, Event::Decision(decision)));
        }
        for master in 0..self.hosts.len() {
            let pace = self.policy.wants(MasterIndex(master));
            let host = &mut self.hosts[master];
            if pace == Pace::Quick && host.pace != pace && host.contrary == 0 {
                host.verify_at = host.verify_at.min(self.now);
            }
            host.pace = pace;
        }
    }

    fn begin_round_trip(&mut self, master: usize) {
        assert!(self.hosts[master].round_trip.is_none(), "one is under way");
        self.jobs += 1;
        let jid = Jid::parse(&format!("20261121{:012}", self.jobs)).unwrap();
        let truth = self.truth(master);
        let carried = self.policy.elected().filter(|_| self.relayed());
        let tied = carried.map(|elected| elected.0).or(self.tied);
        let hears = tied == Some(master) && self.now >= self.deaf_until;
        let after = Duration::from_millis(80);
        let (takes, end) = match (truth.works(), self.habits.permitted) {
            (true, true) if hears => (80, RoundTrip::Answered { jid, after }),
            (true, true) => (10_000, RoundTrip::Silent),
            (true, false) => (
                20,
                RoundTrip::NotPermitted("does not let minion01 publish test.ping".to_owned()),
            ),
            (false, _) => {
                let verdict = Verdict::because(State::Hung, false, "no reply");
                (10_000, RoundTrip::Failed(verdict))
            }
        };
        self.hosts[master].round_trip = Some((self.now + takes, end));
    }
}

pub(super) fn down(line: Line, state: State) -> Evidence {
    let why = match state {
        State::Hung => "no handshake",
        State::Impostor => "no ZMTP",
        _ => "refused",
    };
    let verdict = Verdict::because(state, false, why);
    Evidence::Down { line, verdict }
}

pub(super) fn contrary(state: State) -> Evidence {
    Evidence::Contrary(Verdict::because(state, false, "why"))
}
