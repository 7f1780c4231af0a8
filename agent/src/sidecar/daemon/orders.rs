//! The operator's orders as the daemon has them: taken, given to policy, and answered once it is known what became of them.

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::sidecar::control::{self, Asked, Done, Order, Outcome};
use crate::sidecar::policy::{MoveError, Moved, Policy};

/// Orders that wait to be looked at.
const WAITING: usize = 4;

/// Who waits for what.
pub(super) struct Orders {
    asked: mpsc::Receiver<Asked>,
    server: JoinHandle<()>,
    moving: Vec<Moving>,
}

struct Moving {
    /// It is the move that is wanted, not only that one is not moved.
    is_move: bool,
    since: Instant,
    answer: oneshot::Sender<Done>,
}

impl Orders {
    /// Listens for the orders to the sidecar whose report is at this port.
    pub(super) fn listen(port: u16) -> Self {
        let (orders, asked) = mpsc::channel(WAITING);
        Self {
            asked,
            server: tokio::spawn(control::serve(port, orders)),
            moving: Vec::new(),
        }
    }

    pub(super) async fn next(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }

    /// Gives an order to policy, which is to be ticked then. It is answered by [`Self::settle`].
    pub(super) fn take(&mut self, asked: Asked, policy: &mut Policy, now: Instant) {
        tracing::info!(order = ?asked.order, "the operator gave an order");
        let taken = match &asked.order {
            Order::Move(to) => policy.move_to(to.as_deref(), now),
            Order::Drain(master) => policy.drain(master, true),
            Order::Undrain(master) => policy.drain(master, false),
        };
        match taken {
            Ok(()) => self.moving.push(Moving {
                is_move: matches!(asked.order, Order::Move(_)),
                since: now,
                answer: asked.answer,
            }),
            Err(error) => answer(asked.answer, of_error(&error)),
        }
    }

    /// Answers those orders of which it is known what became of them.
    pub(super) fn settle(&mut self, policy: &Policy) {
        for moving in std::mem::take(&mut self.moving) {
            match policy.moved_since(moving.since) {
                Moved::Pending => self.moving.push(moving),
                Moved::Ended(mut done) => {
                    if moving.is_move && done.result == Outcome::Noted {
                        done.result = Outcome::Unable;
                    }
                    answer(moving.answer, *done);
                }
            }
        }
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn of_error(error: &MoveError) -> Done {
    Done {
        result: match error {
            MoveError::NoRelay | MoveError::Unknown(_) => Outcome::Refused,
            MoveError::There(_) => Outcome::Noted,
            MoveError::NotUp(_) | MoveError::NoOther => Outcome::Unable,
        },
        from: None,
        to: None,
        after_ms: None,
        why: error.to_string(),
    }
}

fn answer(to: oneshot::Sender<Done>, done: Done) {
    // Who gave the order may have gone.
    let _ = to.send(done);
}
