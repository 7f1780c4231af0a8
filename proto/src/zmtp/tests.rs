//! Two connections talk to each other without a network; peers say anything at all.

#![allow(clippy::arithmetic_side_effects)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Connection, Event, Limits, Message, Misuse, Peer, SocketType, Version, Violation};

const SMALL: Limits = Limits {
    message: 1000,
    frames: 4,
    command: 300,
    output: 100,
};

/// A greeting of ZMTP 3.1 or 3.0 and a READY.
fn opening(minor: u8, socket_type: &str) -> Vec<u8> {
    let mut bytes = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03".to_vec();
    bytes.extend_from_slice(&[minor]);
    bytes.extend_from_slice(b"NULL");
    bytes.resize(64, 0);
    let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    ready.push(u8::try_from(socket_type.len()).unwrap());
    ready.extend_from_slice(socket_type.as_bytes());
    bytes.extend_from_slice(&[4, u8::try_from(ready.len()).unwrap()]);
    bytes.extend_from_slice(&ready);
    bytes
}

/// All events of these bytes, and the violation at the end if there is one.
fn events(connection: &mut Connection, bytes: &[u8]) -> (Vec<Event>, Option<Violation>) {
    connection.receive(bytes);
    let mut events = Vec::new();
    loop {
        match connection.next_event() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, None),
            Err(violation) => return (events, Some(violation)),
        }
    }
}

/// A connection after the handshake, with nothing left to write.
fn ready(ours: SocketType, minor: u8, theirs: &str, limits: Limits) -> Connection {
    let mut connection = Connection::new(ours, limits);
    let (events, violation) = events(&mut connection, &opening(minor, theirs));
    assert_eq!(violation, None);
    let peer = Peer {
        socket_type: SocketType::from_name(theirs.as_bytes()).unwrap(),
        version: Version { major: 3, minor },
    };
    assert_eq!(events, [Event::Ready(peer)]);
    connection.consume(usize::MAX);
    connection
}

fn violation_of(ours: SocketType, theirs: &str, bytes: &[u8]) -> Violation {
    let (events, violation) = events(&mut ready(ours, 1, theirs, SMALL), bytes);
    violation.unwrap_or_else(|| panic!("no violation, but {events:?}"))
}

/// Everything that `from` says goes to `to`, in pieces of these sizes, over and over.
fn carry(from: &mut Connection, to: &mut Connection, pieces: &[usize], minor: u8) -> Vec<Event> {
    let mut bytes = from.output().to_vec();
    from.consume(bytes.len());
    if bytes.first() == Some(&0xff) {
        bytes[11] = minor;
    }
    let mut heard = Vec::new();
    let mut sizes = pieces.iter().cycle();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (piece, others) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        let (events, violation) = events(to, piece);
        assert_eq!(violation, None);
        heard.extend(events);
        rest = others;
    }
    heard
}

/// Two connections that have shaken hands, as if both spoke this minor version.
fn pair(one: SocketType, other: SocketType, pieces: &[usize], minor: u8) -> (Connection, Connection) {
    let limits = Limits::default();
    let (mut one, mut other) = (Connection::new(one, limits), Connection::new(other, limits));
    let mut heard = carry(&mut one, &mut other, pieces, minor);
    heard.extend(carry(&mut other, &mut one, pieces, minor));
    heard.extend(carry(&mut one, &mut other, pieces, minor));
    assert_eq!(heard.len(), 2, "{heard:?}");
    (one, other)
}

fn any_message() -> impl Strategy<Value = Message> {
    let frame = prop_oneof![
        4 => vec(any::<u8>(), 0..20),
        2 => vec(any::<u8>(), 250..260),
        1 => vec(any::<u8>(), 1000..3000)
    ];
    vec(frame, 1..5).prop_map(|frames| Message::from_frames(frames).unwrap())
}

fn any_type() -> impl Strategy<Value = SocketType> {
    prop::sample::select(vec![
        SocketType::Req,
        SocketType::Router,
        SocketType::Xpub,
        SocketType::Sub,
    ])
}

/// Bytes with some sense in them, so that the later states are reached too.
fn any_traffic() -> impl Strategy<Value = Vec<u8>> {
    let short =
        |(flags, body): (u8, Vec<u8>)| [vec![flags, u8::try_from(body.len()).unwrap()], body].concat();
    let long =
        |(flags, size, shift): (u8, u64, u32)| [vec![flags], (size >> shift).to_be_bytes().to_vec()].concat();
    let piece = prop_oneof![
        1 => vec(any::<u8>(), 0..40),
        1 => prop::sample::select(vec![opening(1, "REQ"), opening(0, "SUB"), opening(1, "PUB")]),
        4 => (0..2_u8, vec(any::<u8>(), 0..255)).prop_map(short),
        1 => (0..10_u8, vec(any::<u8>(), 0..255)).prop_map(short),
        // What is announced, up to 64 MiB and beyond, with the pieces that follow as its beginning.
        2 => (2..4_u8, any::<u64>(), 36..56_u32).prop_map(long),
        1 => (0..10_u8, any::<u64>(), 0..64_u32).prop_map(long),
        1 => Just(b"\x04\x07\x04PING\0\0".to_vec()),
        1 => Just(b"\x04\x05\x04PONG".to_vec()),
        1 => Just(b"\x04\x0a\x09SUBSCRIBE".to_vec()),
    ];
    vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn memory_grows_with_what_arrived_only(
        ours in any_type(),
        begin in prop::option::of(prop::sample::select(vec!["REQ", "ROUTER", "SUB", "PUB"])),
        traffic in any_traffic(),
        pieces in vec(1..200_usize, 1..10),
    ) {
        let bytes = [begin.map(|theirs| opening(1, theirs)).unwrap_or_default(), traffic].concat();
        let mut connection = Connection::new(ours, Limits::default());
        let (mut received, mut sizes, mut rest) = (0, pieces.iter().cycle(), bytes.as_slice());
        while !rest.is_empty() {
            let (piece, others) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            let _ = events(&mut connection, piece);
            received += piece.len();
            rest = others;
            // A frame of no bytes costs two on the wire and a `Vec` here, at most `Limits::frames` times.
            prop_assert!(connection.memory() <= 4096 + 2 * received);
        }
    }

    #[test]
    fn what_is_heard_does_not_depend_on_the_pieces(
        ours in any_type(),
        theirs in prop::sample::select(vec!["REQ", "ROUTER", "SUB", "PUB"]),
        traffic in any_traffic(),
        pieces in vec(1..50_usize, 1..10),
    ) {
        let bytes = [opening(1, theirs), traffic].concat();
        let mut at_once = Connection::new(ours, SMALL);
        let whole = events(&mut at_once, &bytes);
        let mut in_pieces = Connection::new(ours, SMALL);
        let mut heard = (Vec::new(), None);
        let (mut sizes, mut rest) = (pieces.iter().cycle(), bytes.as_slice());
        while !rest.is_empty() {
            let (piece, others) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            let (events, violation) = events(&mut in_pieces, piece);
            heard.0.extend(events);
            heard.1 = violation;
            rest = others;
        }
        prop_assert_eq!(heard, whole);
        prop_assert_eq!(in_pieces.output(), at_once.output());
    }

    #[test]
    fn messages_arrive_as_they_were_sent(
        there in vec(any_message(), 0..6),
        back in vec(any_message(), 0..6),
        pieces in vec(1..500_usize, 1..10),
        minor in 0..=1_u8,
    ) {
        let (mut one, mut other) = pair(SocketType::Dealer, SocketType::Router, &pieces, minor);
        for message in &there {
            one.send(message).unwrap();
        }
        let heard = carry(&mut one, &mut other, &pieces, minor);
        prop_assert_eq!(heard, there.into_iter().map(Event::Message).collect::<Vec<_>>());
        for message in &back {
            other.send(message).unwrap();
        }
        let heard = carry(&mut other, &mut one, &pieces, minor);
        prop_assert_eq!(heard, back.into_iter().map(Event::Message).collect::<Vec<_>>());
    }

    #[test]
    fn subscriptions_arrive_in_either_version(prefix in vec(any::<u8>(), 0..300), minor in 0..=1_u8) {
        let (mut sub, mut publisher) = pair(SocketType::Sub, SocketType::Pub, &[64], minor);
        sub.subscribe(&prefix).unwrap();
        sub.cancel(&prefix).unwrap();
        prop_assert_eq!(sub.output()[0] & 4 != 0, minor == 1);
        let heard = carry(&mut sub, &mut publisher, &[7], minor);
        prop_assert_eq!(heard, vec![Event::Subscribe(prefix.clone()), Event::Cancel(prefix)]);
    }
}

#[test]
fn pings_are_answered_with_their_context() {
    let mut connection = ready(SocketType::Sub, 1, "PUB", SMALL);
    let (events, violation) = events(&mut connection, b"\x04\x0a\x04PING\0\x1eabc\x04\x07\x04PING\0\0");
    assert_eq!((events, violation), (vec![], None));
    assert_eq!(connection.output(), b"\x04\x08\x04PONGabc\x04\x05\x04PONG");
}

#[test]
fn a_ping_of_ours_is_heard_of_again() {
    let mut connection = ready(SocketType::Req, 1, "ROUTER", SMALL);
    connection.ping(600, b"abc").unwrap();
    assert_eq!(connection.output(), b"\x04\x0a\x04PING\x02\x58abc");
    let (events, _) = events(&mut connection, b"\x04\x08\x04PONGabc");
    assert_eq!(
        events,
        [Event::Pong {
            context: b"abc".to_vec()
        }]
    );
    assert_eq!(connection.ping(0, &[0; 17]), Err(Misuse::ContextTooLong(17)));
}

#[test]
fn a_peer_of_version_three_zero_gets_no_commands() {
    let mut connection = ready(SocketType::Sub, 0, "PUB", SMALL);
    assert_eq!(connection.ping(0, b""), Err(Misuse::NoPing));
    connection.subscribe(b"ab").unwrap();
    connection.cancel(b"ab").unwrap();
    assert_eq!(connection.output(), b"\0\x03\x01ab\0\x03\0ab");
}

#[test]
fn subscriptions_as_messages_are_understood_from_every_version() {
    for minor in [0, 1] {
        let mut connection = ready(SocketType::Pub, minor, "SUB", SMALL);
        let (events, _) = events(&mut connection, b"\0\x01\x01\0\x02\0a\0\x01x");
        assert_eq!(events, [Event::Subscribe(vec![]), Event::Cancel(b"a".to_vec())]);
    }
}

#[test]
fn a_command_between_two_frames_of_a_message_is_taken() {
    let mut connection = ready(SocketType::Req, 1, "ROUTER", SMALL);
    let (events, violation) = events(&mut connection, b"\x01\0\x04\x07\x04PING\0\0\0\x01x");
    assert_eq!(
        (events, violation),
        (vec![Event::Message(Message::delimited(b"x".to_vec()))], None)
    );
}

#[test]
fn unknown_commands_are_ignored() {
    let mut connection = ready(SocketType::Req, 1, "ROUTER", SMALL);
    let (events, violation) = events(
        &mut connection,
        b"\x04\x05\x04JOIN\x04\x0a\x09SUBSCRIBE\x04\x03\x02\xff\0",
    );
    assert_eq!(
        (events, violation, connection.output()),
        (vec![], None, b"".as_slice())
    );
}

#[test]
fn a_socket_of_the_wrong_type_is_told_so() {
    let mut connection = Connection::new(SocketType::Req, SMALL);
    connection.consume(usize::MAX);
    let (_, violation) = events(&mut connection, &opening(1, "PUB"));
    assert_eq!(
        violation,
        Some(Violation::Incompatible {
            ours: SocketType::Req,
            theirs: "PUB".into()
        })
    );
    assert!(connection.output().ends_with(b"\x05ERROR\x13Invalid socket type"));
    let (_, violation) = events(&mut Connection::new(SocketType::Req, SMALL), &opening(1, "PUSH"));
    assert_eq!(
        violation,
        Some(Violation::Incompatible {
            ours: SocketType::Req,
            theirs: "PUSH".into()
        })
    );
}

#[test]
fn announced_lengths_are_held_against_the_limits() {
    for size in [1 << 46, 1 << 63, u64::MAX, 1001] {
        let bytes = [[2].as_slice(), &size.to_be_bytes()].concat();
        let violation = violation_of(SocketType::Req, "ROUTER", &bytes);
        assert_eq!(
            violation,
            Violation::FrameTooLong {
                announced: size,
                limit: 1000
            }
        );
        let bytes = [[6].as_slice(), &size.to_be_bytes()].concat();
        let violation = violation_of(SocketType::Req, "ROUTER", &bytes);
        assert_eq!(
            violation,
            Violation::CommandTooLong {
                announced: size,
                limit: 300
            }
        );
    }
}

#[test]
fn a_message_is_bounded_over_all_its_frames() {
    let half = [b"\x03\0\0\0\0\0\0\x01\xf5".as_slice(), &[0; 501]].concat();
    let violation = violation_of(SocketType::Req, "ROUTER", &[half.clone(), half].concat());
    assert_eq!(
        violation,
        Violation::MessageTooLong {
            announced: 1002,
            limit: 1000
        }
    );
    let violation = violation_of(SocketType::Req, "ROUTER", &b"\x01\0".repeat(5));
    assert_eq!(violation, Violation::TooManyFrames { limit: 4 });
}

#[test]
fn bytes_may_come_while_events_wait() {
    let mut connection = ready(SocketType::Req, 1, "ROUTER", SMALL);
    connection.receive(b"\0\x01a\0\x01b\0");
    let first = connection.next_event().unwrap();
    assert_eq!(first, Some(Event::Message(Message::single(b"a".to_vec()))));
    let (rest, violation) = events(&mut connection, b"\x01c");
    let expected = [b"b", b"c"].map(|payload| Event::Message(Message::single(payload.to_vec())));
    assert_eq!((rest.as_slice(), violation), (expected.as_slice(), None));
}

#[test]
fn the_limit_of_a_message_can_be_raised_later() {
    let mut connection = ready(SocketType::Req, 1, "ROUTER", SMALL);
    let long = [b"\x02\0\0\0\0\0\0\x10\0".as_slice(), &[7; 4096]].concat();
    connection.set_message_limit(4096);
    let (events, violation) = events(&mut connection, &long);
    assert_eq!(
        (events, violation),
        (vec![Event::Message(Message::single(vec![7; 4096]))], None)
    );
}

#[test]
fn answers_that_nobody_reads_end_the_connection() {
    let violation = violation_of(SocketType::Req, "ROUTER", &b"\x04\x07\x04PING\0\0".repeat(1000));
    assert_eq!(
        violation,
        Violation::AnswersUnread {
            waiting: 105,
            limit: 100
        }
    );
}

#[test]
fn nothing_but_ready_and_error_comes_before_ready() {
    let greeting = &opening(1, "ROUTER")[..64];
    let first = |bytes: &[u8]| {
        let mut connection = Connection::new(SocketType::Req, Limits::default());
        events(&mut connection, &[greeting, bytes].concat()).1.unwrap()
    };
    assert_eq!(
        first(b"\x04\x07\x04PING\0\0"),
        Violation::CommandBeforeReady { name: "PING".into() }
    );
    assert_eq!(first(b"\0\x01"), Violation::MessageBeforeReady);
    assert_eq!(first(b"\x04\x06\x05READY"), Violation::NoSocketType);
    assert_eq!(
        first(b"\x06\0\0\0\0\0\0\x20\x01"),
        Violation::CommandTooLong {
            announced: 8193,
            limit: 8192
        }
    );
    assert_eq!(
        first(b"\x04\x09\x05ERROR\x02no"),
        Violation::Refused { reason: "no".into() }
    );
}

#[test]
fn a_violation_is_final() {
    let mut connection = ready(SocketType::Req, 1, "ROUTER", SMALL);
    let expected = Violation::ReservedFlags(0x80);
    assert_eq!(events(&mut connection, b"\x80").1, Some(expected.clone()));
    assert_eq!(events(&mut connection, b"\0\x01x"), (vec![], Some(expected)));
    assert_eq!(connection.send(&Message::single(vec![])), Err(Misuse::NotReady));
    assert_eq!(
        violation_of(SocketType::Req, "ROUTER", b"\x04\x06\x05READY"),
        Violation::SecondReady
    );
}

#[test]
fn what_waits_to_be_written_is_bounded() {
    let mut connection = ready(SocketType::Dealer, 1, "ROUTER", SMALL);
    let message = Message::single(vec![0; 900]);
    assert_eq!(connection.send(&message), Ok(()));
    assert_eq!(connection.send(&message), Ok(()));
    assert_eq!(
        connection.send(&message),
        Err(Misuse::OutputFull {
            waiting: 1818,
            limit: 1000
        })
    );
    connection.consume(usize::MAX);
    assert_eq!(connection.send(&message), Ok(()));
}

#[test]
fn only_subscribers_subscribe_and_they_send_nothing_else() {
    let mut sub = ready(SocketType::Sub, 1, "PUB", SMALL);
    assert_eq!(
        sub.send(&Message::single(vec![])),
        Err(Misuse::WrongType(SocketType::Sub))
    );
    let mut req = ready(SocketType::Req, 1, "REP", SMALL);
    assert_eq!(req.subscribe(b""), Err(Misuse::WrongType(SocketType::Req)));
    assert_eq!(
        Connection::new(SocketType::Sub, SMALL).subscribe(b""),
        Err(Misuse::NotReady)
    );
}
