//! A master with real keys that does what a master does, and lies where a script tells it to.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use proto::crypto::{Crypticle, KeyString, PrivateKey};
use proto::message::{Limits, Value};

use super::acceptance::{Accepted, OAEP, SHA1, envelope, key_string};
use super::client::{ID, MINION, keys};
use super::peer::{Peer, Router, drain};

/// The job id that an honest answer has.
pub(crate) const JID: &str = "20261120184009763862";

/// What is done with requests.
pub(crate) struct Script {
    pub(crate) sign_in: SignIn,
    pub(crate) answer: Answer,
}

/// How an encrypted request is answered.
pub(crate) type Answer = Box<dyn Fn(&Ask) -> Reply + Send + Sync>;

/// What a request leads to.
pub(crate) enum Reply {
    Bytes(Vec<u8>),
    /// No reply, ever.
    Silence,
    /// The end of the connection.
    HangUp,
}

/// How a sign-in is answered.
#[derive(Clone)]
pub(crate) enum SignIn {
    /// By an acceptance, with this changed in it.
    Accept(fn(&mut Accepted)),
    /// By `ret` and the nonce, signed by this key.
    Claim(Value, &'static PrivateKey),
    /// By these bytes.
    Reply(Vec<u8>),
}

/// One encrypted request.
pub(crate) struct Ask {
    /// `cmd`.
    pub(crate) command: String,
    /// How many of this command came before it, over all connections.
    pub(crate) nth: usize,
    /// Everything in it.
    pub(crate) load: Value,
    session: Crypticle,
}

/// A listening master and what it has seen.
pub(crate) struct FakeMaster {
    peer: Peer,
    seen: Arc<Seen>,
}

struct Seen {
    /// The session key of the one minion id: masters keep one for each id, over all its connections.
    session: Mutex<Vec<u8>>,
    sign_in_replies: Mutex<Vec<Vec<u8>>>,
    commands: Mutex<Vec<(String, Instant)>>,
    /// `minion_pub`s without an answer: now, and at most.
    publishing: Mutex<(usize, usize)>,
    faults: Mutex<Vec<String>>,
}

impl Script {
    pub(crate) fn honest() -> Self {
        Self::answering(|ask| Reply::Bytes(ask.honest()))
    }

    pub(crate) fn answering(answer: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            sign_in: SignIn::Accept(|_| {}),
            answer: Box::new(answer),
        }
    }

    pub(crate) fn signing_in(sign_in: SignIn) -> Self {
        Self {
            sign_in,
            ..Self::honest()
        }
    }
}

impl FakeMaster {
    /// On a free port of 127.0.0.`host`.
    pub(crate) fn start(host: u8, script: Script) -> Self {
        let seen = Arc::new(Seen {
            session: Mutex::new(key_string()),
            sign_in_replies: Mutex::default(),
            commands: Mutex::default(),
            publishing: Mutex::default(),
            faults: Mutex::default(),
        });
        let record = Arc::clone(&seen);
        let peer = Peer::start(host, move |stream| record.serve(&script, stream));
        Self { peer, seen }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.peer.address
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(crate) fn sign_ins(&self) -> usize {
        self.sign_in_replies().len()
    }

    /// The replies to sign-ins as they went out.
    pub(crate) fn sign_in_replies(&self) -> Vec<Vec<u8>> {
        self.seen.sign_in_replies.lock().unwrap().clone()
    }

    /// When each request of this command came.
    pub(crate) fn times_of(&self, command: &str) -> Vec<Instant> {
        let commands = self.seen.commands.lock().unwrap();
        let of_it = commands.iter().filter(|(name, _)| name == command);
        of_it.map(|(_, at)| *at).collect()
    }

    /// How many requests of this command came.
    pub(crate) fn count(&self, command: &str) -> usize {
        self.times_of(command).len()
    }

    /// The most `minion_pub`s that were without an answer at one time.
    pub(crate) fn most_publishing(&self) -> usize {
        self.seen.publishing.lock().unwrap().1
    }
}

impl Drop for FakeMaster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let faults = self.seen.faults.lock().unwrap();
            assert!(
                faults.is_empty(),
                "requests that would cost a master its worker: {faults:?}"
            );
        }
    }
}

impl Seen {
    fn serve(&self, script: &Script, stream: TcpStream) {
        let mut router = Router::new(stream);
        while let Some(payload) = router.next() {
            let request = Value::decode(&payload, Limits::VERIFIED).unwrap();
            self.require(
                request.get("version") == Some(&Value::Int(3)),
                "version 3",
                &request,
            );
            let reply = match text(&request, "enc").as_str() {
                "clear" => self.sign_in(&script.sign_in, &request),
                "aes" => self.encrypted(&script.answer, &request),
                _ => {
                    self.require(false, "enc", &request);
                    Reply::HangUp
                }
            };
            match reply {
                Reply::Bytes(reply) => {
                    if router.reply(reply).is_err() {
                        return;
                    }
                }
                Reply::HangUp => {
                    let stream = router.into_stream();
                    let _ = stream.shutdown(Shutdown::Write);
                    return drain(stream);
                }
                Reply::Silence => return drain(router.into_stream()),
            }
        }
    }

    fn require(&self, is_so: bool, what: &str, request: &Value) {
        if !is_so {
            self.faults.lock().unwrap().push(format!("{what}: {request:?}"));
        }
    }

    fn sign_in(&self, how: &SignIn, request: &Value) -> Reply {
        let load = request.get("load").unwrap();
        for (field, value) in [
            ("cmd", "_auth"),
            ("id", ID),
            ("enc_algo", "OAEP-SHA1"),
            ("sig_algo", "PKCS1v15-SHA1"),
            ("pub", &keys().identity.public_key().to_pem().unwrap()),
        ] {
            self.require(text(load, field) == value, field, request);
        }
        let nonce = load.get("nonce").and_then(Value::as_bytes).unwrap().to_vec();
        self.require(nonce.len() == 32, "nonce", request);
        let reply = match how {
            SignIn::Reply(bytes) => bytes.clone(),
            SignIn::Claim(ret, key) => {
                let claim = Value::map([("ret", ret.clone()), ("nonce", Value::Raw(nonce))]);
                envelope(&claim.encode(), Some((key, SHA1)))
            }
            SignIn::Accept(lie) => {
                let token = load.get("token").and_then(Value::as_bytes);
                let token = token.and_then(|token| keys().master.decrypt(OAEP, token, &mut rand::rng()).ok());
                let session = self.session.lock().unwrap().clone();
                let mut accepted = Accepted::honest(nonce, token.map(|token| token.to_vec()), session);
                lie(&mut accepted);
                accepted.encode()
            }
        };
        self.sign_in_replies.lock().unwrap().push(reply.clone());
        Reply::Bytes(reply)
    }

    fn encrypted(&self, answer: &Answer, request: &Value) -> Reply {
        let message = request.get("load").and_then(Value::as_bytes).unwrap();
        let session = KeyString::parse(&self.session.lock().unwrap()).unwrap();
        let session = Crypticle::new(&session).unwrap();
        let Ok(opened) = session.decrypt(message) else {
            return Reply::Bytes(bad_load());
        };
        let load = Value::decode(&opened, Limits::VERIFIED).unwrap();
        let tok = load.get("tok").and_then(Value::as_bytes).unwrap_or_default();
        let identity = keys().identity.public_key();
        self.require(identity.x931_verify(b"salt", tok).is_ok(), "tok", request);
        self.require(
            text(request, "id") == ID && text(&load, "id") == ID,
            "id",
            request,
        );
        self.require(load.get("ts").and_then(Value::as_u64).is_some(), "ts", &load);
        self.require(text(&load, "nonce").len() == 32, "nonce", &load);
        let command = text(&load, "cmd");
        let nth = {
            let mut commands = self.commands.lock().unwrap();
            commands.push((command.clone(), Instant::now()));
            commands.iter().filter(|(name, _)| *name == command).count() - 1
        };
        let ask = Ask {
            command,
            nth,
            load,
            session,
        };
        if ask.command != "minion_pub" {
            return answer(&ask);
        }
        {
            let mut publishing = self.publishing.lock().unwrap();
            publishing.0 += 1;
            publishing.1 = publishing.1.max(publishing.0);
        }
        let reply = answer(&ask);
        if matches!(reply, Reply::Bytes(_)) {
            // Before it is sent: with the reply in hand the next one may come at once.
            self.publishing.lock().unwrap().0 -= 1;
        }
        reply
    }
}

impl Ask {
    /// A text field of the load.
    pub(crate) fn text(&self, field: &str) -> String {
        text(&self.load, field)
    }

    /// What a master answers that has the minion.
    pub(crate) fn honest(&self) -> Vec<u8> {
        self.seal(&match self.command.as_str() {
            "minion_pub" => Value::map([
                ("jid", Value::text(JID)),
                ("minions", Value::Array(vec![Value::text(MINION)])),
            ]),
            "pub_ret" if text(&self.load, "jid") == JID => returns(MINION),
            "pub_ret" => Value::text(""),
            "_file_envs" => Value::Array(vec![Value::text("base")]),
            other => panic!("{other} is not expected"),
        })
    }

    /// The same, if the minion does not return.
    pub(crate) fn without_return(&self) -> Vec<u8> {
        match self.command.as_str() {
            "pub_ret" => self.seal(&Value::Map(Vec::new())),
            _ => self.honest(),
        }
    }

    /// A reply as it should be.
    pub(crate) fn seal(&self, value: &Value) -> Vec<u8> {
        self.seal_object(&value.encode())
    }

    /// A reply with this for its msgpack object.
    pub(crate) fn seal_object(&self, object: &[u8]) -> Vec<u8> {
        let nonce = text(&self.load, "nonce");
        sealed(&self.session, Some(nonce.as_bytes()), object)
    }

    /// A reply with this for a nonce.
    pub(crate) fn seal_with_nonce(&self, nonce: Option<&[u8]>) -> Vec<u8> {
        sealed(&self.session, nonce, &Value::Bool(true).encode())
    }

    /// A reply under a session key of somebody else.
    pub(crate) fn seal_with_another_key(&self) -> Vec<u8> {
        let key = Crypticle::new(&KeyString::generate(&mut rand::rng())).unwrap();
        let nonce = text(&self.load, "nonce");
        sealed(&key, Some(nonce.as_bytes()), &Value::Bool(true).encode())
    }

    /// By how many seconds the request is older than this clock, which is `ahead` of ours.
    pub(crate) fn age(&self, ahead: i64) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let sent = self.load.get("ts").and_then(Value::as_u64).unwrap();
        i64::try_from(now).unwrap() + ahead - i64::try_from(sent).unwrap()
    }
}

/// The text that masters send when a request does not open.
pub(crate) fn bad_load() -> Vec<u8> {
    Value::text("bad load").encode()
}

/// What `pub_ret` brings when this minion, and no other, has answered.
pub(crate) fn returns(minion: &str) -> Value {
    Value::map([(minion, Value::map([("ret", Value::Bool(true))]))])
}

fn sealed(key: &Crypticle, nonce: Option<&[u8]>, object: &[u8]) -> Vec<u8> {
    Value::Raw(key.encrypt(object, nonce, &mut rand::rng()).unwrap()).encode()
}

fn text(map: &Value, field: &str) -> String {
    map.get(field)
        .and_then(Value::as_text)
        .unwrap_or_default()
        .to_owned()
}
