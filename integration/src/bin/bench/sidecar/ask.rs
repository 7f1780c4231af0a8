//! The part that runs on the sidecar's host: entered once, so that entering is not measured.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};

use crate::samples::Samples;

/// Where a sidecar listens by default.
pub(super) const SIDECAR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9745);
/// Between two looks at `/readyz`.
const LOOK: Duration = Duration::from_millis(10);
/// Between two questions for the active master, so that the sidecar does its own work, too.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than any answer that is asked for here.
const LONGEST: u64 = 1 << 16;

/// What to ask.
#[derive(Debug, Args)]
pub(crate) struct Ask {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// `/readyz` without end: a line whenever the answer is another one
    Readyz,
    /// `/active-master`, so many times; how long each answer took, as JSON
    ActiveMaster { runs: u32 },
}

impl Ask {
    /// # Errors
    /// An answer that is none.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match self.what {
            What::Readyz => readyz(),
            What::ActiveMaster { runs } => active_master(runs),
        }
    }
}

fn readyz() -> anyhow::Result<()> {
    let mut told = String::new();
    let mut out = io::stdout().lock();
    loop {
        let begun = Instant::now();
        let answer = match get("/readyz") {
            Ok((status, body)) => format!("{status} {}", body.trim_end()),
            // It is not there yet, or not any more.
            Err(error) => format!("0 {error}"),
        };
        if answer != told {
            writeln!(out, "{answer}").and_then(|()| out.flush())?;
            told = answer;
        }
        std::thread::sleep(LOOK.saturating_sub(begun.elapsed()));
    }
}

fn active_master(runs: u32) -> anyhow::Result<()> {
    let mut samples = Samples::default();
    for _ in 0..runs {
        let begun = Instant::now();
        let (status, body) = get("/active-master").context("the sidecar does not answer")?;
        samples.push(begun.elapsed());
        ensure!(status == 200, "/active-master says {status} {}", body.trim_end());
        std::thread::sleep(PAUSE);
    }
    println!("{}", serde_json::to_string(&samples)?);
    Ok(())
}

/// One request of HTTP/1.0 on a connection of its own, as a script makes it: the status and the body.
fn get(path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&SIDECAR, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // At once: written in pieces, it would go out in as many packets.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {SIDECAR}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    parts(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an answer of HTTP"))
}

fn parts(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer = "HTTP/1.0 503 Service Unavailable\r\ncontent-length: 5\r\n\r\nhung\n";
        assert_eq!(parts(answer), Some((503, "hung\n".to_owned())));
        assert_eq!(parts("HTTP/1.0 200 OK\r\ncontent-"), None);
        assert_eq!(parts("\r\n\r\n"), None);
    }
}
