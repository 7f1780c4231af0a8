//! The greeting: 64 bytes that tell protocol, version and mechanism (RFC 37, "Version Negotiation").

use super::Violation;
use super::violation::printable;

/// Length of a greeting in bytes.
const LENGTH: usize = 64;
/// Signature with the padding that the RFC recommends to who does not downgrade, 3.1, NULL. Zeros follow.
const OURS: [u8; 16] = *b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL";
/// The mechanism with its padding, bytes 12 to 31.
const NULL: [u8; 20] = *b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A version of ZMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 3 for all that we talk to, or more.
    pub major: u8,
    /// 0 or 1 with major 3.
    pub minor: u8,
}

impl Version {
    /// Whether subscriptions are commands and there is PING: from 3.1 on.
    pub(super) fn has_traffic_commands(self) -> bool {
        self >= Self { major: 3, minor: 1 }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What we greet with.
pub(super) fn ours() -> Vec<u8> {
    let mut greeting = OURS.to_vec();
    greeting.resize(LENGTH, 0);
    greeting
}

/// Collects the peer's greeting and finds its faults at the first byte that shows them.
#[derive(Debug, Default)]
pub(super) struct GreetingReader {
    bytes: Vec<u8>,
}

impl GreetingReader {
    /// Takes what belongs to the greeting off the input; the version once the greeting is complete.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Version>, Violation> {
        let missing = LENGTH.saturating_sub(self.bytes.len());
        let (head, rest) = input.split_at_checked(missing).unwrap_or((*input, &[]));
        self.bytes.extend_from_slice(head);
        *input = rest;
        self.check()
    }

    /// Memory that is held, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    fn check(&self) -> Result<Option<Version>, Violation> {
        let byte = |at: usize| self.bytes.get(at).copied();
        if let Some(first) = byte(0).filter(|first| *first != 0xff) {
            return Err(Violation::NotZmtp { at: 0, byte: first });
        }
        match byte(9) {
            None | Some(0x7f) => {}
            // A long length in front of an identity, then the flags: RFC 37, "Detecting ZMTP 1.0 and 2.0 Peers".
            Some(even) if even & 1 == 0 => return Err(Violation::OldVersion { major: 1 }),
            Some(odd) => return Err(Violation::NotZmtp { at: 9, byte: odd }),
        }
        // The RFC calls 1 and 2 both ZMTP 2.0; libzmq takes 0 for 1.0.
        match byte(10) {
            Some(0) => return Err(Violation::OldVersion { major: 1 }),
            Some(1 | 2) => return Err(Violation::OldVersion { major: 2 }),
            _ => {}
        }
        if let Some(mechanism) = self.bytes.get(12..32).filter(|mechanism| *mechanism != NULL) {
            let name = mechanism.split(|byte| *byte == 0).next().unwrap_or_default();
            return Err(Violation::Mechanism {
                name: printable(name),
            });
        }
        // as-server and filler are not looked at: with NULL they mean nothing, and libzmq ignores them too.
        if self.bytes.len() < LENGTH {
            return Ok(None);
        }
        Ok(byte(10)
            .zip(byte(11))
            .map(|(major, minor)| Version { major, minor }))
    }
}

#[cfg(test)]
mod tests {
    use super::{GreetingReader, Version, Violation, ours};

    fn read(bytes: &[u8]) -> Result<Option<Version>, Violation> {
        let mut input = bytes;
        GreetingReader::default().read(&mut input)
    }

    fn with(at: usize, byte: u8) -> Vec<u8> {
        let mut greeting = ours();
        greeting[at] = byte;
        greeting
    }

    #[test]
    fn a_greeting_is_read_whatever_its_padding() {
        assert_eq!(read(&ours()), Ok(Some(Version { major: 3, minor: 1 })));
        assert_eq!(read(&with(8, 12)), Ok(Some(Version { major: 3, minor: 1 })));
    }

    #[test]
    fn higher_versions_are_accepted() {
        assert_eq!(read(&with(10, 4)), Ok(Some(Version { major: 4, minor: 1 })));
        assert_eq!(read(&with(11, 7)), Ok(Some(Version { major: 3, minor: 7 })));
    }

    #[test]
    fn what_follows_the_greeting_stays_in_the_input() {
        let bytes = [ours(), b"rest".to_vec()].concat();
        let mut input = bytes.as_slice();
        assert!(matches!(GreetingReader::default().read(&mut input), Ok(Some(_))));
        assert_eq!(input, b"rest");
    }

    #[test]
    fn faults_are_found_at_the_byte_that_shows_them() {
        assert_eq!(read(b"H"), Err(Violation::NotZmtp { at: 0, byte: b'H' }));
        assert_eq!(
            read(&with(9, 0x7d)[..10]),
            Err(Violation::NotZmtp { at: 9, byte: 0x7d })
        );
        assert_eq!(read(&with(9, 0)[..10]), Err(Violation::OldVersion { major: 1 }));
        assert_eq!(read(&with(10, 1)[..11]), Err(Violation::OldVersion { major: 2 }));
        let curve = [&ours()[..12], b"CURVE\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"].concat();
        assert_eq!(read(&curve), Err(Violation::Mechanism { name: "CURVE".into() }));
        assert_eq!(read(&ours()[..63]), Ok(None));
    }
}
