//! Restarting the local minion: a command of the operator's, by default systemd's.

use std::time::Duration;

use super::child;

/// systemd gives a service 90 s to stop before it kills it.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the command to its end.
///
/// # Errors
/// Why it failed, in words: what it printed, or that it took longer than two minutes and was killed.
pub async fn restart(program: &str, arguments: &[String]) -> Result<(), String> {
    match child::run(program, arguments, [].into_iter(), LIMIT).await {
        Ok(done) if done.output.is_empty() => Ok(()),
        Ok(done) => {
            tracing::info!(program, output = done.output, "restart command");
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn success_and_failure_are_told() {
        assert_eq!(restart("true", &[]).await, Ok(()));
        let words = ["-c", "echo no such unit >&2; exit 5"].map(str::to_owned);
        assert_eq!(
            restart("sh", &words).await,
            Err("sh failed (exit status: 5): no such unit".to_owned())
        );
    }
}
