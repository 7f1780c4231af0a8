//! Waiting for a condition, with a bound and a reason.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(25);

/// Looks again and again until there is a value.
///
/// # Errors
/// The condition's own error at once; that `what` did not happen after `timeout`.
pub fn until<T>(
    what: &str,
    timeout: Duration,
    mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if start.elapsed() >= timeout {
            bail!("waited {:.1} s in vain: {what}", timeout.as_secs_f64());
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_never_holds_is_named() {
        let error = until::<()>("pigs fly", Duration::from_millis(30), || Ok(None)).unwrap_err();
        assert_eq!(error.to_string(), "waited 0.0 s in vain: pigs fly");
    }

    #[test]
    fn a_condition_that_fails_ends_the_wait_at_once() {
        let error = until::<()>("…", Duration::from_secs(3600), || bail!("it broke")).unwrap_err();
        assert_eq!(error.to_string(), "it broke");
    }
}
