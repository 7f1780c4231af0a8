//! One master: connect, sign in, ask. What goes wrong becomes a [`Verdict`] with the blame in it.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::auth::{SignIn, SignInError};
use proto::message::{Command, MinionId, Value};
use proto::net::{Dialled, NetError, Options, Requester};
use proto::session::{CannotEncrypt, ReplyError, Session};
use proto::zmtp::{Limits, SocketType};
use tokio::time::Instant;

use crate::config::{Config, MasterConfig};
use crate::state::{State, Verdict};

/// The longest message that a peer may send before it has proved who it is. Sign-in replies have 2 kB.
const UNVERIFIED_MESSAGE: usize = 64 * 1024;
/// Steps in which a clock that is behind is looked for: a minute to ten years, in seconds.
const CLOCK_STEPS: [i64; 6] = [60, 600, 3600, 86_400, 30 * 86_400, 3650 * 86_400];

/// A verified master with an open request connection.
pub struct Connection<'a> {
    config: &'a Config,
    master: &'a MasterConfig,
    requester: Requester,
    session: Session,
    peer: SocketAddr,
}

/// Why a master gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The network, or a peer that does not speak ZMTP.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The sign-in.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The reply to an encrypted request, after a new sign-in did not help.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// Our clock is behind the master's by more than its `request_server_ttl` allows.
    #[error(
        "the master refuses our requests as too old: our clock is behind by more than its request_server_ttl \
         (a request dated {}ahead was taken); set the clock, for instance with NTP", .ahead.map(span).unwrap_or_default()
    )]
    Clock {
        /// By how much a request had to be dated ahead, in seconds.
        ahead: Option<i64>,
    },
    /// The system gave no randomness.
    #[error(transparent)]
    Encrypt(#[from] CannotEncrypt),
}

impl Failure {
    /// The state that this shows. `signed_in` tells whether the master had proved itself before.
    #[must_use]
    pub fn verdict(&self, signed_in: bool) -> Verdict {
        let (state, verified) = match self {
            Self::Net(error) => (State::from(error), signed_in),
            Self::SignIn(error) => (
                State::from(error),
                matches!(
                    error,
                    SignInError::NotAccepted { verified: true, .. } | SignInError::TooOld
                ),
            ),
            Self::Reply(error) => (State::from(error), signed_in),
            Self::Clock { .. } => (State::Refused, true),
            Self::Encrypt(_) => (State::Refused, signed_in),
        };
        let verified = verified && state != State::Impostor;
        Verdict::because(state, verified, self.to_string())
    }
}

/// Opens a TCP connection to the master's request port. Its name is resolved now.
///
/// # Errors
/// [`Failure::Net`].
pub async fn dial(address: &str, port: u16, deadline: Instant) -> Result<Dialled, Failure> {
    Ok(proto::net::dial(address, port, &Options::default(), deadline).await?)
}

impl<'a> Connection<'a> {
    /// Signs in over a connection that has just been dialled.
    ///
    /// # Errors
    /// [`Failure`]; nothing is kept of a master that is not verified.
    pub async fn sign_in(
        config: &'a Config,
        master: &'a MasterConfig,
        dialled: Dialled,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let limits = Limits {
            message: UNVERIFIED_MESSAGE,
            ..Limits::default()
        };
        let channel = dialled.handshake(SocketType::Req, limits, deadline).await?;
        let peer = channel.peer_addr()?;
        let mut requester = Requester::new(channel);
        let session = authenticate(config, master, &mut requester, deadline).await?;
        requester.set_message_limit(Limits::default().message);
        Ok(Self {
            config,
            master,
            requester,
            session,
            peer,
        })
    }

    /// Who we are.
    #[must_use]
    pub fn id(&self) -> &MinionId {
        self.config.identity.id()
    }

    /// The address that was connected to.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The publish port that the master announced, signed.
    #[must_use]
    pub fn publish_port(&self) -> Option<u16> {
        self.session.publish_port()
    }

    /// Sends one command and gives the verified reply.
    ///
    /// Keys rotate without notice: a reply that shows it leads to one new sign-in and one repetition, which
    /// the master has not seen in any form that it could read. What fails then is an error.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn ask(&mut self, command: &Command<'_>, deadline: Instant) -> Result<Value, Failure> {
        match self.ask_at(command, now(), deadline).await {
            Err(Failure::Reply(error)) if error.calls_for_sign_in() => {}
            other => return other,
        }
        tracing::debug!(master = %self.master.name, "signing in again");
        self.session = authenticate(self.config, self.master, &mut self.requester, deadline).await?;
        match self.ask_at(command, now(), deadline).await {
            Err(Failure::Reply(ReplyError::BadLoad)) => Err(self.explain_bad_load(deadline).await),
            other => other,
        }
    }

    async fn ask_at(&mut self, command: &Command<'_>, ts: i64, deadline: Instant) -> Result<Value, Failure> {
        let (awaited, request) = self.session.request(command, ts, &mut rand::rng())?;
        let reply = self.requester.request(request, deadline).await?;
        Ok(self.session.open(&awaited, &reply)?)
    }

    /// `bad load` right after a verified sign-in: with `request_server_ttl` masters refuse old requests, but
    /// take any from the future. So a harmless request that is dated ahead tells whether our clock is slow.
    async fn explain_bad_load(&mut self, deadline: Instant) -> Failure {
        for ahead in CLOCK_STEPS {
            match self
                .ask_at(&Command::FileEnvs, now().saturating_add(ahead), deadline)
                .await
            {
                Ok(_) => return Failure::Clock { ahead: Some(ahead) },
                Err(Failure::Reply(ReplyError::BadLoad)) => {}
                Err(other) => return other,
            }
        }
        Failure::Reply(ReplyError::BadLoad)
    }
}

async fn authenticate(
    config: &Config,
    master: &MasterConfig,
    requester: &mut Requester,
    deadline: Instant,
) -> Result<Session, Failure> {
    let (sign_in, request) = SignIn::new(
        &config.identity,
        &master.trust,
        config.algorithms,
        &mut rand::rng(),
    );
    let reply = requester.request(request, deadline).await?;
    Ok(sign_in.finish(&reply, &mut rand::rng())?)
}

/// Seconds since 1970; a clock before that counts as 1970.
fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn span(seconds: i64) -> String {
    match seconds {
        60 => "a minute ".to_owned(),
        600 => "ten minutes ".to_owned(),
        3600 => "an hour ".to_owned(),
        86_400 => "a day ".to_owned(),
        _ => format!("{} days ", seconds / 86_400),
    }
}
