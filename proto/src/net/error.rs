//! Why a connection could not be made or is of no more use.

use std::io;

use crate::zmtp::{Misuse, Violation};

/// A fault of a connection, with who it was to, as `host:port`.
///
/// The variants keep apart what an operator must know: is there nothing at that address, does
/// something there hang, or does it misbehave?
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The name has no address, or the resolver did not answer in time.
    #[error("cannot resolve {peer}: {error}")]
    NotResolved {
        /// `host:port`.
        peer: String,
        /// What the resolver says.
        error: io::Error,
    },
    /// The host is up and nothing listens there.
    #[error("{peer} refuses the connection: nothing listens there")]
    Refused {
        /// `host:port`.
        peer: String,
    },
    /// There is no way to the host, or none any more: also what ends an established connection whose
    /// data or keepalives nobody acknowledges.
    #[error("{peer} is unreachable: {error}")]
    Unreachable {
        /// `host:port`.
        peer: String,
        /// What the system says.
        error: io::Error,
    },
    /// Nobody completed the TCP connection.
    #[error("{peer} did not complete the TCP connection in time: host down, or packets are dropped")]
    ConnectTimeout {
        /// `host:port`.
        peer: String,
    },
    /// The TCP connection stands, the ZMTP handshake does not end: the process behind it hangs.
    #[error("{peer} took the TCP connection but did not complete the ZMTP handshake in time")]
    HandshakeTimeout {
        /// `host:port`.
        peer: String,
    },
    /// The peer did not read what we have to say.
    #[error("{peer} did not take what was sent in time")]
    SendTimeout {
        /// `host:port`.
        peer: String,
    },
    /// No (complete) answer or message arrived.
    #[error("{peer} is connected but sent no complete answer in time")]
    ReplyTimeout {
        /// `host:port`.
        peer: String,
    },
    /// The peer closed the connection, be it in the middle of a message.
    #[error("{peer} closed the connection")]
    Closed {
        /// `host:port`.
        peer: String,
    },
    /// The peer cut the connection off.
    #[error("{peer} reset the connection")]
    Reset {
        /// `host:port`.
        peer: String,
    },
    /// Something else went wrong, most likely on our side: no file descriptors, no permission.
    #[error("cannot talk to {peer}: {error}")]
    Io {
        /// `host:port`.
        peer: String,
        /// What the system says.
        error: io::Error,
    },
    /// The peer broke the protocol or a limit.
    #[error("{peer} breaks the protocol: {violation}")]
    Violation {
        /// `host:port`.
        peer: String,
        /// In what way.
        violation: Violation,
    },
    /// A message on a REQ connection that is not the one reply, behind its empty delimiter, to the one request.
    #[error("{peer} sends a message that is no reply to the request")]
    NotAReply {
        /// `host:port`.
        peer: String,
    },
    /// A request was given up earlier, so its reply could still come: make a new connection.
    #[error("an earlier request to {peer} was given up, this connection can't be used again")]
    Abandoned {
        /// `host:port`.
        peer: String,
    },
    /// Too many messages arrived that nobody took; they are in front of the answer. Receive them first.
    #[error("{waiting} messages of {peer} wait to be received, no answer can get past them")]
    Backlog {
        /// `host:port`.
        peer: String,
        /// How many.
        waiting: usize,
    },
    /// The caller asked for something that this connection can't do.
    #[error("cannot do this on the connection to {peer}: {misuse}")]
    Misuse {
        /// `host:port`.
        peer: String,
        /// What it was.
        misuse: Misuse,
    },
}

impl NetError {
    /// Who it was about, as `host:port`.
    #[must_use]
    pub fn peer(&self) -> &str {
        match self {
            Self::NotResolved { peer, .. }
            | Self::Refused { peer }
            | Self::Unreachable { peer, .. }
            | Self::ConnectTimeout { peer }
            | Self::HandshakeTimeout { peer }
            | Self::SendTimeout { peer }
            | Self::ReplyTimeout { peer }
            | Self::Closed { peer }
            | Self::Reset { peer }
            | Self::Io { peer, .. }
            | Self::Violation { peer, .. }
            | Self::NotAReply { peer }
            | Self::Abandoned { peer }
            | Self::Backlog { peer, .. }
            | Self::Misuse { peer, .. } => peer,
        }
    }

    /// What a failed `connect` means.
    pub(super) fn connecting(peer: &str, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::ConnectTimeout {
                peer: peer.to_owned(),
            },
            _ => Self::transfer(peer, error),
        }
    }

    /// What a failed read or write means.
    pub(super) fn transfer(peer: &str, error: io::Error) -> Self {
        let peer = peer.to_owned();
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { peer },
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Self::Reset { peer },
            io::ErrorKind::BrokenPipe => Self::Closed { peer },
            // TimedOut: TCP_USER_TIMEOUT or the keepalives ran out.
            io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => Self::Unreachable { peer, error },
            _ => Self::Io { peer, error },
        }
    }

    pub(super) fn misuse(peer: &str, misuse: Misuse) -> Self {
        Self::Misuse {
            peer: peer.to_owned(),
            misuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::NetError;

    #[test]
    fn a_silent_network_is_told_from_a_silent_process() {
        let connecting = NetError::connecting("salt1:4506", ErrorKind::TimedOut.into());
        assert!(
            matches!(connecting, NetError::ConnectTimeout { .. }),
            "{connecting}"
        );
        let established = NetError::transfer("salt1:4506", ErrorKind::TimedOut.into());
        assert!(
            matches!(established, NetError::Unreachable { .. }),
            "{established}"
        );
    }

    #[test]
    fn faults_of_our_own_are_not_blamed_on_the_network() {
        let error = NetError::connecting("salt1:4506", Error::from_raw_os_error(24));
        assert!(matches!(error, NetError::Io { .. }), "{error}");
        assert!(error.to_string().contains("salt1:4506"));
    }
}
