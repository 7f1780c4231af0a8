//! Verification: who answers, in time, with proof.

use std::fs::File;
use std::time::Duration;

use agent::sidecar::facts::{Evidence, Line};
use agent::sidecar::watch::{Intervals, Pace};
use agent::state::State;

use crate::master::{Answer, Manner, Master};
use crate::watched::{Watched, brisk};

fn unanswered(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Unanswered)
}

fn verified(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Verified { .. })
}

fn contrary(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Contrary(_))
}

fn down(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Down { .. })
}

async fn verdict(watched: &mut Watched) -> (State, String) {
    match watched.until("a verdict", contrary).await {
        Evidence::Contrary(verdict) => (verdict.state, verdict.error.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn workers_that_hang_leave_requests_unanswered_while_heartbeats_go_on() {
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    watched.verified().await;
    watched.forget();
    master.answer(Answer::Nothing);
    watched.times(3, "a request without an answer", unanswered).await;
    let pongs = |evidence: &Evidence| {
        matches!(
            evidence,
            Evidence::Pong {
                line: Line::Request,
                ..
            }
        )
    };
    assert!(watched.saw(pongs) >= 9, "{:?}", watched.seen);
    assert_eq!(watched.saw(down), 0, "{:?}", watched.seen);
    // Its workers are asked by the keys from before, which costs them less, until they answer.
    assert_eq!(master.sign_ins(), 1);
    master.answer(Answer::Honest);
    assert!(watched.verified().await, "it is a new connection");
    assert!(!watched.verified().await);
    assert_eq!(master.sign_ins(), 2);
}

#[tokio::test]
async fn a_late_reply_is_taken_for_no_other() {
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    watched.verified().await;
    watched.forget();
    // It comes while the next request is under way.
    master.answer(Answer::Late(Duration::from_millis(1200)));
    watched.times(2, "a request without an answer", unanswered).await;
    master.answer(Answer::Honest);
    watched.verified().await;
    watched.verified().await;
    assert_eq!(watched.saw(contrary), 0, "{:?}", watched.seen);
    assert_eq!(watched.saw(down), 0, "{:?}", watched.seen);
}

#[tokio::test]
async fn a_slow_master_is_verified() {
    let master = Master::start(1).await;
    master.answer(Answer::Late(Duration::from_millis(300)));
    let mut watched = Watched::master(&master);
    assert!(watched.verified().await);
    let slow = watched.until("a verified answer", verified).await;
    assert!(matches!(slow, Evidence::Verified { after, .. } if after >= Duration::from_millis(300)));
    assert_eq!(watched.saw(|evidence| unanswered(evidence) || down(evidence)), 0);
}

#[tokio::test]
async fn another_master_at_the_address_is_an_impostor() {
    let master = Master::start(1).await;
    master.answer(Answer::SignInByAnother);
    let mut watched = Watched::master(&master);
    let (state, why) = verdict(&mut watched).await;
    assert_eq!(state, State::Impostor, "{why}");
    assert!(why.contains("not by our master_sign"), "{why}");
    assert_eq!(watched.saw(verified), 0);
}

#[tokio::test]
async fn who_has_the_session_keys_and_not_the_masters_is_an_impostor_on_a_new_connection() {
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    watched.verified().await;
    // As when another master with a copy of the genuine one's sessions takes over the address.
    master.behave(Manner::Dead);
    let gone = |evidence: &Evidence| {
        matches!(
            evidence,
            Evidence::Down {
                line: Line::Request,
                ..
            }
        )
    };
    watched.until("the end of the connection", gone).await;
    watched.forget();
    master.answer(Answer::SignInByAnother);
    master.behave(Manner::Alive);
    let (state, why) = verdict(&mut watched).await;
    assert_eq!(state, State::Impostor, "{why}");
    assert_eq!(watched.saw(verified), 0, "{:?}", watched.seen);
    master.answer(Answer::Honest);
    assert!(watched.verified().await);
}

#[tokio::test]
async fn who_answers_after_silence_is_trusted_after_a_sign_in_only() {
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    watched.verified().await;
    master.answer(Answer::Nothing);
    watched.until("a request without an answer", unanswered).await;
    watched.forget();
    let asked = master.asked();
    master.answer(Answer::SignInByAnother);
    let (state, why) = verdict(&mut watched).await;
    assert_eq!(state, State::Impostor, "{why}");
    assert!(master.asked() > asked, "not asked by the keys from before");
    assert_eq!(watched.saw(verified), 0, "{:?}", watched.seen);
}

#[tokio::test]
async fn a_replayed_reply_is_of_an_impostor_and_genuine_ones_end_that() {
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    watched.verified().await;
    master.answer(Answer::Replay);
    let (state, why) = verdict(&mut watched).await;
    assert_eq!(state, State::Impostor, "{why}");
    assert!(why.contains("another nonce"), "{why}");
    master.answer(Answer::Honest);
    watched.verified().await;
}

#[tokio::test]
async fn a_reply_that_nobody_asked_for_ends_the_connection() {
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    watched.verified().await;
    master.answer(Answer::Twice);
    let down = |evidence: &Evidence| matches!(evidence, Evidence::Down { line: Line::Request, verdict } if verdict.state == State::Impostor);
    watched.until("the end of the connection", down).await;
}

#[tokio::test]
async fn a_rotated_session_key_costs_one_sign_in() {
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    watched.verified().await;
    master.rotate_session();
    while !watched.verified().await {}
    assert!(!watched.verified().await);
    assert_eq!(master.sign_ins(), 2);
    assert_eq!(watched.saw(contrary), 0);
}

#[tokio::test]
async fn a_master_that_opens_nothing_is_refused_and_spared() {
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    watched.verified().await;
    master.answer(Answer::BadLoad);
    let (state, why) = verdict(&mut watched).await;
    assert_eq!(state, State::Refused, "{why}");
    assert!(why.contains("bad load"), "{why}");
    // One more for each verdict, and verdicts come ever more rarely.
    verdict(&mut watched).await;
    assert_eq!(master.sign_ins(), 3);
}

#[tokio::test]
async fn workers_that_have_another_key_for_us_are_neither_a_fault_nor_a_slow_clock() {
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    watched.verified().await;
    master.answer(Answer::ByOneWorkerOf(5));
    for _ in 0..4 {
        watched.verified().await;
    }
    assert_eq!(watched.saw(contrary), 0, "{:?}", watched.seen);
}

#[tokio::test]
async fn a_key_that_waits_for_acceptance_is_told_and_asked_for_ever_more_rarely() {
    let master = Master::start(1).await;
    master.answer(Answer::Pending);
    let mut watched = Watched::master(&master);
    watched.pace.send_replace(Pace::Quick);
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(verdict(&mut watched).await.0, State::KeyPending);
    }
    // `verify`, then twice that.
    assert!(began.elapsed() >= Duration::from_millis(3 * 400 * 9 / 10));
    assert_eq!((master.sign_ins(), master.asked()), (3, 0));
}

#[tokio::test]
async fn a_daemon_in_doubt_is_told_sooner() {
    let master = Master::start(1).await;
    let rare = Intervals {
        verify: Duration::from_secs(3600),
        ..brisk()
    };
    let mut watched = Watched::with(&master, rare);
    watched.verified().await;
    watched.pace.send_replace(Pace::Quick);
    for _ in 0..3 {
        watched.verified().await;
    }
}

#[tokio::test]
async fn waiting_for_other_processes_of_this_host_is_not_the_masters_silence() {
    let master = Master::start(1).await;
    let mut watched = Watched::master(&master);
    watched.verified().await;
    let (ip, port) = (master.requests.ip(), master.requests.port());
    let name = format!("saltfo-gate-{ip}-{port}.lock");
    let gate = ["/run/lock".into(), std::env::temp_dir()].map(|folder| folder.join(&name));
    let gate = gate.iter().find(|path| path.exists()).unwrap();
    // As a publish that takes its time.
    let publishing = File::open(gate).unwrap();
    publishing.lock().unwrap();
    let asked = master.asked();
    watched.forget();
    let beat = |evidence: &Evidence| {
        matches!(
            evidence,
            Evidence::Pong {
                line: Line::Request,
                ..
            }
        )
    };
    watched.times(25, "a heartbeat", beat).await;
    assert!(master.asked() <= asked + 1);
    publishing.unlock().unwrap();
    watched.verified().await;
    watched.verified().await;
    assert_eq!(
        watched.saw(|evidence| unanswered(evidence) || down(evidence)),
        0,
        "{:?}",
        watched.seen
    );
}
