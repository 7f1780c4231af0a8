//! Socket types by name, and which may talk to which (RFC 37, "The Socket-Type Property").

/// The socket types of the request-reply and publish-subscribe patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketType {
    /// Asks and waits for the one reply.
    Req,
    /// Replies to what it was asked last.
    Rep,
    /// A REQ without the lockstep; it sends the empty delimiter itself.
    Dealer,
    /// A REP without the lockstep: what a master has on port 4506.
    Router,
    /// Publishes: what a master has on port 4505.
    Pub,
    /// A PUB that hands the subscriptions to the application.
    Xpub,
    /// Subscribes.
    Sub,
    /// A SUB that passes on the subscriptions of others.
    Xsub,
}

impl SocketType {
    /// All types, for lookups by name.
    const ALL: [Self; 8] = [
        Self::Req,
        Self::Rep,
        Self::Dealer,
        Self::Router,
        Self::Pub,
        Self::Xpub,
        Self::Sub,
        Self::Xsub,
    ];

    /// The name on the wire, in upper case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
            Self::Pub => "PUB",
            Self::Xpub => "XPUB",
            Self::Sub => "SUB",
            Self::Xsub => "XSUB",
        }
    }

    /// The type of that name; the RFC spells them in upper case only.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.name().as_bytes() == name)
    }

    /// Whether a peer of type `peer` is one that this type may talk to.
    #[must_use]
    pub fn accepts(self, peer: Self) -> bool {
        match self {
            Self::Req => matches!(peer, Self::Rep | Self::Router),
            Self::Rep => matches!(peer, Self::Req | Self::Dealer),
            Self::Dealer => matches!(peer, Self::Rep | Self::Dealer | Self::Router),
            Self::Router => matches!(peer, Self::Req | Self::Dealer | Self::Router),
            Self::Pub | Self::Xpub => matches!(peer, Self::Sub | Self::Xsub),
            Self::Sub | Self::Xsub => matches!(peer, Self::Pub | Self::Xpub),
        }
    }

    /// Whether READY carries an `Identity` property: libzmq sends one, usually empty, for these types
    /// alone (libzmq 4.3.5, `mechanism.cpp`).
    pub(super) fn sends_identity(self) -> bool {
        matches!(self, Self::Req | Self::Dealer | Self::Router)
    }

    /// Whether this type receives subscriptions.
    pub(super) fn publishes(self) -> bool {
        matches!(self, Self::Pub | Self::Xpub)
    }

    /// Whether this type sends subscriptions.
    pub(super) fn subscribes(self) -> bool {
        matches!(self, Self::Sub | Self::Xsub)
    }
}

impl std::fmt::Display for SocketType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::SocketType;

    #[test]
    fn compatibility_is_mutual() {
        for one in SocketType::ALL {
            for other in SocketType::ALL {
                assert_eq!(one.accepts(other), other.accepts(one), "{one} {other}");
            }
        }
    }

    #[test]
    fn the_table_is_that_of_the_rfc() {
        let legal = |of: SocketType| {
            let names: Vec<_> = SocketType::ALL
                .into_iter()
                .filter(|peer| of.accepts(*peer))
                .map(SocketType::name)
                .collect();
            names.join(" ")
        };
        assert_eq!(legal(SocketType::Req), "REP ROUTER");
        assert_eq!(legal(SocketType::Rep), "REQ DEALER");
        assert_eq!(legal(SocketType::Dealer), "REP DEALER ROUTER");
        assert_eq!(legal(SocketType::Router), "REQ DEALER ROUTER");
        assert_eq!(legal(SocketType::Pub), "SUB XSUB");
        assert_eq!(legal(SocketType::Xpub), "SUB XSUB");
        assert_eq!(legal(SocketType::Sub), "PUB XPUB");
        assert_eq!(legal(SocketType::Xsub), "PUB XPUB");
    }

    #[test]
    fn names_lead_back_to_their_type() {
        for one in SocketType::ALL {
            assert_eq!(SocketType::from_name(one.name().as_bytes()), Some(one));
        }
        assert_eq!(SocketType::from_name(b"PUSH"), None);
        assert_eq!(SocketType::from_name(b"req"), None);
    }
}
