//! Publications: whose, to whom, and once.

use super::*;

async fn heard(subscriber: &mut Channel) -> Vec<Vec<u8>> {
    subscriber.recv(late()).await.unwrap().into_frames()
}

/// Whether a subscriber has heard all that it will.
async fn hears_no_more(subscriber: &mut Channel) -> bool {
    subscriber.recv(soon()).await.is_err()
}

#[tokio::test]
async fn publications_are_heard_of_the_elected_master_and_of_one_that_was_left_as_planned() {
    let rig = rig().await;
    let mut subscriber = rig.subscriber(&[b""]).await;
    rig.publication(B, &[b"from b"]).await;
    rig.publication(A, &[b"from a"]).await;
    assert_eq!(heard(&mut subscriber).await, [b"from a"]);
    rig.relay.route(Some(B), Manner::Finish);
    // Policy has let it through before the move.
    rig.publication(A, &[b"waited for"]).await;
    rig.publication(B, &[b"new"]).await;
    assert_eq!(heard(&mut subscriber).await, [b"waited for"]);
    assert_eq!(heard(&mut subscriber).await, [b"new"]);
    rig.relay.route(Some(B), Manner::Abandon);
    rig.publication(A, &[b"of a dead one"]).await;
    rig.relay.route(None, Manner::Abandon);
    rig.publication(B, &[b"of nobody"]).await;
    eventually("counted", || rig.relay.seen().publications.dropped.elsewhere == 3).await;
    assert!(hears_no_more(&mut subscriber).await);
    let seen = rig.relay.seen().publications;
    assert_eq!((seen.carried, seen.delivered), (3, 3));
}

#[tokio::test]
async fn each_hears_what_it_subscribed_to() {
    let rig = rig().await;
    let mut filtering = rig.subscriber(&[b"broadcast", b"e2fc7a"]).await;
    let mut all = rig.subscriber(&[b""]).await;
    let mut deaf = rig.subscriber(&[]).await;
    let mut fickle = rig.subscriber(&[b"broadcast"]).await;
    fickle.cancel(b"broadcast", late()).await.unwrap();
    fickle.ping(b"cancelled", late()).await.unwrap();
    for topic in [b"broadcast".as_slice(), b"cab2f0", b"e2fc7a13", b"e2fc"] {
        rig.publication(A, &[topic, topic]).await;
    }
    for topic in [b"broadcast".as_slice(), b"e2fc7a13"] {
        assert_eq!(heard(&mut filtering).await, [topic, topic]);
    }
    for topic in [b"broadcast".as_slice(), b"cab2f0", b"e2fc7a13", b"e2fc"] {
        assert_eq!(heard(&mut all).await, [topic, topic]);
    }
    for silent in [&mut filtering, &mut all, &mut deaf, &mut fickle] {
        assert!(hears_no_more(silent).await);
    }
}

#[tokio::test]
async fn a_payload_is_carried_once_whoever_sends_it() {
    let rig = rig().await;
    let mut subscriber = rig.subscriber(&[b""]).await;
    rig.publication(A, &[b"job"]).await;
    rig.publication(A, &[b"job"]).await;
    rig.publication(A, &[b"topic", b"job"]).await;
    rig.publication(A, &[b"other job"]).await;
    assert_eq!(heard(&mut subscriber).await, [b"job"]);
    assert_eq!(heard(&mut subscriber).await, [b"other job"]);
    rig.relay.route(Some(B), Manner::Abandon);
    rig.publication(B, &[b"job"]).await;
    rig.publication(B, &[b"third job"]).await;
    assert_eq!(heard(&mut subscriber).await, [b"third job"]);
    let seen = rig.relay.seen().publications;
    assert_eq!((seen.carried, seen.dropped.replay), (3, 3));
    assert_eq!(
        seen.dropped.by_reason(),
        [("elsewhere", 0), ("replay", 3), ("unread", 0)]
    );
}

#[tokio::test]
async fn subscribers_that_do_not_read_are_closed_when_there_is_no_room_and_others_hear_all() {
    const BUDGET: usize = 4 << 20;
    const ROUNDS: u8 = 200;
    let bounds = Bounds {
        publications: BUDGET,
        ..Bounds::USUAL
    };
    let rig = rig_within(&bounds).await;
    rig.relay.route(Some(A), Manner::Abandon);
    let mut stopped = Vec::new();
    for _ in 0..10 {
        stopped.push(rig.subscriber(&[b""]).await);
    }
    let mut other = rig.subscriber(&[b""]).await;
    for round in 0..ROUNDS {
        let payload = vec![round; 256 << 10];
        rig.publication(A, &[&payload]).await;
        assert!(heard(&mut other).await == [payload]);
    }
    let seen = rig.relay.seen();
    assert!(seen.publications.dropped.unread > 0, "{seen:?}");
    eventually("closed", || rig.relay.seen().publish.connections == 1).await;
    assert_eq!(rig.relay.seen().publish.refused, 10);
    // What the system had taken is read yet, and then it is over.
    for subscriber in &mut stopped {
        while subscriber.recv(late()).await.is_ok() {}
    }
    let mut again = rig.subscriber(&[b""]).await;
    rig.publication(A, &[b"new"]).await;
    assert_eq!(heard(&mut again).await, [b"new"]);
    assert_eq!(heard(&mut other).await, [b"new"]);
}

#[tokio::test]
async fn a_subscriber_with_too_many_subscriptions_is_closed() {
    let rig = rig().await;
    let mut subscriber = rig.subscriber(&[]).await;
    let subscribing = async {
        for number in 0_u32..1000 {
            subscriber.subscribe(&number.to_be_bytes(), late()).await?;
        }
        subscriber.recv(late()).await.map(drop)
    };
    let ended = timeout(LATE, subscribing).await.unwrap();
    assert!(
        matches!(ended, Err(NetError::Closed { .. } | NetError::Reset { .. })),
        "{ended:?}"
    );
    eventually("forgotten", || rig.relay.seen().publish.connections == 0).await;
    assert_eq!(rig.relay.seen().publish.refused, 1);
}
