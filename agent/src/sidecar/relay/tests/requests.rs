//! Requests: there and back, held, moved, given up.

use proto::net::Heard;
use proto::zmtp::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

async fn heard(requester: &mut Requester) -> Vec<u8> {
    match requester.next(late()).await.unwrap() {
        Heard::Reply(payload) => payload,
        Heard::Pong(_) => panic!("a PONG that nobody asked for"),
    }
}

#[tokio::test]
async fn requests_go_to_the_elected_master_and_replies_come_back_over_one_connection() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"one".to_vec(), late()).await.unwrap();
    let mut master = rig.masters[0].connection().await;
    assert_eq!(asked(&mut master).await, b"one");
    assert_eq!((rig.relay.under_way(), rig.relay.under_way_at(A)), (1, 1));
    reply(&mut master, b"first").await;
    assert_eq!(heard(&mut client).await, b"first");
    assert_eq!(rig.relay.under_way(), 0);

    client.send(b"two".to_vec(), late()).await.unwrap();
    assert_eq!(asked(&mut master).await, b"two");
    reply(&mut master, b"").await;
    assert_eq!(heard(&mut client).await, b"");
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
        assert_eq!(heard(&mut clients[at]).await, at.to_string().as_bytes());
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
async fn a_request_is_held_until_there_is_a_route_and_the_master_is_known() {
    let rig = rig_within(&Bounds::USUAL).await;
    rig.masters[1].genuine_at.send_replace(None);
    let mut client = rig.requester().await;
    client.send(b"patience".to_vec(), late()).await.unwrap();
    eventually("held", || rig.relay.seen().carried.held == 1).await;
    rig.relay.route(Some(B), Manner::Abandon);
    assert!(rig.masters[1].is_left_alone().await);
    let seen = rig.relay.seen();
    assert_eq!((seen.carried.held, seen.route.master), (1, Some(B)));

    let address = rig.masters[1].listener.local_addr().unwrap();
    rig.masters[1].genuine_at.send_replace(Some(address));
    let mut master = rig.masters[1].connection().await;
    assert_eq!(asked(&mut master).await, b"patience");
    assert_eq!(rig.relay.seen().carried.held, 0);
    reply(&mut master, b"rewarded").await;
    assert_eq!(heard(&mut client).await, b"rewarded");
    assert_eq!(rig.relay.seen().carried.resent, 0);
}

#[tokio::test]
async fn what_an_abandoned_master_owes_is_sent_unchanged_to_the_next_one_at_once() {
    let rig = rig().await;
    let payload: Vec<u8> = (0..100_000_u32).map(|byte| byte.to_be_bytes()[3]).collect();
    let mut client = rig.requester().await;
    client.send(payload.clone(), late()).await.unwrap();
    let mut old = rig.masters[0].connection().await;
    assert_eq!(asked(&mut old).await, payload);

    rig.relay.route(Some(B), Manner::Abandon);
    let mut new = rig.masters[1].connection().await;
    assert_eq!(asked(&mut new).await, payload);
    closes(&mut old).await;
    assert_eq!((rig.relay.under_way_at(A), rig.relay.under_way_at(B)), (0, 1));
    reply(&mut new, b"bad load").await;
    assert_eq!(heard(&mut client).await, b"bad load");
    let seen = rig.relay.seen().carried;
    assert_eq!((seen.resent, seen.repeated, seen.answered), (1, 0, 1));
    assert!(rig.masters[0].is_left_alone().await);
}

#[tokio::test]
async fn idle_connections_to_an_abandoned_master_are_closed() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"one".to_vec(), late()).await.unwrap();
    let mut master = rig.masters[0].connection().await;
    asked(&mut master).await;
    reply(&mut master, b"first").await;
    heard(&mut client).await;
    rig.relay.route(Some(B), Manner::Abandon);
    closes(&mut master).await;
}

#[tokio::test]
async fn in_a_planned_move_the_old_master_still_answers_and_the_new_one_is_asked() {
    let rig = rig().await;
    let mut clients = [rig.requester().await, rig.requester().await];
    clients[0].send(b"old".to_vec(), late()).await.unwrap();
    let mut old = rig.masters[0].connection().await;
    asked(&mut old).await;

    rig.relay.route(Some(B), Manner::Finish);
    clients[1].send(b"new".to_vec(), late()).await.unwrap();
    let mut new = rig.masters[1].connection().await;
    assert_eq!(asked(&mut new).await, b"new");
    assert_eq!((rig.relay.under_way_at(A), rig.relay.under_way_at(B)), (1, 1));
    reply(&mut new, b"from the new").await;
    assert_eq!(heard(&mut clients[1]).await, b"from the new");
    reply(&mut old, b"from the old").await;
    assert_eq!(heard(&mut clients[0]).await, b"from the old");
    assert_eq!(rig.relay.seen().carried.resent, 0);
}

#[tokio::test]
async fn what_still_finishes_is_moved_when_its_master_is_abandoned_after_all() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"x".to_vec(), late()).await.unwrap();
    let mut old = rig.masters[0].connection().await;
    asked(&mut old).await;
    rig.relay.route(Some(B), Manner::Finish);
    rig.relay.route(Some(B), Manner::Abandon);
    let mut new = rig.masters[1].connection().await;
    assert_eq!(asked(&mut new).await, b"x");
    closes(&mut old).await;
}

#[tokio::test]
async fn a_request_whose_connection_breaks_is_repeated_and_no_more_often() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"again".to_vec(), late()).await.unwrap();
    for _ in 0..3 {
        let mut master = rig.masters[0].connection().await;
        assert_eq!(asked(&mut master).await, b"again");
        drop(master);
    }
    let mut master = rig.masters[0].connection().await;
    assert_eq!(asked(&mut master).await, b"again");
    reply(&mut master, b"at last").await;
    assert_eq!(heard(&mut client).await, b"at last");
    let seen = rig.relay.seen().carried;
    assert_eq!((seen.repeated, seen.resent), (3, 0));
    assert!(rig.masters[0].is_left_alone().await);
}

#[tokio::test]
async fn a_connection_that_broke_while_it_was_idle_costs_no_request() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    for round in 0..3 {
        client.send(b"x".to_vec(), late()).await.unwrap();
        let mut master = rig.masters[0].connection().await;
        assert_eq!(asked(&mut master).await, b"x", "round {round}");
        reply(&mut master, b"y").await;
        assert_eq!(heard(&mut client).await, b"y");
        assert_eq!(rig.relay.upstream.idle_at(A), 1);
    }
    assert_eq!(rig.relay.seen().carried.answered, 3);
}

#[tokio::test]
async fn requests_are_carried_when_their_master_can_be_reached_again() {
    let mut rig = rig().await;
    let address = rig.masters[0].listener.local_addr().unwrap();
    let gone = rig.masters.remove(0);
    let (listener, genuine_at) = (gone.listener, gone.genuine_at);
    drop(listener);
    let mut client = rig.requester().await;
    client.send(b"x".to_vec(), late()).await.unwrap();
    eventually("held", || rig.relay.seen().carried.held == 1).await;
    let back = Master {
        listener: TcpListener::bind(address).await.unwrap(),
        genuine_at,
    };
    let mut master = back.connection().await;
    assert_eq!(asked(&mut master).await, b"x");
    reply(&mut master, b"y").await;
    assert_eq!(heard(&mut client).await, b"y");
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
    for frames in [[b"a".as_slice(), b"b"].as_slice(), &[b""], &[b"", b"a", b"b"]] {
        client.send(&message(frames), late()).await.unwrap();
    }
    client
        .send(&Message::delimited(b"good".to_vec()), late())
        .await
        .unwrap();
    let mut master = rig.masters[0].connection().await;
    assert_eq!(asked(&mut master).await, b"good");
    assert_eq!(rig.relay.seen().carried.malformed, 3);
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
    assert_eq!(heard(&mut client).await, b"y");
}

#[tokio::test]
async fn twenty_mebibytes_go_both_ways_and_others_are_served_meanwhile() {
    let rig = rig().await;
    let long = vec![7; 20 << 20];
    let mut client = rig.requester().await;
    let serving = async {
        let mut master = rig.masters[0].connection().await;
        let payload = asked(&mut master).await;
        reply(&mut master, &payload).await;
    };
    let (reply, ()) = tokio::join!(client.request(long.clone(), late()), serving);
    assert!(reply.unwrap() == long);

    // A client that does not read its reply keeps nobody waiting, itself neither.
    let mut lazy = rig.client(SocketType::Dealer).await;
    lazy.send(&Message::delimited(b"long".to_vec()), late())
        .await
        .unwrap();
    let mut other = rig.requester().await;
    let mut master = rig.masters[0].connection().await;
    asked(&mut master).await;
    let replying = async {
        master
            .send(&Message::delimited(long.clone()), late())
            .await
            .unwrap();
        for _ in 0..100 {
            assert_eq!(asked(&mut master).await, b"ping");
            self::reply(&mut master, b"pong").await;
        }
    };
    let asking = async {
        for _ in 0..100 {
            let heard = other.request(b"ping".to_vec(), late()).await.unwrap();
            assert_eq!(heard, b"pong");
        }
    };
    // The connection of the long reply is free, as the relay has taken all of it.
    replying_then(replying, asking, &rig).await;
    lazy.ping(b"1", late()).await.unwrap();
}

async fn replying_then(replying: impl Future<Output = ()>, asking: impl Future<Output = ()>, rig: &Rig) {
    let begin = async {
        eventually("taken", || rig.relay.upstream.idle_at(A) == 1).await;
        asking.await;
    };
    tokio::join!(replying, begin);
}

#[tokio::test]
async fn requests_hold_no_more_than_their_budget_and_all_are_carried_in_the_end() {
    let bounds = Bounds {
        requests: 1 << 20,
        ..Bounds::USUAL
    };
    let rig = rig_within(&bounds).await;
    let long = vec![7; 16 << 20];
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = rig.requester().await;
        let long = long.clone();
        clients.push(tokio::spawn(async move {
            client.request(long, late()).await.unwrap()
        }));
    }
    eventually("one is held", || rig.relay.seen().carried.held == 1).await;
    // The others are not read. One that waits for its reply is, and noticed when it closes; a new one is heard, too.
    let mut small = rig.requester().await;
    small.ping(b"1", late()).await.unwrap();
    assert_eq!(rig.relay.seen().carried.held, 1);

    rig.relay.route(Some(A), Manner::Abandon);
    let mut master = rig.masters[0].connection().await;
    for _ in 0..3 {
        assert!(asked(&mut master).await == long);
        reply(&mut master, b"taken").await;
    }
    for client in clients {
        assert_eq!(client.await.unwrap(), b"taken");
    }
}

#[tokio::test]
async fn replies_hold_no_more_than_their_budget_and_all_come_in_the_end() {
    let bounds = Bounds {
        replies: 1 << 20,
        ..Bounds::USUAL
    };
    let rig = rig_within(&bounds).await;
    rig.relay.route(Some(A), Manner::Abandon);
    let long = vec![7; 16 << 20];
    let (mut clients, mut masters) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let mut client = rig.client(SocketType::Req).await;
        client.send(&Message::delimited(vec![]), late()).await.unwrap();
        clients.push(client);
        let mut master = rig.masters[0].connection().await;
        asked(&mut master).await;
        let long = Message::delimited(long.clone());
        masters.push(tokio::spawn(async move {
            master.send(&long, late()).await.unwrap();
        }));
    }
    eventually("one is taken", || rig.relay.seen().carried.answered == 1).await;
    for _ in 0..3 {
        let read = async {
            loop {
                for (at, client) in clients.iter_mut().enumerate() {
                    if let Ok(message) = client.recv(Instant::now() + Duration::from_millis(1)).await {
                        return (at, message);
                    }
                }
            }
        };
        let (at, message) = timeout(LATE, read).await.expect("a reply");
        assert!(message.into_payload().unwrap() == long);
        clients.remove(at);
    }
    for master in masters {
        master.await.unwrap();
    }
}

#[tokio::test]
async fn a_master_that_is_kept_warm_has_an_idle_connection_and_a_new_one_when_it_breaks() {
    let rig = rig().await;
    rig.relay.warm(&[B]);
    for _ in 0..2 {
        let master = rig.masters[1].connection().await;
        eventually("kept", || rig.relay.upstream.idle_at(B) == 1).await;
        drop(master);
    }
    let mut master = rig.masters[1].connection().await;
    eventually("kept", || rig.relay.upstream.idle_at(B) == 1).await;
    let mut client = rig.requester().await;
    rig.relay.route(Some(B), Manner::Abandon);
    client.send(b"x".to_vec(), late()).await.unwrap();
    assert_eq!(asked(&mut master).await, b"x");
    assert_eq!(rig.relay.seen().carried.repeated, 0);
}

#[tokio::test]
async fn a_master_that_has_moved_is_asked_where_it_is_now() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"x".to_vec(), late()).await.unwrap();
    let mut before = rig.masters[0].connection().await;
    asked(&mut before).await;
    reply(&mut before, b"y").await;
    heard(&mut client).await;
    let moved = Master::start().await;
    let address = moved.listener.local_addr().unwrap();
    rig.masters[0].genuine_at.send_replace(Some(address));
    client.send(b"z".to_vec(), late()).await.unwrap();
    assert_eq!(asked(&mut moved.connection().await).await, b"z");
    closes(&mut before).await;
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
