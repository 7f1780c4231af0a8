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
use super::subscriptions::{Noted, Subscriptions, Topics};

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
    topics: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Outlets {
    by_number: HashMap<u64, Arc<Outlet>>,
    next_number: u64,
    /// Publications so far.
    publications: u64,
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
    queue: VecDeque<Arc<Publication>>,
    /// What is being written.
    leaving: Option<Arc<Publication>>,
    /// It was further behind than all others when there was no room.
    is_too_slow: bool,
}

/// A publication as long as anybody has it: all have the same one.
#[derive(Debug)]
struct Publication {
    /// Which one it is, in the order in which they came.
    number: u64,
    message: Arc<Message>,
    _share: Share,
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
            topics: Mutex::new(Noted::new(topics)),
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
        match registered
            .outlet
            .serve(&mut channel, &self.topics, registered.number, &seat)
            .await
        {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    fn hand_out(&self, message: &Arc<Message>) {
        let first = message.frames().first().map_or(&[][..], Vec::as_slice);
        let mut outlets = self.outlets();
        let wants = |outlet: &&Arc<Outlet>| outlet.state().subscriptions.want(first);
        if !outlets.by_number.values().any(|outlet| wants(&outlet)) {
            return;
        }
        let mut share = self.budget.share();
        share.want(message.size());
        let has_room = loop {
            if share.fits() {
                break true;
            }
            let Some(oldest) = outlets.oldest() else {
                // Longer than all that there is room for: alone it is handed out all the same.
                break share.is_covered();
            };
            let mut wanting = outlets.by_number.values().filter(wants);
            if wanting.all(|outlet| outlet.state().oldest() == Some(oldest)) {
                // Nobody else loses by it.
                break false;
            }
            self.counts.unread.add(outlets.close_who_has(oldest));
        };
        outlets.publications = outlets.publications.wrapping_add(1);
        let publication = Arc::new(Publication {
            number: outlets.publications,
            message: Arc::clone(message),
            _share: share,
        });
        for outlet in outlets.by_number.values().filter(wants) {
            if has_room && outlet.state().push(&publication) {
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

impl Outlets {
    /// The oldest publication that somebody has not read yet.
    fn oldest(&self) -> Option<u64> {
        let outlets = self.by_number.values();
        outlets.filter_map(|outlet| outlet.state().oldest()).min()
    }

    /// Closes the connections that are this far behind: how many publications they lose.
    fn close_who_has(&self, oldest: u64) -> usize {
        let mut lost: usize = 0;
        for outlet in self.by_number.values() {
            let mut state = outlet.state();
            if state.oldest() == Some(oldest) {
                lost = lost.saturating_add(state.give_up());
                outlet.waits.notify_one();
            }
        }
        lost
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.publisher.outlets().by_number.remove(&self.number);
        noted(&self.publisher.topics).leave(self.number);
    }
}

fn noted(topics: &Mutex<Noted>) -> MutexGuard<'_, Noted> {
    topics.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outlet {
    async fn serve(
        &self,
        channel: &mut Channel,
        topics: &Mutex<Noted>,
        number: u64,
        seat: &Seat,
    ) -> Result<Infallible, Ended> {
        loop {
            if self.state().is_too_slow {
                return Err(Ended::TooSlow);
            }
            if channel.unsent() == 0 {
                let next = self.state().next();
                if let Some(next) = next {
                    channel.queue_shared(&next.message)?;
                }
            }
            seat.is_busy(!self.state().subscriptions.is_empty());
            tokio::select! {
                turn = channel.turn(true, Instant::now() + FAR) => match turn? {
                    Some(Event::Subscribe(prefix)) => {
                        noted(topics).note(number, &prefix);
                        self.state().subscriptions.add(prefix)?;
                    }
                    Some(Event::Cancel(prefix)) => self.state().subscriptions.cancel(&prefix),
                    Some(_) | None => {}
                },
                () = self.waits.notified() => {}
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Queues a publication unless too many wait.
    fn push(&mut self, publication: &Arc<Publication>) -> bool {
        let has_room = self.queue.len() < WAITING && !self.is_too_slow;
        if has_room {
            self.queue.push_back(Arc::clone(publication));
        }
        has_room
    }

    /// What is to be written when all before it is.
    fn next(&mut self) -> Option<Arc<Publication>> {
        self.leaving = self.queue.pop_front();
        self.leaving.clone()
    }

    fn oldest(&self) -> Option<u64> {
        let first = self.leaving.as_ref().or(self.queue.front());
        first.map(|publication| publication.number)
    }

    /// Drops all that it has, and has the connection closed.
    fn give_up(&mut self) -> usize {
        let lost = self
            .queue
            .len()
            .saturating_add(usize::from(self.leaving.is_some()));
        self.queue.clear();
        self.leaving = None;
        self.subscriptions = Subscriptions::default();
        self.is_too_slow = true;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher(bytes: usize) -> Arc<Publisher> {
        let counts = Arc::new(PublicationCounts::default());
        Publisher::new(Budget::new(bytes), counts, Topics::default())
    }

    fn subscriber(publisher: &Arc<Publisher>) -> Registered {
        let registered = Arc::clone(publisher).register();
        registered.outlet.state().subscriptions.add(Vec::new()).unwrap();
        registered
    }

    fn hand_out(publisher: &Publisher, size: usize) {
        publisher.hand_out(&Arc::new(Message::single(vec![7; size])));
    }

    #[test]
    fn a_publication_is_counted_once_while_anybody_has_it() {
        let publisher = publisher(1000);
        let subscribers: Vec<Registered> = (0..128).map(|_| subscriber(&publisher)).collect();
        for _ in 0..10 {
            hand_out(&publisher, 100);
        }
        assert_eq!(publisher.budget.free(), 0);
        assert!(subscribers.iter().all(|one| one.outlet.state().queue.len() == 10));
        for one in &subscribers[1..] {
            while one.outlet.state().next().is_some() {}
        }
        assert_eq!(publisher.budget.free(), 0);
        while subscribers[0].outlet.state().next().is_some() {}
        assert_eq!(publisher.budget.free(), 1000);
    }

    #[test]
    fn who_is_furthest_behind_is_closed_when_there_is_no_room_and_nobody_else() {
        let publisher = publisher(1000);
        let stopped = [subscriber(&publisher), subscriber(&publisher)];
        let slow = subscriber(&publisher);
        for _ in 0..10 {
            hand_out(&publisher, 100);
            drop(slow.outlet.state().next());
        }
        // One has begun to write and does not get on.
        drop(stopped[0].outlet.state().next());
        hand_out(&publisher, 100);
        for one in &stopped {
            let state = one.outlet.state();
            assert!(state.is_too_slow && state.oldest().is_none());
        }
        let state = slow.outlet.state();
        assert!(!state.is_too_slow);
        assert_eq!(state.queue.len(), 1);
        drop(state);
        // Whom nobody else waits for only loses what is new.
        for _ in 0..20 {
            hand_out(&publisher, 100);
        }
        assert_eq!(publisher.budget.free(), 0);
        assert!(!slow.outlet.state().is_too_slow);
        while slow.outlet.state().next().is_some() {}
        // What is too long for any room is carried alone.
        hand_out(&publisher, 5000);
        assert_eq!(slow.outlet.state().queue.len(), 1);
    }

    #[test]
    fn a_queue_is_bounded_in_number() {
        let publisher = publisher(1 << 20);
        let one = subscriber(&publisher);
        for _ in 0..WAITING + 5 {
            hand_out(&publisher, 1);
        }
        assert_eq!(one.outlet.state().queue.len(), WAITING);
        assert!(!one.outlet.state().is_too_slow);
    }
}
