//! Peers that misbehave: each gets the error that says how, in time.

// A helper of tests is no test to the lints: a panic is how it reports.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::future::Future;
use std::time::Duration;

use proto::net::{NetError, Options, Requester};
use proto::zmtp::{Limits, SocketType, Violation};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Deadline of what is expected to end before it.
const LONG: Duration = Duration::from_secs(20);
/// Deadline of what is expected to end at it.
const SHORT: Duration = Duration::from_millis(300);
/// How far past its deadline a call may end on a busy machine.
const SLACK: Duration = Duration::from_secs(3);

const LIMITS: Limits = Limits {
    message: 64 * 1024,
    frames: 64,
    command: 64 * 1024,
    output: 64 * 1024,
};
const GREETING: &[u8; 64] =
    b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const ROUTER: &[u8] = b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06ROUTER";

/// A peer that does this with its one connection.
async fn peer<F>(behaviour: impl FnOnce(TcpStream) -> F + Send + 'static) -> (u16, JoinHandle<()>)
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Small, so that a peer that does not read is noticed soon.
    SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        behaviour(stream).await;
    });
    (port, task)
}

/// Keeps the connection open until the other side ends it.
async fn hold(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}

/// Connects, and asks if that worked: the error, which must come at the deadline at the latest.
async fn fault(port: u16, wait: Duration) -> NetError {
    let deadline = Instant::now() + wait;
    let asked = async {
        let options = Options::default();
        let mut requester = Requester::connect("127.0.0.1", port, LIMITS, &options, deadline).await?;
        requester.request(b"question".to_vec(), deadline).await
    };
    let error = asked.await.unwrap_err();
    let over = Instant::now().saturating_duration_since(deadline);
    assert!(over < SLACK, "{error} came {over:?} after the deadline");
    assert_eq!(error.peer(), format!("127.0.0.1:{port}"));
    error
}

/// What a peer gets that says this and then waits.
async fn fault_of(bytes: &[u8], wait: Duration) -> NetError {
    let bytes = bytes.to_vec();
    let (port, task) = peer(|mut stream| async move {
        stream.write_all(&bytes).await.unwrap();
        hold(stream).await;
    })
    .await;
    let error = fault(port, wait).await;
    task.await.unwrap();
    error
}

async fn violation_of(bytes: &[u8]) -> Violation {
    match fault_of(bytes, LONG).await {
        NetError::Violation { violation, .. } => violation,
        other => panic!("{other:?} for {bytes:02x?}"),
    }
}

/// The violation of a peer that greets properly.
async fn violation_after_ready(bytes: &[u8]) -> Violation {
    violation_of(&[GREETING, ROUTER, bytes].concat()).await
}

fn greeting_with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut greeting = GREETING.to_vec();
    greeting[at..at + bytes.len()].copy_from_slice(bytes);
    greeting
}

#[tokio::test]
async fn whoever_does_not_speak_zmtp_three_is_told_from_who_does() {
    assert_eq!(
        violation_of(b"HTTP/1.1 400 Bad Request\r\n").await,
        Violation::NotZmtp { at: 0, byte: b'H' }
    );
    assert_eq!(
        violation_of(b"\x01\0").await,
        Violation::NotZmtp { at: 0, byte: 1 }
    );
    assert_eq!(
        violation_of(&greeting_with(9, &[0])[..10]).await,
        Violation::OldVersion { major: 1 }
    );
    assert_eq!(
        violation_of(&greeting_with(10, &[1])[..11]).await,
        Violation::OldVersion { major: 2 }
    );
    let curve = violation_of(&greeting_with(12, b"CURVE")).await;
    assert_eq!(curve, Violation::Mechanism { name: "CURVE".into() });
}

#[tokio::test]
async fn a_handshake_that_goes_wrong_is_an_error_at_once() {
    let first = async |bytes: &[u8]| violation_of(&[GREETING, bytes].concat()).await;
    assert_eq!(first(b"\x04\x06\x05READY").await, Violation::NoSocketType);
    let malformed = first(b"\x04\x0a\x05READY\x7fabc").await;
    assert!(
        matches!(malformed, Violation::MalformedCommand { name: "READY", .. }),
        "{malformed}"
    );
    assert_eq!(
        first(b"\x04\x0f\x05ERROR\x08go away!").await,
        Violation::Refused {
            reason: "go away!".into()
        }
    );
    assert_eq!(
        first(b"\x04\x07\x04PING\0\0").await,
        Violation::CommandBeforeReady { name: "PING".into() }
    );
    assert_eq!(first(b"\x01\0\0\x01x").await, Violation::MessageBeforeReady);
    let long = first(b"\x06\0\0\x40\0\0\0\0\0").await;
    assert_eq!(
        long,
        Violation::CommandTooLong {
            announced: 1 << 46,
            limit: 8192
        }
    );
}

#[tokio::test]
async fn a_publisher_on_the_request_port_is_told_why_we_leave() {
    let (port, task) = peer(|mut stream| async move {
        let ready = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB";
        stream
            .write_all(&[GREETING, ready.as_slice()].concat())
            .await
            .unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert!(
            heard.ends_with(b"\x05ERROR\x13Invalid socket type"),
            "{heard:02x?}"
        );
    })
    .await;
    let error = fault(port, LONG).await;
    let expected = Violation::Incompatible {
        ours: SocketType::Req,
        theirs: "PUB".into(),
    };
    assert!(
        matches!(&error, NetError::Violation { violation, .. } if *violation == expected),
        "{error:?}"
    );
    task.await.unwrap();
}

#[tokio::test]
async fn silence_in_the_handshake_is_a_handshake_timeout() {
    for bytes in [
        b"".as_slice(),
        &GREETING[..1],
        &GREETING[..10],
        GREETING,
        &[GREETING, &ROUTER[..9]].concat(),
    ] {
        let error = fault_of(bytes, SHORT).await;
        assert!(
            matches!(error, NetError::HandshakeTimeout { .. }),
            "{error} after {} bytes",
            bytes.len()
        );
    }
}

#[tokio::test]
async fn silence_after_the_handshake_is_a_reply_timeout() {
    for bytes in [
        b"".as_slice(),
        b"\x01",
        b"\x01\0\0",
        b"\x01\0\0\x05repl",
        &b"\x04\x05\x04JOIN".repeat(9),
    ] {
        let error = fault_of(&[GREETING, ROUTER, bytes].concat(), SHORT).await;
        assert!(
            matches!(error, NetError::ReplyTimeout { .. }),
            "{error} after {bytes:02x?}"
        );
    }
}

#[tokio::test]
async fn a_trickle_does_not_move_the_deadline() {
    let trickle = |bytes: Vec<u8>| {
        peer(|mut stream| async move {
            let _ = stream.set_nodelay(true);
            for byte in bytes {
                if stream.write_all(&[byte]).await.is_err() {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        })
    };
    let (port, _task) = trickle(GREETING.to_vec()).await;
    let error = fault(port, SHORT).await;
    assert!(matches!(error, NetError::HandshakeTimeout { .. }), "{error}");

    let (port, _task) = peer(|mut stream| async move {
        stream
            .write_all(&[GREETING, ROUTER, b"\x01\0\x02\0\0\0\0\0\0\x10\0"].concat())
            .await
            .unwrap();
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let error = fault(port, SHORT).await;
    assert!(matches!(error, NetError::ReplyTimeout { .. }), "{error}");
}

#[tokio::test]
async fn announced_lengths_are_refused_before_anything_is_stored() {
    for size in [1_u64 << 46, 1 << 63, u64::MAX, 64 * 1024 + 1] {
        let frame = violation_after_ready(&[b"\x02", size.to_be_bytes().as_slice()].concat()).await;
        assert_eq!(
            frame,
            Violation::FrameTooLong {
                announced: size,
                limit: 64 * 1024
            }
        );
        let command = violation_after_ready(&[b"\x06", size.to_be_bytes().as_slice()].concat()).await;
        assert_eq!(
            command,
            Violation::CommandTooLong {
                announced: size,
                limit: 64 * 1024
            }
        );
    }
}

#[tokio::test]
async fn a_message_that_does_not_end_is_refused() {
    let empty = violation_after_ready(&b"\x01\0".repeat(10_000)).await;
    assert_eq!(empty, Violation::TooManyFrames { limit: 64 });
    let frame = [b"\x03\0\0\0\0\0\0\x10\0".as_slice(), &[0; 4096]].concat();
    let long = violation_after_ready(&frame.repeat(17)).await;
    assert_eq!(
        long,
        Violation::MessageTooLong {
            announced: 17 * 4096,
            limit: 64 * 1024
        }
    );
}

#[tokio::test]
async fn frames_and_commands_that_no_version_defines_are_refused() {
    assert_eq!(
        violation_after_ready(b"\x08\0").await,
        Violation::ReservedFlags(8)
    );
    assert_eq!(
        violation_after_ready(b"\x05\x05\x04PONG").await,
        Violation::CommandWithMore
    );
    assert_eq!(violation_after_ready(b"\x04\0").await, Violation::NamelessCommand);
    assert_eq!(
        violation_after_ready(b"\x04\x02\x09S").await,
        Violation::NamelessCommand
    );
    assert_eq!(
        violation_after_ready(b"\x04\x06\x05READY").await,
        Violation::SecondReady
    );
    let ping = violation_after_ready(&[b"\x04\x18\x04PING\0\0".as_slice(), &[7; 17]].concat()).await;
    assert!(
        matches!(ping, Violation::MalformedCommand { name: "PING", .. }),
        "{ping}"
    );
    let refused = violation_after_ready(b"\x04\x0b\x05ERROR\x04gone").await;
    assert_eq!(
        refused,
        Violation::Refused {
            reason: "gone".into()
        }
    );
}

#[tokio::test]
async fn a_peer_that_pings_and_never_reads_is_left() {
    let (port, task) = peer(|mut stream| async move {
        stream.write_all(&[GREETING, ROUTER].concat()).await.unwrap();
        let pings = [b"\x04\x17\x04PING\0\0".as_slice(), &[7; 16]]
            .concat()
            .repeat(1000);
        while stream.write_all(&pings).await.is_ok() {}
    })
    .await;
    let error = fault(port, Duration::from_secs(60)).await;
    let NetError::Violation {
        violation: Violation::AnswersUnread { waiting, limit },
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert!(
        limit == 64 * 1024 && waiting <= limit + 23,
        "{waiting} bytes waited"
    );
    task.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_leaves_has_closed_or_reset() {
    for bytes in [
        b"".as_slice(),
        &GREETING[..20],
        &[GREETING, ROUTER].concat(),
        &[GREETING, ROUTER, b"\x01"].concat(),
    ] {
        let said = bytes.to_vec();
        let (port, _task) = peer(|mut stream| async move {
            stream.write_all(&said).await.unwrap();
            stream.shutdown().await.unwrap();
            hold(stream).await;
        })
        .await;
        let error = fault(port, LONG).await;
        assert!(
            matches!(error, NetError::Closed { .. }),
            "{error} after {} bytes",
            bytes.len()
        );
    }
    let (port, _task) = peer(|mut stream| async move {
        stream.write_all(&[GREETING, ROUTER].concat()).await.unwrap();
        let mut opening = [0; 64 + 2 + 38];
        stream.read_exact(&mut opening).await.unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    let error = fault(port, LONG).await;
    assert!(matches!(error, NetError::Reset { .. }), "{error}");
}
