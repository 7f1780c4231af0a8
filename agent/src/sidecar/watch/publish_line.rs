//! The publish connection of one master: a subscription of our own, kept alive, and its publications judged.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::net::{Channel, NetError, Resolved};
use proto::publication::topics;
use proto::zmtp::Event;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::dial::{self, verdict};
use super::heart::Heart;
use super::judge::Judge;
use super::teller::Teller;
use super::{HandOut, Shared};
use crate::config::MasterConfig;
use crate::sidecar::facts::{Evidence, Line};
use crate::state::Verdict;

/// The longest publication that is taken once the master has signed in. They carry arguments, not returns.
const LONGEST: usize = 8 << 20;
/// The same where they are handed out to a minion, which has no limit of its own.
const LONGEST_CARRIED: usize = 64 << 20;
/// Most of what has arrived that is heard before a heartbeat is judged.
const HEARD_AT_ONCE: usize = 64;
/// How long subscribing may take.
const SUBSCRIBE: Duration = Duration::from_secs(2);

/// The connection.
pub(super) struct PublishLine {
    shared: Arc<Shared>,
    teller: Teller,
    backoff: Backoff,
    judge: Judge,
    /// Topics beside our own.
    wanted: Option<watch::Receiver<BTreeSet<Vec<u8>>>>,
    /// Where the request line has verified the master.
    genuine_at: watch::Receiver<Option<SocketAddr>>,
}

/// Why a connection ended.
enum End {
    /// By a fault, which this shows.
    Fault(Verdict),
    /// The genuine master is elsewhere.
    Elsewhere,
}

impl From<NetError> for End {
    fn from(error: NetError) -> Self {
        Self::Fault(verdict(&error))
    }
}

impl PublishLine {
    pub(super) fn new(shared: Arc<Shared>, teller: Teller, hand_out: Option<HandOut>) -> Self {
        let (outlet, wanted) = hand_out.map(|HandOut { to, topics }| (to, topics)).unzip();
        Self {
            teller,
            backoff: Backoff::default(),
            judge: Judge::new(Arc::clone(&shared), outlet),
            wanted,
            genuine_at: shared.genuine_at.subscribe(),
            shared,
        }
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let Some(master) = shared.master() else { return };
        loop {
            let (channel, peer) = self.connect(master).await;
            let began = Instant::now();
            let end = self.keep(channel, peer).await;
            self.judge.forget();
            match end {
                End::Fault(verdict) => {
                    self.backoff.lasted(began.elapsed());
                    self.teller.down(Line::Publish, verdict);
                }
                End::Elsewhere => self.backoff.begin_anew(),
            }
        }
    }

    /// Tries until a connection stands.
    async fn connect(&mut self, master: &MasterConfig) -> (Channel, SocketAddr) {
        let mut by_name = false;
        loop {
            sleep(self.backoff.pause()).await;
            let connected = match self.find(master, by_name).await {
                Ok(found) => dial::connect(&found, Line::Publish).await,
                Err(error) => Err(error),
            };
            match connected {
                Ok(connected) => return connected,
                Err(error) => self.teller.down(Line::Publish, verdict(&error)),
            }
            by_name = !by_name;
        }
    }

    /// Where the master is: where it has last proved to be, and every other time where its name leads, in case that has
    /// changed.
    async fn find(&mut self, master: &MasterConfig, by_name: bool) -> Result<Resolved, NetError> {
        let genuine_at = *self.genuine_at.borrow_and_update();
        match genuine_at.filter(dial::is_plain) {
            Some(at) if !by_name => dial::at(at.ip(), master, Line::Publish).await,
            _ => {
                let teller = &mut self.teller;
                dial::look_up(master, Line::Publish, |verdict| {
                    teller.down(Line::Publish, verdict);
                })
                .await
            }
        }
    }

    /// Keeps a connection until it ends.
    async fn keep(&mut self, mut channel: Channel, peer: SocketAddr) -> End {
        match self.watch(&mut channel, peer).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn watch(
        &mut self,
        channel: &mut Channel,
        peer: SocketAddr,
    ) -> Result<std::convert::Infallible, End> {
        let mut subscribed = BTreeSet::new();
        let own = topics(self.shared.config.identity.id());
        subscribe(channel, own.iter().cloned(), &mut subscribed).await?;
        if let Some(wanted) = &mut self.wanted {
            wanted.mark_changed();
        }
        self.teller.tell(Evidence::Connected {
            line: Line::Publish,
            peer,
        });
        let mut heart = Heart::new(Line::Publish, peer, &self.shared.intervals);
        let mut session = self.shared.session.subscribe();
        session.mark_changed();
        loop {
            tokio::select! {
                // In this order: a peer that never stops talking does not stop the heart.
                biased;
                () = heart.due(&mut self.teller) => self.beat(&mut heart, channel).await?,
                _ = session.changed() => {
                    self.judge.renew(&mut self.teller).map_err(End::Fault)?;
                    if self.judge.has_keys() {
                        // Each publication is verified before it is believed, but it must fit to be read.
                        channel.set_message_limit(if self.judge.hands_out() {
                            LONGEST_CARRIED
                        } else {
                            LONGEST
                        });
                    }
                }
                () = elsewhere(&mut self.genuine_at, peer) => return Err(End::Elsewhere),
                mut topics = other(&mut self.wanted) => {
                    topics.extend(own.iter().cloned());
                    for topic in subscribed.extract_if(.., |topic| !topics.contains(topic)) {
                        channel.cancel(&topic, Instant::now() + SUBSCRIBE).await?;
                    }
                    subscribe(channel, topics, &mut subscribed).await?;
                }
                event = channel.next_event(Instant::now() + Duration::from_secs(3600)) => match event {
                    Ok(event) => {
                        self.hear(event, &mut heart)?;
                        // Checking a signature takes a while: others go first.
                        tokio::task::yield_now().await;
                    }
                    Err(NetError::ReplyTimeout { .. }) => {}
                    Err(error) => return Err(error.into()),
                },
            }
        }
    }

    /// Ends an interval and sends the next PING.
    async fn beat(&mut self, heart: &mut Heart, channel: &mut Channel) -> Result<(), End> {
        for _ in 0..HEARD_AT_ONCE {
            match channel.next_event(Instant::now()).await {
                Ok(event) => self.hear(event, heart)?,
                Err(NetError::ReplyTimeout { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let context = heart
            .beat(channel.received(), &mut self.teller)
            .map_err(End::Fault)?;
        match channel.send_ping(&context, heart.patience()).await {
            // It is under way as far as we are concerned, and will be missed.
            Ok(()) | Err(NetError::SendTimeout { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn hear(&mut self, event: Event, heart: &mut Heart) -> Result<(), End> {
        match event {
            Event::Pong { context } => heart.pong(&context, &mut self.teller),
            Event::Message(message) => {
                let heard = self.judge.hear(message.into_frames(), &mut self.teller);
                heard.map_err(End::Fault)?;
            }
            Event::Ready(_) | Event::Subscribe(_) | Event::Cancel(_) => {}
        }
        Ok(())
    }
}

/// Subscribes to what is not subscribed to yet.
async fn subscribe(
    channel: &mut Channel,
    topics: impl IntoIterator<Item = Vec<u8>>,
    subscribed: &mut BTreeSet<Vec<u8>>,
) -> Result<(), NetError> {
    for topic in topics {
        if !subscribed.contains(&topic) {
            channel.subscribe(&topic, Instant::now() + SUBSCRIBE).await?;
            subscribed.insert(topic);
        }
    }
    Ok(())
}

/// Waits until others than now are wanted beside our own topics.
async fn other(wanted: &mut Option<watch::Receiver<BTreeSet<Vec<u8>>>>) -> BTreeSet<Vec<u8>> {
    if let Some(wanted) = wanted
        && wanted.changed().await.is_ok()
    {
        return wanted.borrow_and_update().clone();
    }
    std::future::pending().await
}

/// Waits until the master has proved to be genuine at another address.
async fn elsewhere(genuine_at: &mut watch::Receiver<Option<SocketAddr>>, peer: SocketAddr) {
    let other = |at: &Option<SocketAddr>| at.is_some_and(|at| at.ip() != peer.ip());
    if genuine_at.wait_for(other).await.is_err() {
        // Nobody tells any more.
        std::future::pending::<()>().await;
    }
}
