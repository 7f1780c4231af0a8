//! Long messages, many of them, and clients that do not read.

use tokio::io::AsyncWriteExt as _;

use super::*;

#[tokio::test]
async fn twenty_mebibytes_go_both_ways() {
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
}

#[tokio::test]
async fn a_client_that_does_not_read_its_reply_delays_nobody() {
    let rig = rig().await;
    let mut lazy = rig.client(SocketType::Req).await;
    lazy.send(&Message::delimited(b"long".to_vec()), late())
        .await
        .unwrap();
    let mut master = rig.masters[0].connection().await;
    asked(&mut master).await;
    let long = vec![7; 20 << 20];
    reply(&mut master, &long).await;
    // The relay has taken all of it, so the master's connection is free.
    eventually("taken", || rig.relay.upstream.idle_at(A) == 1).await;
    let mut other = rig.requester().await;
    for _ in 0..100 {
        other.send(b"x".to_vec(), late()).await.unwrap();
        assert_eq!(asked(&mut master).await, b"x");
        reply(&mut master, b"y").await;
        assert_eq!(answer(&mut other).await, b"y");
    }
    let late_reader = lazy.recv(late()).await.unwrap();
    assert!(late_reader.into_payload().unwrap() == long);
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
    let long = vec![7; 32 << 20];
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
    // That one is not read. The others stay with their masters, whose systems take less than half of such a reply.
    assert!(rig.masters[0].is_left_alone().await);
    let taken = masters.iter().filter(|master| master.is_finished()).count();
    assert_eq!((taken, rig.relay.under_way()), (1, 2));
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
async fn a_dealer_that_reads_nothing_holds_no_envelopes_that_are_not_accounted_for() {
    let bounds = Bounds {
        requests: 8 << 20,
        ..Bounds::USUAL
    };
    let rig = rig_within(&bounds).await;
    rig.relay.route(Some(A), Manner::Abandon);
    let mut dealer = rig.client(SocketType::Dealer).await;
    let identity = vec![7; 2 << 20];
    for _ in 0..8 {
        dealer
            .send(&message(&[&identity, b"", b"x"]), late())
            .await
            .unwrap();
    }
    dealer.ping(b"read", late()).await.unwrap();
    let seen = rig.relay.seen().carried;
    assert_eq!((seen.malformed, seen.held, rig.relay.under_way()), (8, 0, 0));
    assert!(rig.masters[0].is_left_alone().await);
    assert_eq!(rig.relay.request_budget.free(), bounds.requests);

    // One that is short enough is counted until its answer is read, which the system does for the client here.
    dealer
        .send(&message(&[&[7; 1000], b"", b"x"]), late())
        .await
        .unwrap();
    let mut master = rig.masters[0].connection().await;
    asked(&mut master).await;
    assert!(rig.relay.request_budget.free() < bounds.requests);
    reply(&mut master, b"y").await;
    assert!(dealer.recv(late()).await.is_ok());
    eventually("freed", || rig.relay.request_budget.free() == bounds.requests).await;
}

/// Bounds with which who stops half-way is closed soon.
const IMPATIENT: Bounds = Bounds {
    requests: 1 << 20,
    replies: 1 << 20,
    transfer: Duration::from_millis(500),
    ..Bounds::USUAL
};

#[tokio::test]
async fn who_stops_within_a_request_is_closed_and_the_others_go_on() {
    let rig = rig_within(&IMPATIENT).await;
    rig.relay.route(Some(A), Manner::Abandon);
    let mut stalled = Vec::new();
    for _ in 0..3 {
        stalled.push(begins_a_long_request(rig.requests).await);
    }
    eventually("full", || rig.relay.request_budget.free() == 0).await;
    let mut client = rig.requester().await;
    let serving = async {
        let mut master = rig.masters[0].connection().await;
        let payload = asked(&mut master).await;
        reply(&mut master, &payload).await;
    };
    let long = vec![7; 8 << 20];
    let (reply, ()) = tokio::join!(client.request(long.clone(), late()), serving);
    assert!(reply.unwrap() == long);
    eventually("closed", || rig.relay.seen().requests.refused == 3).await;
    eventually("freed", || rig.relay.request_budget.free() == IMPATIENT.requests).await;
    // Nothing is half-way on a connection that is idle.
    sleep(2 * IMPATIENT.transfer).await;
    client.ping(b"idle", late()).await.unwrap();
}

#[tokio::test]
async fn who_does_not_read_its_reply_is_closed_in_the_end() {
    let rig = rig_within(&IMPATIENT).await;
    rig.relay.route(Some(A), Manner::Abandon);
    let mut lazy = rig.client(SocketType::Req).await;
    lazy.send(&Message::delimited(b"x".to_vec()), late())
        .await
        .unwrap();
    let mut master = rig.masters[0].connection().await;
    asked(&mut master).await;
    reply(&mut master, &vec![7; 32 << 20]).await;
    eventually("closed", || rig.relay.seen().requests.connections == 0).await;
    assert_eq!(rig.relay.seen().requests.refused, 1);
}

#[tokio::test]
async fn a_request_that_waits_for_room_is_not_stalled() {
    let rig = rig_within(&IMPATIENT).await;
    let long = vec![7; 8 << 20];
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = rig.requester().await;
        let long = long.clone();
        clients.push(tokio::spawn(async move {
            client.request(long, late()).await.unwrap()
        }));
    }
    eventually("one is held", || rig.relay.seen().carried.held == 1).await;
    sleep(3 * IMPATIENT.transfer).await;
    rig.relay.route(Some(A), Manner::Abandon);
    let mut master = rig.masters[0].connection().await;
    for _ in 0..2 {
        assert!(asked(&mut master).await == long);
        reply(&mut master, b"taken").await;
    }
    for client in clients {
        assert_eq!(client.await.unwrap(), b"taken");
    }
    assert_eq!(rig.relay.seen().requests.refused, 0);
}

/// A REQ that announces 16 MiB and sends a few.
async fn begins_a_long_request(address: SocketAddr) -> TcpStream {
    let mut opening = proto::zmtp::Connection::new(SocketType::Req, Limits::default())
        .output()
        .to_vec();
    opening.extend_from_slice(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03REQ");
    opening.extend_from_slice(b"\x01\0\x02\0\0\0\0\x01\0\0\0");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&opening).await.unwrap();
    // The relay may stop to read: what the system takes is sent.
    let _ = timeout(Duration::from_millis(50), stream.write_all(&vec![7; 4 << 20])).await;
    stream
}
