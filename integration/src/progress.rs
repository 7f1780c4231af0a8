//! Tells whoever waits what the lab is doing.

use std::fmt;
use std::sync::Arc;

/// Takes a line about each step that may take a while.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&str) + Send + Sync>);

impl Progress {
    /// Calls this with each line, from any thread.
    pub fn new(say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(say))
    }

    /// Lines on stderr; a test shows them when it fails.
    #[must_use]
    pub fn stderr() -> Self {
        Self::new(|line| eprintln!("lab: {line}"))
    }

    /// Says nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Passes a line on.
    pub fn say(&self, line: &str) {
        (self.0)(line);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
