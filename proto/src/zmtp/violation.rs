//! What a peer may do wrong on the wire, and what a caller may.

use super::{PING_CONTEXT, SocketType};

/// The peer broke ZMTP, or one of our [`Limits`](super::Limits). The connection is of no more use.
///
/// Texts that came from the peer are escaped and shortened: they are fit for a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The first bytes are not the signature of ZMTP 2.0 and later.
    #[error(
        "peer does not greet as ZMTP 2 or 3 does (byte {at} is {byte:#04x}): it speaks ZMTP 1.0 or no ZMTP"
    )]
    NotZmtp {
        /// Which byte of the greeting, from 0.
        at: usize,
        /// What it is.
        byte: u8,
    },
    /// The peer speaks a version that we do not downgrade to.
    #[error("peer speaks ZMTP {major}, at least 3 is needed")]
    OldVersion {
        /// 1 or 2.
        major: u8,
    },
    /// The peer wants authentication or encryption by ZeroMQ, which Salt does not use.
    #[error("peer asks for the security mechanism {name:?}, only NULL is spoken here")]
    Mechanism {
        /// The name of the mechanism.
        name: String,
    },
    /// A frame has flags that no version defines.
    #[error("peer sets reserved bits in the flags of a frame ({0:#04x})")]
    ReservedFlags(u8),
    /// The MORE flag on a command.
    #[error("peer sends a command in more than one frame")]
    CommandWithMore,
    /// One frame alone is longer than a message may be.
    #[error("peer announces a frame of {announced} bytes, more than the limit of {limit}")]
    FrameTooLong {
        /// The length in the frame's header.
        announced: u64,
        /// [`Limits::message`](super::Limits::message).
        limit: usize,
    },
    /// The frames of a message are too long in sum.
    #[error("peer announces a message of at least {announced} bytes, more than the limit of {limit}")]
    MessageTooLong {
        /// All frames so far with the one that was announced.
        announced: u64,
        /// [`Limits::message`](super::Limits::message).
        limit: usize,
    },
    /// A message of too many frames.
    #[error("peer sends a message of more than {limit} frames")]
    TooManyFrames {
        /// [`Limits::frames`](super::Limits::frames).
        limit: usize,
    },
    /// A command is too long.
    #[error("peer announces a command of {announced} bytes, more than the limit of {limit}")]
    CommandTooLong {
        /// The length in the frame's header.
        announced: u64,
        /// What is allowed at this time.
        limit: usize,
    },
    /// A message came before the handshake had ended.
    #[error("peer sends a message before READY")]
    MessageBeforeReady,
    /// Before the handshake has ended only READY and ERROR may come.
    #[error("peer sends the command {name:?} before READY")]
    CommandBeforeReady {
        /// The name of the command.
        name: String,
    },
    /// READY came twice.
    #[error("peer sends READY again after the handshake")]
    SecondReady,
    /// The name of a command is empty, or longer than the command.
    #[error("peer sends a command without a proper name")]
    NamelessCommand,
    /// The data of a command do not have the form that the RFC gives them.
    #[error("peer sends a malformed {name}: {fault}")]
    MalformedCommand {
        /// The name of the command.
        name: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// READY says nothing about the socket type.
    #[error("peer does not tell its socket type")]
    NoSocketType,
    /// The two socket types do not go together.
    #[error("peer is a {theirs} socket, which a {ours} socket can't talk to: wrong port?")]
    Incompatible {
        /// Our type.
        ours: SocketType,
        /// What the peer calls its type.
        theirs: String,
    },
    /// The peer ended the connection with an ERROR command.
    #[error("peer refuses the connection: {reason:?}")]
    Refused {
        /// What it gave as its reason.
        reason: String,
    },
    /// The peer sends PINGs and does not read the answers.
    #[error("peer sends PINGs but doesn't read the answers: {waiting} bytes wait, the limit is {limit}")]
    AnswersUnread {
        /// Bytes that wait.
        waiting: usize,
        /// [`Limits::output`](super::Limits::output).
        limit: usize,
    },
}

/// The caller asked for something that this connection can't do (now).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// The handshake has not ended, or the connection has failed.
    #[error("the connection is not ready")]
    NotReady,
    /// ZMTP has no message without a frame.
    #[error("a message needs at least one frame")]
    NoFrames,
    /// Sending messages with a SUB, or subscribing with anything but SUB and XSUB.
    #[error("a {0} socket can't send this")]
    WrongType(SocketType),
    /// Too much is waiting already.
    #[error("{waiting} bytes wait to be written already, more than the limit of {limit}")]
    OutputFull {
        /// Bytes that wait.
        waiting: usize,
        /// [`Limits::message`](super::Limits::message).
        limit: usize,
    },
    /// The context of a PING is too long.
    #[error("the context of a PING has {0} bytes, at most {PING_CONTEXT} are allowed")]
    ContextTooLong(usize),
    /// PING came with ZMTP 3.1.
    #[error("peer speaks ZMTP 3.0, which has no PING")]
    NoPing,
}

/// Text from the peer, fit for a log: printable ASCII, 64 characters of the original at most.
pub(super) fn printable(bytes: &[u8]) -> String {
    const LONGEST: usize = 64;
    let text = bytes.get(..LONGEST).unwrap_or(bytes);
    text.escape_ascii().to_string()
}
