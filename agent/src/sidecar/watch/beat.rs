//! The beat of one master: its two connections are pinged in turn, so that each interval asks the master once. Only as long as one of
//! them is silent or gone, both are pinged in every interval.
//!
//! A PING costs a master some 20 µs, and it has many minions. In turn, a master that falls silent as a whole is noticed as soon as if
//! both were pinged each time: one of its connections misses the next PING.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::sidecar::facts::Line;

/// Beats for both connections.
#[derive(Debug)]
pub(super) struct Beat {
    count: watch::Sender<u64>,
    well: [AtomicBool; 2],
}

/// What one connection hears of it.
#[derive(Debug)]
pub(super) struct Follower {
    beat: Arc<Beat>,
    line: Line,
    count: watch::Receiver<u64>,
    /// The beat at which it was pinged last.
    pinged: Option<u64>,
}

impl Beat {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            count: watch::Sender::new(0),
            well: Default::default(),
        })
    }

    /// Beats for ever.
    pub(super) async fn run(&self, heartbeat: Duration) {
        let mut ticks = interval(heartbeat);
        // After a pause of our own, a suspended machine say, no beats are made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.count.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// For a connection that has just been made. It is pinged at the next beat, not at once: a PING has a whole interval for its answer.
    pub(super) fn follow(self: &Arc<Self>, line: Line) -> Follower {
        Follower {
            beat: Arc::clone(self),
            line,
            count: self.count.subscribe(),
            pinged: None,
        }
    }

    fn is_well(&self) -> bool {
        self.well.iter().all(|well| well.load(Ordering::Relaxed))
    }
}

impl Follower {
    /// Waits for the next beat. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) {
        if self.count.changed().await.is_err() {
            // It beats as long as we hold it.
            std::future::pending::<()>().await;
        }
    }

    /// Tells how this connection is, which also the other one hears at its next beat.
    pub(super) fn is(&self, well: bool) {
        let [request, publish] = &self.beat.well;
        let of = match self.line {
            Line::Request => request,
            Line::Publish => publish,
        };
        of.store(well, Ordering::Relaxed);
    }

    /// Whether it is to be pinged at this beat.
    pub(super) fn takes_its_turn(&mut self) -> bool {
        let now = *self.count.borrow();
        let its = match self.line {
            Line::Request => now.is_multiple_of(2),
            Line::Publish => !now.is_multiple_of(2),
        };
        // A beat that was not heard may have been its turn.
        let late = self.pinged.is_none_or(|pinged| now.wrapping_sub(pinged) >= 2);
        let pings = its || late || !self.beat.is_well();
        if pings {
            self.pinged = Some(now);
        }
        pings
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.is(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(250);

    /// How often each of two connections is pinged in so many beats.
    async fn pings(followers: &mut [Follower; 2], beats: u32) -> [u32; 2] {
        let mut pings = [0; 2];
        for _ in 0..beats {
            for (follower, pings) in followers.iter_mut().zip(&mut pings) {
                follower.next().await;
                *pings += u32::from(follower.takes_its_turn());
            }
        }
        pings
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_are_well_take_turns_and_one_that_is_not_makes_both_be_asked() {
        let beat = Beat::new();
        let mut followers = [Line::Request, Line::Publish].map(|line| beat.follow(line));
        let all = async {
            // New ones are not known to be well.
            assert_eq!(pings(&mut followers, 4).await, [4, 4]);
            followers.iter().for_each(|follower| follower.is(true));
            let [request, publish] = pings(&mut followers, 20).await;
            assert_eq!(request + publish, 20);
            assert!(request.abs_diff(publish) <= 2, "{request} {publish}");
            followers[1].is(false);
            assert_eq!(pings(&mut followers, 5).await, [5, 5]);
            followers[1].is(true);
            let [request, publish] = pings(&mut followers, 20).await;
            assert_eq!(request + publish, 20);
        };
        tokio::select! {
            () = beat.run(BEAT) => {}
            () = all => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_gone_makes_the_other_one_be_asked_at_each_beat() {
        let beat = Beat::new();
        let mut request = beat.follow(Line::Request);
        let publish = beat.follow(Line::Publish);
        request.is(true);
        publish.is(true);
        drop(publish);
        let all = async {
            for _ in 0..5 {
                request.next().await;
                assert!(request.takes_its_turn());
            }
        };
        tokio::select! {
            () = beat.run(BEAT) => {}
            () = all => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_connection_waits_for_longer_than_two_beats_that_it_heard() {
        let beat = Beat::new();
        let mut follower = beat.follow(Line::Request);
        let other = beat.follow(Line::Publish);
        follower.is(true);
        other.is(true);
        let all = async {
            follower.next().await;
            let mut rests = 0;
            for _ in 0..50 {
                // It hears every third beat only.
                tokio::time::sleep(3 * BEAT).await;
                follower.next().await;
                rests = if follower.takes_its_turn() { 0 } else { rests + 1 };
                assert!(rests <= 1);
            }
        };
        tokio::select! {
            () = beat.run(BEAT) => {}
            () = all => {}
        }
    }
}
