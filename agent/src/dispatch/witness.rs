//! An eye on a master's publications while a job is published there.
//!
//! The reply to a `minion_pub` is what names the jid, and it can be lost on its way. The publication itself names
//! it, too, and comes over another connection a moment earlier.

use std::time::Duration;

use proto::message::{Jid, Mark};
use proto::net::{NetError, Options, Subscriber};
use proto::publication::Publications;
use proto::zmtp::Limits;
use tokio::time::{Instant, timeout_at};

use crate::config::MasterConfig;

/// A subscription takes three round trips; whoever needs longer is gone without.
const PATIENCE: Duration = Duration::from_millis(500);
/// The longest publication that is taken. They carry arguments, not returns.
const LONGEST: usize = 8 << 20;

/// A subscription to everything that a master publishes.
pub(super) struct Witness {
    subscriber: Subscriber,
}

impl Witness {
    /// Subscribes, and waits until the master's host has read that. None if it does not work soon: the reply is
    /// what counts.
    pub(super) async fn call(master: &MasterConfig, deadline: Instant) -> Option<Self> {
        let deadline = deadline.min(Instant::now() + PATIENCE);
        match subscribe(master, deadline).await {
            Ok(subscriber) => Some(Self { subscriber }),
            Err(error) => {
                tracing::debug!(%error, "publishing without an eye on the publications");
                None
            }
        }
    }

    /// The jid of the publication that has this mark; none if the connection breaks or time is up. Dropping the
    /// future loses nothing.
    pub(super) async fn sees(
        &mut self,
        publications: &mut Publications,
        mark: &Mark,
        deadline: Instant,
    ) -> Option<Jid> {
        loop {
            let frames = match timeout_at(deadline, self.subscriber.next(deadline)).await {
                Ok(Ok(frames)) => frames,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "no publication was seen");
                    return None;
                }
                Err(_) => return None,
            };
            match publications.open(&frames) {
                Ok(publication) if publication.load.get("tgt").is_some_and(|tgt| mark.is_in(tgt)) => {
                    return Some(publication.jid);
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "a publication that is not ours to read"),
            }
        }
    }
}

async fn subscribe(master: &MasterConfig, deadline: Instant) -> Result<Subscriber, NetError> {
    let mut subscriber = Subscriber::connect(
        master.address.as_str(),
        master.publish_port,
        Limits::unverified(),
        &Options::default(),
        deadline,
    )
    .await?;
    subscriber.subscribe(b"", deadline).await?;
    subscriber.ping(b"saltfo", deadline).await?;
    // Each publication is verified before it is believed, but it must fit to be read.
    subscriber.set_message_limit(LONGEST);
    Ok(subscriber)
}
