//! A master with real keys that does what a master does, and lies where a script tells it to.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::crypto::{Crypticle, EncryptionAlgorithm, KeyString, PrivateKey, PublicKey, SigningAlgorithm};
use proto::message::{Limits, Value};

use super::client::{ID, MINION, keys};
use super::peer::{Peer, Router, drain};

/// The job id that an honest answer has.
pub(crate) const JID: &str = "20261120184009763862";

const SHA1: SigningAlgorithm = SigningAlgorithm::Pkcs1v15Sha1;
const OAEP: EncryptionAlgorithm = EncryptionAlgorithm::OaepSha1;

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

/// An acceptance: honest, until a lie is put in.
pub(crate) struct Accepted {
    /// The master's key, as it says.
    pub(crate) pub_key: String,
    /// Who signs that key.
    pub(crate) master_sign: Option<&'static PrivateKey>,
    /// The text that is signed, if it is another than the key.
    pub(crate) signed_key: Option<String>,
    /// Who signs the whole, and how; nobody leaves it unsigned.
    pub(crate) outer: Option<(&'static PrivateKey, SigningAlgorithm)>,
    /// Who signs the AES key.
    pub(crate) inner: &'static PrivateKey,
    /// The AES key that is signed, if it is another than the one that is sent.
    pub(crate) signed_aes: Option<KeyString>,
    /// Whom the secrets are encrypted to.
    pub(crate) to: PublicKey,
    pub(crate) aes: Vec<u8>,
    pub(crate) session: Option<Vec<u8>>,
    pub(crate) token: Option<Vec<u8>>,
    pub(crate) nonce: Option<Vec<u8>>,
    pub(crate) publish_port: Value,
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
                Reply::HangUp => return,
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

impl Accepted {
    fn honest(nonce: Vec<u8>, token: Option<Vec<u8>>, session: Vec<u8>) -> Self {
        Self {
            pub_key: keys().master.public_key().to_pem().unwrap(),
            master_sign: Some(&keys().master_sign),
            signed_key: None,
            outer: Some((&keys().master, SHA1)),
            inner: &keys().master,
            signed_aes: None,
            to: keys().identity.public_key(),
            aes: key_string(),
            session: Some(session),
            token,
            nonce: Some(nonce),
            publish_port: Value::Int(4505),
        }
    }

    /// A master of its own, consistent in everything.
    pub(crate) fn speak_as(&mut self, master: &'static PrivateKey, master_sign: Option<&'static PrivateKey>) {
        self.pub_key = master.public_key().to_pem().unwrap();
        self.master_sign = master_sign;
        self.outer = Some((master, SHA1));
        self.inner = master;
    }

    fn encode(&self) -> Vec<u8> {
        let rng = &mut rand::rng();
        let mut seal = |secret: &[u8]| Value::Raw(self.to.encrypt(OAEP, secret, rng).unwrap());
        let mut fields = vec![
            ("enc", Value::text("pub")),
            ("pub_key", Value::text(self.pub_key.as_str())),
            ("publish_port", self.publish_port.clone()),
            ("aes", seal(&self.aes)),
        ];
        fields.extend(self.session.as_ref().map(|key| ("session", seal(key))));
        fields.extend(self.token.as_ref().map(|token| ("token", seal(token))));
        if let Some(signer) = self.master_sign {
            let text = self.signed_key.as_ref().unwrap_or(&self.pub_key);
            let signature = signer.sign(SHA1, text.as_bytes(), &mut rand::rng()).unwrap();
            fields.push(("pub_sig", Value::text(STANDARD.encode(signature) + "\n")));
        }
        let signed = match (&self.signed_aes, KeyString::parse(&self.aes)) {
            (Some(other), _) => other.digest_hex(),
            (None, Ok(aes)) => aes.digest_hex(),
            (None, Err(_)) => String::from("0").repeat(64),
        };
        let inner = self.inner.x931_sign(signed.as_bytes(), &mut rand::rng()).unwrap();
        fields.push(("sig", Value::Raw(inner)));
        fields.extend(
            self.nonce
                .as_ref()
                .map(|nonce| ("nonce", Value::Raw(nonce.clone()))),
        );
        envelope(&Value::map(fields).encode(), self.outer)
    }
}

impl Ask {
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

fn key_string() -> Vec<u8> {
    KeyString::generate(&mut rand::rng()).as_str().as_bytes().to_vec()
}

/// The text that masters send when a request does not open.
pub(crate) fn bad_load() -> Vec<u8> {
    Value::text("bad load").encode()
}

/// What `pub_ret` brings when this minion, and no other, has answered.
pub(crate) fn returns(minion: &str) -> Value {
    Value::map([(minion, Value::map([("ret", Value::Bool(true))]))])
}

/// The outer map of a sign-in reply.
pub(crate) fn envelope(load: &[u8], signer: Option<(&PrivateKey, SigningAlgorithm)>) -> Vec<u8> {
    let mut fields = vec![("enc", Value::text("clear")), ("load", Value::Raw(load.to_vec()))];
    if let Some((key, algorithm)) = signer {
        let signature = key.sign(algorithm, load, &mut rand::rng()).unwrap();
        fields.push(("sig", Value::Raw(signature)));
    }
    Value::map(fields).encode()
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
