//! Who gives up its connection to a port that is full: somebody who has asked for nothing, or for nothing now.
//!
//! Anything local may connect, and a minion that comes later must find room. First go those who have never asked for anything, then
//! those whose last request was answered longest ago. Who waits for a reply or has a subscription stays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::{AbortHandle, Id};
use tokio::time::Instant;

/// The connections of a port.
#[derive(Debug, Default)]
pub(super) struct Seats(HashMap<Id, (Arc<Seat>, AbortHandle)>);

/// One connection, as its task tells.
#[derive(Debug)]
pub(super) struct Seat(Mutex<State>);

#[derive(Debug)]
struct State {
    is_busy: bool,
    was_busy: bool,
    /// The last change, or the beginning.
    since: Instant,
}

impl Seats {
    pub(super) fn number(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self, seat: Arc<Seat>, task: AbortHandle) {
        self.0.insert(task.id(), (seat, task));
    }

    /// A connection has ended.
    pub(super) fn leave(&mut self, task: Id) {
        self.0.remove(&task);
    }

    /// Closes the connection that can be spared most easily; `false` if there is none.
    pub(super) fn make_room(&mut self) -> bool {
        let spare = self.0.iter().filter_map(|(id, (seat, _))| {
            let state = seat.state();
            (!state.is_busy).then_some((state.was_busy, state.since, *id))
        });
        let first = spare.min_by_key(|(was_busy, since, _)| (*was_busy, *since));
        match first.and_then(|(_, _, id)| self.0.remove(&id)) {
            Some((_, task)) => {
                task.abort();
                true
            }
            None => false,
        }
    }
}

impl Seat {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            is_busy: false,
            was_busy: false,
            since: Instant::now(),
        })))
    }

    /// Says whether the connection has a subscription, or a request that is under way.
    pub(super) fn is_busy(&self, is_busy: bool) {
        let mut state = self.state();
        if state.is_busy != is_busy {
            state.is_busy = is_busy;
            state.was_busy = true;
            state.since = Instant::now();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_silent_go_first_then_who_was_served_longest_ago_and_nobody_who_is_busy() {
        let (mut seats, mut tasks) = (Seats::default(), JoinSet::new());
        let mut sit = async |moods: &[bool]| {
            let seat = Seat::new();
            let task = tasks.spawn(std::future::pending::<()>());
            seats.take(Arc::clone(&seat), task.clone());
            for mood in moods {
                advance(Duration::from_secs(1)).await;
                seat.is_busy(*mood);
            }
            task.id()
        };
        let served = sit(&[true, false]).await;
        sit(&[true]).await;
        let silent = sit(&[]).await;
        let served_later = sit(&[true, false, true, false]).await;
        let silent_later = sit(&[false]).await;
        for expected in [silent, silent_later, served, served_later] {
            assert!(seats.make_room());
            let ended = tasks.join_next().await.unwrap().unwrap_err();
            assert_eq!((ended.id(), ended.is_cancelled()), (expected, true));
        }
        assert!(!seats.make_room());
        assert_eq!(seats.number(), 1);
    }
}
