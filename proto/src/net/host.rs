//! Host names and addresses as they may stand in a configuration.

use std::fmt;

/// A host name or an IP address. It is printed, connected to and written into dotenv files, so it can hold
/// nothing that means something there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

/// A text that is neither a host name nor an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a host name nor an IP address")]
pub struct HostError(pub String);

impl Host {
    /// RFC 1035, section 2.3.4.
    const MAX: usize = 253;

    /// Checks a text. Brackets around an IPv6 address are dropped.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        if bare.contains(':') {
            // The zone of a link-local address (`fe80::1%eth0`) belongs to it.
            let address = bare.split('%').next().unwrap_or_default();
            let zone_is_plain = bare.chars().all(|character| {
                character.is_ascii_alphanumeric() || matches!(character, ':' | '.' | '%' | '-' | '_')
            });
            return match address.parse::<std::net::Ipv6Addr>() {
                Ok(_) if zone_is_plain => Ok(Self(bare.to_owned())),
                _ => Err(HostError(text.to_owned())),
            };
        }
        let plain =
            |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_');
        let named = !bare.is_empty()
            && bare.len() <= Self::MAX
            && bare.chars().all(plain)
            && !bare.starts_with(['-', '.'])
            && !bare.contains("..");
        if named {
            Ok(Self(bare.to_owned()))
        } else {
            Err(HostError(text.to_owned()))
        }
    }

    /// The name or address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_taken_and_nothing_else() {
        for text in [
            "salt1.xyz.example",
            "10.0.0.11",
            "::1",
            "fe80::1%eth0",
            "salt_1",
            "[2001:db8::1]",
        ] {
            assert!(Host::parse(text).is_ok(), "{text}");
        }
        assert_eq!(Host::parse("[::1]").unwrap().as_str(), "::1");
        for text in [
            "",
            "-x",
            ".x",
            "a..b",
            "a b",
            "a\nB=1",
            "a/b",
            "*",
            "salt1:4506",
            "$(id)",
            "é.example",
        ] {
            assert!(Host::parse(text).is_err(), "{text:?}");
        }
    }
}
