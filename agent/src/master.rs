//! One master: connect, sign in, ask. What goes wrong becomes a [`Verdict`] with the blame in it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::auth::{SignIn, SignInError};
use proto::message::{Command, MinionId, Value};
use proto::net::{Dialled, NetError};
use proto::publication::{Publications, Signatures};
use proto::session::{CannotEncrypt, ReplyError, Session};
use tokio::time::Instant;

use crate::config::{Config, MasterConfig};
use crate::link::{self, Link, Manner, Urgency};
pub use crate::link::{HeldUp, Unanswered};
use crate::state::{State, Verdict};

/// Steps in which a clock that is behind is looked for: a minute to ten years, in seconds.
pub(crate) const CLOCK_STEPS: [i64; 6] = [60, 600, 3600, 86_400, 30 * 86_400, 3650 * 86_400];

/// As many workers as most masters have (`worker_threads`, 5 by default), and some more. Requests are dealt to them in turn.
pub(crate) const WORKERS: usize = 10;

/// How often a peer may be asked to prove itself for one long reply: each time the connection may have been made anew, as workers are slow.
const PROOFS: u32 = 3;

/// A verified master with an open request connection.
pub struct Connection {
    config: Arc<Config>,
    master: MasterConfig,
    link: Link,
    session: Session,
    sign_ins: u32,
}

/// How a command leaves.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Beside those of others, and over a new connection if there is no answer.
    Small,
    /// In our turn, over the connection that there is.
    Publish,
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
         (one dated {} ahead was taken); set the clock, for instance with NTP; or somebody on the path answers in its place", span(*.ahead)
    )]
    Clock {
        /// By how much a request had to be dated ahead, in seconds.
        ahead: i64,
    },
    /// Two workers made our session key at the same moment, and each has kept its own.
    #[error(
        "some workers of the master have another session key for {id} than it gave us (salt-master makes two when an id signs in \
         twice at the same moment): restart that salt-master; or somebody on the path answers in its place"
    )]
    KeysDiffer {
        /// Who we are.
        id: MinionId,
    },
    /// Other processes of this host did not let us publish.
    #[error("signed in, but other saltfo processes of this host kept publishing there")]
    NoTurn,
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
            // Half of what shows it is `bad load`, which nobody signs.
            Self::Clock { .. } | Self::KeysDiffer { .. } => (State::Refused, false),
            Self::NoTurn => (State::Reachable, signed_in),
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
pub async fn dial(master: &MasterConfig, deadline: Instant) -> Result<Dialled, Failure> {
    Ok(link::dial(master, deadline).await?)
}

impl Connection {
    /// Signs in over a connection that has just been dialled.
    ///
    /// # Errors
    /// [`Failure`]; nothing is kept of a master that is not verified.
    pub async fn sign_in(
        config: &Arc<Config>,
        master: &MasterConfig,
        dialled: Dialled,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        Self::sign_in_as(
            config,
            master,
            dialled,
            Urgency::Usual,
            Box::new(|_| {}),
            deadline,
        )
        .await
    }

    /// The same in the `urgency` that we want to publish with. `held_up` is told when we wait for other processes of this host.
    ///
    /// # Errors
    /// [`Failure`]; nothing is kept of a master that is not verified.
    pub async fn sign_in_as(
        config: &Arc<Config>,
        master: &MasterConfig,
        dialled: Dialled,
        urgency: Urgency,
        held_up: HeldUp,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let mut link = Link::open(master.clone(), dialled, urgency, held_up, deadline).await?;
        let session = authenticate(config, master, &mut link, deadline).await?;
        Ok(Self {
            config: Arc::clone(config),
            master: master.clone(),
            link,
            session,
            sign_ins: 1,
        })
    }

    /// Who we are.
    #[must_use]
    pub fn id(&self) -> &MinionId {
        self.config.identity.id()
    }

    /// How often we have signed in.
    #[must_use]
    pub fn sign_ins(&self) -> u32 {
        self.sign_ins
    }

    /// The publish port that the master announced, signed.
    #[must_use]
    pub fn publish_port(&self) -> Option<u16> {
        self.session.publish_port()
    }

    /// What opens this master's publications, starting with the next one, until its AES key changes.
    #[must_use]
    pub fn publications(&self, signatures: Signatures) -> Publications {
        self.session.publications(signatures)
    }

    /// Sends a command that does no harm when it is asked twice, and gives the verified reply.
    ///
    /// Keys rotate without notice: a reply that shows it leads to one new sign-in. If workers have
    /// different keys, then one of the next will read it. What fails then is an error.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn ask(&mut self, command: &Command<'_>, deadline: Instant) -> Result<Value, Failure> {
        self.send_again(command, Way::Small, deadline).await
    }

    /// Sends a `minion_pub` in our turn, of a function that may run twice.
    ///
    /// It is sent again after a reply that says that the master could not read the one before. Such a reply
    /// is signed by nobody: a man in the middle can make the function run twice. `test.ping` may.
    ///
    /// # Errors
    /// [`Failure`]; the job may have started all the same.
    pub async fn publish_repeatable(
        &mut self,
        command: &Command<'_>,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        self.send_again(command, Way::Publish, deadline).await
    }

    /// Sends a `minion_pub` in our turn, of a function that must not run twice.
    ///
    /// It leaves once, whatever the reply, be it one that says that the master could not read it: nobody signs that.
    ///
    /// # Errors
    /// [`Unanswered`], which tells whether the job may have started.
    pub async fn publish_unrepeatable(
        &mut self,
        command: &Command<'_>,
        deadline: Instant,
    ) -> Result<Value, Unanswered<Failure>> {
        self.publish_once(command, deadline).await
    }

    /// Waits until no other process of this host is publishing at this master. The turn is kept until
    /// [`Self::end_turn`].
    ///
    /// # Errors
    /// [`Failure::NoTurn`].
    pub async fn take_turn(&mut self, deadline: Instant) -> Result<(), Failure> {
        self.link.take_turn(deadline).await.map_err(|_| Failure::NoTurn)
    }

    /// Whether it is our turn to publish.
    #[must_use]
    pub fn has_turn(&self) -> bool {
        self.link.has_turn()
    }

    /// From here on `held_up` is not told any more.
    pub fn wait_silently(&mut self) {
        self.link.wait_silently();
    }

    /// Lets others publish.
    pub fn end_turn(&mut self) {
        self.link.end_turn();
    }

    /// Sends a command that may be done twice: after `bad load` to the next workers, too, with the keys of a new sign-in.
    async fn send_again(
        &mut self,
        command: &Command<'_>,
        way: Way,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        match self.send(command, way, deadline).await {
            Err(Failure::Reply(error)) if error.calls_for_sign_in() => {}
            other => return other,
        }
        self.sign_in_again(deadline).await?;
        for _ in 0..WORKERS {
            match self.send(command, way, deadline).await {
                Err(Failure::Reply(ReplyError::BadLoad)) => {}
                other => return other,
            }
        }
        Err(self.explain_bad_load(deadline).await)
    }

    async fn send(&mut self, command: &Command<'_>, way: Way, deadline: Instant) -> Result<Value, Failure> {
        match way {
            Way::Small => self.ask_at(command, 0, deadline).await,
            Way::Publish => {
                let reply = self.publish_once(command, deadline).await;
                reply.map_err(Unanswered::into_inner)
            }
        }
    }

    async fn publish_once(
        &mut self,
        command: &Command<'_>,
        deadline: Instant,
    ) -> Result<Value, Unanswered<Failure>> {
        let request = self.session.request(command, now(), &mut rand::rng());
        let (awaited, request) = request.map_err(|error| Unanswered::Unsent(error.into()))?;
        let reply = match self.link.publish(request, deadline).await {
            Ok(reply) => reply,
            Err(Unanswered::Unsent(error)) => return Err(Unanswered::Unsent(error.into())),
            Err(Unanswered::Lost(error)) => return Err(Unanswered::Lost(error.into())),
        };
        let opened = self.session.open(&awaited, &reply);
        opened.map_err(|error| Unanswered::Lost(error.into()))
    }

    /// `ahead`: by how many seconds the request is dated into the future.
    async fn ask_at(
        &mut self,
        command: &Command<'_>,
        ahead: i64,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let (mut manner, _turn) = match command {
            Command::MinionRunner { .. } => {
                let turn = self.link.runner_turn(deadline).await;
                (Manner::RUNNER, Some(turn.map_err(|_| Failure::NoTurn)?))
            }
            _ => (Manner::SMALL, None),
        };
        let mut proofs = 0;
        loop {
            let request = || -> Result<_, Failure> {
                Ok(self
                    .session
                    .request(command, now().saturating_add(ahead), &mut rand::rng())?)
            };
            match self.link.ask(request, manner, deadline).await {
                Ok((awaited, reply)) => {
                    let opened = self.session.open(&awaited, &reply)?;
                    self.link.trust();
                    return Ok(opened);
                }
                // It was asked again over a new connection, whose peer may not say so much before it has proved itself.
                Err(Failure::Net(error))
                    if proofs < PROOFS && self.link.is_too_long_for_a_stranger(&error) =>
                {
                    proofs += 1;
                    // A reply that is long may take its time, too: a further connection would have to be proven again.
                    manner.patience = manner.patience.max(Manner::RUNNER.patience);
                    self.sign_in_again(deadline).await?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Signs in anew: keys rotate, and the only sign of it is a message that does not open.
    ///
    /// # Errors
    /// [`Failure`]; the keys stay what they were.
    pub async fn sign_in_again(&mut self, deadline: Instant) -> Result<(), Failure> {
        tracing::debug!(master = %self.master.name, "signing in again");
        self.session = authenticate(&self.config, &self.master, &mut self.link, deadline).await?;
        self.sign_ins = self.sign_ins.saturating_add(1);
        Ok(())
    }

    /// Why a request was refused as `bad load` that must not be sent again, as far as harmless ones can tell: signs in anew, and
    /// asks each worker.
    pub async fn why_bad_load(&mut self, deadline: Instant) -> Option<Failure> {
        self.sign_in_again(deadline).await.ok()?;
        let (mut taken, mut refused) = (false, false);
        for _ in 0..WORKERS {
            match self.ask_at(&Command::FileEnvs, 0, deadline).await {
                Ok(_) => taken = true,
                Err(Failure::Reply(ReplyError::BadLoad)) => refused = true,
                Err(_) => return None,
            }
            if taken && refused {
                return Some(self.keys_differ());
            }
        }
        None
    }

    fn keys_differ(&self) -> Failure {
        Failure::KeysDiffer {
            id: self.config.identity.id().clone(),
        }
    }

    /// `bad load` right after a verified sign-in: with `request_server_ttl` masters refuse old requests, but
    /// take any from the future. So harmless requests tell whether our clock is slow: one dated as it should
    /// be is refused, one dated ahead is taken. `bad load` is signed by nobody, so nothing follows from the
    /// second without the first.
    async fn explain_bad_load(&mut self, deadline: Instant) -> Failure {
        for ahead in std::iter::once(0).chain(CLOCK_STEPS) {
            match self.ask_at(&Command::FileEnvs, ahead, deadline).await {
                Ok(_) if ahead == 0 => break,
                Ok(_) => return Failure::Clock { ahead },
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
    link: &mut Link,
    deadline: Instant,
) -> Result<Session, Failure> {
    let request = || {
        Ok::<_, Failure>(SignIn::new(
            &config.identity,
            &master.trust,
            config.algorithms,
            &mut rand::rng(),
        ))
    };
    let _turn = link.sign_in_turn(deadline).await;
    let (sign_in, reply) = link.ask(request, Manner::SMALL, deadline).await?;
    let session = sign_in.finish(&reply, &mut rand::rng())?;
    link.trust();
    Ok(session)
}

/// Seconds since 1970; a clock before that counts as 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn span(seconds: i64) -> String {
    match seconds {
        60 => "a minute".to_owned(),
        600 => "ten minutes".to_owned(),
        3600 => "an hour".to_owned(),
        86_400 => "a day".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_a_reply_that_nobody_signs_is_not_verified() {
        let id = MinionId::parse("minion01").unwrap();
        for failure in [Failure::Clock { ahead: 600 }, Failure::KeysDiffer { id }] {
            let verdict = failure.verdict(true);
            assert_eq!((verdict.state, verdict.verified), (State::Refused, false));
            let why = verdict.error.unwrap();
            assert!(why.contains("somebody on the path"), "{why}");
        }
    }
}
