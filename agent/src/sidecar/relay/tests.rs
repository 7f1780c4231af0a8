//! The relay between real sockets: our own ends in the roles of minions and masters.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod bounds;
mod end;
mod moves;
mod ports;
mod publications;
mod requests;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use proto::net::{Channel, Heard, NetError, Options, Requester, accept, connect};
use proto::zmtp::{Limits, Message, SocketType};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::*;

const A: MasterIndex = MasterIndex(0);
const B: MasterIndex = MasterIndex(1);

/// Long enough for anything that works.
const LATE: Duration = Duration::from_secs(30);

fn late() -> Instant {
    Instant::now() + LATE
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(200)
}

/// A relay that listens, and what is before and behind it.
struct Rig {
    relay: Relay,
    masters: Vec<Master>,
    publications: mpsc::Sender<Carried>,
    publish: SocketAddr,
    requests: SocketAddr,
}

/// The request port of a master.
struct Master {
    listener: TcpListener,
    genuine_at: watch::Sender<Option<SocketAddr>>,
}

fn any_ports() -> RelaySettings {
    RelaySettings {
        listen: Ipv4Addr::LOCALHOST.into(),
        publish_port: 0,
        master_port: 0,
    }
}

/// Two masters, both known, and the first one elected.
async fn rig() -> Rig {
    let rig = rig_within(&Bounds::USUAL).await;
    rig.relay.route(Some(A), Manner::Abandon);
    rig
}

/// Two masters, both known, and no route.
async fn rig_within(bounds: &Bounds) -> Rig {
    let masters = [Master::start().await, Master::start().await];
    let (publications, receiver) = mpsc::channel(16);
    let ways = masters.iter().map(Master::way).collect();
    let mut relay = Relay::start_within(&any_ports(), ways, receiver, super::Topics::default(), bounds);
    let (publish, requests) = listening(&mut relay).await;
    Rig {
        relay,
        masters: masters.into(),
        publications,
        publish,
        requests,
    }
}

/// Waits until both ports listen.
async fn listening(relay: &mut Relay) -> (SocketAddr, SocketAddr) {
    let listening = async {
        loop {
            let seen = relay.seen();
            if let (Listening::At(publish), Listening::At(requests)) =
                (seen.publish.listening, seen.requests.listening)
            {
                return (publish, requests);
            }
            relay.changed().await;
        }
    };
    timeout(LATE, listening).await.expect("the relay does not listen")
}

/// Waits until a condition holds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LATE, waiting).await.expect(what);
}

impl Rig {
    /// A connection to the port for requests.
    async fn client(&self, role: SocketType) -> Channel {
        to(self.requests, role).await
    }

    async fn requester(&self) -> Requester {
        Requester::new(self.client(SocketType::Req).await)
    }

    /// A subscriber whose subscriptions the relay has read.
    async fn subscriber(&self, prefixes: &[&[u8]]) -> Channel {
        let mut channel = to(self.publish, SocketType::Sub).await;
        for prefix in prefixes {
            channel.subscribe(prefix, late()).await.unwrap();
        }
        channel.ping(b"read", late()).await.unwrap();
        channel
    }

    /// A publication of a master, as the watch hands it on.
    async fn publication(&self, master: MasterIndex, frames: &[&[u8]]) {
        let frames = Arc::new(frames.iter().map(|frame| frame.to_vec()).collect());
        self.publications.send(Carried { master, frames }).await.unwrap();
    }
}

impl Master {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            listener,
            genuine_at: watch::Sender::new(Some(address)),
        }
    }

    fn way(&self) -> Way {
        Way {
            name: "salt.xyz.example".to_owned(),
            genuine_at: self.genuine_at.subscribe(),
        }
    }

    /// The next connection that is made to it.
    async fn connection(&self) -> Channel {
        let accepting = async {
            let (stream, _) = self.listener.accept().await.unwrap();
            accept(stream, SocketType::Router, Limits::default(), late())
                .await
                .unwrap()
        };
        timeout(LATE, accepting).await.expect("nobody connects")
    }

    /// Whether nobody connects for a moment.
    async fn is_left_alone(&self) -> bool {
        timeout(Duration::from_millis(200), self.listener.accept())
            .await
            .is_err()
    }
}

async fn to(address: SocketAddr, role: SocketType) -> Channel {
    let host = address.ip().to_string();
    connect(
        &host,
        address.port(),
        role,
        Limits::default(),
        &Options::default(),
        late(),
    )
    .await
    .unwrap()
}

/// The payload of the next request that a master gets.
async fn asked(channel: &mut Channel) -> Vec<u8> {
    channel.recv(late()).await.unwrap().into_payload().unwrap()
}

async fn reply(channel: &mut Channel, payload: &[u8]) {
    let message = Message::delimited(payload.to_vec());
    channel.send(&message, late()).await.unwrap();
}

/// The reply to a request that was sent.
async fn answer(requester: &mut Requester) -> Vec<u8> {
    match requester.next(late()).await.unwrap() {
        Heard::Reply(payload) => payload,
        Heard::Pong(_) => panic!("a PONG that nobody asked for"),
    }
}

/// Waits until the other side closes.
async fn closes(channel: &mut Channel) {
    match channel.recv(late()).await {
        Err(NetError::Closed { .. } | NetError::Reset { .. }) => {}
        other => panic!("not closed: {other:?}"),
    }
}

fn message(frames: &[&[u8]]) -> Message {
    Message::from_frames(frames.iter().map(|frame| frame.to_vec()).collect()).unwrap()
}
