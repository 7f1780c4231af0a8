//! The end of a relay: nobody who is owed a reply loses it, and nobody keeps the relay from ending.

use super::*;

#[tokio::test]
async fn who_waits_for_a_reply_gets_it_and_subscribers_go_before() {
    let mut rig = rig().await;
    let mut subscriber = rig.subscriber(&[b""]).await;
    let mut client = rig.requester().await;
    client.send(b"return".to_vec(), late()).await.unwrap();
    let mut master = rig.masters[0].connection().await;
    assert_eq!(asked(&mut master).await, b"return");
    let slow = vec![7; 4 << 20];
    let answers = async {
        // Jobs come no more while returns still do.
        closes(&mut subscriber).await;
        reply(&mut master, &slow).await;
    };
    let (came, (), ()) = tokio::join!(answer(&mut client), answers, rig.relay.end());
    assert_eq!(came, slow);
    assert!(TcpStream::connect(rig.requests).await.is_err());
}

#[tokio::test]
async fn a_request_that_comes_while_another_one_ends_is_carried_too() {
    let mut rig = rig().await;
    let (mut first, mut second) = (rig.requester().await, rig.requester().await);
    first.send(b"first".to_vec(), late()).await.unwrap();
    let mut master = rig.masters[0].connection().await;
    assert_eq!(asked(&mut master).await, b"first");
    let mut subscriber = rig.subscriber(&[b""]).await;
    let conversation = async {
        closes(&mut subscriber).await;
        second.send(b"second".to_vec(), late()).await.unwrap();
        let mut other = rig.masters[0].connection().await;
        assert_eq!(asked(&mut other).await, b"second");
        reply(&mut master, b"1").await;
        reply(&mut other, b"2").await;
        assert_eq!(answer(&mut first).await, b"1");
        assert_eq!(answer(&mut second).await, b"2");
    };
    tokio::join!(conversation, rig.relay.end());
}

#[tokio::test]
async fn a_master_that_does_not_answer_holds_it_up_for_a_second_and_no_master_not_at_all() {
    let mut silent = rig().await;
    let mut client = silent.requester().await;
    client.send(b"return".to_vec(), late()).await.unwrap();
    let mut master = silent.masters[0].connection().await;
    assert_eq!(asked(&mut master).await, b"return");
    let start = Instant::now();
    silent.relay.end().await;
    assert!(start.elapsed() >= FAREWELL, "{:?}", start.elapsed());

    let mut nobody = rig_within(&Bounds::USUAL).await;
    let mut client = nobody.requester().await;
    client.send(b"return".to_vec(), late()).await.unwrap();
    eventually("held", || nobody.relay.seen().carried.held == 1).await;
    let ends = timeout(FAREWELL, nobody.relay.end());
    ends.await.expect("it waits for what nobody answers");
}
