//! Every master on its own: reachable? genuine? is our key accepted? how fast?
//!
//! Nothing is published. Both ports are tried: on the request port a sign-in and one small encrypted
//! request, on the publish port a ZMTP PING.

use std::sync::Arc;
use std::time::Duration;

use proto::message::Command;
use proto::net::NetError;
use proto::zmtp::{Limits, SocketType};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{Config, MasterConfig};
use crate::master::{self, Connection};
use crate::state::{State, Verdict};

/// What is known of one master.
#[derive(Debug, Clone)]
pub struct Probed {
    /// [`State::Reachable`] if all is well on the request port.
    pub verdict: Verdict,
    /// From the start of the connect until the sign-in was verified.
    pub latency: Option<Duration>,
    /// One encrypted request over the open connection.
    pub request: Option<Duration>,
    /// The publish port: how long a PING took, or why there was no answer.
    pub publish: Result<Duration, String>,
}

/// Probes all masters at once. Takes no longer than `timeout`; the result is in the order of the configuration.
pub async fn probe(config: &Arc<Config>, timeout: Duration) -> Vec<Probed> {
    let deadline = Instant::now() + timeout;
    let mut tasks = JoinSet::new();
    for (index, master) in config.masters.iter().enumerate() {
        let (config, master) = (Arc::clone(config), master.clone());
        tasks.spawn(async move { (index, one(&config, &master, deadline).await) });
    }
    let mut probed = tasks.join_all().await;
    probed.sort_by_key(|(index, _)| *index);
    probed.into_iter().map(|(_, probed)| probed).collect()
}

async fn one(config: &Arc<Config>, master: &MasterConfig, deadline: Instant) -> Probed {
    let publish = publish_port(master, deadline);
    let requests = request_port(config, master, deadline);
    let (publish, (verdict, latency, request)) = tokio::join!(publish, requests);
    Probed {
        verdict,
        latency,
        request,
        publish: publish.map_err(|error| error.to_string()),
    }
}

async fn request_port(
    config: &Arc<Config>,
    master: &MasterConfig,
    deadline: Instant,
) -> (Verdict, Option<Duration>, Option<Duration>) {
    let start = Instant::now();
    let connection = async {
        let dialled = master::dial(master, deadline).await?;
        Connection::sign_in(config, master, dialled, deadline).await
    };
    let mut connection = match connection.await {
        Ok(connection) => connection,
        Err(failure) => return (failure.verdict(false), None, None),
    };
    let latency = Some(start.elapsed());
    let asked = Instant::now();
    match connection.ask(&Command::FileEnvs, deadline).await {
        Ok(_) => (Verdict::good(State::Reachable), latency, Some(asked.elapsed())),
        Err(failure) => (failure.verdict(true), latency, None),
    }
}

/// Whoever answers here is not verified: a PING shows that something listens, no more.
async fn publish_port(master: &MasterConfig, deadline: Instant) -> Result<Duration, NetError> {
    let options = proto::net::Options::default();
    let dialled = proto::net::dial(master.address.as_str(), master.publish_port, &options, deadline).await?;
    let mut channel = dialled
        .handshake(SocketType::Sub, Limits::unverified(), deadline)
        .await?;
    channel.ping(b"saltfo", deadline).await
}

#[cfg(test)]
mod tests {
    use proto::auth::Trust;
    use proto::crypto::PrivateKey;
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::config::Host;

    #[tokio::test]
    async fn an_unverified_publisher_may_not_send_long_messages() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let signer = PrivateKey::generate(2048, &mut rand::rng()).unwrap().public_key();
        let host = Host::parse("127.0.0.1").unwrap();
        let master = MasterConfig {
            name: host.clone(),
            address: host,
            publish_port: listener.local_addr().unwrap().port(),
            master_port: 1,
            trust: Trust::new(Some(signer), None, None).unwrap(),
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut opening = b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL".to_vec();
        opening.resize(64, 0);
        opening.extend_from_slice(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB");
        // The header of a message of 100 000 bytes, and no PONG ever.
        opening.push(2);
        opening.extend_from_slice(&100_000_u64.to_be_bytes());
        let shouting = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&opening).await.unwrap();
            // Kept open: what ends the probe is the length, not the end of the connection.
            stream
        };
        let (probed, _stream) = tokio::join!(publish_port(&master, deadline), shouting);
        assert!(matches!(probed, Err(NetError::Violation { .. })), "{probed:?}");
    }
}
