//! Requests: there and back, or given up by their client.

use proto::zmtp::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

#[tokio::test]
async fn requests_go_to_the_elected_master_and_replies_come_back_over_one_connection() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"one".to_vec(), late()).await.unwrap();
    let mut master = rig.masters[0].connection().await;
    assert_eq!(asked(&mut master).await, b"one");
    assert_eq!((rig.relay.under_way(), rig.relay.under_way_at(A)), (1, 1));
    reply(&mut master, b"first").await;
    assert_eq!(answer(&mut client).await, b"first");
    assert_eq!(rig.relay.under_way(), 0);

    client.send(b"two".to_vec(), late()).await.unwrap();
    assert_eq!(asked(&mut master).await, b"two");
    reply(&mut master, b"").await;
    assert_eq!(answer(&mut client).await, b"");
    let seen = rig.relay.seen().carried;
    assert_eq!(
        (
            seen.answered,
            seen.bytes_up,
            seen.bytes_down,
            seen.resent,
            seen.repeated
        ),
        (2, 6, 5, 0, 0)
    );
    assert!(rig.masters[1].is_left_alone().await);
}

#[tokio::test]
async fn clients_do_not_wait_for_each_other() {
    let rig = rig().await;
    let mut clients = [rig.requester().await, rig.requester().await];
    let mut masters = Vec::new();
    for (client, payload) in clients.iter_mut().zip([b"0", b"1"]) {
        client.send(payload.to_vec(), late()).await.unwrap();
        let mut master = rig.masters[0].connection().await;
        assert_eq!(asked(&mut master).await, payload);
        masters.push(master);
    }
    for at in [1, 0] {
        reply(&mut masters[at], at.to_string().as_bytes()).await;
        assert_eq!(answer(&mut clients[at]).await, at.to_string().as_bytes());
    }
}

#[tokio::test]
async fn a_dealer_has_several_requests_under_way_and_gets_its_envelopes_back() {
    let rig = rig().await;
    let mut dealer = rig.client(SocketType::Dealer).await;
    let mut masters = Vec::new();
    for number in [b"1".as_slice(), b"2"] {
        let request = message(&[b"id", number, b"", number]);
        dealer.send(&request, late()).await.unwrap();
        let mut master = rig.masters[0].connection().await;
        // What identifies the client stays here.
        assert_eq!(asked(&mut master).await, number);
        masters.push(master);
    }
    for (at, number) in [(1, b"2".as_slice()), (0, b"1")] {
        reply(&mut masters[at], b"reply").await;
        let heard = dealer.recv(late()).await.unwrap();
        assert_eq!(heard, message(&[b"id", number, b"", b"reply"]));
    }
}

#[tokio::test]
async fn a_client_that_closes_frees_its_connection_to_the_master() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"x".to_vec(), late()).await.unwrap();
    let mut master = rig.masters[0].connection().await;
    asked(&mut master).await;
    drop(client);
    closes(&mut master).await;
    eventually("counted", || rig.relay.seen().carried.cancelled == 1).await;
    assert_eq!((rig.relay.under_way(), rig.relay.upstream.idle_at(A)), (0, 0));
}

#[tokio::test]
async fn a_client_that_closes_while_it_is_held_is_forgotten() {
    let rig = rig_within(&Bounds::USUAL).await;
    let mut client = rig.requester().await;
    client.send(b"x".to_vec(), late()).await.unwrap();
    eventually("held", || rig.relay.seen().carried.held == 1).await;
    drop(client);
    eventually("forgotten", || rig.relay.seen().carried.held == 0).await;
    rig.relay.route(Some(A), Manner::Abandon);
    assert!(rig.masters[0].is_left_alone().await);
}

#[tokio::test]
async fn a_req_that_asks_anew_has_given_its_first_request_up() {
    let rig = rig().await;
    let mut client = rig.client(SocketType::Req).await;
    client
        .send(&Message::delimited(b"first".to_vec()), late())
        .await
        .unwrap();
    let mut first = rig.masters[0].connection().await;
    asked(&mut first).await;
    client
        .send(&Message::delimited(b"second".to_vec()), late())
        .await
        .unwrap();
    let mut second = rig.masters[0].connection().await;
    assert_eq!(asked(&mut second).await, b"second");
    closes(&mut first).await;
    reply(&mut second, b"reply").await;
    let heard = client.recv(late()).await.unwrap();
    assert_eq!(heard, Message::delimited(b"reply".to_vec()));
    assert_eq!(rig.relay.seen().carried.cancelled, 1);
}

#[tokio::test]
async fn what_is_no_request_is_dropped_and_its_client_goes_on() {
    let rig = rig().await;
    let mut client = rig.client(SocketType::Dealer).await;
    let long = vec![7; 1 << 20];
    for frames in [
        [b"a".as_slice(), b"b"].as_slice(),
        &[b""],
        &[b"", b"a", b"b"],
        &[&long, b"", b"x"],
    ] {
        client.send(&message(frames), late()).await.unwrap();
    }
    client
        .send(&Message::delimited(b"good".to_vec()), late())
        .await
        .unwrap();
    let mut master = rig.masters[0].connection().await;
    assert_eq!(asked(&mut master).await, b"good");
    assert_eq!(rig.relay.seen().carried.malformed, 4);
}

#[tokio::test]
async fn a_reply_of_another_shape_is_not_passed_on() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"x".to_vec(), late()).await.unwrap();
    let mut master = rig.masters[0].connection().await;
    asked(&mut master).await;
    master.send(&message(&[b"no", b"reply"]), late()).await.unwrap();
    closes(&mut master).await;
    let mut master = rig.masters[0].connection().await;
    assert_eq!(asked(&mut master).await, b"x");
    reply(&mut master, b"y").await;
    assert_eq!(answer(&mut client).await, b"y");
}

#[tokio::test]
async fn pings_of_clients_are_answered() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.ping(b"1", late()).await.unwrap();
    client.send(b"x".to_vec(), late()).await.unwrap();
    client.send_ping(b"2", late()).await.unwrap();
    assert_eq!(client.next(late()).await.unwrap(), Heard::Pong(b"2".to_vec()));
}

#[tokio::test]
async fn a_long_request_may_follow_on_the_handshake_at_once() {
    let rig = rig().await;
    let mut opening = Connection::new(SocketType::Req, Limits::default())
        .output()
        .to_vec();
    opening.extend_from_slice(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03REQ");
    opening.extend_from_slice(b"\x01\0\x02\0\0\0\0\0\x10\0\0");
    opening.extend_from_slice(&vec![7; 1 << 20]);
    let mut stream = TcpStream::connect(rig.requests).await.unwrap();
    stream.write_all(&opening).await.unwrap();
    let mut master = rig.masters[0].connection().await;
    assert!(asked(&mut master).await == vec![7; 1 << 20]);
    reply(&mut master, b"reply").await;
    let mut heard = Vec::new();
    while !heard.ends_with(b"\x01\0\0\x05reply") {
        let mut piece = [0; 256];
        let count = timeout(LATE, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(count > 0, "closed after {heard:?}");
        heard.extend_from_slice(&piece[..count]);
    }
}
