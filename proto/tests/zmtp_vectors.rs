//! The codec against the first bytes of real connections between salt-minions and salt-masters.

// A helper of tests is no test to the lints: a panic is how it reports.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::zmtp::{Connection, Event, Limits, Message, Peer, SocketType, Version};
use serde_json::Value;

const RELEASES: [&str; 3] = ["3006", "3007", "3008"];

/// One direction of a captured connection.
struct Capture {
    /// Greeting, commands and frames as they were sent, in order.
    pieces: Vec<Vec<u8>>,
    /// The frames of the message at the end, if there is one.
    frames: Vec<Vec<u8>>,
}

impl Capture {
    fn load(release: &str, connection: &str, direction: &str) -> Self {
        let file = common::vectors(&format!("zmtp-{release}"));
        let items = file["zmtp"][connection][direction].as_array().unwrap().clone();
        let bytes = |item: &Value| STANDARD.decode(item["bytes"].as_str().unwrap()).unwrap();
        let frames = items
            .iter()
            .filter(|item| item["what"] == "message frame")
            .map(|item| {
                let length = usize::try_from(item["body_len"].as_u64().unwrap()).unwrap();
                let wire = bytes(item);
                wire[wire.len() - length..].to_vec()
            });
        let capture = Self {
            pieces: items.iter().map(bytes).collect(),
            frames: frames.collect(),
        };
        assert!(
            capture.pieces.len() >= 3,
            "{release} {connection} {direction} is too short to show anything"
        );
        capture
    }

    fn message(&self) -> Message {
        Message::from_frames(self.frames.clone()).unwrap()
    }

    /// All bytes, with zeros for the padding of the signature, which is the sender's choice (RFC 37, "Version Negotiation").
    fn wire(&self) -> Vec<u8> {
        let mut wire = self.pieces.concat();
        wire[1..9].fill(0);
        wire
    }
}

/// All events of these pieces.
fn hear(connection: &mut Connection, pieces: &[Vec<u8>]) -> Vec<Event> {
    let mut events = Vec::new();
    for piece in pieces {
        connection.receive(piece);
        while let Some(event) = connection.next_event().unwrap() {
            events.push(event);
        }
    }
    events
}

fn ready(socket_type: SocketType) -> Event {
    Event::Ready(Peer {
        socket_type,
        version: Version { major: 3, minor: 1 },
    })
}

/// A message of a real peer is heard, and what we say in its partner's place is what the partner said.
fn plays(ours: SocketType, theirs: SocketType, heard: &Capture, said: &Capture) {
    let mut connection = Connection::new(ours, Limits::default());
    let events = hear(&mut connection, &heard.pieces);
    assert_eq!(events, [ready(theirs), Event::Message(heard.message())]);
    connection.send(&said.message()).unwrap();
    assert_eq!(connection.output(), said.wire());
}

#[test]
fn a_request_connection_is_played_byte_for_byte_from_either_end() {
    for release in RELEASES {
        let minion = Capture::load(release, "request_connection", "client_to_server");
        let master = Capture::load(release, "request_connection", "server_to_client");
        plays(SocketType::Req, SocketType::Router, &master, &minion);
        plays(SocketType::Router, SocketType::Req, &minion, &master);
    }
}

#[test]
fn a_publish_connection_is_played_byte_for_byte_from_either_end() {
    for release in RELEASES {
        let minion = Capture::load(release, "publish_connection", "client_to_server");
        let master = Capture::load(release, "publish_connection", "server_to_client");

        let mut sub = Connection::new(SocketType::Sub, Limits::default());
        let events = hear(&mut sub, &master.pieces);
        assert_eq!(events, [ready(SocketType::Pub), Event::Message(master.message())]);
        sub.subscribe(b"").unwrap();
        assert_eq!(sub.output(), minion.wire());

        let mut publisher = Connection::new(SocketType::Pub, Limits::default());
        let events = hear(&mut publisher, &minion.pieces);
        assert_eq!(events, [ready(SocketType::Sub), Event::Subscribe(vec![])]);
        publisher.send(&master.message()).unwrap();
        assert_eq!(publisher.output(), master.wire());
    }
}
