//! Honest peers of another implementation, the `zeromq` crate, in both roles. It greets with ZMTP 3.0.

// A helper of tests is no test to the lints: a panic is how it reports.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use proto::net::{Channel, NetError, Options, Requester, Subscriber, accept};
use proto::zmtp::{Event, Limits, Message, Misuse, SocketType};
use tokio::net::TcpListener;
use tokio::time::Instant;
use zeromq::prelude::*;
use zeromq::{Endpoint, PubSocket, RepSocket, ReqSocket, RouterSocket, SubSocket, ZmqMessage};

/// Around both border lines of frame lengths, and a long one.
const SIZES: [usize; 6] = [0, 1, 255, 256, 70_000, 5_000_000];

fn late() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn payload(size: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(size).collect()
}

async fn bound(socket: &mut impl Socket) -> u16 {
    match socket.bind("tcp://127.0.0.1:0").await.unwrap() {
        Endpoint::Tcp(_, port) => port,
        other => panic!("bound to {other}"),
    }
}

fn frames(message: ZmqMessage) -> Vec<Vec<u8>> {
    message
        .into_vec()
        .into_iter()
        .map(|frame| frame.to_vec())
        .collect()
}

/// A connection that the other side makes while `theirs` runs.
async fn accepted(socket_type: SocketType, theirs: impl AsyncFnOnce(String)) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let accepting = async {
        let (stream, _) = listener.accept().await.unwrap();
        accept(stream, socket_type, Limits::default(), late())
            .await
            .unwrap()
    };
    tokio::join!(accepting, theirs(endpoint)).0
}

#[tokio::test]
async fn our_req_is_answered_by_its_rep() {
    let mut rep = RepSocket::new();
    let port = bound(&mut rep).await;
    let serving = tokio::spawn(async move {
        for _ in SIZES {
            let request = rep.recv().await.unwrap();
            rep.send(request).await.unwrap();
        }
        rep
    });
    let options = Options::default();
    let mut req = Requester::connect("127.0.0.1", port, Limits::default(), &options, late())
        .await
        .unwrap();
    for size in SIZES {
        assert_eq!(req.request(payload(size), late()).await.unwrap(), payload(size));
    }
    serving.await.unwrap();
}

#[tokio::test]
async fn our_req_is_answered_by_its_router() {
    let mut router = RouterSocket::new();
    let port = bound(&mut router).await;
    let serving = tokio::spawn(async move {
        for _ in SIZES {
            let request = router.recv().await.unwrap();
            assert_eq!(request.len(), 3, "identity, delimiter, payload");
            router.send(request).await.unwrap();
        }
        router
    });
    let options = Options::default();
    let mut req = Requester::connect("127.0.0.1", port, Limits::default(), &options, late())
        .await
        .unwrap();
    for size in SIZES {
        assert_eq!(req.request(payload(size), late()).await.unwrap(), payload(size));
    }
    serving.await.unwrap();
}

#[tokio::test]
async fn its_req_is_answered_by_our_rep_and_router() {
    for ours in [SocketType::Rep, SocketType::Router] {
        let mut req = ReqSocket::new();
        let mut channel = accepted(ours, async |endpoint| req.connect(&endpoint).await.unwrap()).await;
        for size in SIZES {
            let serving = async {
                let request = channel.recv(late()).await.unwrap();
                assert_eq!(request, Message::delimited(payload(size)));
                channel.send(&request, late()).await.unwrap();
            };
            let asking = async {
                req.send(payload(size).into()).await.unwrap();
                frames(req.recv().await.unwrap())
            };
            let ((), reply) = tokio::join!(serving, asking);
            assert_eq!(reply, [payload(size)]);
        }
    }
}

#[tokio::test]
async fn our_sub_hears_its_pub() {
    let mut publisher = PubSocket::new();
    let port = bound(&mut publisher).await;
    let options = Options::default();
    let mut sub = Subscriber::connect("127.0.0.1", port, Limits::default(), &options, late())
        .await
        .unwrap();
    let ping = sub.ping(b"1", late()).await;
    assert!(
        matches!(
            ping,
            Err(NetError::Misuse {
                misuse: Misuse::NoPing,
                ..
            })
        ),
        "{ping:?}"
    );

    sub.subscribe(b"a", late()).await.unwrap();
    // A publisher does not confirm a subscription: publish until it is heard.
    let first = loop {
        publisher.send("abc".into()).await.unwrap();
        match sub.next(Instant::now() + Duration::from_millis(50)).await {
            Err(NetError::ReplyTimeout { .. }) => {}
            publication => break publication.unwrap(),
        }
    };
    assert_eq!(first, [b"abc"]);
    publisher.send("unwanted".into()).await.unwrap();
    let mut long = ZmqMessage::from("a topic");
    long.push_back(payload(5_000_000).into());
    publisher.send(long).await.unwrap();
    // The first one may have been published more than once.
    let last = loop {
        match sub.next(late()).await.unwrap() {
            publication if publication == [b"abc"] => {}
            publication => break publication,
        }
    };
    assert_eq!(last, [b"a topic".to_vec(), payload(5_000_000)]);
}

#[tokio::test]
async fn its_sub_hears_our_pub() {
    let mut sub = SubSocket::new();
    let mut channel = accepted(SocketType::Pub, async |endpoint| {
        sub.connect(&endpoint).await.unwrap();
    })
    .await;
    sub.subscribe("a").await.unwrap();
    let event = channel.next_event(late()).await.unwrap();
    assert_eq!(event, Event::Subscribe(b"a".to_vec()));
    for size in SIZES {
        let message = Message::from_frames(vec![b"a".to_vec(), payload(size)]).unwrap();
        let (sent, heard) = tokio::join!(channel.send(&message, late()), sub.recv());
        sent.unwrap();
        assert_eq!(frames(heard.unwrap()), message.into_frames());
    }
    sub.unsubscribe("a").await.unwrap();
    assert_eq!(
        channel.next_event(late()).await.unwrap(),
        Event::Cancel(b"a".to_vec())
    );
}
