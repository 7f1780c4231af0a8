//! From a master's name to a connection that has shaken hands, however slow its name server is.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proto::net::{Channel, NetError, Options, Resolved, resolve};
use proto::zmtp::{Limits, SocketType};
use tokio::time::{Instant, timeout};

use crate::config::MasterConfig;
use crate::sidecar::facts::Line;
use crate::state::{State, Verdict};

/// How long one try may take from the first packet to the end of the handshake. On a bad line packets get lost; the
/// system sends the first one again after a second.
const TRY: Duration = Duration::from_secs(3);
/// How long a name server is waited for before that is told, again and again. The lookup goes on: a second one would
/// only be one more thread of the resolver's.
const LOOKUP: Duration = Duration::from_secs(3);
/// Longer than any resolver takes to give up.
const NEVER: Duration = Duration::from_secs(3600);

impl Line {
    /// The port of this line.
    pub(super) fn port(self, master: &MasterConfig) -> u16 {
        match self {
            Self::Request => master.master_port,
            Self::Publish => master.publish_port,
        }
    }

    /// Our end of it.
    fn socket_type(self) -> SocketType {
        match self {
            Self::Request => SocketType::Req,
            Self::Publish => SocketType::Sub,
        }
    }
}

/// What a broken or missing connection shows.
pub(super) fn verdict(error: &NetError) -> Verdict {
    Verdict::because(State::from(error), false, error.to_string())
}

/// Looks the master up; `waiting` is told each time that the name server has been silent for long.
pub(super) async fn look_up(
    master: &MasterConfig,
    line: Line,
    mut waiting: impl FnMut(Verdict),
) -> Result<Resolved, NetError> {
    let host = master.address.as_str();
    let lookup = resolve(host, line.port(master), Instant::now() + NEVER);
    tokio::pin!(lookup);
    loop {
        match timeout(LOOKUP, &mut lookup).await {
            Ok(found) => return found,
            Err(_) => waiting(Verdict::because(
                State::Unreachable,
                false,
                format!("cannot resolve {host}: its name server does not answer"),
            )),
        }
    }
}

/// Whether an address says all: one of a single link is nothing without its zone, which the configuration has.
pub(super) fn is_plain(address: &SocketAddr) -> bool {
    !matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0)
}

/// Looks up an address, which asks nobody.
pub(super) async fn at(address: IpAddr, master: &MasterConfig, line: Line) -> Result<Resolved, NetError> {
    resolve(&address.to_string(), line.port(master), Instant::now() + NEVER).await
}

/// One try to connect and shake hands.
pub(super) async fn connect(found: &Resolved, line: Line) -> Result<(Channel, SocketAddr), NetError> {
    let deadline = Instant::now() + TRY;
    let channel = found
        .dial(&Options::default(), deadline)
        .await?
        .handshake(line.socket_type(), Limits::unverified(), deadline)
        .await?;
    let peer = channel.peer_addr()?;
    Ok((channel, peer))
}
