//! The two ports: what they take, what they do not, and when they are not to be had.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// Reads until the relay closes.
async fn is_closed(stream: &mut TcpStream) {
    let reading = async {
        let mut buffer = [0; 1024];
        while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {}
    };
    timeout(LATE, reading).await.expect("it is not closed");
}

#[tokio::test]
async fn junk_is_closed_and_counted_and_others_are_served() {
    let rig = rig().await;
    for (number, address) in [rig.publish, rig.requests].into_iter().enumerate() {
        for junk in [
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice(),
            &[0xff; 100],
            &[0; 100],
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(junk).await.unwrap();
            is_closed(&mut stream).await;
        }
        let seen = rig.relay.seen();
        let port = [seen.publish, seen.requests].into_iter().nth(number).unwrap();
        assert_eq!(port.refused, 3);
    }
    let mut client = rig.requester().await;
    client.ping(b"1", late()).await.unwrap();
    rig.subscriber(&[b""]).await;
}

#[tokio::test]
async fn junk_after_the_handshake_is_closed_too() {
    let rig = rig().await;
    for (address, ready) in [
        (rig.publish, b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB"),
        (rig.requests, b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03REQ"),
    ] {
        let greeting = proto::zmtp::Connection::new(SocketType::Req, Limits::default())
            .output()
            .to_vec();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(&[greeting.as_slice(), ready, &[0xff; 100]].concat())
            .await
            .unwrap();
        is_closed(&mut stream).await;
    }
    let seen = rig.relay.seen();
    assert_eq!((seen.publish.refused, seen.requests.refused), (1, 1));
}

#[tokio::test]
async fn the_wrong_socket_type_is_refused() {
    let rig = rig().await;
    for (address, role) in [
        (rig.publish, SocketType::Req),
        (rig.requests, SocketType::Sub),
        (rig.requests, SocketType::Rep),
    ] {
        let options = Options::default();
        let refused = connect(
            "127.0.0.1",
            address.port(),
            role,
            Limits::default(),
            &options,
            late(),
        )
        .await;
        assert!(refused.is_err(), "{role} on {address}");
    }
    eventually("counted", || {
        let seen = rig.relay.seen();
        (seen.publish.refused, seen.requests.refused) == (1, 2)
    })
    .await;
}

#[tokio::test]
async fn a_port_in_use_is_told_and_tried_again() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let settings = RelaySettings {
        master_port: port,
        ..any_ports()
    };
    let (_publications, receiver) = mpsc::channel(1);
    let mut relay = Relay::start(&settings, Vec::new(), receiver, Topics::default());
    let reason = loop {
        if let Listening::Failed(reason) = relay.seen().requests.listening {
            break reason;
        }
        timeout(LATE, relay.changed()).await.expect("nothing changes");
    };
    assert!(
        reason.contains(&format!("127.0.0.1:{port}")) && reason.contains("relay.master_port"),
        "{reason}"
    );
    // The other port does not wait.
    loop {
        if let Listening::At(_) = relay.seen().publish.listening {
            break;
        }
        timeout(LATE, relay.changed()).await.expect("nothing changes");
    }
    drop(taken);
    let (_, requests) = listening(&mut relay).await;
    assert_eq!(requests.port(), port);
    to(requests, SocketType::Req).await;
}

#[tokio::test]
async fn a_port_whose_connections_are_all_busy_takes_no_more_until_one_ends() {
    let rig = rig_within(&Bounds::USUAL).await;
    let mut clients = Vec::new();
    for _ in 0..128 {
        let mut client = rig.requester().await;
        client.send(b"x".to_vec(), late()).await.unwrap();
        clients.push(client);
    }
    eventually("held", || rig.relay.seen().carried.held == 128).await;
    let mut one_more = TcpStream::connect(rig.requests).await.unwrap();
    is_closed(&mut one_more).await;
    let seen = rig.relay.seen().requests;
    assert_eq!((seen.connections, seen.turned_away), (128, 1));
    // The other port has connections of its own.
    rig.subscriber(&[]).await;
    clients.pop();
    eventually("room", || rig.relay.seen().requests.connections == 127).await;
    rig.client(SocketType::Req).await;
}

#[tokio::test]
async fn silent_connections_make_room_for_the_minions() {
    let rig = rig().await;
    let mut minion = rig.requester().await;
    minion.send(b"1".to_vec(), late()).await.unwrap();
    let mut master = rig.masters[0].connection().await;
    asked(&mut master).await;
    reply(&mut master, b"1").await;
    answer(&mut minion).await;
    let mut waiting = rig.requester().await;
    waiting.send(b"2".to_vec(), late()).await.unwrap();
    asked(&mut master).await;
    let mut subscriber = rig.subscriber(&[b""]).await;
    // Some speak ZMTP, others nothing at all.
    let mut silent = Vec::new();
    for address in [rig.requests, rig.publish] {
        for _ in 0..200 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
    }
    let mut greeted = Vec::new();
    for _ in 0..200 {
        greeted.push(rig.client(SocketType::Req).await);
        rig.subscriber(&[]).await;
    }
    reply(&mut master, b"2").await;
    assert_eq!(answer(&mut waiting).await, b"2");
    minion.send(b"3".to_vec(), late()).await.unwrap();
    asked(&mut master).await;
    reply(&mut master, b"3").await;
    assert_eq!(answer(&mut minion).await, b"3");
    rig.publication(A, &[b"job"]).await;
    let heard = subscriber.recv(late()).await.unwrap();
    assert_eq!(heard.frames(), [b"job"]);
    let mut restarted = rig.subscriber(&[b""]).await;
    rig.publication(A, &[b"next"]).await;
    assert_eq!(restarted.recv(late()).await.unwrap().frames(), [b"next"]);
    assert!(rig.relay.seen().requests.turned_away > 0);
}

#[tokio::test]
async fn a_relay_that_is_dropped_closes_all() {
    let rig = rig().await;
    let mut subscriber = rig.subscriber(&[b""]).await;
    let mut client = rig.client(SocketType::Req).await;
    client
        .send(&Message::delimited(b"x".to_vec()), late())
        .await
        .unwrap();
    let mut master = rig.masters[0].connection().await;
    asked(&mut master).await;
    let Rig { relay, requests, .. } = rig;
    drop(relay);
    closes(&mut subscriber).await;
    closes(&mut client).await;
    closes(&mut master).await;
    eventually("the port is free", || {
        std::net::TcpListener::bind(requests).is_ok()
    })
    .await;
}
