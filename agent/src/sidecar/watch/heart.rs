//! The heartbeat of one connection: PINGs when it is its turn, and the verdict when no answer comes.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::beat::Follower;
use super::pulse::Pulse;
use super::teller::Teller;
use crate::sidecar::facts::{Evidence, Line};
use crate::state::{State, Verdict};

type Knock = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Beats while a connection stands.
pub(super) struct Heart {
    line: Line,
    peer: SocketAddr,
    heartbeat: Duration,
    misses: u32,
    pulse: Pulse,
    beat: Follower,
    /// A fresh TCP connection that is being tried.
    knock: Option<Knock>,
    /// What became of it.
    takes: Option<bool>,
}

impl Heart {
    /// For a connection to `peer` that has just shaken hands.
    pub(super) fn new(line: Line, peer: SocketAddr, shared: &Shared) -> Self {
        let intervals = &shared.intervals;
        Self {
            line,
            peer,
            heartbeat: intervals.heartbeat,
            misses: intervals.heartbeat_misses,
            pulse: Pulse::default(),
            beat: shared.beat.follow(line),
            knock: None,
            takes: None,
        }
    }

    /// Waits until the next interval ends. What has arrived by then must be heard before [`Self::beat`] judges.
    /// Dropping the future loses nothing.
    pub(super) async fn due(&mut self, teller: &mut Teller) {
        loop {
            let Some(knock) = &mut self.knock else {
                self.beat.next().await;
                return;
            };
            tokio::select! {
                () = self.beat.next() => return,
                taken = knock => {
                    self.knock = None;
                    self.told(taken, teller);
                }
            }
        }
    }

    /// How long a PING may take to leave.
    pub(super) fn patience(&self) -> Instant {
        Instant::now() + self.heartbeat / 2
    }

    /// Ends an interval: the context of the next PING, if it is this connection's turn; or what the silence shows when there were too
    /// many.
    pub(super) fn beat(&mut self, received: u64, teller: &mut Teller) -> Result<Option<[u8; 8]>, Verdict> {
        let missed = self.pulse.end_interval(received);
        self.beat.is(missed == 0 && self.pulse.was_heard());
        if missed == 0 {
            self.takes = None;
            self.knock = None;
        } else {
            teller.tell(Evidence::Missed { line: self.line });
        }
        if missed == 1 {
            self.knock = Some(Box::pin(knock(self.peer, self.until_lost())));
        }
        if missed >= self.misses {
            if self.knock.take().is_some() {
                self.told(false, teller);
            }
            return Err(self.verdict());
        }
        let pings = self.beat.takes_its_turn();
        Ok(pings.then(|| self.pulse.ping(Instant::now())))
    }

    /// Hears a PONG.
    pub(super) fn pong(&mut self, context: &[u8], teller: &mut Teller) {
        if let Some(after) = self.pulse.pong(context, Instant::now()) {
            teller.tell(Evidence::Pong {
                line: self.line,
                after,
            });
        }
    }

    fn told(&mut self, taken: bool, teller: &mut Teller) {
        self.takes = Some(taken);
        teller.tell(Evidence::Accepts {
            line: self.line,
            taken,
        });
    }

    /// From the first miss until the last.
    fn until_lost(&self) -> Duration {
        self.heartbeat
            .saturating_mul(self.misses.saturating_sub(1).max(1))
    }

    fn verdict(&self) -> Verdict {
        let silence = self.heartbeat.saturating_mul(self.misses).as_millis();
        let peer = self.peer;
        if self.takes == Some(true) {
            Verdict::because(
                State::Hung,
                false,
                format!(
                    "{peer} has answered no heartbeat for {silence} ms, though its system takes connections"
                ),
            )
        } else {
            Verdict::because(
                State::Unreachable,
                false,
                format!("{peer} has answered no heartbeat for {silence} ms and takes no connection"),
            )
        }
    }
}

async fn knock(peer: SocketAddr, patience: Duration) -> bool {
    proto::net::knock(peer, Instant::now() + patience).await.is_ok()
}
