//! Is it the genuine master, and do its workers work? One small encrypted request now and then, over a kept session.
//!
//! A session is trusted over the connection over which it was made. Masters keep session keys on disk (`cachedir/sessions`, salt/master.py
//! 3007 and newer): who has copied them, but not the master's own key, could answer at its address otherwise.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::auth::SignIn;
use proto::message::Command;
use proto::net::Requester;
use proto::session::{ReplyError, Session};
use rand::RngExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::request_line::Order;
use super::schedule::{Ended, Schedule};
use super::teller::Teller;
use super::{Connected, Pace, Shared};
use crate::config::MasterConfig;
use crate::master::{CLOCK_STEPS, Failure, WORKERS, now};
use crate::sidecar::facts::Evidence;
use crate::state::{State, Verdict};
use crate::traffic::{Held, Traffic};

/// The cheapest request that there is: see [`Command::FindNoFile`].
const QUESTION: Command<'static> = Command::FindNoFile;
/// How long we let other saltfo processes of this host go first. One publish is over in half a second; whoever has
/// not got through by now meets publishes without end, and one small request more is the lesser evil.
const OTHERS_FIRST: Duration = Duration::from_secs(30);

/// Asks, and tells what the answers show.
pub(super) struct Verifier {
    shared: Arc<Shared>,
    teller: Teller,
    orders: mpsc::Sender<Order>,
    connected: watch::Receiver<Connected>,
    pace: watch::Receiver<Pace>,
    schedule: Schedule,
    traffic: Option<(SocketAddr, Traffic)>,
    /// The keys are to be had anew.
    sign_in: bool,
    /// The generation of the connection over which they were had.
    signed_in_over: Option<u64>,
    /// The workers of the master have different keys of ours, which has been told.
    keys_differ: bool,
}

/// What a request that was asked has led to, if not to a reply that proves the master.
enum Asked {
    /// To nothing.
    Lost(Lost),
    /// To another reply.
    Not(ReplyError),
}

impl From<Lost> for Asked {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl From<ReplyError> for Asked {
    fn from(error: ReplyError) -> Self {
        Self::Not(error)
    }
}

/// Why a verification gave no verdict on the master.
enum Lost {
    /// The connection has ended, which the request line tells.
    Gone,
    /// No answer in time, though the connection stands.
    Silent,
    /// An answer that shows something else.
    Contrary(Verdict),
}

impl Lost {
    fn because(failure: &Failure, signed_in: bool) -> Self {
        Self::Contrary(failure.verdict(signed_in))
    }
}

impl Verifier {
    pub(super) fn new(
        shared: Arc<Shared>,
        teller: Teller,
        orders: mpsc::Sender<Order>,
        connected: watch::Receiver<Connected>,
        pace: watch::Receiver<Pace>,
    ) -> Self {
        Self {
            shared,
            teller,
            orders,
            connected,
            pace,
            schedule: Schedule::default(),
            traffic: None,
            sign_in: false,
            signed_in_over: None,
            keys_differ: false,
        }
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let Some(master) = shared.master() else { return };
        // The first connection that will do.
        let mut from = 0;
        while let Some(connected) = self.connection(from).await {
            let next = connected.generation.saturating_add(1);
            let (ended, renewed) = match self.verify(master, connected).await {
                Ok(evidence) => {
                    self.note_genuine_at(connected.peer);
                    self.teller.tell(evidence);
                    (Ended::Verified, false)
                }
                // At once when there is another connection.
                Err(Lost::Gone) => {
                    from = next;
                    continue;
                }
                Err(Lost::Silent) => {
                    self.teller.tell(Evidence::Unanswered);
                    (Ended::Unanswered, true)
                }
                Err(Lost::Contrary(verdict)) => {
                    tracing::debug!(master = %master.name, ?verdict, "not as it should be");
                    // Its name may lead to another one by now.
                    let elsewhere = verdict.state == State::Impostor;
                    self.teller.tell(Evidence::Contrary(verdict));
                    if elsewhere && self.orders.send(Order::Renew).await.is_err() {
                        return;
                    }
                    (Ended::Contrary, elsewhere)
                }
            };
            from = if renewed { next } else { connected.generation };
            self.schedule.note(ended);
            // The connection that follows one that we gave up is no news.
            self.until_due(from).await;
        }
    }

    /// Waits for a connection, this one or a later one.
    async fn connection(&mut self, from: u64) -> Option<Connected> {
        let fit = |connected: &Connected| connected.peer.is_some() && connected.generation >= from;
        let connected = self.connected.wait_for(fit).await;
        connected.ok().map(|connected| *connected)
    }

    fn note_genuine_at(&self, peer: Option<SocketAddr>) {
        self.shared.genuine_at.send_if_modified(|at| {
            let changed = *at != peer;
            *at = peer;
            changed
        });
    }

    /// Waits until the next verification is due: when its time has come, when there is a later connection than this, or
    /// when the publish line wants new keys.
    async fn until_due(&mut self, seen: u64) {
        let began = Instant::now();
        let jitter = jitter();
        loop {
            let pace = *self.pace.borrow_and_update();
            let pause = self.schedule.pause(&self.shared.intervals, pace).mul_f64(jitter);
            let paced = async {
                if self.pace.changed().await.is_err() {
                    // Nobody changes it any more.
                    std::future::pending::<()>().await;
                }
            };
            let later = |connected: &Connected| connected.peer.is_some() && connected.generation > seen;
            tokio::select! {
                () = sleep_until(began + pause) => return,
                () = paced => {}
                connected = self.connected.wait_for(later), if self.schedule.heeds_connections() => {
                    drop(connected);
                    return;
                }
                () = self.shared.sign_in.notified() => {
                    self.sign_in = true;
                    return;
                }
            }
        }
    }

    async fn verify(&mut self, master: &MasterConfig, connected: Connected) -> Result<Evidence, Lost> {
        let mut waited = Duration::ZERO;
        let mut signed_in = false;
        if self.schedule.went_unanswered() {
            self.until_answered(connected, &mut waited).await?;
        }
        loop {
            let session = match self.session_over(connected) {
                Some(session) => session,
                None => {
                    signed_in = true;
                    self.sign_in(master, connected, &mut waited).await?
                }
            };
            match self.ask(&session, 0, connected, &mut waited).await {
                Ok(()) => {
                    return Ok(Evidence::Verified {
                        after: waited,
                        signed_in,
                    });
                }
                // Keys rotate without notice. Anybody can say so: once.
                Err(Asked::Not(error)) if error.calls_for_sign_in() && !signed_in => self.sign_in = true,
                Err(Asked::Not(ReplyError::BadLoad)) => {
                    self.sign_in = true;
                    self.explain_bad_load(&session, connected, &mut waited).await?;
                    self.sign_in = false;
                    return Ok(Evidence::Verified {
                        after: waited,
                        signed_in,
                    });
                }
                Err(Asked::Not(error)) => {
                    self.sign_in |= error.calls_for_sign_in();
                    return Err(Lost::because(&Failure::Reply(error), true));
                }
                Err(Asked::Lost(lost)) => return Err(lost),
            }
        }
    }

    /// The keys, if they were had over this connection and are not to be had anew.
    fn session_over(&self, connected: Connected) -> Option<Arc<Session>> {
        let is_its = self.signed_in_over == Some(connected.generation);
        let session = self.shared.session.borrow().clone();
        session.filter(|_| is_its && !self.sign_in)
    }

    /// After silence, asks with the keys from before whether anybody answers again: a master whose workers are all busy is spared
    /// sign-ins, which cost it several times as much. The answer itself proves nothing yet.
    async fn until_answered(&mut self, connected: Connected, waited: &mut Duration) -> Result<(), Lost> {
        let known = self.shared.session.borrow().clone();
        let Some(session) = known.filter(|_| self.session_over(connected).is_none()) else {
            return Ok(());
        };
        match self.ask(&session, 0, connected, waited).await {
            Ok(()) | Err(Asked::Not(_)) => Ok(()),
            Err(Asked::Lost(lost)) => Err(lost),
        }
    }

    /// Signs in. The keys from before stay in use until this has succeeded.
    async fn sign_in(
        &mut self,
        master: &MasterConfig,
        connected: Connected,
        waited: &mut Duration,
    ) -> Result<Arc<Session>, Lost> {
        let shared = Arc::clone(&self.shared);
        let config = &shared.config;
        let make = || {
            SignIn::new(
                &config.identity,
                &master.trust,
                config.algorithms,
                &mut rand::rng(),
            )
        };
        let _turn = self.sign_in_turn(connected).await?;
        let (sign_in, reply) = self.exchange(|| Ok(make()), connected, waited).await?;
        let session = sign_in
            .finish(&reply, &mut rand::rng())
            .map_err(|error| Lost::because(&Failure::SignIn(error), false))?;
        let session = Arc::new(session);
        self.sign_in = false;
        self.signed_in_over = Some(connected.generation);
        self.shared.session.send_replace(Some(Arc::clone(&session)));
        Ok(session)
    }

    /// As `Connection::explain_bad_load` in [`crate::master`]: after a verified sign-in it may be our clock.
    ///
    /// Or workers with different keys: then one that answers has proved the master all the same. Each is asked before the clock is
    /// doubted, as the next request may be dealt to one that takes any of ours.
    async fn explain_bad_load(
        &mut self,
        session: &Session,
        connected: Connected,
        waited: &mut Duration,
    ) -> Result<(), Lost> {
        for ahead in std::iter::repeat_n(0, WORKERS).chain(CLOCK_STEPS) {
            match self.ask(session, ahead, connected, waited).await {
                Ok(()) if ahead == 0 => {
                    if !std::mem::replace(&mut self.keys_differ, true) {
                        let id = self.shared.config.identity.id().clone();
                        let master = self.shared.master().map(|master| master.name.as_str());
                        tracing::warn!(master, "{}", Failure::KeysDiffer { id });
                    }
                    return Ok(());
                }
                Ok(()) => return Err(Lost::because(&Failure::Clock { ahead }, true)),
                Err(Asked::Not(ReplyError::BadLoad)) => {}
                Err(Asked::Not(error)) => return Err(Lost::because(&Failure::Reply(error), true)),
                Err(Asked::Lost(lost)) => return Err(lost),
            }
        }
        Err(Lost::because(&Failure::Reply(ReplyError::BadLoad), true))
    }

    /// One encrypted request, dated `ahead` seconds into the future.
    async fn ask(
        &mut self,
        session: &Session,
        ahead: i64,
        connected: Connected,
        waited: &mut Duration,
    ) -> Result<(), Asked> {
        let make = || {
            session
                .request(&QUESTION, now().saturating_add(ahead), &mut rand::rng())
                .map_err(|error| Lost::because(&Failure::Encrypt(error), true))
        };
        let (awaited, reply) = self.exchange(make, connected, waited).await?;
        session.open(&awaited, &reply)?;
        Ok(())
    }

    /// One request and its reply. Our turn among the saltfo processes of this host is not the master's time.
    async fn exchange<A>(
        &mut self,
        make: impl FnOnce() -> Result<(A, Vec<u8>), Lost>,
        connected: Connected,
        waited: &mut Duration,
    ) -> Result<(A, Vec<u8>), Lost> {
        let peer = connected.peer.ok_or(Lost::Gone)?;
        let _pass = self.pass(peer).await;
        // It may have ended, or another one may be there, while we waited.
        if *self.connected.borrow() != connected {
            return Err(Lost::Gone);
        }
        let (awaited, payload) = make()?;
        let (reply, coming) = oneshot::channel();
        let began = Instant::now();
        let order = Order::Ask { payload, reply };
        if self.orders.send(order).await.is_err() {
            return Err(Lost::Gone);
        }
        let came = timeout(self.shared.intervals.verify_timeout, coming).await;
        *waited = waited.saturating_add(began.elapsed());
        match came {
            Ok(Ok(reply)) => Ok((awaited, reply)),
            Ok(Err(_)) => Err(Lost::Gone),
            Err(_) => Err(Lost::Silent),
        }
    }

    async fn pass(&mut self, peer: SocketAddr) -> Held {
        self.traffic_to(peer).pass(Instant::now() + OTHERS_FIRST).await
    }

    async fn sign_in_turn(&mut self, connected: Connected) -> Result<Held, Lost> {
        let peer = connected.peer.ok_or(Lost::Gone)?;
        let deadline = Instant::now() + OTHERS_FIRST;
        Ok(self.traffic_to(peer).sign_in_turn(deadline).await)
    }

    fn traffic_to(&mut self, peer: SocketAddr) -> &Traffic {
        let (of, traffic) = self.traffic.get_or_insert_with(|| (peer, Traffic::to(peer)));
        if *of != peer {
            (*of, *traffic) = (peer, Traffic::to(peer));
        }
        traffic
    }
}

/// Signs in over a connection that nothing else uses, and keeps the keys if the master is genuine.
pub(super) async fn is_genuine(
    shared: &Shared,
    master: &MasterConfig,
    requester: &mut Requester,
    peer: SocketAddr,
) -> bool {
    let config = &shared.config;
    let traffic = Traffic::to(peer);
    let others_first = Instant::now() + OTHERS_FIRST;
    let _turn = traffic.sign_in_turn(others_first).await;
    let _pass = traffic.pass(others_first).await;
    let (sign_in, request) = SignIn::new(
        &config.identity,
        &master.trust,
        config.algorithms,
        &mut rand::rng(),
    );
    let deadline = Instant::now() + shared.intervals.verify_timeout;
    let Ok(reply) = requester.request(request, deadline).await else {
        return false;
    };
    match sign_in.finish(&reply, &mut rand::rng()) {
        Ok(session) => {
            shared.session.send_replace(Some(Arc::new(session)));
            true
        }
        Err(error) => {
            tracing::debug!(master = %master.name, %peer, %error, "not the genuine master");
            false
        }
    }
}

/// A tenth more or less, so that sidecars that were started together do not stay together.
pub(super) fn jitter() -> f64 {
    rand::rng().random_range(0.9..=1.1)
}
