//! One master is asked a moment before the others: a minion is mostly where it was, and asking all costs each of them a sign-in and
//! a publish.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{Event, Stage};

/// A master that is alive has signed us in by then, unless it is far away.
const TO_SIGN_IN: Duration = Duration::from_millis(100);
/// Who waits for longer than this to sign in has a crowd of this host before it,
const A_CROWD: Duration = Duration::from_millis(20);
/// and a live master may take longer then.
const TO_SIGN_IN_IN_A_CROWD: Duration = Duration::from_secs(1);
/// A minion that is there has mostly answered by then.
const TO_ANSWER: Duration = Duration::from_millis(200);
/// How long it is waited for while other processes of this host are served there: asking the others, too, would make
/// a crowd twice as large.
const IN_THE_QUEUE: Duration = Duration::from_secs(10);

/// How far the master has come that was asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// For other processes of this host, to sign in.
    Waiting,
    SigningIn,
    InTheQueue,
    Asked,
    Over,
}

/// The start of one master before the others.
#[derive(Debug)]
pub(super) struct HeadStart {
    progress: watch::Sender<Progress>,
}

impl HeadStart {
    /// Begins now.
    pub(super) fn new() -> Self {
        Self {
            progress: watch::Sender::new(Progress::SigningIn),
        }
    }

    /// What the master reports that has it.
    pub(super) fn note(&self, event: &Event) {
        let progress = match event {
            Event::HeldUp(true) => Progress::Waiting,
            Event::HeldUp(false) => Progress::SigningIn,
            Event::SignedIn(_) | Event::Stage(Stage::AwaitingTurn) => Progress::InTheQueue,
            Event::Stage(Stage::Publishing) => Progress::Asked,
            // The handler of the master has failed, a minion is not known there, or it lets others go first itself.
            Event::Stage(Stage::AwaitingRetry | Stage::Yielding) | Event::Unknown(_) => Progress::Over,
            Event::Ended(verdict) if verdict.error.is_some() => Progress::Over,
            // One that ends well has all answers: that is the end of the lookup.
            Event::Stage(_) | Event::Open(_) | Event::Answered { .. } | Event::Ended(_) => return,
        };
        self.progress.send_if_modified(|now| {
            // Looks for the return are requests, too. And it does not begin anew: the others are under way.
            let is_request = matches!(progress, Progress::Waiting | Progress::SigningIn);
            let asks = *now == Progress::Asked && is_request;
            let news = *now != progress && *now != Progress::Over && !asks;
            if news {
                *now = progress;
            }
            news
        });
    }

    /// Waits until the others may begin: the master has failed, or is slower than a live one with the minion on it would be.
    pub(super) async fn is_over(&self) {
        let begun = Instant::now();
        let longest = begun + IN_THE_QUEUE;
        let mut progress = self.progress.subscribe();
        loop {
            let patience = match *progress.borrow_and_update() {
                Progress::SigningIn if begun.elapsed() > A_CROWD => TO_SIGN_IN_IN_A_CROWD,
                Progress::SigningIn => TO_SIGN_IN,
                Progress::Waiting | Progress::InTheQueue => IN_THE_QUEUE,
                Progress::Asked => TO_ANSWER,
                Progress::Over => return,
            };
            let until = longest.min(Instant::now() + patience);
            if timeout_at(until, progress.changed()).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{State, Verdict};

    /// How long the others wait if the master reports so, each after so many milliseconds.
    async fn wait(reports: Vec<(u64, Event)>) -> u128 {
        let head_start = HeadStart::new();
        let begun = Instant::now();
        let reporting = async {
            for (after, event) in reports {
                tokio::time::sleep(Duration::from_millis(after)).await;
                head_start.note(&event);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = head_start.is_over() => begun.elapsed().as_millis(),
            () = reporting => unreachable!(),
        }
    }

    fn ended() -> Event {
        Event::Ended(Verdict::because(State::Unreachable, false, "refused"))
    }

    #[tokio::test(start_paused = true)]
    async fn the_others_begin_at_once_when_it_fails() {
        assert_eq!(wait(vec![(3, ended())]).await, 3);
        let signed_in = Event::SignedIn(Duration::ZERO);
        assert_eq!(wait(vec![(10, signed_in), (7, ended())]).await, 17);
    }

    #[tokio::test(start_paused = true)]
    async fn a_master_that_hangs_costs_no_more_than_a_sign_in() {
        let within = 100..=102;
        assert!(within.contains(&wait(vec![]).await));
        let connected = Event::Stage(Stage::SigningIn);
        assert!(within.contains(&wait(vec![(5, connected)]).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_minion_that_is_elsewhere_costs_no_more_than_an_answer() {
        let asked = vec![
            (10, Event::SignedIn(Duration::ZERO)),
            (1, Event::Stage(Stage::AwaitingTurn)),
            (1, Event::Stage(Stage::Publishing)),
            (20, Event::Stage(Stage::AwaitingReturn)),
        ];
        let took = wait(asked).await;
        assert!((212..=214).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_of_this_host_is_waited_for_but_not_for_ever() {
        let queue = |held_up| vec![(1, Event::HeldUp(true)), (held_up, Event::HeldUp(false))];
        let took = wait(queue(5_000)).await;
        assert!((6_001..=6_003).contains(&took), "{took}");
        let took = wait(queue(5)).await;
        assert!((106..=108).contains(&took), "{took}");
        let took = wait(queue(60_000)).await;
        assert!((10_000..=10_002).contains(&took), "{took}");
    }
}
