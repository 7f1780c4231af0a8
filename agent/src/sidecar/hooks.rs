//! The operator's own program, run at every change with the facts in its environment.
//!
//! One at a time, in the order of the changes, beside everything else. When changes come faster than it works the oldest that wait
//! are dropped: what is now matters more than what was.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};

use super::child;
use super::event::Change;

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How many changes may wait.
const WAITING: usize = 64;

/// Runs the program for each change that it is told of. Dropped, it ends at once, with what runs.
#[derive(Debug)]
pub struct Hooks {
    queue: Arc<Queue>,
    worker: AbortHandle,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<VecDeque<Change>>,
    more: Notify,
}

impl Hooks {
    /// Ready to run this program. Must be called within a tokio runtime.
    #[must_use]
    pub fn new(program: String, arguments: Vec<String>) -> Self {
        Self::with_limit(program, arguments, LIMIT)
    }

    fn with_limit(program: String, arguments: Vec<String>, limit: Duration) -> Self {
        let queue = Arc::<Queue>::default();
        let worker: JoinHandle<Infallible> =
            tokio::spawn(work(Arc::clone(&queue), program, arguments, limit));
        Self {
            queue,
            worker: worker.abort_handle(),
        }
    }

    /// Has the program run for this change, after those that wait already.
    pub fn tell(&self, change: Change) {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING
            && let Some(dropped) = waiting.pop_front()
        {
            tracing::warn!(?dropped, "hooks cannot keep up: not run for this change");
        }
        waiting.push_back(change);
        drop(waiting);
        self.queue.more.notify_one();
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

impl Queue {
    async fn next(&self) -> Change {
        loop {
            let next = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            match next {
                Some(change) => return change,
                None => self.more.notified().await,
            }
        }
    }
}

async fn work(queue: Arc<Queue>, program: String, arguments: Vec<String>, limit: Duration) -> Infallible {
    loop {
        let change = queue.next().await;
        let event = change.kind.name();
        match child::run(&program, &arguments, change.environment(), limit).await {
            Ok(done) if done.output.is_empty() => tracing::debug!(program, event, "hook ran"),
            Ok(done) => tracing::info!(program, event, output = done.output, "hook ran"),
            Err(error) => tracing::warn!(event, "hook: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proto::message::MinionId;

    use super::super::event::Kind;
    use super::*;

    fn change(number: usize) -> Change {
        Change {
            kind: Kind::Master,
            minion: MinionId::parse("minion01").unwrap(),
            master: Some("salt1".to_owned()),
            from: None,
            to: Some(number.to_string()),
            why: "a test".to_owned(),
            active_master: None,
        }
    }

    fn hooks(script: &str, limit: Duration) -> Hooks {
        Hooks::with_limit("sh".to_owned(), vec!["-c".to_owned(), script.to_owned()], limit)
    }

    async fn lines(file: &Path, count: usize) -> Vec<String> {
        let enough = async {
            loop {
                let text = std::fs::read_to_string(file).unwrap_or_default();
                if text.lines().count() >= count {
                    return text.lines().map(str::to_owned).collect();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, enough).await.unwrap()
    }

    #[tokio::test]
    async fn hooks_run_one_at_a_time_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ran");
        let script = format!(
            "echo begin $SALTFO_EVENT $SALTFO_TO >> {0}; sleep 0.05; echo end $SALTFO_TO >> {0}",
            file.display()
        );
        let hooks = hooks(&script, LIMIT);
        (0..3).for_each(|number| hooks.tell(change(number)));
        assert_eq!(
            lines(&file, 6).await,
            [
                "begin master 0",
                "end 0",
                "begin master 1",
                "end 1",
                "begin master 2",
                "end 2"
            ]
        );
    }

    #[tokio::test]
    async fn one_that_hangs_or_fails_does_not_stop_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ran");
        let script = format!(
            "echo $SALTFO_TO >> {}; case $SALTFO_TO in 0) sleep 1000;; 1) exit 1;; esac",
            file.display()
        );
        let hooks = hooks(&script, Duration::from_millis(200));
        (0..3).for_each(|number| hooks.tell(change(number)));
        assert_eq!(lines(&file, 3).await, ["0", "1", "2"]);
    }

    #[tokio::test]
    async fn the_oldest_changes_are_dropped_when_too_many_wait() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ran");
        let hooks = hooks(&format!("echo $SALTFO_TO >> {}", file.display()), LIMIT);
        // Nothing runs before the first await.
        (0..WAITING + 10).for_each(|number| hooks.tell(change(number)));
        let expected: Vec<String> = (10..WAITING + 10).map(|number| number.to_string()).collect();
        assert_eq!(lines(&file, WAITING).await, expected);
    }
}
