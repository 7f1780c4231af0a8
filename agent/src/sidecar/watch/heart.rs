//! The heartbeat of one connection: a PING each interval, and the verdict when no answer comes.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::Intervals;
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
    ticks: Interval,
    /// A fresh TCP connection that is being tried.
    knock: Option<Knock>,
    /// What became of it.
    takes: Option<bool>,
}

impl Heart {
    /// For a connection to `peer` that has just shaken hands. The first beat is due now.
    pub(super) fn new(line: Line, peer: SocketAddr, intervals: &Intervals) -> Self {
        let mut ticks = interval(intervals.heartbeat);
        // After a pause of our own, a suspended machine say, no beats are made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            line,
            peer,
            heartbeat: intervals.heartbeat,
            misses: intervals.heartbeat_misses,
            pulse: Pulse::default(),
            ticks,
            knock: None,
            takes: None,
        }
    }

    /// Waits until the next PING is due. What has arrived by then must be heard before [`Self::beat`] judges.
    /// Dropping the future loses nothing.
    pub(super) async fn due(&mut self, teller: &mut Teller) {
        loop {
            let Some(knock) = &mut self.knock else {
                self.ticks.tick().await;
                return;
            };
            tokio::select! {
                _ = self.ticks.tick() => return,
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

    /// Ends an interval: the context of the next PING, or what the silence shows when there were too many.
    pub(super) fn beat(&mut self, received: u64, teller: &mut Teller) -> Result<[u8; 8], Verdict> {
        let missed = self.pulse.end_interval(received);
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
        Ok(self.pulse.ping(Instant::now()))
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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::sidecar::facts::MasterIndex;
    use crate::sidecar::settings::Settings;

    #[tokio::test(start_paused = true)]
    async fn each_interval_has_its_ping_while_answers_come() {
        let intervals = Intervals::from(&Settings::default());
        let (facts, _taken) = mpsc::channel(1024);
        let mut teller = Teller::new(facts, MasterIndex(0));
        for line in [Line::Request, Line::Publish] {
            let mut heart = Heart::new(line, "192.0.2.1:4506".parse().unwrap(), &intervals);
            let began = Instant::now();
            for beats in 0..20 {
                heart.due(&mut teller).await;
                assert_eq!(began.elapsed(), intervals.heartbeat * beats);
                let context = heart.beat(0, &mut teller).unwrap();
                heart.pong(&context, &mut teller);
            }
        }
    }
}
