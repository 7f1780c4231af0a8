//! How long a minion had a job, as its own log tells.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use integration::{Lab, until};

/// How long a line may take to be in the file.
const WRITTEN: Duration = Duration::from_secs(10);
const DAY: u64 = 24 * 60 * 60 * 1000;

/// The time from the line with which a minion takes a job from a publication to the one with which it hands its return
/// to the master (`_handle_decoded_payload` and `_return_pub` in salt/minion.py, 3006 and 3008 alike).
///
/// So the minion's fork, the loading of modules and states, and the job are its own; the ways to the minion and back,
/// and what comes before and after, are not. Salt's `duration`s of states would leave out most of what a minion does.
///
/// # Errors
/// The log does not tell.
pub(super) fn own_time(lab: &Lab, minion: &str, jid: &str) -> anyhow::Result<Duration> {
    let path = lab.minion(minion)?.log_path();
    until("the minion's log tells of the job", WRITTEN, || {
        let log = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(between(&String::from_utf8_lossy(&log), jid))
    })
}

fn between(log: &str, jid: &str) -> Option<Duration> {
    let time = |words: &str| {
        let words = format!("{words} {jid}");
        milliseconds(log.lines().find(|line| line.contains(&words))?)
    };
    let (began, ended) = (time("with jid")?, time("Returning information for job:")?);
    // Past midnight it begins anew.
    Some(Duration::from_millis((ended + DAY - began) % DAY))
}

/// Since midnight, from `2026-11-21 09:05:03,250 […`: Salt's `log_fmt_logfile`.
fn milliseconds(line: &str) -> Option<u64> {
    let time = line.split(' ').nth(1)?;
    let (time, milliseconds) = time.split_once(',')?;
    let mut seconds = 0;
    for part in time.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok().filter(|part| *part < 60)?;
    }
    Some(seconds * 1000 + milliseconds.parse::<u64>().ok().filter(|part| *part < 1000)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2026-11-21 23:59:59,800 [salt.minion :1902][INFO ] [7] User pipeline.xyz Executing command test.ping with jid 20261121235959000001
2026-11-21 23:59:59,820 [salt.minion :2558][INFO ] [7] Starting a new job 20261121235959000001 with PID 9
2026-11-22 00:00:00,050 [salt.minion :2922][INFO ] [9] Returning information for job: 20261121235959000001
2026-11-22 00:00:00,060 [salt.minion :1902][INFO ] [7] User pipeline.xyz Executing command test.ping with jid 20261121235959000002
";

    #[test]
    fn a_job_takes_from_its_receipt_to_its_return() {
        let took = between(LOG, "20261121235959000001");
        assert_eq!(took, Some(Duration::from_millis(250)));
    }

    #[test]
    fn a_job_that_has_not_returned_has_no_time() {
        assert_eq!(between(LOG, "20261121235959000002"), None);
        assert_eq!(between(LOG, "20261121235959000003"), None);
    }
}
