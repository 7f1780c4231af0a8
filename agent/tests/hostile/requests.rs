//! After a correct sign-in: a session proves who answers, not that the answer is any good.

use proto::message::Value;

use super::case::{Case, Expect, Row, Who, check_all, impostor, refused, without_minion};
use super::client::{Client, Entry, ID, MINION};
use super::fake_master::{Ask, FakeMaster, JID, Reply, Script, bad_load, returns};
use super::saltfo::Saltfo;

const MASTER: &str = "salt1.xyz.example";
const UNOPENED: Expect = impostor(&["does not open under the session key"]);
const NONCE: Expect = impostor(&["another nonce than the request"]);
const UNREADABLE: Expect = refused("refused", &["not readable"]);
const FAILED: Expect = refused("refused", &["failed to handle the request"]);
const ODD: Expect = refused("refused", &["no release gives"]);
const NO_RETURN: Expect = without_minion("reachable", &["no return", "did not return"]);

type Lie = fn(&Ask) -> Vec<u8>;
type Fault = fn(&Ask) -> Option<Reply>;

/// Wrong answers to `minion_pub`.
pub(crate) fn publishing() -> Vec<Case> {
    let bytes: Vec<Row<Lie>> = vec![
        ("another session key", Ask::seal_with_another_key, UNOPENED),
        (
            "another nonce",
            |ask| ask.seal_with_nonce(Some(&[b'0'; 32])),
            NONCE,
        ),
        ("no nonce", |ask| ask.seal_with_nonce(None), NONCE),
        ("cut short", |ask| shortened(ask.honest()), UNOPENED),
        ("cut to nothing", |_| Value::text("").encode(), UNOPENED),
        ("a flipped bit", |ask| flipped(ask.honest()), UNOPENED),
        (
            "bytes after the message",
            |ask| [ask.honest(), vec![0xc0]].concat(),
            UNOPENED,
        ),
        (
            "a clear answer",
            |_| Value::map([("jid", Value::text(JID))]).encode(),
            UNOPENED,
        ),
        ("a clear bomb", |_| vec![0x91; 60_000], UNOPENED),
        (
            "bytes after the object",
            |ask| ask.seal_object(&[0xc0, 0xc0]),
            UNREADABLE,
        ),
        ("no object", |ask| ask.seal_object(&[]), UNREADABLE),
        (
            "half an object",
            |ask| ask.seal_object(b"\x82\xa3jid"),
            UNREADABLE,
        ),
        (
            "deep nesting",
            |ask| ask.seal_object(&vec![0x91; 1 << 20]),
            UNREADABLE,
        ),
        (
            "an array of 2^32-1",
            |ask| ask.seal_object(b"\xdd\xff\xff\xff\xff"),
            UNREADABLE,
        ),
        (
            "some exception",
            |_| Value::text("Some exception handling minion payload").encode(),
            FAILED,
        ),
        (
            "load must be a dict",
            |_| Value::text("payload and load must be a dict").encode(),
            FAILED,
        ),
        (
            "routing error",
            |_| Value::map([("error", Value::text("Routing error \x1b[2J"))]).encode(),
            FAILED,
        ),
        (
            // Other requests are taken, so it is not the clock.
            "bad load for ever",
            |_| bad_load(),
            refused("refused", &["bad load"]),
        ),
        (
            "not permitted",
            |ask| ask.seal(&Value::Map(Vec::new())),
            refused("refused", &[r"add `peer: {'^pipeline\.xyz$': ['test\.ping$']}`"]),
        ),
        (
            "jid 0: no such minion",
            |ask| ask.seal(&published(Value::Int(0))),
            without_minion("unknown_minion", &["has no accepted key of minion01"]),
        ),
        (
            "a job for other minions",
            |ask| {
                let minions = Value::Array(vec![Value::text("minion02"), Value::text("*")]);
                ask.seal(&Value::map([("jid", Value::text(JID)), ("minions", minions)]))
            },
            without_minion("unknown_minion", &["has no accepted key of minion01"]),
        ),
        (
            "jid is a path",
            |ask| ask.seal(&published(Value::text("../../../etc/passwd"))),
            ODD,
        ),
        (
            "jid is a path of 20",
            |ask| ask.seal(&published(Value::text("../../../etc/shadow0"))),
            ODD,
        ),
        (
            "jid is a list",
            |ask| ask.seal(&published(Value::Array(vec![Value::text(JID)]))),
            ODD,
        ),
        (
            "jid is a number",
            |ask| ask.seal(&published(Value::Int(20_261_120_184))),
            ODD,
        ),
        ("jid is nil", |ask| ask.seal(&published(Value::Nil)), ODD),
        (
            "jid is missing",
            |ask| ask.seal(&Value::map([("minions", Value::Array(Vec::new()))])),
            ODD,
        ),
        ("nil", |ask| ask.seal(&Value::Nil), ODD),
        ("false", |ask| ask.seal(&Value::Bool(false)), ODD),
        ("a text", |ask| ask.seal(&Value::text("no")), ODD),
        ("a list", |ask| ask.seal(&Value::Array(Vec::new())), ODD),
    ];
    as_cases("minion_pub", bytes)
}

/// Wrong answers to `pub_ret`.
pub(crate) fn returning() -> Vec<Case> {
    let bytes: Vec<Row<Lie>> = vec![
        ("no return, ever", Ask::without_return, NO_RETURN),
        (
            "a return of another minion",
            |ask| ask.seal(&returns("minion02")),
            NO_RETURN,
        ),
        ("a return of a glob", |ask| ask.seal(&returns("*")), NO_RETURN),
        ("a return of ourselves", |ask| ask.seal(&returns(ID)), NO_RETURN),
        (
            "a return of a longer id",
            |ask| ask.seal(&returns("minion01.evil")),
            NO_RETURN,
        ),
        (
            "a return of another case",
            |ask| ask.seal(&returns("MINION01")),
            NO_RETURN,
        ),
        (
            "a return without its value",
            |ask| ask.seal(&Value::map([(MINION, Value::Bool(true))])),
            NO_RETURN,
        ),
        (
            "a list",
            |ask| ask.seal(&Value::Array(vec![Value::text(MINION)])),
            NO_RETURN,
        ),
        ("a text", |ask| ask.seal(&Value::text("")), NO_RETURN),
        ("nil", |ask| ask.seal(&Value::Nil), NO_RETURN),
        ("a return under another key", Ask::seal_with_another_key, UNOPENED),
        (
            "a return for another request",
            |ask| ask.seal_with_nonce(Some(&[b'f'; 32])),
            NONCE,
        ),
        (
            "a return that is cut short",
            |ask| shortened(ask.seal(&returns(MINION))),
            UNOPENED,
        ),
    ];
    as_cases("pub_ret", bytes)
}

fn as_cases(command: &'static str, lies: Vec<Row<Lie>>) -> Vec<Case> {
    let case = |(name, lie, expect): Row<Lie>| {
        let script = move || lying_about(command, lie);
        Case::new(
            format!("{command}: {name}"),
            Who::Master(Box::new(script)),
            expect,
        )
    };
    lies.into_iter().map(case).collect()
}

fn lying_about(command: &'static str, lie: Lie) -> Script {
    Script::answering(move |ask| {
        Reply::Bytes(if ask.command == command {
            lie(ask)
        } else {
            ask.honest()
        })
    })
}

/// Answers nothing else than these: `None` for a command that is answered as it should be.
fn failing(fault: Fault) -> Script {
    Script::answering(move |ask| fault(ask).unwrap_or_else(|| Reply::Bytes(ask.honest())))
}

/// Masters that stop in the middle.
pub(crate) fn stopping() -> Vec<Case> {
    let silence = without_minion("hung", &["no reply to the publish request", "in time"]);
    let closed = without_minion("unreachable", &["closed the connection", "reset the connection"]);
    let case =
        |name, fault: Fault, expect| Case::new(name, Who::Master(Box::new(move || failing(fault))), expect);
    vec![
        case(
            "minion_pub is never answered",
            |ask| (ask.command == "minion_pub").then_some(Reply::Silence),
            silence,
        ),
        case(
            "hangs up at minion_pub",
            |ask| (ask.command == "minion_pub").then_some(Reply::HangUp),
            closed,
        ),
        case(
            "hangs up at every pub_ret but the first",
            |ask| match (ask.command.as_str(), ask.nth) {
                ("pub_ret", 0) => Some(Reply::Bytes(ask.without_return())),
                ("pub_ret", _) => Some(Reply::HangUp),
                _ => None,
            },
            closed,
        )
        // Unlike a publish it is repeated, once, over a new connection.
        .connecting(2),
    ]
}

#[test]
fn what_is_no_answer_to_a_publish_is_named() {
    check_all(&publishing(), Case::check_alone);
}

#[test]
fn only_a_return_of_this_very_minion_counts() {
    check_all(&returning(), Case::check_alone);
}

#[test]
fn a_master_that_stops_in_the_middle_is_blamed_for_the_step() {
    check_all(&stopping(), Case::check_alone);
}

fn published(jid: Value) -> Value {
    Value::map([("jid", jid), ("minions", Value::Array(vec![Value::text(MINION)]))])
}

fn shortened(mut reply: Vec<u8>) -> Vec<u8> {
    let Value::Raw(message) = Value::decode(&reply, proto::message::Limits::VERIFIED).unwrap() else {
        panic!("no message")
    };
    reply = Value::Raw(message[..message.len() - 16].to_vec()).encode();
    reply
}

fn flipped(mut reply: Vec<u8>) -> Vec<u8> {
    let middle = reply.len() / 2;
    reply[middle] ^= 1;
    reply
}

fn client_of(master: &FakeMaster) -> Client {
    Client::new(&[Entry {
        name: MASTER,
        address: master.address(),
        pinned: false,
    }])
}

#[test]
fn a_master_that_refuses_every_request_is_signed_in_to_twice_and_no_more() {
    // Another worker may read what one refuses; a reply under another key comes from a worker that has read it.
    for (lie, tries) in [((|_| bad_load()) as Lie, 11), (Ask::seal_with_another_key, 2)] {
        let master = FakeMaster::start(2, Script::answering(move |ask| Reply::Bytes(lie(ask))));
        let client = client_of(&master);
        assert_ne!(Saltfo::lookup(&client.config(), 2.0).run().code(), 0);
        assert_eq!(master.sign_ins(), 2);
        assert_eq!(master.count("minion_pub"), tries);
        assert_eq!(master.count("pub_ret"), 0);
    }
}

#[test]
fn keys_that_rotate_cost_one_sign_in() {
    let rotations: [(&str, Lie); 4] = [
        ("minion_pub", |_| bad_load()),
        ("minion_pub", Ask::seal_with_another_key),
        ("pub_ret", |_| bad_load()),
        ("pub_ret", Ask::seal_with_another_key),
    ];
    for (command, first) in rotations {
        let master = FakeMaster::start(
            2,
            Script::answering(move |ask| {
                let rotated = ask.command == command && ask.nth == 0;
                Reply::Bytes(if rotated { first(ask) } else { ask.honest() })
            }),
        );
        let client = client_of(&master);
        let ended = Saltfo::lookup(&client.config(), 5.0).run();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert_eq!(master.sign_ins(), 2, "{command}");
        assert_eq!(master.count(command), 2, "{command}");
    }
}

#[test]
fn nothing_is_polled_that_is_no_job_of_the_minion() {
    let replies: [fn() -> Value; 5] = [
        || Value::Int(0),
        || Value::text("0"),
        || Value::text("../../../etc/shadow0"),
        || Value::Array(vec![Value::text(JID)]),
        || Value::Nil,
    ];
    for jid in replies {
        let master = FakeMaster::start(
            2,
            Script::answering(move |ask| Reply::Bytes(ask.seal(&published(jid())))),
        );
        let client = client_of(&master);
        assert_ne!(Saltfo::lookup(&client.config(), 2.0).run().code(), 0);
        assert_eq!((master.count("minion_pub"), master.count("pub_ret")), (1, 0));
    }
}

#[test]
fn a_huge_return_is_a_return() {
    let huge = || {
        // Sealed anew for each nonce, in a debug build: more would take seconds.
        let ret = Value::map([("ret", Value::Raw(vec![b'x'; 20 << 20]))]);
        Value::map([(MINION, ret)])
    };
    let master = FakeMaster::start(
        2,
        Script::answering(move |ask| {
            Reply::Bytes(match ask.command.as_str() {
                "pub_ret" => ask.seal(&huge()),
                _ => ask.honest(),
            })
        }),
    );
    let client = client_of(&master);
    let ended = Saltfo::lookup_without_bound(&client.config(), 120.0).run();
    assert_eq!(ended.code(), 0, "{:?}", ended.stderr);
}

#[test]
fn a_return_of_more_parts_than_anybody_needs_is_refused() {
    let master = FakeMaster::start(
        2,
        Script::answering(|ask| {
            Reply::Bytes(match ask.command.as_str() {
                "pub_ret" => ask.seal_object(&[b"\xdd\0\x20\0\0".to_vec(), vec![0xc0; 1 << 21]].concat()),
                _ => ask.honest(),
            })
        }),
    );
    let client = client_of(&master);
    let ended = Saltfo::lookup_without_bound(&client.config(), 10.0).run();
    let line = &ended.document()["masters"][0];
    refused("refused", &["more than 1048576 parts"]).check(line, &ended);
}
