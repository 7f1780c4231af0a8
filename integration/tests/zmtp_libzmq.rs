//! Honest peers of libzmq, which is what Salt's masters and minions speak through, in both roles.
//!
//! libzmq comes with Salt, as pyzmq.

// A helper of tests is no test to the lints: a panic is how it reports.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use integration::{Progress, Salt, SaltVersion};
use proto::net::{Channel, NetError, Options, Requester, Subscriber, accept};
use proto::zmtp::{Connection, Event, Limits, Message, Peer, SocketType, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

/// Around both border lines of frame lengths, and a long one.
const SIZES: [usize; 6] = [0, 1, 255, 256, 70_000, 5_000_000];

/// A libzmq socket in a process of its own, which ends with this.
struct Libzmq {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Libzmq {
    fn start(arguments: &[&str]) -> Self {
        let salt = Salt::ensure(SaltVersion::V3008, &Progress::stderr()).unwrap();
        let mut child = Command::new(salt.python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zmtp_libzmq_peer.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    fn bind(kind: &str) -> (Self, u16) {
        let mut peer = Self::start(&["bind", kind]);
        let port = peer.line().parse().unwrap();
        (peer, port)
    }

    /// A peer that has connected to us.
    async fn connect(kind: &str, ours: SocketType, more: &[&str]) -> (Self, Channel) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let peer = Self::start(&[&["connect", kind, &port], more].concat());
        let (stream, _) = listener.accept().await.unwrap();
        let channel = accept(stream, ours, Limits::default(), late()).await.unwrap();
        (peer, channel)
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Waits for the next line; the peer ends by itself if it never comes.
    fn line(&mut self) -> String {
        let mut line = String::new();
        let count = tokio::task::block_in_place(|| self.output.read_line(&mut line)).unwrap();
        assert!(count > 0, "the Python process ended");
        line.trim().to_owned()
    }
}

impl Drop for Libzmq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn late() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// As the peer makes it.
fn content(size: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(size).collect()
}

fn message(sizes: &[usize]) -> Message {
    Message::from_frames(sizes.iter().copied().map(content).collect()).unwrap()
}

async fn requester(port: u16) -> Requester {
    let options = Options::default();
    Requester::connect("127.0.0.1", port, Limits::default(), &options, late())
        .await
        .unwrap()
}

async fn subscriber(port: u16) -> Subscriber {
    let options = Options::default();
    Subscriber::connect("127.0.0.1", port, Limits::default(), &options, late())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_req_is_answered_by_rep_and_router() {
    for (kind, theirs) in [("REP", SocketType::Rep), ("ROUTER", SocketType::Router)] {
        let (mut peer, port) = Libzmq::bind(kind);
        peer.say("echo");
        let mut req = requester(port).await;
        let expected = Peer {
            socket_type: theirs,
            version: Version { major: 3, minor: 1 },
        };
        assert_eq!(req.channel().peer(), Some(expected));
        for size in SIZES {
            assert_eq!(
                req.request(content(size), late()).await.unwrap(),
                content(size),
                "{kind}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered_on_both_kinds_of_port() {
    let (_router, port) = Libzmq::bind("ROUTER");
    let mut req = requester(port).await;
    let (_publisher, port) = Libzmq::bind("PUB");
    let mut sub = subscriber(port).await;
    // The longest context that there may be, a usual one, none.
    for context in [b"0123456789abcdef".as_slice(), b"7", b""] {
        assert!(req.ping(context, late()).await.unwrap() < Duration::from_secs(5));
        assert!(sub.ping(context, late()).await.unwrap() < Duration::from_secs(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_sub_hears_xpub() {
    let (mut peer, port) = Libzmq::bind("XPUB");
    let mut sub = subscriber(port).await;
    sub.subscribe(&content(2), late()).await.unwrap();
    peer.say("raw");
    assert_eq!(peer.line(), "010001", "the subscription as XPUB gets it");
    peer.say("send 1");
    for size in SIZES.into_iter().filter(|size| *size >= 2) {
        peer.say(&format!("send {size} 0 300"));
        assert_eq!(
            sub.next(late()).await.unwrap(),
            message(&[size, 0, 300]).into_frames()
        );
    }
    sub.channel_mut().cancel(&content(2), late()).await.unwrap();
    peer.say("raw");
    assert_eq!(peer.line(), "000001");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_sub_hears_pub() {
    let (mut peer, port) = Libzmq::bind("PUB");
    let mut sub = subscriber(port).await;
    sub.subscribe(b"", late()).await.unwrap();
    // A publisher does not confirm a subscription: publish until it is heard.
    let first = loop {
        peer.say("send 3");
        match sub.next(Instant::now() + Duration::from_millis(50)).await {
            Err(NetError::ReplyTimeout { .. }) => {}
            publication => break publication.unwrap(),
        }
    };
    assert_eq!(first, [content(3)]);
    peer.say("send 5000000");
    let last = loop {
        match sub.next(late()).await.unwrap() {
            publication if publication == first => {}
            publication => break publication,
        }
    };
    assert_eq!(last, [content(5_000_000)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn req_is_answered_by_our_rep_and_router() {
    for ours in [SocketType::Rep, SocketType::Router] {
        let (mut peer, mut channel) = Libzmq::connect("REQ", ours, &[]).await;
        for size in SIZES {
            peer.say(&format!("send {size} 256"));
            peer.say("recv");
            let request = channel.recv(late()).await.unwrap();
            assert_eq!(request, message(&[0, size, 256]));
            channel.send(&request, late()).await.unwrap();
            assert_eq!(peer.line(), format!("{size} 256"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sub_hears_our_pub_and_xpub() {
    for ours in [SocketType::Pub, SocketType::Xpub] {
        let (mut peer, mut channel) = Libzmq::connect("SUB", ours, &[]).await;
        peer.say("subscribe");
        assert_eq!(
            channel.next_event(late()).await.unwrap(),
            Event::Subscribe(vec![])
        );
        for size in SIZES {
            peer.say("recv");
            channel.send(&message(&[size, 0, 256]), late()).await.unwrap();
            assert_eq!(peer.line(), format!("{size} 0 256"));
        }
        channel.ping(b"abc", late()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_libzmq_that_sends_heartbeats_stays_connected() {
    let (mut peer, mut channel) = Libzmq::connect("SUB", SocketType::Pub, &["heartbeat"]).await;
    peer.say("subscribe");
    assert_eq!(
        channel.next_event(late()).await.unwrap(),
        Event::Subscribe(vec![])
    );
    // Five times the silence after which it leaves us.
    let nothing = channel.next_event(Instant::now() + Duration::from_secs(1)).await;
    assert!(
        matches!(nothing, Err(NetError::ReplyTimeout { .. })),
        "{nothing:?}"
    );
    peer.say("recv");
    channel.send(&message(&[3]), late()).await.unwrap();
    assert_eq!(peer.line(), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_libzmq_that_sends_heartbeats_leaves_who_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let _peer = Libzmq::start(&["connect", "SUB", &port, "heartbeat"]);
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut opening = Connection::new(SocketType::Pub, Limits::default())
        .output()
        .to_vec();
    opening.extend_from_slice(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB");
    stream.write_all(&opening).await.unwrap();
    let mut heard = Vec::new();
    let left = timeout(Duration::from_secs(20), stream.read_to_end(&mut heard)).await;
    assert!(left.is_ok(), "it is still there");
    assert!(heard.windows(5).any(|bytes| bytes == b"\x04PING"), "{heard:02x?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_req_that_connects_to_a_publisher_is_told_so() {
    let (_peer, port) = Libzmq::bind("PUB");
    let options = Options::default();
    let result = Requester::connect("127.0.0.1", port, Limits::default(), &options, late()).await;
    let error = result.unwrap_err();
    assert!(error.to_string().contains("a PUB socket"), "{error}");
}
