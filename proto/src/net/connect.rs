//! From a name to a connection that has shaken hands: resolve, race the addresses, greet.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Channel, NetError, Options};
use crate::zmtp::{Limits, SocketType};

/// How long an address is alone in the race before the next one starts ("Connection Attempt Delay", RFC 8305).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// Most addresses of a name that are tried.
const ADDRESSES: usize = 16;

/// Connects to `host:port` and completes the ZMTP handshake: [`dial`], then [`Dialled::handshake`].
///
/// # Errors
/// [`NetError`], at the deadline at the latest.
pub async fn connect(
    host: &str,
    port: u16,
    socket_type: SocketType,
    limits: Limits,
    options: &Options,
    deadline: Instant,
) -> Result<Channel, NetError> {
    dial(host, port, options, deadline)
        .await?
        .handshake(socket_type, limits, deadline)
        .await
}

/// Makes the TCP connection and no more: what fails after it is the process, not the network.
///
/// The name is resolved afresh. Its addresses are tried in turn, the next one when one fails or after
/// 250 ms; the first TCP connection wins. Dropping the future closes what was opened.
///
/// The system's resolver can't be interrupted: past the deadline its thread runs on for a while.
///
/// # Errors
/// [`NetError`], at the deadline at the latest.
pub async fn dial(host: &str, port: u16, options: &Options, deadline: Instant) -> Result<Dialled, NetError> {
    resolve(host, port, deadline).await?.dial(options, deadline).await
}

/// Looks a host up: an address stands for itself, a name is asked for afresh.
///
/// The system's resolver can't be interrupted: past the deadline, or when the future is dropped, its thread runs on
/// for a while.
///
/// # Errors
/// [`NetError::NotResolved`], at the deadline at the latest.
pub async fn resolve(host: &str, port: u16, deadline: Instant) -> Result<Resolved, NetError> {
    let host = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    let peer = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let addresses = look_up(host, port, &peer, deadline).await?;
    Ok(Resolved { addresses, peer })
}

/// Whether a system takes TCP connections at an address: one is made and closed at once.
///
/// It tells a host that is gone from a process that hangs, for whose listening socket the system answers.
///
/// # Errors
/// [`NetError`], at the deadline at the latest.
pub async fn knock(address: SocketAddr, deadline: Instant) -> Result<(), NetError> {
    race(&[address], &address.to_string(), &Options::default(), deadline)
        .await
        .map(drop)
}

/// Where a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    addresses: Vec<SocketAddr>,
    peer: String,
}

impl From<SocketAddr> for Resolved {
    /// An address that is known, zone and all.
    fn from(address: SocketAddr) -> Self {
        Self {
            addresses: vec![address],
            peer: address.to_string(),
        }
    }
}

impl Resolved {
    /// All its addresses, in the order in which they are tried.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// As [`dial`], with the addresses at hand.
    ///
    /// # Errors
    /// As [`dial`].
    pub async fn dial(&self, options: &Options, deadline: Instant) -> Result<Dialled, NetError> {
        let stream = race(&self.addresses, &self.peer, options, deadline).await?;
        Ok(Dialled {
            stream,
            peer: self.peer.clone(),
        })
    }
}

/// A TCP connection on which nothing has been said yet.
#[derive(Debug)]
pub struct Dialled {
    stream: TcpStream,
    peer: String,
}

impl Dialled {
    /// Completes the ZMTP handshake.
    ///
    /// # Errors
    /// [`NetError`], at the deadline at the latest.
    pub async fn handshake(
        self,
        socket_type: SocketType,
        limits: Limits,
        deadline: Instant,
    ) -> Result<Channel, NetError> {
        Channel::open(self.stream, self.peer, socket_type, limits, deadline).await
    }
}

/// Completes the ZMTP handshake on a TCP connection that somebody made to us, with the default [`Options`].
///
/// # Errors
/// [`NetError`], at the deadline at the latest.
pub async fn accept(
    stream: TcpStream,
    socket_type: SocketType,
    limits: Limits,
    deadline: Instant,
) -> Result<Channel, NetError> {
    let peer = stream
        .peer_addr()
        .map_or_else(|_| "a peer that is gone".to_owned(), |addr| addr.to_string());
    Options::default()
        .apply(&SockRef::from(&stream))
        .map_err(|error| NetError::transfer(&peer, error))?;
    Channel::open(stream, peer, socket_type, limits, deadline).await
}

async fn look_up(host: &str, port: u16, peer: &str, deadline: Instant) -> Result<Vec<SocketAddr>, NetError> {
    let failed = |error| NetError::NotResolved {
        peer: peer.to_owned(),
        error,
    };
    let found = timeout_at(deadline, lookup_host((host, port)))
        .await
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(failed(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        )));
    }
    let mut addresses = alternate(&addresses);
    addresses.truncate(ADDRESSES);
    Ok(addresses)
}

/// The two families in turn, so that a broken one costs one delay and no more (RFC 8305, section 4).
fn alternate(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut preferred, mut others): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses
        .iter()
        .rev()
        .copied()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut turns = Vec::new();
    while !(preferred.is_empty() && others.is_empty()) {
        turns.extend(preferred.pop());
        turns.extend(others.pop());
    }
    turns
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

async fn race(
    addresses: &[SocketAddr],
    peer: &str,
    options: &Options,
    deadline: Instant,
) -> Result<TcpStream, NetError> {
    let timeout = || NetError::ConnectTimeout {
        peer: peer.to_owned(),
    };
    let mut waiting = addresses.iter();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut fault: Option<NetError> = None;
    let mut next_start = Instant::now();
    loop {
        let start_next = waiting.len() > 0;
        tokio::select! {
            biased;
            result = first(&mut attempts), if !attempts.is_empty() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    fault = Some(more_telling(fault, NetError::connecting(peer, error)));
                    next_start = Instant::now();
                }
            },
            () = sleep_until(deadline) => return Err(more_telling(fault, timeout())),
            () = sleep_until(next_start), if start_next => {
                if let Some(address) = waiting.next() {
                    attempts.push(Box::pin(attempt(*address, *options)));
                }
                next_start = Instant::now().checked_add(NEXT_ADDRESS).unwrap_or(deadline);
            }
        }
        if attempts.is_empty() && waiting.len() == 0 {
            return Err(fault.unwrap_or_else(timeout));
        }
    }
}

async fn attempt(address: SocketAddr, options: Options) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    options.apply(&SockRef::from(&socket))?;
    socket.connect(address).await
}

/// The first attempt that ends; it is removed.
async fn first(attempts: &mut Vec<Attempt>) -> io::Result<TcpStream> {
    std::future::poll_fn(|context| {
        let ended = attempts.iter_mut().enumerate().find_map(|(at, attempt)| {
            if let Poll::Ready(result) = attempt.as_mut().poll(context) {
                Some((at, result))
            } else {
                None
            }
        });
        let Some((at, result)) = ended else {
            return Poll::Pending;
        };
        drop(attempts.swap_remove(at));
        Poll::Ready(result)
    })
    .await
}

/// The fault, of several addresses, that says most: that a host answered at all, or else how far we got.
fn more_telling(one: Option<NetError>, other: NetError) -> NetError {
    let rank = |error: &NetError| match error {
        NetError::Refused { .. } => 3,
        NetError::ConnectTimeout { .. } => 2,
        NetError::Unreachable { .. } => 1,
        _ => 0,
    };
    match one {
        Some(one) if rank(&one) >= rank(&other) => one,
        _ => other,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use socket2::{Domain, Socket, Type};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    use super::{NetError, Options, alternate, connect, knock, race};
    use crate::zmtp::{Limits, SocketType};

    fn soon(milliseconds: u64) -> Instant {
        Instant::now() + Duration::from_millis(milliseconds)
    }

    async fn closed_port() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        listener.local_addr().unwrap()
    }

    /// A listener whose queue is full, so that the system drops every further SYN.
    async fn deaf() -> (Socket, Vec<TcpStream>, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
            .unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        while let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            queue.push(stream);
        }
        (socket, queue, address)
    }

    #[test]
    fn families_take_turns_in_the_resolvers_order() {
        let addresses: Vec<SocketAddr> = ["[::1]:1", "[::1]:2", "[::1]:3", "1.1.1.1:1", "1.1.1.1:2"]
            .map(|text| text.parse().unwrap())
            .into();
        let turns: Vec<String> = alternate(&addresses).iter().map(ToString::to_string).collect();
        assert_eq!(turns, ["[::1]:1", "1.1.1.1:1", "[::1]:2", "1.1.1.1:2", "[::1]:3"]);
    }

    #[tokio::test]
    async fn a_closed_port_is_refused() {
        let address = closed_port().await;
        let options = Options::default();
        let result = connect(
            "127.0.0.1",
            address.port(),
            SocketType::Req,
            Limits::default(),
            &options,
            soon(5000),
        )
        .await;
        let error = result.unwrap_err();
        assert!(matches!(error, NetError::Refused { .. }), "{error}");
        assert_eq!(error.peer(), address.to_string());
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_not_resolved() {
        // RFC 6761: nobody may have a name in `invalid`.
        let options = Options::default();
        let result = connect(
            "salt.invalid",
            4506,
            SocketType::Req,
            Limits::default(),
            &options,
            soon(30_000),
        )
        .await;
        assert!(matches!(result, Err(NetError::NotResolved { .. })), "{result:?}");
    }

    #[tokio::test]
    async fn a_host_that_drops_packets_is_a_connect_timeout() {
        let (_listener, _queue, address) = deaf().await;
        let began = Instant::now();
        let error = race(&[address], "peer", &Options::default(), soon(400))
            .await
            .unwrap_err();
        assert!(matches!(error, NetError::ConnectTimeout { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn one_address_that_works_is_enough() {
        let (_listener, _queue, deaf) = deaf().await;
        let refused = closed_port().await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let open = listener.local_addr().unwrap();
        let began = Instant::now();
        let stream = race(&[deaf, refused, open], "peer", &Options::default(), soon(10_000))
            .await
            .unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn an_answer_of_any_host_says_more_than_silence() {
        let (_listener, _queue, deaf) = deaf().await;
        let options = Options {
            user_timeout: Duration::from_millis(500),
            ..Options::default()
        };
        let refused = closed_port().await;
        let error = race(&[refused, deaf], "peer", &options, soon(60_000))
            .await
            .unwrap_err();
        assert!(matches!(error, NetError::Refused { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_knock_tells_an_open_port_from_a_closed_and_a_deaf_one() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        knock(listener.local_addr().unwrap(), soon(5000)).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        let refused = knock(closed_port().await, soon(5000)).await;
        assert!(matches!(refused, Err(NetError::Refused { .. })), "{refused:?}");
        let (_listener, _queue, deaf) = deaf().await;
        let dropped = knock(deaf, soon(300)).await;
        assert!(
            matches!(dropped, Err(NetError::ConnectTimeout { .. })),
            "{dropped:?}"
        );
    }

    #[tokio::test]
    async fn a_silent_peer_is_a_handshake_timeout() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = Options::default();
        let result = connect(
            "127.0.0.1",
            port,
            SocketType::Req,
            Limits::default(),
            &options,
            soon(200),
        )
        .await;
        assert!(
            matches!(result, Err(NetError::HandshakeTimeout { .. })),
            "{result:?}"
        );
    }
}
