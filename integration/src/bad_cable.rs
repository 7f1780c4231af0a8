//! A cable that delays and loses frames, carried by a program of ours: not every kernel has netem.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::lab::Lab;

const SCRIPT: &str = include_str!("bad_cable.py");
/// The ends of the piece of cable between the switch and the program.
const NEAR: &str = "bad-near";
const FAR: &str = "bad-far";

/// A host's cable is bad as long as this lives. One at a time in a lab.
#[derive(Debug)]
pub struct BadCable<'a> {
    lab: &'a Lab,
    host: String,
    carrier: Child,
}

impl Lab {
    /// Makes a host's cable bad: each frame, in either direction, is late by `delay`, and a share `loss` of them is lost.
    ///
    /// # Errors
    /// There is no such host, or its cable is bad already.
    pub fn spoil_cable(&self, host: &str, delay: Duration, loss: f64) -> anyhow::Result<BadCable<'_>> {
        let host = self.host(host)?.name.clone();
        let at_switch = |arguments: &[&str]| self.state.namespaces.run(None, arguments).map(drop);
        let python = self.salt(&host).python();
        let plain = |at: Option<&str>, nic: &str| {
            let mut command = self.state.namespaces.enter(at);
            let output = command
                .arg(&python)
                .args(["-c", SCRIPT, "plain", nic])
                .output()
                .context("cannot run nsenter")?;
            ensure!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            anyhow::Ok(())
        };
        at_switch(&["ip", "link", "add", NEAR, "type", "veth", "peer", "name", FAR])?;
        plain(Some(&host), "eth0")?;
        plain(None, FAR)?;
        for nic in [NEAR, FAR] {
            at_switch(&["ip", "link", "set", nic, "up"])?;
        }
        let mut command = self.state.namespaces.enter(None);
        let mut carrier = command
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(&python)
            .args(["-c", SCRIPT, "carry", &host, NEAR])
            .args([delay.as_secs_f64().to_string(), loss.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run nsenter")?;
        let output = carrier.stdout.take().context("no pipe")?;
        let cable = BadCable {
            lab: self,
            host,
            carrier,
        };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line == "ready\n", "the bad cable does not carry frames");
        at_switch(&["ip", "link", "set", &cable.host, "nomaster"])?;
        at_switch(&["ip", "link", "set", FAR, "master", "switch"])?;
        Ok(cable)
    }
}

impl Drop for BadCable<'_> {
    /// A good cable again.
    fn drop(&mut self) {
        drop(self.carrier.stdin.take());
        let _ = self.carrier.wait();
        let run = |arguments: &[&str]| self.lab.state.namespaces.run(None, arguments);
        let mended = run(&["ip", "link", "del", NEAR])
            .and_then(|_| run(&["ip", "link", "set", &self.host, "master", "switch"]));
        if let Err(error) = mended {
            // Whoever goes on without it will notice.
            eprintln!("the cable of {} stays bad: {error:#}", self.host);
        }
    }
}
