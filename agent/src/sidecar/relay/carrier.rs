//! One request on its way: to the elected master, and after a fault or a move to the next one, until it is answered.
//!
//! It is never sent to the same master again unless its connection broke there.

use std::sync::Arc;
use std::time::Duration;

use proto::zmtp::Message;
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::budget::{Budget, Share};
use super::counts::{Present, RequestCounts};
use super::route::{Routing, until};
use super::upstream::{Line, Stop, Upstream};

/// How long what is under way may finish at a master that the route has left in a planned move.
const FINISH: Duration = Duration::from_secs(10);
/// Before the second try at a master; before each further one twice as long,
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Carries requests.
#[derive(Debug)]
pub(super) struct Carrier {
    upstream: Arc<Upstream>,
    routes: watch::Receiver<Routing>,
    replies: Arc<Budget>,
    counts: Arc<RequestCounts>,
}

/// The payload of a reply, with what it holds of the budget.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) payload: Vec<u8>,
    pub(super) share: Share,
    /// Until it is with its client.
    pub(super) leaving: Present,
}

/// What a try has led to.
enum Tried {
    Answered(Reply),
    /// The route has changed.
    Left,
    /// No connection could be made.
    Unreached,
    /// The connection broke; `stale`: one that had been idle, before anything of a reply had come.
    Broke {
        stale: bool,
    },
}

impl Carrier {
    pub(super) fn new(
        upstream: Arc<Upstream>,
        routes: watch::Receiver<Routing>,
        replies: Arc<Budget>,
        counts: Arc<RequestCounts>,
    ) -> Self {
        Self {
            upstream,
            routes,
            replies,
            counts,
        }
    }

    pub(super) fn counts(&self) -> &RequestCounts {
        &self.counts
    }

    /// Waits for the reply, as long as it takes. Dropping the future closes the connection of the request.
    pub(super) async fn carry(&self, request: &Message) -> Reply {
        let mut routes = self.routes.clone();
        let mut pauses = Pauses::default();
        // Where it was sent, last.
        let mut sent: Option<Stop> = None;
        let mut tried: Option<Stop> = None;
        loop {
            let stop = {
                let _held = self.counts.held.enter();
                next_stop(&mut routes).await
            };
            if tried.replace(stop) != Some(stop) {
                pauses = Pauses::default();
            }
            match self.attempt(request, stop, &mut sent, &mut routes).await {
                Tried::Answered(reply) => return reply,
                Tried::Left | Tried::Broke { stale: true } => {}
                Tried::Unreached => self.pause(pauses.next(), stop, &mut routes, true).await,
                Tried::Broke { stale: false } => self.pause(pauses.next(), stop, &mut routes, false).await,
            }
        }
    }

    async fn attempt(
        &self,
        request: &Message,
        stop: Stop,
        sent: &mut Option<Stop>,
        routes: &mut watch::Receiver<Routing>,
    ) -> Tried {
        let connected = {
            let _held = self.counts.held.enter();
            tokio::select! {
                line = self.upstream.line(stop) => line,
                () = until(routes, |routing| !leads_to(routing, stop)) => return Tried::Left,
            }
        };
        let mut line = match connected {
            Ok(line) => line,
            Err(error) => {
                tracing::debug!(master = %self.upstream.name(stop.master), %error, "a request waits");
                return Tried::Unreached;
            }
        };
        match sent.replace(stop) {
            None => {}
            Some(before) if before.master == stop.master => self.counts.repeated.one(),
            Some(_) => self.counts.resent.one(),
        }
        let _under_way = self.counts.under_way_at(stop.master).enter();
        tokio::select! {
            tried = self.exchange(request, stop, &mut line) => match tried {
                Tried::Answered(reply) => {
                    self.upstream.keep_line(stop.master, line);
                    Tried::Answered(reply)
                }
                other => other,
            },
            () = left(routes, stop) => Tried::Left,
        }
    }

    async fn exchange(&self, request: &Message, stop: Stop, line: &mut Line) -> Tried {
        let mut share = self.replies.share();
        let received = line.received();
        match line.exchange(request, &mut share).await {
            Ok(payload) => Tried::Answered(Reply {
                payload,
                share,
                leaving: self.counts.leaving.enter(),
            }),
            Err(error) => {
                let stale = line.is_used() && line.received() == received;
                tracing::debug!(master = %self.upstream.name(stop.master), %error, stale, "a request is sent again");
                Tried::Broke { stale }
            }
        }
    }

    /// Waits before the next try, at most until the route changes or, with `listening`, until somebody else has reached the master.
    async fn pause(
        &self,
        pause: Duration,
        stop: Stop,
        routes: &mut watch::Receiver<Routing>,
        listening: bool,
    ) {
        let _held = self.counts.held.enter();
        let reached = async {
            match self.upstream.reached(stop.master).filter(|_| listening) {
                Some(reached) => reached.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = reached => {}
            () = until(routes, |routing| !leads_to(routing, stop)) => {}
        }
    }
}

/// Waits for a route.
async fn next_stop(routes: &mut watch::Receiver<Routing>) -> Stop {
    loop {
        until(routes, |routing| routing.route().master.is_some()).await;
        let routing = routes.borrow();
        if let Some(master) = routing.route().master {
            let stint = routing.stint(master);
            return Stop { master, stint };
        }
    }
}

fn leads_to(routing: &Routing, stop: Stop) -> bool {
    routing.route().master == Some(stop.master) && routing.stint(stop.master) == stop.stint
}

/// Waits until a request that is under way there must leave: at once when the master is abandoned, after a while when the route goes
/// elsewhere in a planned move and does not come back.
async fn left(routes: &mut watch::Receiver<Routing>, stop: Stop) {
    let mut at_last: Option<Instant> = None;
    loop {
        let (leads, stint) = {
            let routing = routes.borrow_and_update();
            (leads_to(&routing, stop), routing.stint(stop.master))
        };
        if stint != stop.stint {
            return;
        }
        at_last = if leads {
            None
        } else {
            at_last.or(Some(Instant::now() + FINISH))
        };
        let patience = async {
            match at_last {
                Some(at_last) => sleep_until(at_last).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = routes.changed() => {}
            () = patience => return,
        }
    }
}

/// The pauses between tries at one master.
#[derive(Debug, Default)]
struct Pauses {
    taken: u32,
}

impl Pauses {
    /// Jittered by half, so that requests that failed together do not come back together.
    fn next(&mut self) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.taken));
        self.taken = self.taken.saturating_add(1);
        pause
            .min(LONGEST_PAUSE)
            .mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::route::Manner;
    use super::*;
    use crate::sidecar::facts::MasterIndex;

    const A: MasterIndex = MasterIndex(0);
    const B: MasterIndex = MasterIndex(1);

    fn at_a() -> (watch::Sender<Routing>, Stop) {
        let mut routing = Routing::new(2);
        routing.lead(Some(A), Manner::Abandon);
        let stint = routing.stint(A);
        (watch::Sender::new(routing), Stop { master: A, stint })
    }

    fn lead(routes: &watch::Sender<Routing>, to: Option<MasterIndex>, manner: Manner) {
        routes.send_modify(|routing| {
            routing.lead(to, manner);
        });
    }

    #[test]
    fn pauses_grow_to_two_seconds() {
        let mut pauses = Pauses::default();
        let pauses: Vec<Duration> = (0..60).map(|_| pauses.next()).collect();
        assert!(pauses[0] <= FIRST_PAUSE && pauses[0] >= FIRST_PAUSE / 2);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
        assert!(pauses[6..].iter().all(|pause| *pause >= LONGEST_PAUSE / 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_planned_move_gives_ten_seconds_and_a_further_one_no_more() {
        let (routes, stop) = at_a();
        let began = Instant::now();
        let mut receiver = routes.subscribe();
        let moves = async {
            lead(&routes, Some(B), Manner::Finish);
            sleep(Duration::from_secs(6)).await;
            lead(&routes, None, Manner::Finish);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = moves => {}
            () = left(&mut receiver, stop) => {}
        }
        assert_eq!(began.elapsed(), FINISH);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_back_in_time_does_not_leave() {
        let (routes, stop) = at_a();
        let mut receiver = routes.subscribe();
        let moves = async {
            lead(&routes, Some(B), Manner::Finish);
            sleep(Duration::from_secs(6)).await;
            lead(&routes, Some(A), Manner::Finish);
            sleep(Duration::from_secs(60)).await;
        };
        tokio::select! {
            () = moves => {}
            () = left(&mut receiver, stop) => panic!("it has left"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_master_is_left_at_once_also_while_it_finishes() {
        let (routes, stop) = at_a();
        let began = Instant::now();
        let mut receiver = routes.subscribe();
        lead(&routes, Some(B), Manner::Finish);
        lead(&routes, Some(B), Manner::Abandon);
        left(&mut receiver, stop).await;
        lead(&routes, Some(A), Manner::Finish);
        left(&mut receiver, stop).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
