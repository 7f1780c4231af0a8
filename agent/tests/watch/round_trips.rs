//! Round trips through one master to the minion that we are.

use std::time::Duration;

use agent::locate::Signs;
use agent::sidecar::facts::{MasterIndex, RoundTrip, What};
use agent::sidecar::round_trip::try_once;
use agent::state::State;
use tokio::sync::watch;

use crate::master::{Answer, JID, Manner, Master};
use crate::watched::config_of;

async fn round_trip(master: &Master) -> RoundTrip {
    round_trip_heeding(master, None).await
}

async fn round_trip_heeding(master: &Master, signs: Option<Signs>) -> RoundTrip {
    let ports = [master.requests.port(), master.publications.port()];
    let (_client, config) = config_of(&master.requests.ip().to_string(), ports);
    match try_once(&config, MasterIndex(0), signs).await.what {
        What::RoundTrip(MasterIndex(0), outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_names_its_job_and_leaves_no_connection() {
    let master = Master::start(1).await;
    let outcome = round_trip(&master).await;
    assert!(
        matches!(&outcome, RoundTrip::Answered { jid, .. } if jid.as_str() == JID),
        "{outcome:?}"
    );
    while master.open() != [0, 0] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn who_is_given_signs_finds_the_answer_by_one_of_them_and_without_any() {
    let master = Master::start(1).await;
    let (gives, signs) = watch::channel(0_u64);
    let signs = Signs::of(signs);
    let many = tokio::spawn(async move {
        loop {
            gives.send_modify(|number| *number += 1);
            tokio::task::yield_now().await;
        }
    });
    for round in ["many", "none"] {
        let outcome = round_trip_heeding(&master, Some(signs.clone())).await;
        assert!(
            matches!(&outcome, RoundTrip::Answered { jid, .. } if jid.as_str() == JID),
            "{round}: {outcome:?}"
        );
        many.abort();
    }
    many.await.unwrap_err();
}

#[tokio::test]
async fn a_missing_permission_and_a_dead_master_are_no_silence_of_the_minion() {
    let master = Master::start(1).await;
    master.answer(Answer::NotPermitted);
    let outcome = round_trip(&master).await;
    assert!(matches!(outcome, RoundTrip::NotPermitted(_)), "{outcome:?}");
    master.behave(Manner::Dead);
    while tokio::net::TcpStream::connect(master.requests).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let outcome = round_trip(&master).await;
    assert!(
        matches!(&outcome, RoundTrip::Failed(verdict) if verdict.state == State::Unreachable),
        "{outcome:?}"
    );
}
