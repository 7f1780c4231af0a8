//! Orders of the operator on this host, `saltfo move` and `saltfo drain`: one line of JSON there, one back.
//!
//! They come over an abstract socket (unix(7)): its name belongs to the network namespace, as the port of the report does, and it leaves
//! no file behind. Only root and the sidecar's own user are heard; the kernel says who it is. It also says who hears: while no sidecar
//! runs, anybody may take the name.

use std::io;
use std::os::linux::fs::MetadataExt as _;
use std::os::linux::net::SocketAddrExt as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The longest order or answer, in bytes.
const LONGEST: u64 = 16 << 10;
/// How long an order may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);
/// Orders at once.
const CONNECTIONS: usize = 8;
/// Between two tries to take the name.
const RETRY: Duration = Duration::from_secs(2);

/// What the packaged unit makes for its user (`RuntimeDirectory=`), who has no name and another number each time (`DynamicUser=`). Only root
/// can make it.
const FOLDER: &str = "/run/saltfo";

/// What the operator wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// The minion on this master; on any other than now if none is named.
    Move(Option<String>),
    /// No minion on this master as long as another one is up.
    Drain(String),
    /// The end of that.
    Undrain(String),
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// In one word.
    pub result: Outcome,
    /// The master that had the minion.
    pub from: Option<String>,
    /// The master that has it now.
    pub to: Option<String>,
    /// From the switch until the minion answered, in milliseconds.
    pub after_ms: Option<f64>,
    /// In words.
    pub why: String,
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The minion was moved, and jobs reach it there.
    Moved,
    /// It was moved, and nothing is proven: jobs did not reach it before, or round trips are not permitted.
    Unproven,
    /// It did not answer there, and was moved back.
    TakenBack,
    /// Nothing had to be moved.
    Noted,
    /// It cannot be done now.
    Unable,
    /// It can never be done.
    Refused,
}

/// An order, and where the answer goes to.
#[derive(Debug)]
pub struct Asked {
    /// The order.
    pub order: Order,
    /// Who waits for the answer.
    pub answer: oneshot::Sender<Done>,
}

/// Why no sidecar took an order.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("no sidecar takes orders here: {0}; is it running? (systemctl status saltfo)")]
    Nobody(io::Error),
    /// It listens, and did not hear us.
    #[error("the sidecar hears orders of root and of its own user only: run this as root")]
    NotHeard,
    /// Somebody has taken the name, and nothing was said to him.
    #[error(
        "who takes orders here is user {uid}, and neither root nor the owner of {FOLDER}: the order was not given; if that sidecar is yours, \
         run this as its user"
    )]
    Stranger {
        /// Whom the kernel says to listen.
        uid: u32,
    },
    /// No answer in time, or not one.
    #[error("the sidecar gave no answer: {0}")]
    NoAnswer(String),
}

/// Takes orders until it is dropped. `port` is that of the report, which tells sidecars of one host apart.
pub async fn serve(port: u16, orders: mpsc::Sender<Asked>) {
    let mut told = false;
    let listener = loop {
        match listen(port) {
            Ok(listener) => break listener,
            Err(error) => {
                if !told {
                    tracing::warn!("cannot listen for orders (saltfo move): {error}; trying again");
                    told = true;
                }
                sleep(RETRY).await;
            }
        }
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS && is_trusted(&stream) => {
                    let orders = orders.clone();
                    connections.spawn(async move {
                        if let Err(error) = hear(stream, orders).await {
                            tracing::debug!(%error, "an order was not heard");
                        }
                    });
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "cannot accept an order");
                    sleep(RETRY).await;
                }
            }
        }
    }
}

/// Gives an order to the sidecar whose report is at this port, and waits for what becomes of it.
///
/// # Errors
/// [`ControlError`].
pub async fn ask(port: u16, order: &Order, patience: Duration) -> Result<Done, ControlError> {
    let conversation = async {
        let address = address(port).map_err(ControlError::Nobody)?;
        let stream = std::os::unix::net::UnixStream::connect_addr(&address).map_err(ControlError::Nobody)?;
        stream.set_nonblocking(true).map_err(ControlError::Nobody)?;
        let mut stream = UnixStream::from_std(stream).map_err(ControlError::Nobody)?;
        let uid = stream.peer_cred().map_err(ControlError::Nobody)?.uid();
        if !is_sidecar(uid, own_uid(), std::fs::metadata(FOLDER).ok()) {
            return Err(ControlError::Stranger { uid });
        }
        let no_answer = |error: io::Error| ControlError::NoAnswer(error.to_string());
        let mut line = serde_json::to_vec(order).map_err(|error| no_answer(error.into()))?;
        line.push(b'\n');
        if stream.write_all(&line).await.is_err() {
            return Err(ControlError::NotHeard);
        }
        let mut answer = Vec::new();
        match stream.take(LONGEST).read_to_end(&mut answer).await {
            Ok(0) => Err(ControlError::NotHeard),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(ControlError::NotHeard),
            Err(error) => Err(no_answer(error)),
            Ok(_) => serde_json::from_slice(&answer).map_err(|error| no_answer(error.into())),
        }
    };
    timeout(patience, conversation)
        .await
        .unwrap_or_else(|_| Err(ControlError::NoAnswer("not in time".to_owned())))
}

fn address(port: u16) -> io::Result<std::os::unix::net::SocketAddr> {
    std::os::unix::net::SocketAddr::from_abstract_name(format!("saltfo-sidecar-{port}"))
}

fn listen(port: u16) -> io::Result<UnixListener> {
    let listener = std::os::unix::net::UnixListener::bind_addr(&address(port)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn is_trusted(stream: &UnixStream) -> bool {
    let own = own_uid();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || Some(peer.uid()) == own)
}

/// Whether a sidecar that we would obey runs as this user.
fn is_sidecar(uid: u32, own: Option<u32>, folder: Option<std::fs::Metadata>) -> bool {
    let owner = folder
        .filter(std::fs::Metadata::is_dir)
        .map(|folder| folder.st_uid());
    uid == 0 || Some(uid) == own || Some(uid) == owner
}

/// Our own user: whom the kernel says to be at the other end of a socket of our own.
fn own_uid() -> Option<u32> {
    let (one, _other) = UnixStream::pair().ok()?;
    Some(one.peer_cred().ok()?.uid())
}

async fn hear(stream: UnixStream, orders: mpsc::Sender<Asked>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    timeout(
        PATIENCE,
        BufReader::new(read.take(LONGEST)).read_until(b'\n', &mut line),
    )
    .await
    .map_err(|_| io::ErrorKind::TimedOut)??;
    let order = serde_json::from_slice(&line)?;
    let (answer, done) = oneshot::channel();
    if orders.send(Asked { order, answer }).await.is_err() {
        return Ok(());
    }
    if let Ok(done) = done.await {
        write.write_all(&serde_json::to_vec(&done)?).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that no sidecar of this machine has its report at.
    fn port() -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn an_order_arrives_and_its_end_comes_back() {
        let port = port();
        let (orders, mut asked) = mpsc::channel(1);
        let server = tokio::spawn(serve(port, orders));
        let order = Order::Move(Some("salt2".to_owned()));
        let done = Done {
            result: Outcome::Moved,
            from: Some("salt1".to_owned()),
            to: Some("salt2".to_owned()),
            after_ms: Some(180.5),
            why: "it was asked for".to_owned(),
        };
        let operator = async {
            loop {
                match ask(port, &order, Duration::from_secs(10)).await {
                    // It has not begun to listen yet.
                    Err(ControlError::Nobody(_)) => tokio::task::yield_now().await,
                    other => return other,
                }
            }
        };
        let sidecar = async {
            let asked = asked.recv().await.unwrap();
            assert_eq!(asked.order, order);
            asked.answer.send(done.clone()).unwrap();
        };
        let (answer, ()) = tokio::join!(operator, sidecar);
        assert_eq!(answer.unwrap(), done);
        server.abort();
    }

    #[tokio::test]
    async fn without_a_sidecar_the_error_says_what_to_look_at() {
        let error = ask(port(), &Order::Move(None), Duration::from_secs(1))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("systemctl status saltfo"), "{error}");
    }

    #[test]
    fn no_stranger_is_taken_for_the_sidecar() {
        let folder = tempfile::tempdir().unwrap();
        let owned = || std::fs::metadata(folder.path()).ok();
        let owner = owned().unwrap().st_uid();
        assert!(is_sidecar(owner, Some(owner + 1), owned()));
        assert!(is_sidecar(0, Some(1000), None));
        assert!(is_sidecar(1000, Some(1000), None));
        assert!(!is_sidecar(1001, Some(1000), None));
        assert!(!is_sidecar(owner + 1, None, owned()));
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(!is_sidecar(
            owner + 2,
            Some(owner + 1),
            std::fs::metadata(file).ok()
        ));
    }

    #[tokio::test]
    async fn rubbish_is_no_order() {
        let port = port();
        let (orders, mut asked) = mpsc::channel(1);
        let server = tokio::spawn(serve(port, orders));
        let mut stream = loop {
            match std::os::unix::net::UnixStream::connect_addr(&address(port).unwrap()) {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        io::Write::write_all(&mut stream, b"{\"reboot\": true}\n").unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut stream = UnixStream::from_std(stream).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty());
        assert!(asked.try_recv().is_err());
        server.abort();
    }
}
