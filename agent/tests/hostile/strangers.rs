//! Peers that never get as far as a reply: silence, noise, other protocols, floods.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::case::{Case, Expect, Row, Who, check_all, impostor, silent};
use super::peer::{Router, drain};

/// ZMTP 3.1, NULL.
const GREETING: [u8; 64] = {
    let mut greeting = [0; 64];
    let head = *b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL";
    let mut at = 0;
    while at < head.len() {
        greeting[at] = head[at];
        at += 1;
    }
    greeting
};
const READY: &[u8] = b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\0";

const NO_REPLY: &[&str] = &["no reply to the sign-in", "in time"];
const CLOSED: Expect = silent("unreachable", &["closed the connection", "reset the connection"]);
const NOT_ZMTP: Expect = impostor(&["speaks ZMTP 1.0 or no ZMTP"]);
const NO_REPLY_TO_US: Expect = impostor(&["no reply to the request", "none that a salt-master gives"]);

/// Peers that never get as far as a reply.
pub(crate) fn strangers() -> Vec<Case> {
    let cases: Vec<Row<fn(TcpStream)>> = vec![
        ("silence after accept", drain, silent("hung", NO_REPLY)),
        (
            "silence after the greeting",
            |to| say(to, &GREETING),
            silent("hung", NO_REPLY),
        ),
        (
            "silence after READY",
            |to| say_ready(to, b""),
            silent("hung", NO_REPLY),
        ),
        (
            "half a reply",
            |to| say_ready(to, b"\x01\0\0\x10abc"),
            silent("hung", NO_REPLY),
        ),
        ("closed at once", drop, CLOSED),
        ("zeros", |to| say(to, &[0; 4096]), NOT_ZMTP),
        ("noise", |to| say(to, &noise(4096)), NOT_ZMTP),
        (
            "noise after a signature",
            |to| say(to, &[b"\xff".as_slice(), &noise(4096)].concat()),
            impostor(&["no ZMTP", "speaks ZMTP 1"]),
        ),
        (
            "noise after READY",
            |to| say_ready(to, &noise(4096)),
            impostor(&["reserved bits"]),
        ),
        (
            "HTTP",
            |to| {
                say(
                    to,
                    b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nConnection: close\r\n\r\n",
                );
            },
            NOT_ZMTP,
        ),
        (
            "SSH",
            |to| say(to, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"),
            NOT_ZMTP,
        ),
        (
            "a TLS alert",
            |to| say(to, b"\x15\x03\x01\0\x02\x02\x46"),
            NOT_ZMTP,
        ),
        ("ZMTP 1.0", |to| say(to, b"\x01\0\x01\0"), NOT_ZMTP),
        (
            "ZMTP 2.0",
            |to| say(to, &greeting(10, b"\x01\x05\0\0")),
            impostor(&["speaks ZMTP 2"]),
        ),
        (
            "CURVE",
            |to| say(to, &greeting(12, b"CURVE")),
            impostor(&["\"CURVE\"", "only NULL"]),
        ),
        (
            "PLAIN",
            |to| say(to, &greeting(12, b"PLAIN")),
            impostor(&["\"PLAIN\"", "only NULL"]),
        ),
        (
            "a mechanism that steers terminals",
            |to| say(to, &greeting(12, b"\x1b[2J\x07\r\n")),
            impostor(&["only NULL"]),
        ),
        (
            "a PUB where a ROUTER should be",
            |to| {
                say(
                    to,
                    &[&GREETING[..], b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB"].concat(),
                );
            },
            impostor(&["wrong port?"]),
        ),
        (
            "an ERROR that steers terminals",
            |to| say(to, &[&GREETING[..], b"\x04\x0b\x05ERROR\x04\x1b[2J"].concat()),
            impostor(&["refuses the connection"]),
        ),
        (
            "a message before READY",
            |to| say(to, &[&GREETING[..], b"\0\x01x"].concat()),
            impostor(&["before READY"]),
        ),
        (
            "a READY of 2^46 bytes",
            |to| say(to, &[&GREETING[..], &[6], &(1_u64 << 46).to_be_bytes()].concat()),
            impostor(&["announces a command of 70368744177664 bytes"]),
        ),
        (
            "a frame of 2^46 bytes",
            |to| say_ready(to, &[&[2][..], &(1_u64 << 46).to_be_bytes()].concat()),
            impostor(&["announces a frame of 70368744177664 bytes"]),
        ),
        (
            "a frame of 2^63-1 bytes",
            |to| say_ready(to, &[&[2][..], &i64::MAX.to_be_bytes()].concat()),
            impostor(&["announces a frame of 9223372036854775807 bytes"]),
        ),
        (
            "a frame of 2^64-1 bytes",
            |to| say_ready(to, &[&[2][..], &u64::MAX.to_be_bytes()].concat()),
            impostor(&["announces a frame of 18446744073709551615 bytes"]),
        ),
        (
            "a command of 2^63-1 bytes",
            |to| say_ready(to, &[&[6][..], &i64::MAX.to_be_bytes()].concat()),
            impostor(&["announces a command of"]),
        ),
        (
            "frames with MORE for ever",
            |to| flood(to, b"\x01\x01x"),
            impostor(&["of more than 64 frames"]),
        ),
        ("empty frames for ever", |to| flood(to, b"\0\0"), NO_REPLY_TO_US),
        (
            "PINGs for ever, answers read",
            |to| pings(to, true),
            silent("hung", NO_REPLY),
        ),
        (
            // How much the system takes for a peer that does not read is its own affair.
            "PINGs for ever, answers unread",
            |to| pings(to, false),
            Expect {
                state: "hung|impostor",
                verified: false,
                code: &[4, 5],
                why: &["no reply to the sign-in", "in time", "doesn't read the answers"],
            },
        ),
        ("one byte every 50 ms", trickle, silent("hung", NO_REPLY)),
        (
            "a valid message for ever",
            |to| flood(to, b"\x01\0\0\x04\x81\xa1a\x01"),
            NO_REPLY_TO_US,
        ),
        (
            "10 MB for a reply",
            |to| {
                let size = 10_u64 << 20;
                let reply = [
                    b"\x01\0\x02".as_slice(),
                    &size.to_be_bytes(),
                    &vec![0xc0; 10 << 20],
                ]
                .concat();
                after_request(to, &reply);
            },
            impostor(&["announces a frame of 10485760 bytes"]),
        ),
        (
            "10 MB for a reply, in pieces",
            |to| {
                let piece = [b"\x03".as_slice(), &60_000_u64.to_be_bytes(), &[0xc0; 60_000]].concat();
                after_request(to, &[b"\x01\0".to_vec(), piece.repeat(170)].concat());
            },
            impostor(&["announces a message of at least 120000 bytes"]),
        ),
    ];
    let closing = Case::new("closed at the request", Who::Raw(close_at_the_request), CLOSED).connecting(2);
    let case = |(name, serve, expect)| Case::new(name, Who::Raw(serve), expect);
    cases.into_iter().map(case).chain([closing]).collect()
}

#[test]
fn a_stranger_is_named_for_what_it_does() {
    check_all(&strangers(), Case::check_alone);
}

fn greeting(at: usize, with: &[u8]) -> Vec<u8> {
    let mut greeting = GREETING.to_vec();
    greeting[at..at + with.len()].copy_from_slice(with);
    greeting
}

/// The same in every run (the generator of Numerical Recipes).
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(&mut byte).take(length).collect()
}

fn say(mut to: TcpStream, bytes: &[u8]) {
    let _ = to.write_all(bytes);
    drain(to);
}

fn say_ready(to: TcpStream, bytes: &[u8]) {
    say(to, &[&GREETING[..], READY, bytes].concat());
}

/// The sign-in, which may be repeated, is tried once more over a new connection.
fn close_at_the_request(to: TcpStream) {
    let mut router = Router::new(to);
    if router.next().is_some() {
        let to = router.into_stream();
        let _ = to.shutdown(Shutdown::Write);
        drain(to);
    }
}

/// Says this again and again, and listens to nothing.
fn flood(mut to: TcpStream, bytes: &[u8]) {
    let _ = to.write_all(&[&GREETING[..], READY].concat());
    let many = bytes.repeat(1000);
    while to.write_all(&many).is_ok() {}
}

fn pings(to: TcpStream, read: bool) {
    if read {
        let from = to.try_clone().unwrap();
        std::thread::spawn(move || drain(from));
    }
    flood(to, b"\x04\x0f\x04PING\0\0context!");
}

/// All that a master says, so slowly that time is up first.
fn trickle(mut to: TcpStream) {
    for byte in [&GREETING[..], READY].concat() {
        if to.write_all(&[byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    drain(to);
}

/// Shakes hands, waits for the request, and says this instead of a reply.
fn after_request(to: TcpStream, bytes: &[u8]) {
    let mut router = Router::new(to);
    if router.next().is_some() {
        say(router.into_stream(), bytes);
    }
}
