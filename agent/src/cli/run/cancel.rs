//! Ctrl-C and SIGTERM: a pipeline that is cancelled.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::cli::args::OnCancel;

/// The signals that end a run.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What the user wants, asked once if there is one. Another signal is an answer, too: no.
pub(super) async fn is_to_be_killed(wish: Option<OnCancel>, signals: &mut Signals) -> bool {
    match wish {
        Some(wish) => wish == OnCancel::Kill,
        None if io::stdin().is_terminal() && io::stderr().is_terminal() => {
            let _ = write!(anstream::stderr(), "saltfo: kill it on the minion? [y/N] ");
            tokio::select! {
                answer = line() => matches!(answer.trim(), "y" | "Y" | "yes"),
                () = signals.next() => false,
            }
        }
        None => false,
    }
}

/// A line from stdin. Its thread is left behind if nobody types: it ends with the process.
async fn line() -> String {
    let (answer, answered) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        // No answer is a no.
        let _ = io::stdin().lock().read_line(&mut line);
        let _ = answer.send(line);
    });
    answered.await.unwrap_or_default()
}
