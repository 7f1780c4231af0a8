//! What the sidecar tells over HTTP: state as JSON, the active master as text, health, metrics.
//!
//! For local monitoring, and so for loopback. Any user and any web page of the host's browsers can reach it, hence the limits on
//! what is read, for how long and by how many at once, and the look at `Host` (a page whose name was turned to 127.0.0.1, "DNS
//! rebinding", says its own name there). Answers are made beforehand; nobody who asks makes the sidecar do anything.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::metrics::{self, Metrics};

/// Connections at once. Prometheus and a probe need two.
const CONNECTIONS: usize = 32;
/// The head of a request. The smallest that hyper takes.
const HEAD: usize = 8 * 1024;
/// From the opening of a connection, or the last answer on it, until the head of a request is in.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection in all, against those who do not read their answer.
const LONGEST: Duration = Duration::from_secs(60);
/// Between two tries to listen on a port that is taken.
const RETRY: Duration = Duration::from_secs(2);
/// After an accept that failed for lack of descriptors.
const SHORT_OF_DESCRIPTORS: Duration = Duration::from_millis(200);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What is known now, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// `/status`: one JSON document.
    pub status: Bytes,
    /// `/active-master`: its name.
    pub active: Option<String>,
    /// `/readyz`: why not, if not.
    pub ready: Result<(), String>,
}

/// Whether it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listening {
    /// Not yet.
    NotYet,
    /// It does, here: the port is a number even where 0 was asked for.
    At(SocketAddr),
    /// It cannot, for this reason; it is tried again.
    Failed(String),
}

/// Listens there and answers until it is dropped, which also ends all connections.
///
/// On loopback only requests are answered that name loopback; anywhere else, where the operator wanted others to ask, any.
pub async fn serve(
    address: SocketAddr,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    metrics: Arc<Metrics>,
    listening: watch::Sender<Listening>,
) -> Infallible {
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => {
                let reason = cannot_listen(address, &error);
                listening.send_if_modified(|now| {
                    let failed = Listening::Failed(reason);
                    let news = *now != failed;
                    *now = failed;
                    news
                });
                sleep(RETRY).await;
            }
        }
    };
    listening.send_replace(Listening::At(listener.local_addr().unwrap_or(address)));
    let answers = Arc::new(Answers {
        loopback: address.ip().to_canonical().is_loopback(),
        snapshots,
        metrics,
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS => {
                    connections.spawn(converse(stream, Arc::clone(&answers)));
                }
                Ok((stream, _)) => turn_away(&stream),
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection");
                    sleep(SHORT_OF_DESCRIPTORS).await;
                }
            }
        }
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => ": another process has that port; end it, or set sidecar.listen",
        io::ErrorKind::AddrNotAvailable => ": no address of this host; set sidecar.listen",
        io::ErrorKind::PermissionDenied => ": not allowed; set sidecar.listen to a port above 1023",
        _ => "",
    };
    format!("cannot listen on {address}: {error}{remedy}")
}

/// One connection, request by request.
async fn converse(stream: TcpStream, answers: Arc<Answers>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answers.to(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(LONGEST, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "HTTP connection ended"),
    }
}

/// Says at once that there are too many, as far as it can without waiting.
fn turn_away(stream: &TcpStream) {
    let answer = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 21\r\n\r\ntoo many connections\n";
    if let Err(error) = stream.try_write(answer) {
        tracing::debug!(%error, "turned a connection away in silence");
    }
}

struct Answers {
    /// Whether that is all it listens on.
    loopback: bool,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    metrics: Arc<Metrics>,
}

impl Answers {
    fn to<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if let Err((status, reason)) = self.is_addressed(request) {
            return text(status, reason);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let now = Arc::clone(&self.snapshots.borrow());
        match request.uri().path() {
            "/status" => answer(StatusCode::OK, JSON, now.status.clone()),
            "/active-master" => match &now.active {
                Some(name) => text(StatusCode::OK, format!("{name}\n")),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "no active master\n"),
            },
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match &now.ready {
                Ok(()) => text(StatusCode::OK, "ready\n"),
                Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
            },
            "/metrics" => answer(StatusCode::OK, metrics::CONTENT_TYPE, self.metrics.text()),
            _ => text(
                StatusCode::NOT_FOUND,
                "nothing here: see /status, /active-master, /healthz, /readyz, /metrics\n",
            ),
        }
    }

    /// Whether the request is meant for us, by each name that it gives.
    fn is_addressed<B>(&self, request: &Request<B>) -> Result<(), (StatusCode, &'static str)> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let header = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Some(
                Authority::try_from(host.as_bytes())
                    .map_err(|_| (StatusCode::BAD_REQUEST, "the Host header is not readable\n"))?,
            ),
            (None, _) if request.version() < Version::HTTP_11 => None,
            _ => return Err((StatusCode::BAD_REQUEST, "one Host header is needed\n")),
        };
        let mut named = header
            .iter()
            .map(Authority::host)
            .chain(request.uri().authority().map(Authority::host));
        if !self.loopback || named.all(is_loopback) {
            Ok(())
        } else {
            Err((
                StatusCode::MISDIRECTED_REQUEST,
                "not asked for by that name: use localhost or the address\n",
            ))
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare.unwrap_or(host).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host
            .strip_suffix('.')
            .unwrap_or(host)
            .eq_ignore_ascii_case("localhost"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    answer(status, TEXT, body)
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    struct Server {
        snapshots: watch::Sender<Arc<Snapshot>>,
        listening: watch::Receiver<Listening>,
        _serving: JoinSet<Infallible>,
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            status: Bytes::from_static(b"{\"masters\":[]}\n"),
            active: Some("salt1.xyz.example".to_owned()),
            ready: Ok(()),
        }
    }

    fn start(address: &str) -> Server {
        let address = address.parse().unwrap();
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot()));
        let (sender, listening) = watch::channel(Listening::NotYet);
        let mut serving = JoinSet::new();
        serving.spawn(serve(address, receiver, Arc::new(Metrics::new()), sender));
        Server {
            snapshots,
            listening,
            _serving: serving,
        }
    }

    impl Server {
        async fn address(&mut self) -> SocketAddr {
            let listens = |now: &Listening| matches!(now, Listening::At(_));
            match *self.listening.wait_for(listens).await.unwrap() {
                Listening::At(address) => address,
                _ => unreachable!(),
            }
        }

        /// Sends bytes, and reads until the server closes.
        async fn says(&mut self, request: &[u8]) -> String {
            let mut stream = TcpStream::connect(self.address().await).await.unwrap();
            // It may have closed before it has read everything.
            let _ = stream.write_all(request).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8(answer).unwrap()
        }

        /// Asks for a path: the status and the body.
        async fn get(&mut self, path: &str) -> (u16, String) {
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:9745\r\nConnection: close\r\n\r\n");
            parts(&self.says(request.as_bytes()).await)
        }
    }

    fn parts(answer: &str) -> (u16, String) {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (
            status.unwrap_or_else(|| panic!("no answer: {answer:?}")),
            body.to_owned(),
        )
    }

    #[tokio::test]
    async fn each_endpoint_tells_what_is_known_now() {
        let mut server = start("127.0.0.1:0");
        assert_eq!(
            server.get("/status").await,
            (200, "{\"masters\":[]}\n".to_owned())
        );
        assert_eq!(server.get("/status?x=1").await.0, 200);
        assert_eq!(
            server.get("/active-master").await,
            (200, "salt1.xyz.example\n".to_owned())
        );
        assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
        assert_eq!(server.get("/readyz").await, (200, "ready\n".to_owned()));
        let (status, metrics) = server.get("/metrics").await;
        assert_eq!(status, 200);
        assert!(metrics.contains("saltfo_build_info{") && metrics.ends_with("# EOF\n"));

        server.snapshots.send_replace(Arc::new(Snapshot {
            active: None,
            ready: Err("no master is up".to_owned()),
            ..snapshot()
        }));
        assert_eq!(
            server.get("/active-master").await,
            (503, "no active master\n".to_owned())
        );
        assert_eq!(server.get("/readyz").await, (503, "no master is up\n".to_owned()));
        assert_eq!(server.get("/healthz").await.0, 200);
    }

    #[tokio::test]
    async fn a_connection_may_be_kept_and_asked_again() {
        let mut server = start("127.0.0.1:0");
        let two = "GET /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n\
                   HEAD /status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
        let answer = server.says(two.as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
        assert!(
            answer.contains("content-length: 15") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn junk_is_answered_with_an_error_at_once() {
        let mut server = start("127.0.0.1:0");
        let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(HEAD));
        let many = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            "a: b\r\n".repeat(500)
        );
        for (request, status) in [
            (
                "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                404,
            ),
            ("GET /status/ HTTP/1.0\r\n\r\n", 404),
            ("GET /status HTTP/1.0\r\n\r\n", 200),
            (
                "POST /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                405,
            ),
            (
                "DELETE / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
                405,
            ),
            ("GET /status HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
            (
                "GET /status HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                400,
            ),
            (
                "GET /status HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
                400,
            ),
            ("GET /status HTTP/1.1\r\nHost localhost\r\n\r\n", 400),
            ("\0\u{1}\u{2}nonsense\r\n\r\n", 400),
            (&long, 431),
            (&many, 431),
        ] {
            let answer = timeout(PATIENCE / 2, server.says(request.as_bytes())).await;
            let answer = answer.unwrap_or_else(|_| panic!("no answer to {request:.60}"));
            assert_eq!(parts(&answer).0, status, "{request:.80} {answer}");
        }
        // HTTP/2 without asking whether it is spoken here: hyper hangs up.
        let hung_up = server.says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_eq!(timeout(PATIENCE / 2, hung_up).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_page_of_another_name_gets_nothing() {
        let mut server = start("127.0.0.1:0");
        for (line, host, status) in [
            ("/status", "evil.example", 421),
            ("/status", "evil.example:9745", 421),
            ("/status", "localhost.evil.example", 421),
            ("/status", "10.0.0.1", 421),
            ("http://evil.example/status", "localhost", 421),
            ("/status", "LOCALHOST.:9745", 200),
            ("/status", "127.8.8.8:1", 200),
            ("/status", "[::ffff:127.0.0.1]", 200),
            ("http://localhost/status", "localhost", 200),
        ] {
            let request = format!("GET {line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let (got, body) = parts(&server.says(request.as_bytes()).await);
            assert_eq!(got, status, "{line} {host}");
            assert_eq!(body.contains("masters"), status == 200, "{body}");
        }
        // Where the operator opened it to others they may call it what they like.
        let mut open = start("0.0.0.0:0");
        let request = "GET /healthz HTTP/1.1\r\nHost: minion01.xyz.example\r\nConnection: close\r\n\r\n";
        assert_eq!(parts(&open.says(request.as_bytes()).await).0, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_finish_a_request_is_dropped() {
        let mut server = start("127.0.0.1:0");
        for begun in [
            "",
            "GET /status HT",
            "GET /status HTTP/1.1\r\nHost: localhost\r\nX: ",
        ] {
            let start = tokio::time::Instant::now();
            server.says(begun.as_bytes()).await;
            assert!(start.elapsed() <= PATIENCE * 2, "{begun}");
        }
        // Also after an answer.
        let start = tokio::time::Instant::now();
        let answer = server
            .says(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        assert_eq!(parts(&answer).0, 200);
        assert!(start.elapsed() <= PATIENCE * 2);
    }

    #[tokio::test]
    async fn too_many_at_once_are_turned_away_and_room_is_made_again() {
        let mut server = start("127.0.0.1:0");
        let address = server.address().await;
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(
            server.get("/healthz").await,
            (503, "too many connections\n".to_owned())
        );
        drop(held);
        let again = async { while server.get("/healthz").await.0 != 200 {} };
        timeout(PATIENCE, again).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_in_use_is_reported_and_taken_once_it_is_free() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let mut server = start(&address.to_string());
        let failed = |now: &Listening| matches!(now, Listening::Failed(_));
        let told = server.listening.wait_for(failed).await.unwrap().clone();
        assert!(
            matches!(&told, Listening::Failed(reason) if reason.contains(&address.to_string()) && reason.contains("sidecar.listen")),
            "{told:?}"
        );
        drop(other);
        assert_eq!(server.address().await, address);
        assert_eq!(server.get("/healthz").await.0, 200);
    }
}
