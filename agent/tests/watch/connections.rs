//! The two connections: heartbeats, faults, and the way back.

use std::time::Duration;

use agent::sidecar::facts::{Evidence, Line};
use agent::state::State;

use crate::master::{Answer, Manner, Master};
use crate::watched::{Watched, brisk};

fn pong(of: Line) -> impl Fn(&Evidence) -> bool {
    move |evidence| matches!(evidence, Evidence::Pong { line, .. } if *line == of)
}

fn missed(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Missed { .. })
}

fn down(of: Line, state: State) -> impl Fn(&Evidence) -> bool {
    move |evidence| matches!(evidence, Evidence::Down { line, verdict } if *line == of && verdict.state == state)
}

fn any_down(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Down { .. })
}

const LINES: [Line; 2] = [Line::Request, Line::Publish];

#[tokio::test]
async fn one_connection_to_each_port_carries_heartbeats_and_verifications() {
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    assert!(watched.verified().await);
    for _ in 0..4 {
        assert!(!watched.verified().await);
    }
    for line in LINES {
        watched.times(3, "a heartbeat", pong(line)).await;
        let connected =
            |evidence: &Evidence| matches!(evidence, Evidence::Connected { line: of, .. } if *of == line);
        assert_eq!(watched.saw(connected), 1);
    }
    assert_eq!((master.connections(), master.sign_ins()), ([1, 1], 1));
    assert_eq!(watched.saw(any_down), 0);
    drop(watched.handle.take());
    while master.open() != [0, 0] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn each_connection_is_pinged_once_in_each_interval() {
    const PONGS: u32 = 20;
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    for line in LINES {
        watched.once("a heartbeat", pong(line)).await;
    }
    watched.forget();
    let began = tokio::time::Instant::now();
    let mut pongs = [0; 2];
    while pongs.iter().any(|pongs| *pongs < PONGS) {
        if let Evidence::Pong { line, .. } = watched.until("a heartbeat", |_| true).await {
            pongs[line as usize] += 1;
        }
    }
    // A busy machine takes longer, never less; and both get theirs.
    assert!(
        began.elapsed() >= brisk().heartbeat * (PONGS - 4),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(watched.saw(any_down), 0);
}

#[tokio::test]
async fn a_master_that_hangs_misses_heartbeats_though_its_system_takes_connections() {
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    watched.verified().await;
    watched.times(2, "a heartbeat", pong(Line::Publish)).await;
    watched.forget();
    master.behave(Manner::Hung);
    for line in LINES {
        watched.until("the verdict", down(line, State::Hung)).await;
        let mine = |evidence: &Evidence| matches!(evidence, Evidence::Missed { line: of } if *of == line);
        assert!(watched.saw(mine) >= 4, "{:?}", watched.seen);
        let taken = |evidence: &Evidence| matches!(evidence, Evidence::Accepts { line: of, taken: true } if *of == line);
        assert_eq!(watched.saw(taken), 1, "{:?}", watched.seen);
    }
    // A connection is taken, but nobody shakes hands.
    for line in LINES {
        watched.until("another try", down(line, State::Hung)).await;
    }
    assert_eq!(
        watched.saw(|evidence| matches!(evidence, Evidence::Verified { .. })),
        0
    );
    master.behave(Manner::Alive);
    assert!(watched.verified().await, "it is a new connection");
    watched.until("a heartbeat", pong(Line::Publish)).await;
    assert!(!watched.verified().await);
    assert_eq!(master.sign_ins(), 2);
}

#[tokio::test]
async fn a_master_that_dies_is_told_at_once_and_verified_anew_when_it_is_back() {
    let master = Master::start(1).await;
    let mut watched = Watched::with(
        &master,
        agent::sidecar::watch::Intervals {
            heartbeat: Duration::from_secs(60),
            ..brisk()
        },
    );
    let published = |evidence: &Evidence| {
        matches!(
            evidence,
            Evidence::Connected {
                line: Line::Publish,
                ..
            }
        )
    };
    watched.verified().await;
    watched.once("a connection", published).await;
    master.behave(Manner::Dead);
    // By its end, long before a heartbeat is due; then by each try to come back.
    for line in [Line::Request, Line::Publish, Line::Request, Line::Publish] {
        watched.until("the end", down(line, State::Unreachable)).await;
    }
    assert_eq!(watched.saw(missed), 0);
    watched.forget();
    master.behave(Manner::Alive);
    assert!(watched.verified().await);
    watched.once("a connection", published).await;
    assert_eq!(master.sign_ins(), 2);
}

#[tokio::test]
async fn whoever_speaks_no_zmtp_is_an_impostor() {
    let master = Master::start(1).await;
    master.behave(Manner::Babbling);
    let mut watched = Watched::master(&master);
    for line in LINES {
        watched.until("the verdict", down(line, State::Impostor)).await;
    }
}

#[tokio::test]
async fn a_peer_that_closes_each_connection_does_not_keep_us_busy() {
    let master = Master::start(1).await;
    master.behave(Manner::Closing);
    let mut watched = Watched::master(&master);
    let began = tokio::time::Instant::now();
    watched
        .times(
            6,
            "the end of a connection",
            down(Line::Request, State::Unreachable),
        )
        .await;
    // 100 ms and its doubles, halved at most by chance, before five of them.
    assert!(
        began.elapsed() >= Duration::from_millis(50 * 31),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unreachable_and_tried_again() {
    let mut watched = Watched::at("salt.invalid", [4506, 4505], brisk());
    for line in LINES {
        for _ in 0..2 {
            let fault = watched.until("the fault", down(line, State::Unreachable)).await;
            assert!(
                format!("{fault:?}").contains("cannot resolve salt.invalid"),
                "{fault:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_master_that_hangs_delays_no_other() {
    let (slow, good) = (Master::start(1).await, Master::start(2).await);
    slow.behave(Manner::Hung);
    slow.answer(Answer::Nothing);
    let (mut of_slow, mut of_good) = (Watched::master(&slow), Watched::master(&good));
    for _ in 0..4 {
        of_good.verified().await;
    }
    of_slow
        .until("the verdict", down(Line::Request, State::Hung))
        .await;
    assert_eq!(of_good.saw(any_down), 0);
}
