//! The warm round trip: one `test.ping` over a connection that has signed in, the least that a lookup can take.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent::config::{Config, Permissions, Source};
use agent::locate::Pauses;
use anyhow::{Context as _, bail, ensure};
use proto::auth::SignIn;
use proto::message::{Command, Jid, MinionId, Published, Returned, Value};
use proto::net::{Options, Requester};
use proto::session::Session;
use proto::zmtp::Limits;
use tokio::time::{Instant, sleep};

use crate::lookup::Question;

/// Longer than any round trip that is worth a number.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection to the master that has the minion, signed in.
pub(crate) struct Warm {
    requester: Requester,
    session: Session,
    minion: MinionId,
}

impl Warm {
    /// Connects and signs in, with the identity and the masters of `saltfo`.
    ///
    /// # Errors
    /// The configuration, the network, or a master that is not genuine.
    pub(crate) async fn open(question: &Question) -> anyhow::Result<Self> {
        let source = Source::Saltfo(PathBuf::from(&question.config));
        let config = Config::load(&source, Permissions::Checked)?;
        let master = config
            .masters
            .iter()
            .find(|master| master.name.as_str() == question.master)
            .context("the configuration has no such master")?;
        let deadline = Instant::now() + PATIENCE;
        let mut requester = Requester::connect(
            master.address.as_str(),
            master.master_port,
            Limits::default(),
            &Options::default(),
            deadline,
        )
        .await?;
        let (sign_in, request) = SignIn::new(
            &config.identity,
            &master.trust,
            config.algorithms,
            &mut rand::rng(),
        );
        let reply = requester.request(request, deadline).await?;
        Ok(Self {
            session: sign_in.finish(&reply, &mut rand::rng())?,
            requester,
            minion: MinionId::parse(&question.minion)?,
        })
    }

    /// From the publish request until the return was read.
    ///
    /// # Errors
    /// The network, a master that does not publish, or a minion that does not return.
    pub(crate) async fn round_trip(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let deadline = start + PATIENCE;
        let jid = self.publish(deadline).await?;
        // Those of saltfo: with others the two would not be comparable.
        let mut pauses = Pauses::new();
        loop {
            sleep(pauses.next()).await;
            let reply = self.request(&Command::PubRet { jid: &jid }, deadline).await?;
            if let Some(value) = Returned::from_value(reply).of(&self.minion) {
                let took = start.elapsed();
                ensure!(*value == Value::Bool(true), "test.ping returned {value:?}");
                return Ok(took);
            }
            ensure!(
                Instant::now() < deadline,
                "{} did not return",
                self.minion.as_str()
            );
        }
    }

    async fn publish(&mut self, deadline: Instant) -> anyhow::Result<Jid> {
        let minion = self.minion.clone();
        let command = Command::MinionPub {
            function: "test.ping",
            arguments: &[],
            minions: std::slice::from_ref(&minion),
            mark: None,
            announces: None,
        };
        match Published::from_value(&self.request(&command, deadline).await?) {
            Published::Job(job) => Ok(job.jid),
            other => bail!("the master does not publish: {other:?}"),
        }
    }

    async fn request(&mut self, command: &Command<'_>, deadline: Instant) -> anyhow::Result<Value> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let now = i64::try_from(now.as_secs())?;
        let (awaited, request) = self.session.request(command, now, &mut rand::rng())?;
        let reply = self.requester.request(request, deadline).await?;
        Ok(self.session.open(&awaited, &reply)?)
    }
}
