//! A master in this process: it does what a master does, and changes its manners while connections stand.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::crypto::{Crypticle, KeyString, PrivateKey, SigningAlgorithm};
use proto::message::{Limits, Value};
use proto::net::{Channel, accept};
use proto::zmtp::{Event, Limits as Wire, Message, SocketType};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::acceptance::{Accepted, key_string};
use crate::client::{ID, keys};

/// The job id of each job.
pub(crate) const JID: &str = "20261120184009763862";

/// How it behaves towards connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should.
    Alive,
    /// As when all its processes are stopped: the system takes connections, nobody reads.
    Hung,
    /// There is no such process: what stands is reset, what comes is refused.
    Dead,
    /// Takes connections and says something that is not ZMTP.
    Babbling,
    /// Shakes hands and closes.
    Closing,
}

/// How it answers what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Honest,
    /// Never.
    Nothing,
    /// After this time.
    Late(Duration),
    /// With the last reply once more.
    Replay,
    /// As a master does that can't open it.
    BadLoad,
    /// The same of all workers but one of so many. Requests are dealt to them in turn.
    ByOneWorkerOf(usize),
    /// Twice.
    Twice,
    /// As another master would.
    SignInByAnother,
    /// The key waits for acceptance.
    Pending,
    /// `peer:` allows nothing.
    NotPermitted,
}

/// The master. Dropped, it is gone.
pub(crate) struct Master {
    pub(crate) requests: SocketAddr,
    pub(crate) publications: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    manner: watch::Sender<Manner>,
    answer: Mutex<Answer>,
    session: Mutex<Vec<u8>>,
    aes: Mutex<Vec<u8>>,
    serial: AtomicI64,
    last_reply: Mutex<Vec<u8>>,
    publish: broadcast::Sender<Message>,
    sign_ins: AtomicUsize,
    asked: AtomicUsize,
    connections: [AtomicUsize; 2],
    open: [AtomicUsize; 2],
    subscriptions: Mutex<Vec<Vec<u8>>>,
}

impl Master {
    /// On free ports of 127.0.0.`host`.
    pub(crate) async fn start(host: u8) -> Self {
        let shared = Arc::new(Shared {
            manner: watch::Sender::new(Manner::Alive),
            answer: Mutex::new(Answer::Honest),
            session: Mutex::new(key_string()),
            aes: Mutex::new(key_string()),
            serial: AtomicI64::new(0),
            last_reply: Mutex::default(),
            publish: broadcast::Sender::new(4096),
            sign_ins: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            connections: Default::default(),
            open: Default::default(),
            subscriptions: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        let mut addresses = Vec::new();
        for line in 0..2 {
            let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
            let listener = listen(address);
            addresses.push(listener.local_addr().unwrap());
            tasks.spawn(Arc::clone(&shared).listen(listener, line));
        }
        Self {
            requests: addresses[0],
            publications: addresses[1],
            shared,
            _tasks: tasks,
        }
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.shared.manner.send_replace(manner);
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// New session keys: requests under the old ones do not open.
    pub(crate) fn rotate_session(&self) {
        *self.shared.session.lock().unwrap() = key_string();
    }

    /// A new AES key: publications are under it from now on.
    pub(crate) fn rotate_aes(&self) {
        *self.shared.aes.lock().unwrap() = key_string();
        self.shared.serial.store(0, Ordering::SeqCst);
    }

    pub(crate) fn sign_ins(&self) -> usize {
        self.shared.sign_ins.load(Ordering::SeqCst)
    }

    /// Encrypted requests so far.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// Connections so far to the request and the publish port.
    pub(crate) fn connections(&self) -> [usize; 2] {
        [0, 1].map(|line| self.shared.connections[line].load(Ordering::SeqCst))
    }

    /// Connections that stand.
    pub(crate) fn open(&self) -> [usize; 2] {
        [0, 1].map(|line| self.shared.open[line].load(Ordering::SeqCst))
    }

    pub(crate) fn subscriptions(&self) -> Vec<Vec<u8>> {
        self.shared.subscriptions.lock().unwrap().clone()
    }

    /// A publication as it should be, not sent yet.
    pub(crate) fn publication(&self) -> Vec<u8> {
        self.publication_by(Some(&keys().master))
    }

    /// A publication signed by this key, or by nobody.
    pub(crate) fn publication_by(&self, signer: Option<&PrivateKey>) -> Vec<u8> {
        let serial = self.shared.serial.fetch_add(1, Ordering::SeqCst) + 1;
        // Every other one is a ping.
        let function = if serial % 2 == 1 {
            "test.ping"
        } else {
            "state.apply"
        };
        let load = Value::map([
            ("jid", Value::text(JID)),
            ("serial", Value::Int(serial)),
            ("fun", Value::text(function)),
        ]);
        let aes = crypticle(&self.shared.aes);
        let load = aes.encrypt(&load.encode(), None, &mut rand::rng()).unwrap();
        let sig = signer.map(|key| {
            let sig = key.sign(SigningAlgorithm::Pkcs1v15Sha1, &load, &mut rand::rng());
            ("sig", Value::Raw(sig.unwrap()))
        });
        let fields = [("enc", Value::text("aes")), ("load", Value::Raw(load))];
        Value::map(fields.into_iter().chain(sig)).encode()
    }

    /// Sends this to who is connected.
    pub(crate) fn publish(&self, payload: Vec<u8>) {
        let _ = self.shared.publish.send(Message::single(payload));
    }

    /// The same as a master with `zmq_filtering`.
    pub(crate) fn publish_to(&self, topic: &str, payload: Vec<u8>) {
        let frames = vec![topic.as_bytes().to_vec(), payload];
        let _ = self.shared.publish.send(Message::from_frames(frames).unwrap());
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(128).unwrap()
}

impl Shared {
    async fn listen(self: Arc<Self>, listener: TcpListener, line: usize) {
        let address = listener.local_addr().unwrap();
        let mut listener = Some(listener);
        let mut manner = self.manner.subscribe();
        let mut serving = JoinSet::new();
        loop {
            let now = *manner.borrow_and_update();
            if now == Manner::Dead {
                listener = None;
                serving.abort_all();
            } else if listener.is_none() {
                listener = Some(listen(address));
            }
            let accepted = async {
                match &listener {
                    Some(listener) if now != Manner::Hung => listener.accept().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = manner.changed() => {}
                accepted = accepted => {
                    let (stream, _) = accepted.unwrap();
                    self.connections[line].fetch_add(1, Ordering::SeqCst);
                    serving.spawn(Arc::clone(&self).serve(stream, line));
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream, line: usize) {
        use tokio::io::AsyncWriteExt as _;
        let mut manner = self.manner.subscribe();
        if *manner.borrow() == Manner::Babbling {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").await;
            sleep(Duration::from_secs(60)).await;
            return;
        }
        // Whatever is told of a reset is told of this.
        let _ = stream.set_zero_linger();
        let role = if line == 0 {
            SocketType::Router
        } else {
            SocketType::Pub
        };
        let Ok(mut channel) = accept(stream, role, Wire::default(), far()).await else {
            return;
        };
        let _open = Open::count(&self.open[line]);
        let mut published = self.publish.subscribe();
        loop {
            let now = *manner.borrow_and_update();
            if now == Manner::Closing {
                return;
            }
            tokio::select! {
                changed = manner.changed() => if changed.is_err() { return },
                // PINGs are answered by this wait, and by nothing else.
                event = channel.next_event(far()), if now != Manner::Hung => match event {
                    Ok(Event::Message(message)) => self.reply(&mut channel, message).await,
                    Ok(Event::Subscribe(prefix)) => self.subscriptions.lock().unwrap().push(prefix),
                    Ok(_) => {}
                    Err(_) => return,
                },
                Ok(message) = published.recv(), if line == 1 => {
                    if channel.send(&message, far()).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn reply(&self, channel: &mut Channel, message: Message) {
        let request = Value::decode(&message.into_payload().unwrap(), Limits::VERIFIED).unwrap();
        let answer = *self.answer.lock().unwrap();
        let reply = if text(&request, "enc") == "clear" {
            self.sign_in(&request, answer)
        } else {
            self.encrypted(&request, answer)
        };
        match answer {
            Answer::Nothing => return,
            Answer::Late(time) => {
                // Heartbeats are answered meanwhile.
                let until = Instant::now() + time;
                while channel.next_event(until).await.is_ok() {}
            }
            Answer::Twice => drop(channel.send(&Message::delimited(reply.clone()), far()).await),
            _ => {}
        }
        // Who asked may be gone.
        let _ = channel.send(&Message::delimited(reply), far()).await;
    }

    fn sign_in(&self, request: &Value, answer: Answer) -> Vec<u8> {
        self.sign_ins.fetch_add(1, Ordering::SeqCst);
        let load = request.get("load").unwrap();
        assert_eq!(text(load, "id"), ID);
        let nonce = load.get("nonce").and_then(Value::as_bytes).unwrap().to_vec();
        if answer == Answer::Pending {
            let claim = Value::map([("ret", Value::Bool(true)), ("nonce", Value::Raw(nonce))]);
            let signer = (&keys().master, SigningAlgorithm::Pkcs1v15Sha1);
            return crate::acceptance::envelope(&claim.encode(), Some(signer));
        }
        let mut accepted = Accepted::honest(nonce, None, self.session.lock().unwrap().clone());
        accepted.aes = self.aes.lock().unwrap().clone();
        if answer == Answer::SignInByAnother {
            accepted.speak_as(&keys().other_master, Some(&keys().other_master_sign));
        }
        accepted.encode()
    }

    fn encrypted(&self, request: &Value, answer: Answer) -> Vec<u8> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let refuses = match answer {
            Answer::BadLoad => true,
            Answer::ByOneWorkerOf(workers) => !asked.is_multiple_of(workers),
            _ => false,
        };
        let session = crypticle(&self.session);
        let opened = session.decrypt(request.get("load").and_then(Value::as_bytes).unwrap());
        let (Ok(opened), false) = (opened, refuses) else {
            return Value::text("bad load").encode();
        };
        if answer == Answer::Replay {
            return self.last_reply.lock().unwrap().clone();
        }
        let load = Value::decode(&opened, Limits::VERIFIED).unwrap();
        let result = match text(&load, "cmd").as_str() {
            "minion_pub" if answer == Answer::NotPermitted => Value::Map(Vec::new()),
            "minion_pub" => Value::map([
                ("jid", Value::text(JID)),
                ("minions", Value::Array(vec![Value::text(ID)])),
            ]),
            "pub_ret" => Value::map([(ID, Value::map([("ret", Value::Bool(true))]))]),
            "_file_find" => Value::map([("path", Value::text("")), ("rel", Value::text(""))]),
            other => panic!("{other} is not expected"),
        };
        let nonce = text(&load, "nonce");
        let reply = session.encrypt(&result.encode(), Some(nonce.as_bytes()), &mut rand::rng());
        let reply = Value::Raw(reply.unwrap()).encode();
        self.last_reply.lock().unwrap().clone_from(&reply);
        reply
    }
}

/// Counts while it lives.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn count(of: &'a AtomicUsize) -> Self {
        of.fetch_add(1, Ordering::SeqCst);
        Self(of)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        // What the watch leaves for each address; these ports are used once.
        let (ip, port) = (self.requests.ip(), self.requests.port());
        for folder in ["/run/lock".into(), std::env::temp_dir()] {
            for what in ["gate", "road", "runner"] {
                let _ = std::fs::remove_file(folder.join(format!("saltfo-{what}-{ip}-{port}.lock")));
            }
        }
    }
}

fn crypticle(key: &Mutex<Vec<u8>>) -> Crypticle {
    Crypticle::new(&KeyString::parse(&key.lock().unwrap()).unwrap()).unwrap()
}

fn text(map: &Value, field: &str) -> String {
    let text = map.get(field).and_then(Value::as_text);
    text.unwrap_or_default().to_owned()
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(600)
}
