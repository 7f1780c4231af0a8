//! The data plane of the relay: the master of the local minions, as far as they can see.
//!
//! It ends ZeroMQ on the minions' side, as PUB and as ROUTER on loopback, and carries what is in it to and from the master that
//! policy elected. Payloads pass unread: they are encrypted between minion and master. It elects nobody and answers nothing itself.
//!
//! - `listener` has the two ports. Anything local may connect there; number, time and bytes are bounded. `seats` is who makes room
//!   for others when they are full.
//! - `publisher` hands the publications that policy lets through, which were verified before, to those who subscribed to them. A
//!   connection that is not read loses publications, as with any PUB, and is closed when others would lose some by it.
//! - `requests` has the clients, `carrier` carries each of their requests, over connections of `upstream`. A request that cannot be
//!   carried is held. Above the bounds of `budget` no more is read, which clients notice as they would at a busy master.

mod budget;
mod carrier;
mod counts;
mod listener;
mod publisher;
mod replay;
mod requests;
mod route;
mod seats;
mod subscriptions;
#[cfg(test)]
mod tests;
mod upstream;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use self::budget::Budget;
use self::carrier::Carrier;
pub use self::counts::{Dropped, Port, Publications, Requests, Seen};
use self::counts::{PortCounts, PublicationCounts, RequestCounts};
use self::listener::Listener;
use self::publisher::Publisher;
use self::requests::Clients;
use self::route::Routing;
pub use self::route::{Manner, Route};
pub use self::subscriptions::Topics;
use self::upstream::Upstream;
use super::facts::MasterIndex;
use super::http::Listening;
use super::settings::RelaySettings;

/// How to reach a master's request port.
#[derive(Debug, Clone)]
pub struct Way {
    /// What the configuration calls it; for logs.
    pub name: String,
    /// Where the master has proved to be genuine, last; none as long as it has not.
    pub genuine_at: watch::Receiver<Option<SocketAddr>>,
}

impl Way {
    /// To nobody: what is to go there waits.
    fn nowhere() -> Self {
        Self {
            name: String::new(),
            genuine_at: watch::channel(None).1,
        }
    }
}

/// A publication that has been verified: HMAC, signature, serial.
#[derive(Debug, Clone)]
pub struct Carried {
    /// Whose it is.
    pub master: MasterIndex,
    /// As they came, the payload last.
    pub frames: Arc<Vec<Vec<u8>>>,
}

/// Places for masters that are told of later ([`Relay::replace`]).
const SPARE: usize = 8;
/// How long requests that are under way may take to end when the relay does. Masters answer most within 50 ms.
const FAREWELL: Duration = Duration::from_secs(1);
/// Between two looks whether they have.
const FAREWELL_LOOK: Duration = Duration::from_millis(2);

/// The running relay. Dropping it closes its ports and all connections.
#[derive(Debug)]
pub struct Relay {
    routing: watch::Sender<Routing>,
    warm: watch::Sender<Vec<MasterIndex>>,
    upstream: Arc<Upstream>,
    #[cfg(test)]
    request_budget: Arc<Budget>,
    requests: Arc<RequestCounts>,
    publications: Arc<PublicationCounts>,
    publish_port: PortSeen,
    request_port: PortSeen,
    failed: bool,
    places: usize,
    /// Serves those who subscribe.
    publishing: AbortHandle,
    tasks: JoinSet<Infallible>,
}

#[derive(Debug)]
struct PortSeen {
    listening: watch::Receiver<Listening>,
    counts: Arc<PortCounts>,
}

/// What all connections of a kind may hold, in bytes, and how long one message may take between a client and us.
struct Bounds {
    requests: usize,
    replies: usize,
    publications: usize,
    transfer: Duration,
}

impl Bounds {
    /// The longest message, which counts twice, takes half of what requests may hold, and all of what replies may.
    const USUAL: Self = Self {
        requests: 256 << 20,
        replies: 128 << 20,
        publications: 64 << 20,
        // The longest message takes less than a second on loopback. Who stops half-way holds what the minion needs.
        transfer: Duration::from_secs(30),
    };
}

impl Relay {
    /// Starts to listen, without a route as yet. A master's number is its place: first that of its way, see [`Relay::replace`]. Must be
    /// called on a tokio runtime.
    ///
    /// `publications` are those that may be handed out; of a master that was abandoned meanwhile they are not carried. `topics` are those that minions subscribe to.
    #[must_use]
    pub fn start(
        settings: &RelaySettings,
        ways: Vec<Way>,
        publications: mpsc::Receiver<Carried>,
        topics: Topics,
    ) -> Self {
        Self::start_within(settings, ways, publications, topics, &Bounds::USUAL)
    }

    fn start_within(
        settings: &RelaySettings,
        mut ways: Vec<Way>,
        publications: mpsc::Receiver<Carried>,
        topics: Topics,
        bounds: &Bounds,
    ) -> Self {
        ways.extend(std::iter::repeat_with(Way::nowhere).take(SPARE));
        let masters = ways.len();
        let routing = watch::Sender::new(Routing::new(masters));
        let warm = watch::Sender::new(Vec::new());
        let upstream = Arc::new(Upstream::new(ways));
        let request_counts = Arc::new(RequestCounts::new(masters));
        let publication_counts = Arc::new(PublicationCounts::default());
        let carrier = Carrier::new(
            Arc::clone(&upstream),
            routing.subscribe(),
            Budget::new(bounds.replies),
            Arc::clone(&request_counts),
        );
        let request_budget = Budget::new(bounds.requests);
        let clients = Arc::new(Clients::new(
            carrier,
            Arc::clone(&request_budget),
            bounds.transfer,
        ));
        let publisher = Publisher::new(
            Budget::new(bounds.publications),
            Arc::clone(&publication_counts),
            topics,
        );

        let mut tasks = JoinSet::new();
        let (publish_port, counts, listening) = PortSeen::new();
        let listener = Listener::publish(settings.publish(), counts, listening);
        let publishing = tasks.spawn({
            let publisher = Arc::clone(&publisher);
            listener.serve(move |channel, seat| Arc::clone(&publisher).converse(channel, seat))
        });
        let (request_port, counts, listening) = PortSeen::new();
        let listener = Listener::requests(settings.requests(), counts, listening);
        tasks.spawn(listener.serve(move |channel, seat| Arc::clone(&clients).converse(channel, seat)));
        tasks.spawn(publisher.publish(publications, routing.subscribe()));
        for index in (0..masters).map(MasterIndex) {
            let (upstream, routes, warm) = (Arc::clone(&upstream), routing.subscribe(), warm.subscribe());
            tasks.spawn(async move { upstream.look_after(index, routes, warm).await });
        }
        Self {
            routing,
            warm,
            upstream,
            #[cfg(test)]
            request_budget,
            requests: request_counts,
            publications: publication_counts,
            publish_port,
            request_port,
            failed: false,
            places: masters,
            publishing,
            tasks,
        }
    }

    /// Carries to another master from now on, or to none. `to` may be the present one: with [`Manner::Abandon`], what still finishes
    /// elsewhere comes, too.
    pub fn route(&self, to: Option<MasterIndex>, manner: Manner) {
        self.routing.send_if_modified(|routing| routing.lead(to, manner));
        self.upstream.close_abandoned(&self.routing.borrow());
    }

    /// From now on this place is another master's, or nobody's. What is under way there, unchanged, goes to the next master that is
    /// elected; a route that leads there is none any more. Minions' connections last.
    pub fn replace(&self, place: MasterIndex, way: Option<Way>) {
        self.routing.send_modify(|routing| routing.vacate(place));
        self.upstream.replace(place, way.unwrap_or_else(Way::nowhere));
        self.upstream.close_abandoned(&self.routing.borrow());
    }

    /// How many masters it can have.
    #[must_use]
    pub const fn places(&self) -> usize {
        self.places
    }

    /// Closes its ports and all connections, and waits until the ports are free for another one.
    pub async fn close(&mut self) {
        self.tasks.shutdown().await;
    }

    /// The same, but lets what is under way end before, for a second.
    ///
    /// A client whose connection ends while it waits for a reply waits on, as libzmq's REQ does, and a minion's other returns behind it
    /// (`return_retry_timer`: 5 to 10 s, up to three times). So first no more jobs are handed out, and requests go on until there is none.
    pub async fn end(&mut self) {
        self.publishing.abort();
        let quiet = async {
            while !self.requests.is_quiet() {
                sleep(FAREWELL_LOOK).await;
            }
        };
        if timeout(FAREWELL, quiet).await.is_err() {
            tracing::warn!(
                "requests of the minion were under way when the relay ended: it may wait for their replies for some seconds"
            );
        }
        self.close().await;
    }

    /// Keeps an idle connection to each of these masters, those that are up, so that a request need not wait for one.
    pub fn warm(&self, masters: &[MasterIndex]) {
        self.warm.send_if_modified(|warm| {
            let news = warm != masters;
            if news {
                *warm = masters.to_vec();
            }
            news
        });
    }

    /// What it is at now.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen {
            route: self.routing.borrow().route(),
            publish: self.publish_port.seen(),
            requests: self.request_port.seen(),
            carried: self.requests.seen(),
            publications: self.publications.seen(),
            failed: self.failed,
        }
    }

    /// How many requests of minions were answered so far, as it grows.
    #[must_use]
    pub fn answered(&self) -> watch::Receiver<u64> {
        self.requests.answers()
    }

    /// Wakes when a port begins to listen or cannot, and when a task has [failed](Seen::failed). Dropping the future loses nothing.
    pub async fn changed(&mut self) {
        tokio::select! {
            () = next(&mut self.publish_port.listening) => {}
            () = next(&mut self.request_port.listening) => {}
            Some(Err(error)) = self.tasks.join_next() => {
                tracing::error!(%error, "a task of the relay has failed");
                self.failed = true;
            }
        }
    }

    /// Requests that wait for a reply of a master now.
    #[cfg(test)]
    fn under_way(&self) -> usize {
        self.requests.under_way()
    }

    /// Requests that wait for a reply of this master now.
    #[cfg(test)]
    fn under_way_at(&self, master: MasterIndex) -> usize {
        self.requests.under_way_at(master).get()
    }
}

impl PortSeen {
    /// What is seen of a port, and what its listener tells it with.
    fn new() -> (Self, Arc<PortCounts>, watch::Sender<Listening>) {
        let counts = Arc::new(PortCounts::default());
        let (sender, listening) = watch::channel(Listening::NotYet);
        let seen = Self {
            listening,
            counts: Arc::clone(&counts),
        };
        (seen, counts, sender)
    }

    fn seen(&self) -> Port {
        self.counts.seen(self.listening.borrow().clone())
    }
}

async fn next(listening: &mut watch::Receiver<Listening>) {
    if listening.changed().await.is_err() {
        // Its listener has failed, which is told once.
        std::future::pending::<()>().await;
    }
}
