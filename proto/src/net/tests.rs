//! Connections over loopback: between two of our own ends, or to a peer that is played byte by byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::{Channel, Heard, NetError, Options, Requester, accept, connect};
use crate::zmtp::{Connection, Event, Limits, Message, SocketType, Violation};

fn soon(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

/// Long enough for anything that works.
fn late() -> Instant {
    soon(20_000)
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Both ends of a connection, the one that connects first.
async fn pair(one: SocketType, other: SocketType, limits: Limits) -> (Channel, Channel) {
    let (listener, port) = listen().await;
    let options = Options::default();
    let accepting = async {
        let (stream, _) = listener.accept().await.unwrap();
        accept(stream, other, limits, late()).await.unwrap()
    };
    let (one, other) = tokio::join!(
        connect("127.0.0.1", port, one, limits, &options, late()),
        accepting
    );
    (one.unwrap(), other)
}

/// A requester and the raw socket of the ROUTER that it talks to, after the handshake.
async fn requester() -> (Requester, TcpStream) {
    let (listener, port) = listen().await;
    let options = Options::default();
    let connecting = Requester::connect("127.0.0.1", port, Limits::default(), &options, late());
    let (requester, stream) = tokio::join!(connecting, raw_router(&listener));
    (requester.unwrap(), stream)
}

/// The raw socket of a ROUTER, after the handshake with a REQ or DEALER.
async fn raw_router(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(&router_opening()).await.unwrap();
    let mut greeting_and_header = [0; 64 + 2];
    stream.read_exact(&mut greeting_and_header).await.unwrap();
    let mut ready = vec![0; usize::from(greeting_and_header[65])];
    stream.read_exact(&mut ready).await.unwrap();
    stream
}

fn router_opening() -> Vec<u8> {
    let mut opening = Connection::new(SocketType::Router, Limits::default())
        .output()
        .to_vec();
    opening.extend_from_slice(b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06ROUTER");
    opening
}

#[tokio::test]
async fn messages_go_both_ways() {
    let (mut req, mut rep) = pair(SocketType::Req, SocketType::Rep, Limits::default()).await;
    for size in [0, 255, 256, 300_000] {
        let message = Message::delimited(vec![7; size]);
        let (sent, heard) = tokio::join!(req.send(&message, late()), rep.recv(late()));
        sent.unwrap();
        assert_eq!(heard.unwrap(), message);
        let (sent, heard) = tokio::join!(rep.send(&message, late()), req.recv(late()));
        sent.unwrap();
        assert_eq!(heard.unwrap(), message);
    }
    assert_eq!(req.local_addr().unwrap(), rep.peer_addr().unwrap());
    assert_eq!(req.peer().unwrap().socket_type, SocketType::Rep);
}

#[tokio::test]
async fn a_byte_at_a_time_is_no_busy_loop() {
    let (mut requester, mut peer) = requester().await;
    let reply = [b"\x01\0\0\x64".as_slice(), &[7; 100]].concat();
    let trickle = async {
        for byte in &reply {
            peer.write_all(&[*byte]).await.unwrap();
            sleep(Duration::from_millis(2)).await;
        }
    };
    let before = requester.channel().steps;
    let (heard, ()) = tokio::join!(requester.request(b"x".to_vec(), late()), trickle);
    assert_eq!(heard.unwrap(), [7; 100]);
    // One wait to write, one for each byte, and one more for each at most that tells that there is none.
    let steps = requester.channel().steps - before;
    assert!(
        steps <= 2 * reply.len() + 2,
        "{steps} steps for {} bytes",
        reply.len()
    );
}

#[tokio::test]
async fn a_reply_that_is_arriving_is_waited_for_and_silence_is_not() {
    let (mut requester, mut stream) = requester().await;
    let quiet = Duration::from_millis(200);
    let slow = async {
        for byte in [&[1, 0, 0, 5][..], b"reply"].concat() {
            sleep(quiet / 2).await;
            stream.write_all(&[byte]).await.unwrap();
        }
    };
    let began = Instant::now();
    let asking = requester.request_patiently(b"x".to_vec(), quiet, late());
    let (heard, ()) = tokio::join!(asking, slow);
    assert_eq!(heard.unwrap(), b"reply");
    assert!(began.elapsed() > quiet * 2);
    let silent = requester.request_patiently(b"y".to_vec(), quiet, late()).await;
    assert!(matches!(silent, Err(NetError::ReplyTimeout { .. })), "{silent:?}");
    assert!(requester.is_abandoned());
}

#[tokio::test]
async fn a_peer_that_closes_in_the_middle_of_a_frame_has_closed() {
    let (mut requester, mut peer) = requester().await;
    peer.write_all(b"\x01\0\0\x64abc").await.unwrap();
    let mut request = [0; 5];
    let closing = async {
        peer.read_exact(&mut request).await.unwrap();
        drop(peer);
    };
    let (heard, ()) = tokio::join!(requester.request(b"x".to_vec(), late()), closing);
    assert!(matches!(heard, Err(NetError::Closed { .. })), "{heard:?}");
}

#[tokio::test]
async fn a_dropped_wait_loses_no_bytes() {
    let (mut sub, mut publisher) = pair(SocketType::Sub, SocketType::Pub, Limits::default()).await;
    let messages: Vec<Message> = (0..20_u8)
        .map(|number| Message::single(vec![number; 40_000 + usize::from(number)]))
        .collect();
    let publishing = async {
        for message in &messages {
            publisher.send(message, late()).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
    };
    let receiving = async {
        let (mut heard, mut dropped) = (Vec::new(), 0);
        while heard.len() < messages.len() {
            match timeout(Duration::from_micros(200), sub.recv(late())).await {
                Ok(message) => heard.push(message.unwrap()),
                Err(_) => dropped += 1,
            }
        }
        (heard, dropped)
    };
    let ((), (heard, dropped)) = tokio::join!(publishing, receiving);
    assert_eq!(heard, messages);
    assert!(dropped > 0, "no wait was dropped: this shows nothing");
}

#[tokio::test]
async fn turns_tell_what_arrives_and_stop_at_will() {
    let (mut one, mut other) = pair(SocketType::Dealer, SocketType::Dealer, Limits::default()).await;
    let long = Message::single(vec![7; 1024 * 1024]);
    one.queue(&long).unwrap();
    assert!(one.unsent() > long.size());
    let mut most = 0;
    let heard = loop {
        if one.unsent() > 0 {
            assert_eq!(one.turn(false, late()).await.unwrap(), None);
        }
        let before = other.unheard();
        if let Some(event) = other.turn(true, soon(100)).await.unwrap() {
            break event;
        }
        // One read, and at most as much room again for a frame that is not complete.
        assert!(other.unheard() <= 2 * before + 2 * 32 * 1024, "{before}");
        most = most.max(other.unheard());
    };
    assert_eq!(heard, Event::Message(long.clone()));
    assert_eq!((one.unsent(), other.unheard()), (0, 0));
    assert!(most >= long.size(), "{most}");

    one.send(&Message::single(b"x".to_vec()), late()).await.unwrap();
    let received = other.received();
    assert_eq!(other.turn(false, soon(100)).await.unwrap(), None);
    assert_eq!(other.received(), received);
    assert_eq!(other.turn(true, late()).await.unwrap(), None);
    assert_eq!(other.unheard(), 3);
    let heard = other.turn(true, late()).await.unwrap();
    assert_eq!(heard, Some(Event::Message(Message::single(b"x".to_vec()))));
}

#[tokio::test]
async fn what_has_arrived_is_handed_out_after_the_deadline() {
    let (mut sub, mut publisher) = pair(SocketType::Sub, SocketType::Pub, Limits::default()).await;
    let past = Instant::now();
    let nothing = sub.recv(past).await;
    assert!(
        matches!(nothing, Err(NetError::ReplyTimeout { .. })),
        "{nothing:?}"
    );
    for number in 0..3_u8 {
        publisher
            .send(&Message::single(vec![number]), late())
            .await
            .unwrap();
    }
    // The answer comes behind the messages, which are kept meanwhile.
    let (answered, request) = tokio::join!(sub.ping(b"1", late()), publisher.recv(soon(500)));
    answered.unwrap();
    assert!(
        matches!(request, Err(NetError::ReplyTimeout { .. })),
        "{request:?}"
    );
    for number in 0..3_u8 {
        assert_eq!(sub.recv(past).await.unwrap(), Message::single(vec![number]));
    }
}

#[tokio::test]
async fn events_that_nobody_wants_do_not_move_the_deadline() {
    let (mut requester, mut peer) = requester().await;
    let flood =
        tokio::spawn(async move { while peer.write_all(&b"\x04\x05\x04PONG".repeat(500)).await.is_ok() {} });
    let began = Instant::now();
    let heard = requester.request(b"x".to_vec(), soon(300)).await;
    assert!(matches!(heard, Err(NetError::ReplyTimeout { .. })), "{heard:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    drop(requester);
    flood.await.unwrap();
}

#[tokio::test]
async fn a_past_deadline_reads_once_at_most() {
    let (listener, port) = listen().await;
    let options = Options::default();
    let limits = Limits::default();
    let connecting = connect("127.0.0.1", port, SocketType::Dealer, limits, &options, late());
    let (channel, mut peer) = tokio::join!(connecting, raw_router(&listener));
    let mut channel = channel.unwrap();
    // Commands that mean nothing fill more than two reads: the socket stays readable.
    let filler = b"\x04\x05\x04JOIN".repeat(12_000);
    let writing = async move {
        peer.write_all(&[b"\0\x01x".as_slice(), &filler, b"\0\x01y"].concat())
            .await
            .unwrap();
        peer
    };
    let (first, _peer) = tokio::join!(channel.recv(late()), writing);
    assert_eq!(first.unwrap(), Message::single(b"x".to_vec()));
    let before = channel.steps;
    let nothing = channel.recv(Instant::now()).await;
    assert!(
        matches!(nothing, Err(NetError::ReplyTimeout { .. })),
        "{nothing:?}"
    );
    assert_eq!(channel.steps - before, 1);
    assert_eq!(
        channel.recv(late()).await.unwrap(),
        Message::single(b"y".to_vec())
    );
}

#[tokio::test]
async fn an_answer_behind_too_many_messages_is_a_backlog_not_silence() {
    let (mut sub, mut publisher) = pair(SocketType::Sub, SocketType::Pub, Limits::default()).await;
    for _ in 0..1000 {
        publisher
            .send(&Message::single(b"x".to_vec()), late())
            .await
            .unwrap();
    }
    let (answer, _) = tokio::join!(sub.ping(b"1", late()), publisher.recv(soon(300)));
    assert!(
        matches!(answer, Err(NetError::Backlog { waiting: 1000, .. })),
        "{answer:?}"
    );
    for _ in 0..1000 {
        sub.recv(late()).await.unwrap();
    }
    assert_eq!(
        sub.next_event(late()).await.unwrap(),
        Event::Pong {
            context: b"1".to_vec()
        }
    );
}

#[tokio::test]
async fn an_old_answer_is_not_taken_for_that_to_a_new_ping() {
    let (mut requester, mut peer) = requester().await;
    peer.write_all(b"\x04\x06\x04PONG1").await.unwrap();
    let answer = requester.ping(b"2", soon(200)).await;
    assert!(matches!(answer, Err(NetError::ReplyTimeout { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_request_that_timed_out_ends_the_requester() {
    let (mut requester, mut peer) = requester().await;
    let heard = requester.request(b"one".to_vec(), soon(50)).await;
    assert!(matches!(heard, Err(NetError::ReplyTimeout { .. })), "{heard:?}");
    peer.write_all(b"\x01\0\0\x03one").await.unwrap();
    let heard = requester.request(b"two".to_vec(), late()).await;
    assert!(matches!(heard, Err(NetError::Abandoned { .. })), "{heard:?}");
}

#[tokio::test]
async fn a_request_that_was_dropped_ends_the_requester() {
    let (mut requester, _peer) = requester().await;
    let dropped = timeout(
        Duration::from_millis(20),
        requester.request(b"one".to_vec(), late()),
    )
    .await;
    assert!(dropped.is_err());
    assert!(requester.is_abandoned());
    let heard = requester.request(b"two".to_vec(), late()).await;
    assert!(matches!(heard, Err(NetError::Abandoned { .. })), "{heard:?}");
}

#[tokio::test]
async fn a_message_before_the_request_is_no_reply() {
    let (mut requester, mut peer) = requester().await;
    peer.write_all(b"\x01\0\0\x05early\x04\x06\x04PONG1")
        .await
        .unwrap();
    requester.ping(b"1", late()).await.unwrap();
    let heard = requester.request(b"x".to_vec(), late()).await;
    assert!(matches!(heard, Err(NetError::NotAReply { .. })), "{heard:?}");
}

#[tokio::test]
async fn heartbeats_go_on_while_a_request_is_under_way() {
    let (req, mut router) = pair(SocketType::Req, SocketType::Router, Limits::default()).await;
    let mut requester = Requester::new(req);
    for round in [b"1", b"2"] {
        requester.send(round.to_vec(), late()).await.unwrap();
        let request = router.recv(late()).await.unwrap();
        requester.send_ping(round, late()).await.unwrap();
        let (heard, unasked) = tokio::join!(requester.next(late()), router.recv(soon(50)));
        assert_eq!(heard.unwrap(), Heard::Pong(round.to_vec()));
        assert!(unasked.is_err(), "{unasked:?}");
        let early = requester.next(soon(1)).await;
        assert!(matches!(early, Err(NetError::ReplyTimeout { .. })), "{early:?}");
        router.send(&request, late()).await.unwrap();
        assert_eq!(
            requester.next(late()).await.unwrap(),
            Heard::Reply(round.to_vec())
        );
        assert!(!requester.is_abandoned());
    }
}

#[tokio::test]
async fn a_second_request_before_the_reply_is_refused_and_a_second_reply_is_none() {
    let (req, mut router) = pair(SocketType::Req, SocketType::Router, Limits::default()).await;
    let mut requester = Requester::new(req);
    requester.send(b"one".to_vec(), late()).await.unwrap();
    let second = requester.send(b"two".to_vec(), late()).await;
    assert!(matches!(second, Err(NetError::Abandoned { .. })), "{second:?}");
    let second = requester.request(b"two".to_vec(), late()).await;
    assert!(matches!(second, Err(NetError::Abandoned { .. })), "{second:?}");
    let request = router.recv(late()).await.unwrap();
    router.send(&request, late()).await.unwrap();
    router.send(&request, late()).await.unwrap();
    assert_eq!(
        requester.next(late()).await.unwrap(),
        Heard::Reply(b"one".to_vec())
    );
    let heard = requester.next(late()).await;
    assert!(matches!(heard, Err(NetError::NotAReply { .. })), "{heard:?}");
    assert!(requester.is_abandoned());
}

#[tokio::test]
async fn a_reply_of_another_shape_is_no_reply() {
    for reply in [b"\0\x01x".as_slice(), b"\x01\x01a\0\x01x", b"\x01\0\x01\0\0\x01x"] {
        let (mut requester, mut peer) = requester().await;
        let mut request = [0; 5];
        let replying = async {
            peer.read_exact(&mut request).await.unwrap();
            peer.write_all(reply).await.unwrap();
        };
        let (heard, ()) = tokio::join!(requester.request(b"x".to_vec(), late()), replying);
        assert!(matches!(heard, Err(NetError::NotAReply { .. })), "{heard:?}");
    }
}

#[tokio::test]
async fn the_message_limit_can_be_raised_on_a_connection() {
    let limits = Limits {
        message: 1000,
        ..Limits::default()
    };
    let long = Message::single(vec![7; 5000]);
    let (mut sub, mut publisher) = pair(SocketType::Sub, SocketType::Pub, limits).await;
    sub.set_message_limit(5000);
    publisher.send(&long, late()).await.unwrap();
    assert_eq!(sub.recv(late()).await.unwrap(), long);
    sub.set_message_limit(4999);
    publisher.send(&long, late()).await.unwrap();
    let heard = sub.recv(late()).await;
    let expected = Violation::FrameTooLong {
        announced: 5000,
        limit: 4999,
    };
    assert!(
        matches!(&heard, Err(NetError::Violation { violation, .. }) if *violation == expected),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_a_send_timeout() {
    let (mut requester, _peer) = requester().await;
    let began = Instant::now();
    let heard = requester.request(vec![0; 32 * 1024 * 1024], soon(300)).await;
    assert!(matches!(heard, Err(NetError::SendTimeout { .. })), "{heard:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn pings_are_answered_while_a_long_message_leaves() {
    let (mut one, mut other) = pair(SocketType::Dealer, SocketType::Dealer, Limits::default()).await;
    let long = Message::single(vec![7; 8 * 1024 * 1024]);
    let (sent, answered) = tokio::join!(one.send(&long, late()), other.ping(b"1", late()));
    sent.unwrap();
    answered.unwrap();
    assert_eq!(other.recv(late()).await.unwrap(), long);
}
