//! Something that listens: one thread for each connection, and a record of what became of them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use proto::zmtp::{Connection, Event, Limits, Message, SocketType};

/// A listener on a free port of 127.0.0.`host`. Dropping it closes it.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    record: Arc<Record>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Record {
    closing: AtomicBool,
    accepted: AtomicUsize,
    ended: AtomicUsize,
}

impl Peer {
    /// Serves each connection until `serve` returns.
    pub(crate) fn start(host: u8, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, host), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::new(Record::default());
        let (theirs, serve) = (Arc::clone(&record), Arc::new(serve));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if theirs.closing.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                theirs.accepted.fetch_add(1, Ordering::SeqCst);
                let (record, serve) = (Arc::clone(&theirs), Arc::clone(&serve));
                std::thread::spawn(move || {
                    serve(stream);
                    record.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self {
            address,
            record,
            accepting: Some(accepting),
        }
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.record.accepted.load(Ordering::SeqCst)
    }

    /// Connections that have ended.
    pub(crate) fn ended(&self) -> usize {
        self.record.ended.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.record.closing.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        // What saltfo keeps for each address that it publishes at; these ports are used once.
        let (ip, port) = (self.address.ip(), self.address.port());
        for folder in ["/run/lock".into(), std::env::temp_dir()] {
            for what in ["gate", "road", "runner"] {
                let _ = std::fs::remove_file(folder.join(format!("saltfo-{what}-{ip}-{port}.lock")));
            }
        }
    }
}

/// Reads until the other side hangs up.
pub(crate) fn drain(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while !matches!(stream.read(&mut buffer), Ok(0) | Err(_)) {}
}

/// The ROUTER end of a ZMTP connection.
pub(crate) struct Router {
    stream: TcpStream,
    zmtp: Connection,
}

impl Router {
    /// Greets; the handshake is completed by the first [`next`](Self::next).
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            zmtp: Connection::new(SocketType::Router, Limits::default()),
        }
    }

    /// The payload of the next request; none when the other side has hung up.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        loop {
            self.flush().ok()?;
            match self.zmtp.next_event() {
                Ok(Some(Event::Message(message))) => return Some(message.into_payload().unwrap()),
                Ok(Some(_)) => {}
                // A SUB: `probe` tries the publish port, which is this one here.
                Err(_) => {
                    let _ = self.flush();
                    return None;
                }
                Ok(None) => match self.stream.read(&mut buffer) {
                    Ok(0) => return None,
                    Ok(count) => self.zmtp.receive(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return None,
                },
            }
        }
    }

    /// Sends a reply; an error only says that the other side has hung up.
    pub(crate) fn reply(&mut self, payload: Vec<u8>) -> std::io::Result<()> {
        self.zmtp.send(&Message::delimited(payload)).unwrap();
        self.flush()
    }

    /// The connection without ZMTP on it.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn flush(&mut self) -> std::io::Result<()> {
        while !self.zmtp.output().is_empty() {
            let count = self.stream.write(self.zmtp.output())?;
            self.zmtp.consume(count);
        }
        Ok(())
    }
}
