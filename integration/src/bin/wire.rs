//! `wire CONFIG MASTER`: one connection to one master, held open, for tests and for looking on.
//!
//! Signs in as `saltfo` does, subscribes to the publications, prints `ready`, and then a line for each
//! publication. `ask` on stdin sends one encrypted request. What it takes to get there is told in each line,
//! so that a test can see whether a rotated key led to one new sign-in.

use std::io::BufRead as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent::config::{Config, MasterConfig, Permissions, Source};
use agent::master::{Connection, dial};
use anyhow::{Context as _, bail};
use proto::message::{Command, Value};
use proto::net::{Options, Subscriber};
use proto::publication::{Publication, PublicationError, Publications, Signatures};
use proto::zmtp::Limits;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Longest wait for any one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest wait for a publication.
const QUIET: Duration = Duration::from_secs(3600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(name), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        bail!("usage: wire SALTFO.YAML MASTER");
    };
    let config = Arc::new(Config::load(
        &Source::Saltfo(PathBuf::from(path)),
        Permissions::Checked,
    )?);
    let master = config.masters.iter().find(|master| master.name.as_str() == name);
    let master = master.with_context(|| format!("the configuration has no master {name}"))?;
    Wire::open(&config, master).await?.run().await
}

struct Wire {
    connection: Connection,
    subscriber: Subscriber,
    publications: Publications,
}

impl Wire {
    async fn open(config: &Arc<Config>, master: &MasterConfig) -> anyhow::Result<Self> {
        let dialled = dial(master, soon()).await?;
        let connection = Connection::sign_in(config, master, dialled, soon()).await?;
        let port = connection.publish_port().unwrap_or(master.publish_port);
        let address = master.address.as_str();
        let mut subscriber =
            Subscriber::connect(address, port, Limits::default(), &Options::default(), soon()).await?;
        subscriber.subscribe(b"", soon()).await?;
        // An answer shows that the subscription before it has been read.
        subscriber.ping(b"subscribed", soon()).await?;
        let publications = connection.publications(Signatures::Required);
        Ok(Self {
            connection,
            subscriber,
            publications,
        })
    }

    async fn run(mut self) -> anyhow::Result<()> {
        println!("ready");
        let mut lines = stdin_lines();
        loop {
            tokio::select! {
                line = lines.recv() => match line.as_deref() {
                    Some("ask") => self.ask().await,
                    Some(other) => println!("unknown command {other:?}"),
                    None => return Ok(()),
                },
                frames = self.subscriber.next(Instant::now() + QUIET) => self.hear(&frames?).await?,
            }
        }
    }

    async fn ask(&mut self) {
        match self.connection.ask(&Command::FileEnvs, soon()).await {
            Ok(_) => println!("answered after {} sign-ins", self.connection.sign_ins()),
            Err(failure) => println!("failed {failure}"),
        }
    }

    /// A publication that does not open may be the first one under a new key: sign in once, try it once more.
    async fn hear(&mut self, frames: &[Vec<u8>]) -> anyhow::Result<()> {
        match self.publications.open(frames) {
            Ok(publication) => print(&publication, "with the key at hand"),
            Err(PublicationError::Unopened) => {
                self.connection.sign_in_again(soon()).await?;
                self.publications = self.connection.publications(Signatures::Required);
                match self.publications.open(frames) {
                    Ok(publication) => print(&publication, "after a new sign-in"),
                    Err(error) => println!("dropped {error}"),
                }
            }
            Err(error) => println!("dropped {error}"),
        }
        Ok(())
    }
}

fn print(publication: &Publication, how: &str) {
    let function = publication
        .load
        .get("fun")
        .and_then(Value::as_text)
        .unwrap_or("?");
    println!("heard {} {function} {how}", publication.jid);
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// The lines of stdin, from a thread: standard input cannot be waited for otherwise.
fn stdin_lines() -> mpsc::UnboundedReceiver<Arc<str>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line.trim().into()).is_err() {
                break;
            }
        }
    });
    receiver
}
