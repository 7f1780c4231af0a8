//! One of the two ports for local minions: listens, as soon as it can, and bounds the number of connections.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::net::{Channel, NetError, accept};
use proto::zmtp::{Limits, SocketType};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::counts::PortCounts;
use super::seats::{Seat, Seats};
use super::subscriptions::TooMuch;
use crate::sidecar::http::Listening;

/// Connections at once. A minion has one for publications and few for requests.
pub(super) const CONNECTIONS: usize = 128;
/// The longest request. Returns are the long ones.
const LONGEST_REQUEST: usize = 64 << 20;
/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Between two tries to listen on a port that is taken.
const RETRY: Duration = Duration::from_secs(1);
/// After an accept that failed for lack of descriptors.
const SHORT_OF_DESCRIPTORS: Duration = Duration::from_millis(200);

/// A port and its role.
pub(super) struct Listener {
    address: SocketAddr,
    role: SocketType,
    limits: Limits,
    /// The key of the configuration that sets the port.
    key: &'static str,
    counts: Arc<PortCounts>,
    listening: watch::Sender<Listening>,
}

/// What ended a local connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    #[error("a message stopped half-way and was not through after {0:?}")]
    Stalled(Duration),
    #[error("it reads its publications more slowly than all others, and there is no room for more")]
    TooSlow,
}

impl Listener {
    pub(super) fn publish(
        address: SocketAddr,
        counts: Arc<PortCounts>,
        listening: watch::Sender<Listening>,
    ) -> Self {
        Self {
            address,
            role: SocketType::Pub,
            limits: Limits::unverified(),
            key: "relay.publish_port",
            counts,
            listening,
        }
    }

    pub(super) fn requests(
        address: SocketAddr,
        counts: Arc<PortCounts>,
        listening: watch::Sender<Listening>,
    ) -> Self {
        Self {
            address,
            role: SocketType::Router,
            // A libzmq client lets its first message follow on its READY. Before that nobody can send a message.
            limits: Limits {
                message: LONGEST_REQUEST,
                ..Limits::default()
            },
            key: "relay.master_port",
            counts,
            listening,
        }
    }

    /// Listens and converses until it is dropped, which also ends all connections. `converse` has a connection after its handshake, tells
    /// its seat what it is at, and ends with what ended it.
    pub(super) async fn serve<C>(
        self,
        converse: impl Fn(Channel, Arc<Seat>) -> C + Clone + Send + Sync + 'static,
    ) -> Infallible
    where
        C: Future<Output = Ended> + Send + 'static,
    {
        let listener = self.bind().await;
        let mut connections = JoinSet::new();
        let mut seats = Seats::default();
        loop {
            tokio::select! {
                Some(ended) = connections.join_next_with_id() => {
                    let (id, failed) = match ended {
                        Ok((id, ())) => (id, None),
                        Err(error) => (error.id(), Some(error)),
                    };
                    seats.leave(id);
                    if let Some(error) = failed.filter(|error| !error.is_cancelled()) {
                        tracing::error!(%error, "a task that serves a local connection has failed");
                    }
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        if seats.number() >= CONNECTIONS {
                            self.counts.turned_away.one();
                            if !seats.make_room() {
                                tracing::debug!(%peer, port = self.key, "too many connections: closed at once");
                                continue;
                            }
                            tracing::debug!(port = self.key, "too many connections: an idle one is closed");
                        }
                        let (counts, seat) = (Arc::clone(&self.counts), Seat::new());
                        let converse = converse.clone();
                        let serving = {
                            let seat = Arc::clone(&seat);
                            shake_hands(stream, self.role, self.limits, counts, move |channel| converse(channel, seat))
                        };
                        seats.take(seat, connections.spawn(serving));
                    }
                    Err(error) => {
                        tracing::debug!(%error, port = self.key, "cannot accept a connection");
                        sleep(SHORT_OF_DESCRIPTORS).await;
                    }
                }
            }
        }
    }

    async fn bind(&self) -> TcpListener {
        loop {
            // Sets SO_REUSEADDR: connections of a relay before us may still be in TIME_WAIT.
            match TcpListener::bind(self.address).await {
                Ok(listener) => {
                    let address = listener.local_addr().unwrap_or(self.address);
                    self.listening.send_replace(Listening::At(address));
                    return listener;
                }
                Err(error) => {
                    let failed = Listening::Failed(self.cannot_listen(&error));
                    self.listening.send_if_modified(|now| {
                        let news = *now != failed;
                        *now = failed;
                        news
                    });
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn cannot_listen(&self, error: &io::Error) -> String {
        let (address, key) = (self.address, self.key);
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                ": another process has that port, a salt-master or a second relay; end it, or set {key} and the minion's port"
            ),
            io::ErrorKind::AddrNotAvailable => ": no address of this host; set relay.listen".to_owned(),
            io::ErrorKind::PermissionDenied => format!(": not allowed; set {key} to a port above 1023"),
            _ => String::new(),
        };
        format!("cannot listen for minions on {address}: {error}{remedy}")
    }
}

async fn shake_hands<C>(
    stream: TcpStream,
    role: SocketType,
    limits: Limits,
    counts: Arc<PortCounts>,
    converse: impl FnOnce(Channel) -> C,
) where
    C: Future<Output = Ended>,
{
    let _present = counts.connections.enter();
    let ended = match accept(stream, role, limits, Instant::now() + HANDSHAKE).await {
        Ok(channel) => converse(channel).await,
        Err(error) => error.into(),
    };
    if ended.is_refusal() {
        counts.refused.one();
    }
    tracing::debug!(reason = %ended, %role, "a local connection has ended");
}

impl Ended {
    /// Whether we ended it, for what the peer did.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Net(error) => matches!(
                error,
                NetError::Violation { .. } | NetError::HandshakeTimeout { .. }
            ),
            Self::TooMuch(_) | Self::Stalled(_) | Self::TooSlow => true,
        }
    }
}
