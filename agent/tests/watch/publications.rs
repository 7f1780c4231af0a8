//! Publications: genuine, forged, replayed, under a new key, and far too many.

use std::time::Duration;

use agent::sidecar::facts::Errand;
use agent::sidecar::facts::{Evidence, Line};
use agent::state::State;

use crate::client::keys;
use crate::master::Master;
use crate::watched::Watched;

fn genuine(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Publication)
}

fn forged(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Forged(_))
}

/// Watches a master until it is verified and subscribed to.
async fn watched(master: &Master) -> Watched {
    let mut watched = Watched::master(master);
    watched.verified().await;
    let beat = |evidence: &Evidence| {
        matches!(
            evidence,
            Evidence::Pong {
                line: Line::Publish,
                ..
            }
        )
    };
    watched.times(2, "a heartbeat", beat).await;
    watched
}

#[tokio::test]
async fn genuine_publications_are_told_from_every_kind_of_forgery() {
    let master = Master::start(1).await;
    let mut watched = watched(&master).await;
    let good = master.publication();
    let first = good.clone();
    for (payload, reason) in [
        (good.clone(), None),
        (good, Some("replay")),
        (
            master.publication_by(Some(&keys().other_master)),
            Some("signature"),
        ),
        (master.publication_by(None), Some("unsigned")),
        (b"\x80".to_vec(), Some("malformed")),
        (master.publication(), None),
    ] {
        master.publish(payload);
        let told = watched.until("what it is", |evidence| genuine(evidence) || forged(evidence));
        match (told.await, reason) {
            (Evidence::Publication, None) => {}
            (Evidence::Forged(told), Some(reason)) => assert_eq!(told, reason),
            (told, reason) => panic!("{told:?} instead of {reason:?}"),
        }
    }
    assert_eq!(master.sign_ins(), 1);
    // The minion gets these and no other, as they came.
    let handed_out: Vec<_> = std::iter::from_fn(|| watched.handed_out.try_recv().ok()).collect();
    assert_eq!(handed_out.len(), 2);
    assert_eq!(*handed_out[0].frames, [first]);
    assert_eq!(handed_out[0].errand, Errand::Lookup(None));
    assert_eq!(handed_out[1].errand, Errand::Job(None));
    // A master that filters sends no other minion's.
    assert!(master.subscriptions().iter().all(|prefix| !prefix.is_empty()));
    assert!(master.subscriptions().contains(&b"broadcast".to_vec()));
}

#[tokio::test]
async fn what_minions_behind_a_relay_want_is_subscribed_to_once() {
    let master = Master::start(1).await;
    let watched = watched(&master).await;
    let own = master.subscriptions().len();
    watched.topics.send_modify(|topics| {
        topics.insert(b"broadcast".to_vec());
        topics.insert(b"another minion".to_vec());
    });
    let subscribed = || async {
        let wanted = || {
            master
                .subscriptions()
                .iter()
                .filter(|topic| *topic == b"another minion")
                .count()
        };
        while wanted() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(wanted(), 1);
    };
    subscribed().await;
    assert_eq!(master.subscriptions().len(), own + 1);
}

#[tokio::test]
async fn what_is_for_several_minions_comes_once_for_each() {
    let master = Master::start(1).await;
    let mut watched = watched(&master).await;
    let [one, two] = ["1", "2"].map(|digit| digit.repeat(40));
    let job = master.publication();
    for (topic, is_genuine) in [(&*one, true), (&two, true), (&two, false), ("broadcast", false)] {
        master.publish_to(topic, job.clone());
        let told = watched.until("what it is", |evidence| genuine(evidence) || forged(evidence));
        assert_eq!(genuine(&told.await), is_genuine, "{topic}");
    }
    let handed_out: Vec<_> = std::iter::from_fn(|| watched.handed_out.try_recv().ok()).collect();
    let topics = handed_out
        .iter()
        .map(|publication| publication.frames[0].as_slice());
    assert_eq!(topics.collect::<Vec<_>>(), [one.as_bytes(), two.as_bytes()]);
}

#[tokio::test]
async fn a_rotated_key_costs_one_sign_in_and_no_publication() {
    let master = Master::start(1).await;
    let mut watched = watched(&master).await;
    let old = master.publication();
    master.publish(master.publication());
    watched.until("a publication", genuine).await;
    master.rotate_aes();
    master.publish(master.publication());
    master.publish(master.publication());
    watched.times(2, "a publication", genuine).await;
    assert_eq!((master.sign_ins(), watched.saw(forged)), (2, 0));
    // Signed by the master, and not under its key any more: whoever repeats it gets one more sign-in out of us.
    for _ in 0..5 {
        master.publish(old.clone());
        watched.until("a forgery", forged).await;
    }
    assert!(master.sign_ins() <= 3, "{}", master.sign_ins());
}

#[tokio::test]
async fn a_flood_of_forgeries_ends_its_connection_and_stops_no_heart() {
    let master = Master::start(1).await;
    let mut watched = watched(&master).await;
    watched.forget();
    let forgery = master.publication_by(Some(&keys().other_master));
    for _ in 0..2000 {
        master.publish(forgery.clone());
    }
    let ended = |evidence: &Evidence| matches!(evidence, Evidence::Down { line: Line::Publish, verdict } if verdict.state == State::Impostor);
    watched.until("the end of the connection", ended).await;
    let told = watched.saw(forged);
    assert!((50..80).contains(&told), "{told}");
    watched.verified().await;
    let on_request = |evidence: &Evidence| {
        matches!(
            evidence,
            Evidence::Missed { line: Line::Request }
                | Evidence::Down {
                    line: Line::Request,
                    ..
                }
        )
    };
    assert_eq!(watched.saw(on_request), 0);
    // And it comes back.
    while !watched.heard(Duration::from_millis(100), genuine).await {
        master.publish(master.publication());
    }
}
