//! A bound on the bytes that all connections of one kind hold together.
//!
//! Each holds a share that follows what it needs. Who finds no room stops reading, which its peer notices as back-pressure. So that
//! several messages that are each half there do not wait for each other for ever, one share at a time may go beyond the bound, and
//! its message is completed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The bound.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    account: Mutex<Account>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Account {
    used: usize,
    /// Some share has gone beyond the bound.
    overdrawn: bool,
}

/// What one holder has of it, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    /// What it needs.
    wanted: usize,
    /// What it has.
    held: usize,
    /// It is the one that has gone beyond the bound.
    overdraws: bool,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            account: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// A share of nothing yet.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share {
            budget: Arc::clone(self),
            wanted: 0,
            held: 0,
            overdraws: false,
        }
    }

    /// Bytes that are left.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.limit.saturating_sub(self.account().used)
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Says how many bytes it needs from now on. What it no longer needs is free at once.
    pub(super) fn want(&mut self, bytes: usize) {
        self.wanted = bytes;
        if bytes < self.held {
            self.give_back(self.held - bytes);
        }
    }

    /// Whether it has what it needs, now at the latest.
    pub(super) fn is_covered(&mut self) -> bool {
        let more = self.wanted.saturating_sub(self.held);
        if more == 0 {
            return true;
        }
        let mut account = self.budget.account();
        let used = account.used.saturating_add(more);
        if used > self.budget.limit && !self.overdraws {
            if account.overdrawn {
                return false;
            }
            account.overdrawn = true;
            self.overdraws = true;
        }
        account.used = used;
        self.held = self.wanted;
        true
    }

    /// The same without going beyond the bound.
    pub(super) fn fits(&mut self) -> bool {
        let more = self.wanted.saturating_sub(self.held);
        let mut account = self.budget.account();
        let used = account.used.saturating_add(more);
        let fits = used <= self.budget.limit;
        if fits {
            account.used = used;
            self.held = self.held.max(self.wanted);
        }
        fits
    }

    /// Waits until it has what it needs. Dropping the future loses nothing.
    pub(super) async fn covered(&mut self) {
        while !self.is_covered() {
            let budget = Arc::clone(&self.budget);
            let freed = budget.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.is_covered() {
                return;
            }
            freed.await;
        }
    }

    /// Hands all of it over, and is a share of nothing again.
    pub(super) fn split(&mut self) -> Self {
        let empty = self.budget.share();
        std::mem::replace(self, empty)
    }

    fn give_back(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut account = self.budget.account();
        account.used = account.used.saturating_sub(bytes);
        self.held = self.held.saturating_sub(bytes);
        if self.overdraws && (account.used <= self.budget.limit || self.held == 0) {
            account.overdrawn = false;
            self.overdraws = false;
        }
        drop(account);
        self.budget.freed.notify_waiters();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_of(budget: &Arc<Budget>, bytes: usize) -> Share {
        let mut share = budget.share();
        share.want(bytes);
        share
    }

    #[test]
    fn one_share_at_a_time_goes_beyond_the_bound() {
        let budget = Budget::new(100);
        let mut first = share_of(&budget, 60);
        let mut second = share_of(&budget, 60);
        let mut third = share_of(&budget, 60);
        assert!(first.is_covered());
        assert!(second.is_covered(), "the one that may");
        assert!(!third.is_covered());
        second.want(90);
        assert!(second.is_covered());
        drop(second);
        assert!(third.is_covered());
        drop((first, third));
        assert_eq!(budget.free(), 100);
        assert!(share_of(&budget, 100).is_covered());
    }

    #[test]
    fn a_share_that_was_never_covered_gives_nothing_back() {
        let budget = Budget::new(10);
        let mut first = share_of(&budget, 20);
        assert!(first.is_covered());
        let mut second = share_of(&budget, 5);
        assert!(!second.is_covered());
        drop(second);
        assert_eq!(budget.free(), 0);
        first.want(5);
        assert_eq!(budget.free(), 5);
        let mut third = share_of(&budget, 50);
        assert!(third.is_covered(), "the first no longer goes beyond the bound");
    }

    #[test]
    fn what_was_split_off_is_held_until_it_is_dropped() {
        let budget = Budget::new(10);
        let mut share = share_of(&budget, 7);
        assert!(share.is_covered());
        let other = share.split();
        assert!(share.is_covered());
        drop(share);
        assert_eq!(budget.free(), 3);
        drop(other);
        assert_eq!(budget.free(), 10);
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_there_is_room() {
        let budget = Budget::new(10);
        let mut shares = [share_of(&budget, 10), share_of(&budget, 1)];
        assert!(shares.iter_mut().all(Share::is_covered));
        let mut late = share_of(&budget, 5);
        let waiting = tokio::spawn(async move {
            late.covered().await;
            late
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(shares);
        let late = waiting.await.unwrap();
        assert_eq!(budget.free(), 5);
        drop(late);
    }
}
