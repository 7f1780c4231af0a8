//! Socket options: how soon TCP itself notices that a peer is gone.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// TCP options of a connection. Nagle's delay is always off: a request is a few small frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Silence after which keepalive probes begin (`TCP_KEEPIDLE`), whole seconds.
    pub keepalive_idle: Duration,
    /// Time between two probes (`TCP_KEEPINTVL`), whole seconds.
    pub keepalive_interval: Duration,
    /// Probes without an answer that end the connection (`TCP_KEEPCNT`). On Linux a
    /// `user_timeout` is used in its place.
    pub keepalive_count: u32,
    /// How long data may stay unacknowledged (`TCP_USER_TIMEOUT`, RFC 5482), milliseconds; it bounds
    /// connecting too. Linux only; elsewhere it has no effect.
    pub user_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keepalive_idle: Duration::from_secs(15),
            keepalive_interval: Duration::from_secs(5),
            keepalive_count: 3,
            user_timeout: Duration::from_secs(20),
        }
    }
}

impl Options {
    /// Sets the options on a socket, connected or not.
    pub(super) fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        let keepalive = TcpKeepalive::new()
            .with_time(self.keepalive_idle)
            .with_interval(self.keepalive_interval)
            .with_retries(self.keepalive_count);
        socket.set_tcp_keepalive(&keepalive)?;
        socket.set_tcp_nodelay(true)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(self.user_timeout))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use socket2::{Domain, SockRef, Socket, Type};

    use super::Options;

    #[test]
    fn the_options_are_on_the_socket() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let options = Options {
            keepalive_count: 7,
            ..Options::default()
        };
        options.apply(&SockRef::from(&socket)).unwrap();
        assert!(socket.keepalive().unwrap());
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(15));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(5));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 7);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(20)));
    }
}
