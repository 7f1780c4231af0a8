//! Commands: READY and ERROR of the NULL mechanism, SUBSCRIBE, CANCEL, PING and PONG (RFC 37).

use super::violation::printable;
use super::{PING_CONTEXT, SocketType, Violation};

/// A command from the peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// Ends the handshake; the name of the peer's socket type, if it tells one.
    Ready {
        socket_type: Option<&'a [u8]>,
    },
    /// Ends the connection.
    Error {
        reason: String,
    },
    Subscribe(&'a [u8]),
    Cancel(&'a [u8]),
    /// The time to live is a hint for who keeps many idle peers; it is not acted upon here.
    Ping {
        context: &'a [u8],
    },
    Pong {
        context: &'a [u8],
    },
    /// Nothing that we know.
    Unknown {
        name: &'a [u8],
    },
}

impl<'a> Command<'a> {
    /// Reads the body of a command frame.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Violation> {
        let (name, data) = take_short(body).ok_or(Violation::NamelessCommand)?;
        match name {
            b"" => Err(Violation::NamelessCommand),
            b"READY" => parse_ready(data),
            b"ERROR" => parse_error(data),
            b"SUBSCRIBE" => Ok(Self::Subscribe(data)),
            b"CANCEL" => Ok(Self::Cancel(data)),
            b"PING" => {
                let (_ttl, context) = data
                    .split_first_chunk::<2>()
                    .ok_or(malformed("PING", "it has no time to live"))?;
                Ok(Self::Ping {
                    context: check_context("PING", context)?,
                })
            }
            b"PONG" => Ok(Self::Pong {
                context: check_context("PONG", data)?,
            }),
            name => Ok(Self::Unknown { name }),
        }
    }

    /// The name, fit for a log.
    pub(super) fn name(&self) -> String {
        printable(match self {
            Self::Ready { .. } => b"READY",
            Self::Error { .. } => b"ERROR",
            Self::Subscribe(_) => b"SUBSCRIBE",
            Self::Cancel(_) => b"CANCEL",
            Self::Ping { .. } => b"PING",
            Self::Pong { .. } => b"PONG",
            Self::Unknown { name } => name,
        })
    }
}

/// The body of READY, with the properties in libzmq's order.
pub(super) fn ready(socket_type: SocketType) -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type".to_vec();
    let name = socket_type.name().as_bytes();
    body.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(name);
    if socket_type.sends_identity() {
        body.extend_from_slice(b"\x08Identity\0\0\0\0");
    }
    body
}

/// The body of ERROR.
pub(super) fn error(reason: &str) -> Vec<u8> {
    let reason = reason.as_bytes().get(..255).unwrap_or(reason.as_bytes());
    [
        b"\x05ERROR",
        [u8::try_from(reason.len()).unwrap_or(u8::MAX)].as_slice(),
        reason,
    ]
    .concat()
}

/// The body of SUBSCRIBE.
pub(super) fn subscribe(prefix: &[u8]) -> Vec<u8> {
    [b"\x09SUBSCRIBE", prefix].concat()
}

/// The body of CANCEL.
pub(super) fn cancel(prefix: &[u8]) -> Vec<u8> {
    [b"\x06CANCEL", prefix].concat()
}

/// The body of PING; `ttl` in tenths of a second, 0 for none.
pub(super) fn ping(ttl: u16, context: &[u8]) -> Vec<u8> {
    [b"\x04PING", ttl.to_be_bytes().as_slice(), context].concat()
}

/// The body of PONG.
pub(super) fn pong(context: &[u8]) -> Vec<u8> {
    [b"\x04PONG", context].concat()
}

fn malformed(name: &'static str, fault: &'static str) -> Violation {
    Violation::MalformedCommand { name, fault }
}

/// A text behind its one-byte length, and what follows.
fn take_short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn parse_ready(mut data: &[u8]) -> Result<Command<'_>, Violation> {
    let mut socket_type = None;
    while !data.is_empty() {
        let (name, rest) = take_short(data).ok_or(malformed("READY", "the name of a property is cut off"))?;
        if name.is_empty() {
            return Err(malformed("READY", "a property has no name"));
        }
        let (length, rest) = rest
            .split_first_chunk::<4>()
            .ok_or(malformed("READY", "the length of a value is cut off"))?;
        let (value, rest) = usize::try_from(u32::from_be_bytes(*length))
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or(malformed("READY", "a value is longer than the command"))?;
        // Case does not count in names (RFC 37, "Connection Metadata"). Two types would mean two things to two readers.
        if name.eq_ignore_ascii_case(b"Socket-Type") && socket_type.replace(value).is_some() {
            return Err(malformed("READY", "it has two socket types"));
        }
        data = rest;
    }
    Ok(Command::Ready { socket_type })
}

fn parse_error(data: &[u8]) -> Result<Command<'_>, Violation> {
    let (reason, _) = take_short(data).ok_or(malformed("ERROR", "its reason is cut off"))?;
    Ok(Command::Error {
        reason: printable(reason),
    })
}

fn check_context<'a>(name: &'static str, context: &'a [u8]) -> Result<&'a [u8], Violation> {
    if context.len() > PING_CONTEXT {
        return Err(malformed(name, "its context has more than 16 bytes"));
    }
    Ok(context)
}

#[cfg(test)]
mod tests {
    use super::{Command, SocketType, Violation};

    fn fault(body: &[u8]) -> Violation {
        Command::parse(body).unwrap_err()
    }

    #[test]
    fn ready_is_that_of_libzmq() {
        assert_eq!(
            super::ready(SocketType::Sub),
            b"\x05READY\x0bSocket-Type\0\0\0\x03SUB"
        );
        assert_eq!(
            super::ready(SocketType::Router),
            b"\x05READY\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\0"
        );
    }

    #[test]
    fn names_of_properties_have_no_case_and_unknown_ones_are_passed_over() {
        let ready = Command::parse(b"\x05READY\x03X-a\0\0\0\x01b\x0bsocket-tYPE\0\0\0\x03REQ");
        assert_eq!(
            ready,
            Ok(Command::Ready {
                socket_type: Some(b"REQ")
            })
        );
        assert_eq!(
            Command::parse(b"\x05READY"),
            Ok(Command::Ready { socket_type: None })
        );
    }

    #[test]
    fn malformed_metadata_is_refused() {
        for body in [
            b"\x05READY\x0bSocket".as_slice(),
            b"\x05READY\x01a\0\0",
            b"\x05READY\x01a\0\0\0\x02b",
            b"\x05READY\x01a\xff\xff\xff\xff",
            b"\x05READY\0\0\0\0\0",
            b"\x05READY\x0bSocket-Type\0\0\0\0\x0bSocket-Type\0\0\0\0",
        ] {
            assert!(
                matches!(fault(body), Violation::MalformedCommand { name: "READY", .. }),
                "{body:?}"
            );
        }
    }

    #[test]
    fn a_command_needs_a_name_that_fits() {
        for body in [b"".as_slice(), b"\0", b"\x05PING", b"\xff"] {
            assert_eq!(fault(body), Violation::NamelessCommand);
        }
    }

    #[test]
    fn a_context_has_sixteen_bytes_at_most() {
        let context = [7; 16];
        let ping = super::ping(600, &context);
        assert_eq!(Command::parse(&ping), Ok(Command::Ping { context: &context }));
        assert!(matches!(
            fault(&super::ping(0, &[7; 17])),
            Violation::MalformedCommand { name: "PING", .. }
        ));
        assert!(matches!(
            fault(&super::pong(&[7; 17])),
            Violation::MalformedCommand { name: "PONG", .. }
        ));
        assert!(matches!(
            fault(b"\x04PING\0"),
            Violation::MalformedCommand { name: "PING", .. }
        ));
    }

    #[test]
    fn the_reason_of_an_error_is_made_printable() {
        let body = super::error("a\x1b[2J");
        assert_eq!(
            Command::parse(&body),
            Ok(Command::Error {
                reason: "a\\x1b[2J".into()
            })
        );
        assert!(matches!(
            fault(b"\x05ERROR\x09no"),
            Violation::MalformedCommand { name: "ERROR", .. }
        ));
    }
}
