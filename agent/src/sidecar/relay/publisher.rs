//! The port for publications: who subscribed to what, and what waits for whom.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::net::Channel;
use proto::zmtp::{Event, Message};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::Carried;
use super::budget::{Budget, Share};
use super::counts::PublicationCounts;
use super::listener::Ended;
use super::replay::Replays;
use super::route::Routing;
use super::seats::Seat;
use super::subscriptions::{self, Subscriptions, Topics};

/// Publications that wait for one connection: Salt's own high-water mark (`pub_hwm`).
const WAITING: usize = 1000;
/// Longer than anybody waits.
const FAR: Duration = Duration::from_secs(3600);

/// What the connections of all subscribers share.
#[derive(Debug)]
pub(super) struct Publisher {
    outlets: Mutex<Outlets>,
    budget: Arc<Budget>,
    counts: Arc<PublicationCounts>,
    topics: Topics,
}

#[derive(Debug, Default)]
struct Outlets {
    by_number: HashMap<u64, Arc<Outlet>>,
    next_number: u64,
}

/// One connection, as publications see it.
#[derive(Debug, Default)]
struct Outlet {
    state: Mutex<State>,
    /// Something waits.
    waits: Notify,
}

#[derive(Debug, Default)]
struct State {
    subscriptions: Subscriptions,
    queue: VecDeque<Waiting>,
    /// Bytes in `queue`.
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    message: Arc<Message>,
    share: Share,
}

/// An outlet as long as its connection lives.
struct Registered {
    publisher: Arc<Publisher>,
    number: u64,
    outlet: Arc<Outlet>,
}

impl Publisher {
    pub(super) fn new(budget: Arc<Budget>, counts: Arc<PublicationCounts>, topics: Topics) -> Arc<Self> {
        Arc::new(Self {
            outlets: Mutex::default(),
            budget,
            counts,
            topics,
        })
    }

    /// Hands publications to the connections that want them, for ever.
    pub(super) async fn publish(
        self: Arc<Self>,
        mut publications: mpsc::Receiver<Carried>,
        routes: watch::Receiver<Routing>,
    ) -> Infallible {
        let mut replays = Replays::default();
        while let Some(Carried { master, frames }) = publications.recv().await {
            if !routes.borrow().hears(master) {
                self.counts.elsewhere.one();
                continue;
            }
            let Ok(message) = Message::from_frames(Arc::unwrap_or_clone(frames)) else {
                continue;
            };
            if !replays.is_new(message.frames()).await {
                self.counts.replay.one();
                continue;
            }
            self.counts.carried.one();
            self.hand_out(&Arc::new(message));
        }
        std::future::pending().await
    }

    /// Serves one subscriber until its connection ends.
    pub(super) async fn converse(self: Arc<Self>, mut channel: Channel, seat: Arc<Seat>) -> Ended {
        let registered = Arc::clone(&self).register();
        match registered.outlet.serve(&mut channel, &self.topics, &seat).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    fn hand_out(&self, message: &Arc<Message>) {
        let first = message.frames().first().map_or(&[][..], Vec::as_slice);
        for outlet in self.outlets().by_number.values() {
            let mut state = outlet.state();
            if !state.subscriptions.want(first) {
                continue;
            }
            if state.push(message, &self.budget) {
                self.counts.delivered.one();
                outlet.waits.notify_one();
            } else {
                self.counts.unread.one();
            }
        }
    }

    fn register(self: Arc<Self>) -> Registered {
        let outlet = Arc::new(Outlet::default());
        let mut outlets = self.outlets();
        let number = outlets.next_number;
        outlets.next_number = number.wrapping_add(1);
        outlets.by_number.insert(number, Arc::clone(&outlet));
        drop(outlets);
        Registered {
            publisher: self,
            number,
            outlet,
        }
    }

    fn outlets(&self) -> MutexGuard<'_, Outlets> {
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.publisher.outlets().by_number.remove(&self.number);
    }
}

impl Outlet {
    async fn serve(&self, channel: &mut Channel, topics: &Topics, seat: &Seat) -> Result<Infallible, Ended> {
        // What is being written is there once more, in the connection's buffer.
        let mut leaving: Option<Share> = None;
        loop {
            if channel.unsent() == 0 {
                leaving = None;
                let next = self.state().pop();
                if let Some(next) = next {
                    channel.queue(&next.message)?;
                    leaving = Some(next.share);
                }
            }
            seat.is_busy(!self.state().subscriptions.is_empty());
            tokio::select! {
                turn = channel.turn(true, Instant::now() + FAR) => match turn? {
                    Some(Event::Subscribe(prefix)) => {
                        subscriptions::note(topics, &prefix);
                        self.state().subscriptions.add(prefix)?;
                    }
                    Some(Event::Cancel(prefix)) => self.state().subscriptions.cancel(&prefix),
                    Some(_) | None => {}
                },
                () = self.waits.notified(), if leaving.is_none() => {}
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Queues a publication unless there is no room: too many wait, or its queue would hold more bytes than it finds free. So a connection
    /// that nobody reads from takes half of what is left at most, and one that is read from has room.
    fn push(&mut self, message: &Arc<Message>, budget: &Arc<Budget>) -> bool {
        let size = message.size();
        if self.queue.len() >= WAITING || self.bytes.saturating_add(size) > budget.free() {
            return false;
        }
        let mut share = budget.share();
        share.want(size);
        if !share.is_covered() {
            return false;
        }
        self.bytes = self.bytes.saturating_add(size);
        self.queue.push_back(Waiting {
            message: Arc::clone(message),
            share,
        });
        true
    }

    fn pop(&mut self) -> Option<Waiting> {
        let next = self.queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(next.message.size());
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(size: usize) -> Arc<Message> {
        Arc::new(Message::single(vec![7; size]))
    }

    #[test]
    fn a_queue_takes_no_more_than_half_of_what_is_left() {
        let budget = Budget::new(1200);
        let mut stuck: Vec<State> = Vec::new();
        for (holds, left) in [(600, 600), (300, 300), (200, 100)] {
            let mut state = State::default();
            while state.push(&message(100), &budget) {}
            assert_eq!((state.bytes, budget.free()), (holds, left));
            stuck.push(state);
        }
        let mut other = State::default();
        assert!(other.push(&message(100), &budget));
        assert!(!State::default().push(&message(1), &budget));
        drop(stuck);
        assert_eq!(budget.free(), 1100);
        drop(other.pop());
        assert_eq!((other.bytes, budget.free()), (0, 1200));
    }

    #[test]
    fn a_queue_is_bounded_in_number() {
        let budget = Budget::new(1 << 20);
        let mut state = State::default();
        for _ in 0..WAITING {
            assert!(state.push(&message(1), &budget));
        }
        assert!(!state.push(&message(1), &budget));
    }
}
