//! The request connection of one master: dialled, kept alive, dialled anew, and lent to who asks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proto::net::{Heard, NetError, Requester, Resolved};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::dial::{self, verdict};
use super::heart::Heart;
use super::teller::Teller;
use super::{Connected, Shared, verifier};
use crate::config::MasterConfig;
use crate::sidecar::facts::{Evidence, Line};
use crate::state::Verdict;

/// Most of what has arrived that is heard before a heartbeat is judged: its answer can be no further behind.
const HEARD_AT_ONCE: usize = 64;
/// Every how many verifications the name is looked up while the connection stands.
const LOOKED_UP_EVERY: u32 = 6;

/// What is wanted of the connection.
pub(super) enum Order {
    /// Send this, and hand over the reply. Who no longer waits for it gets a new connection: a late reply can't be
    /// taken for another one there, and another worker gets the next request.
    Ask {
        payload: Vec<u8>,
        reply: oneshot::Sender<Vec<u8>>,
    },
    /// Another connection, perhaps to somebody else.
    Renew,
}

/// The connection.
pub(super) struct RequestLine {
    shared: Arc<Shared>,
    teller: Teller,
    orders: mpsc::Receiver<Order>,
    connected: watch::Sender<Connected>,
    backoff: Backoff,
}

/// Why a connection ended.
enum End {
    /// By a fault, which this shows.
    Fault(Verdict),
    /// We wanted another one.
    Renewed,
    /// The master has moved: there is a connection to its new address.
    Moved(Box<Requester>, SocketAddr),
}

impl From<NetError> for End {
    fn from(error: NetError) -> Self {
        Self::Fault(verdict(&error))
    }
}

impl RequestLine {
    pub(super) fn new(
        shared: Arc<Shared>,
        teller: Teller,
        orders: mpsc::Receiver<Order>,
        connected: watch::Sender<Connected>,
    ) -> Self {
        Self {
            shared,
            teller,
            orders,
            connected,
            backoff: Backoff::default(),
        }
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let Some(master) = shared.master() else { return };
        let mut moved = None;
        loop {
            let (requester, peer) = match moved.take() {
                Some(requester) => requester,
                None => self.connect(master).await,
            };
            let began = Instant::now();
            let end = self.keep(requester, peer, master).await;
            self.connected.send_modify(|connected| connected.peer = None);
            match end {
                End::Fault(verdict) => {
                    self.backoff.lasted(began.elapsed());
                    self.teller.down(Line::Request, verdict);
                }
                End::Renewed => self.backoff.begin_anew(),
                End::Moved(requester, peer) => moved = Some((*requester, peer)),
            }
        }
    }

    /// Tries until a connection stands.
    async fn connect(&mut self, master: &MasterConfig) -> (Requester, SocketAddr) {
        loop {
            sleep(self.backoff.pause()).await;
            let connected = match self.find(master).await {
                Ok(found) => dial::connect(&found, Line::Request).await,
                Err(error) => Err(error),
            };
            match connected {
                Ok((channel, peer)) => return (Requester::new(channel), peer),
                Err(error) => self.teller.down(Line::Request, verdict(&error)),
            }
        }
    }

    /// Where the master is. While its name leads nowhere: where it has proved to be last, as a salt-minion, too, goes on
    /// connecting to the address that it has.
    async fn find(&mut self, master: &MasterConfig) -> Result<Resolved, NetError> {
        let teller = &mut self.teller;
        let found = dial::look_up(master, Line::Request, |verdict| {
            teller.down(Line::Request, verdict);
        });
        let genuine_at = *self.shared.genuine_at.borrow();
        match (found.await, genuine_at.filter(dial::is_plain)) {
            (Err(NetError::NotResolved { .. }), Some(at)) => dial::at(at.ip(), master, Line::Request).await,
            (found, _) => found,
        }
    }

    /// Keeps a connection until it ends.
    async fn keep(&mut self, mut requester: Requester, peer: SocketAddr, master: &MasterConfig) -> End {
        self.teller.tell(Evidence::Connected {
            line: Line::Request,
            peer,
        });
        // What was meant for the connection before is answered by nobody.
        while self.orders.try_recv().is_ok() {}
        self.connected.send_modify(|connected| {
            connected.generation = connected.generation.saturating_add(1);
            connected.peer = Some(peer);
        });
        let mut heart = Heart::new(Line::Request, peer, &self.shared.intervals);
        let mut waiting: Option<oneshot::Sender<Vec<u8>>> = None;
        let moving = moved(Arc::clone(&self.shared), master, peer.ip());
        tokio::pin!(moving);
        loop {
            tokio::select! {
                // In this order: a peer that never stops talking does not stop the heart.
                biased;
                () = heart.due(&mut self.teller) => {
                    let beaten = self.beat(&mut heart, &mut requester, &mut waiting).await;
                    if let Err(end) = beaten {
                        return end;
                    }
                }
                () = given_up(&mut waiting) => return End::Renewed,
                heard = requester.next(far()) => match heard {
                    Ok(heard) => self.hear(heard, &mut heart, &mut waiting),
                    Err(NetError::ReplyTimeout { .. }) => {}
                    Err(error) => return error.into(),
                },
                (requester, peer) = &mut moving => return End::Moved(requester, peer),
                Some(order) = self.orders.recv(), if waiting.is_none() => match order {
                    Order::Ask { payload, reply } => {
                        if let Err(error) = requester.send(payload, heart.patience()).await {
                            return error.into();
                        }
                        waiting = Some(reply);
                    }
                    Order::Renew => return End::Renewed,
                },
            }
        }
    }

    /// Ends an interval and sends the next PING.
    async fn beat(
        &mut self,
        heart: &mut Heart,
        requester: &mut Requester,
        waiting: &mut Option<oneshot::Sender<Vec<u8>>>,
    ) -> Result<(), End> {
        for _ in 0..HEARD_AT_ONCE {
            match requester.next(Instant::now()).await {
                Ok(heard) => self.hear(heard, heart, waiting),
                Err(NetError::ReplyTimeout { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let received = requester.channel().received();
        let context = heart.beat(received, &mut self.teller).map_err(End::Fault)?;
        match requester.send_ping(&context, heart.patience()).await {
            // It is under way as far as we are concerned, and will be missed.
            Ok(()) | Err(NetError::SendTimeout { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn hear(&mut self, heard: Heard, heart: &mut Heart, waiting: &mut Option<oneshot::Sender<Vec<u8>>>) {
        match heard {
            Heard::Pong(context) => heart.pong(&context, &mut self.teller),
            Heard::Reply(payload) => {
                if let Some(reply) = waiting.take() {
                    // Nobody waits for it any more if it comes too late.
                    let _ = reply.send(payload);
                }
            }
        }
    }
}

/// Waits until nobody waits for the reply any more.
async fn given_up(waiting: &mut Option<oneshot::Sender<Vec<u8>>>) {
    match waiting {
        Some(reply) => reply.closed().await,
        None => std::future::pending().await,
    }
}

/// Later than anything that is waited for.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Waits until the master's name leads elsewhere, and the genuine master is there: a connection to it.
///
/// An address that is still among the answers is left alone, and one that works is not given up for one that
/// does not: who spoofs the name must not be able to take a master away.
async fn moved(shared: Arc<Shared>, master: &MasterConfig, present: IpAddr) -> (Box<Requester>, SocketAddr) {
    loop {
        let pause = shared.intervals.verify.saturating_mul(LOOKED_UP_EVERY);
        sleep(pause.mul_f64(verifier::jitter())).await;
        let Ok(found) = dial::look_up(master, Line::Request, |_| {}).await else {
            continue;
        };
        if found.addresses().iter().any(|address| address.ip() == present) {
            continue;
        }
        tracing::debug!(master = %master.name, %present, "its name leads elsewhere now");
        let Ok((channel, peer)) = dial::connect(&found, Line::Request).await else {
            continue;
        };
        let mut requester = Requester::new(channel);
        if verifier::is_genuine(&shared, master, &mut requester, peer).await {
            return (Box::new(requester), peer);
        }
    }
}
