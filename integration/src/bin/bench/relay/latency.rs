//! What a relay adds to a request: a clear `ping`, through the relay and straight to the master, in turns.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use integration::Lab;
use proto::message::{Value, clear_request};
use proto::net::{Options, Requester};
use proto::zmtp::Limits;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::settled;
use crate::plan::Plan;
use crate::report::Row;
use crate::samples::Samples;
use crate::stage::MINION;

const REQUESTS: u32 = 1000;
/// Requests that come first and do not count.
const WARM_UP: u32 = 50;
/// Longer than any request that is worth a number.
const PATIENCE: Duration = Duration::from_secs(10);
const PORT: u16 = 4506;
/// Most that may be added at the median, in milliseconds.
const ADDED: f64 = 0.5;

/// Where to ask besides the relay, and how often. The result is printed as JSON.
#[derive(Debug, Args)]
pub(crate) struct Latency {
    /// The elected master
    master: Ipv4Addr,
    requests: u32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Pairs {
    relay: Samples,
    direct: Samples,
}

/// # Errors
/// The relay did not come up, or a request was not answered.
pub(super) fn rows(lab: &Lab, plan: &Plan<'_>) -> anyhow::Result<Vec<Row>> {
    let Plan { saltfo, progress, .. } = *plan;
    progress.say("requests through the relay and straight to the master, in turns");
    let (relay, elected) = settled(lab, saltfo)?;
    let here = std::env::current_exe().context("cannot find the running program")?;
    let output = lab
        .command(MINION, here)
        .arg("latency")
        .arg(lab.host(elected)?.address.to_string())
        .arg(REQUESTS.to_string())
        .stdin(Stdio::null())
        .output()
        .context("cannot enter a host")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let pairs: Pairs =
        serde_json::from_slice(&output.stdout).context("the inner bench printed something else")?;
    relay.stop()?;
    Ok(vec![pairs.row()])
}

impl Pairs {
    fn row(&self) -> Row {
        let (relay, direct) = (self.relay.median(), self.direct.median());
        let added = relay - direct;
        Row::new(
            "added to a request (`ping`) by the relay",
            format!("{added:+.2} ms ({direct:.2} → {relay:.2})"),
            added,
        )
        .target("at most 0.5 ms", added <= ADDED)
        .with("relay", &self.relay)
        .with("direct", &self.direct)
    }
}

impl Latency {
    /// # Errors
    /// A request that was not answered.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start")?;
        let pairs = runtime.block_on(self.pairs())?;
        println!("{}", serde_json::to_string(&pairs)?);
        Ok(())
    }

    async fn pairs(&self) -> anyhow::Result<Pairs> {
        let mut relay = connect(Ipv4Addr::LOCALHOST).await?;
        let mut direct = connect(self.master).await?;
        let mut pairs = Pairs::default();
        for run in 0..self.requests.saturating_add(WARM_UP) {
            let through = ask(&mut relay).await.context("through the relay")?;
            let straight = ask(&mut direct).await.context("straight to the master")?;
            if run >= WARM_UP {
                pairs.relay.push(through);
                pairs.direct.push(straight);
            }
        }
        Ok(pairs)
    }
}

async fn connect(host: Ipv4Addr) -> anyhow::Result<Requester> {
    let address = SocketAddr::from((host, PORT));
    let (host, options) = (address.ip().to_string(), Options::default());
    Requester::connect(&host, PORT, Limits::default(), &options, soon())
        .await
        .with_context(|| format!("cannot connect to {address}"))
}

async fn ask(requester: &mut Requester) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let reply = requester.request(ping(), soon()).await?;
    let took = begun.elapsed();
    ensure!(!reply.is_empty(), "an empty answer");
    Ok(took)
}

/// A worker answers it without looking at anything, so whatever it takes is the way.
fn ping() -> Vec<u8> {
    clear_request(Value::map([("cmd", Value::text("ping"))]))
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}
