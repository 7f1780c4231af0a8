//! Replies to a sign-in that are none: nonsense, bombs, and what masters say instead of a reply.

use proto::message::Value;

use super::acceptance::envelope;
use super::case::{Case, Expect, Row, Who, check_all, impostor, refused_by_anybody};
use super::fake_master::SignIn;
use super::strangers::noise;

const NO_MASTER: Expect = impostor(&["none that a salt-master gives"]);
/// Replies to a sign-in that no master gives.
pub(crate) fn nonsense() -> Vec<Case> {
    let signed = |load: &[u8]| {
        Value::map([
            ("enc", Value::text("clear")),
            ("load", Value::Raw(load.to_vec())),
            ("sig", Value::Raw(vec![0; 256])),
        ])
        .encode()
    };
    let with_load = |load: &[u8]| [b"\x82\xa3enc\xa5clear\xa4load".as_slice(), load].concat();
    let replies: Vec<Row<Vec<u8>>> = vec![
        ("nothing", vec![], NO_MASTER),
        ("nil", vec![0xc0], NO_MASTER),
        ("the reserved byte", vec![0xc1], NO_MASTER),
        ("an integer", vec![42], NO_MASTER),
        ("noise", noise(300), NO_MASTER),
        (
            "64 bytes of nobody's message",
            Value::Raw(noise(64)).encode(),
            NO_MASTER,
        ),
        ("deep nesting", vec![0x91; 60_000], NO_MASTER),
        ("deep nesting of maps", b"\x81\xa1a".repeat(20_000), NO_MASTER),
        ("an array of 2^32-1", b"\xdd\xff\xff\xff\xff".to_vec(), NO_MASTER),
        ("a map of 2^32-1", b"\xdf\xff\xff\xff\xff".to_vec(), NO_MASTER),
        (
            "a text of 2^32-1 in a map",
            b"\x81\xa4load\xdb\xff\xff\xff\xff".to_vec(),
            NO_MASTER,
        ),
        ("a binary of 2^32-1", b"\xc6\xff\xff\xff\xff".to_vec(), NO_MASTER),
        (
            "an extension of 2^32-1",
            b"\xc9\xff\xff\xff\xff\x01".to_vec(),
            NO_MASTER,
        ),
        (
            "60000 nils",
            [b"\xdc\xea\x60".to_vec(), vec![0xc0; 60_000]].concat(),
            NO_MASTER,
        ),
        ("bytes after the value", b"\x80\x80".to_vec(), NO_MASTER),
        ("an empty map", b"\x80".to_vec(), NO_MASTER),
        ("a text", Value::text("hello").encode(), NO_MASTER),
        ("load is nil", with_load(&[0xc0]), NO_MASTER),
        ("load is a list", with_load(&[0x91, 0xc0]), NO_MASTER),
        ("load is an integer", with_load(&[7]), NO_MASTER),
        (
            "load is bytes, nothing is signed",
            envelope(&[0x80], None),
            impostor(&["not signed"]),
        ),
        ("load is a bomb", signed(&[0x91; 60_000]), NO_MASTER),
        (
            "load announces 2^32-1",
            signed(b"\xdd\xff\xff\xff\xff"),
            NO_MASTER,
        ),
        ("load is noise", signed(&noise(300)), NO_MASTER),
        (
            "load is an empty map",
            signed(&[0x80]),
            impostor(&["another nonce"]),
        ),
    ];
    as_cases(replies)
}

/// What masters answer in place of a reply: nobody signs it, so nothing more than the claim is reported.
pub(crate) fn catalogue() -> Vec<Case> {
    let text = |text: &str| Value::text(text).encode();
    let map = |field: &str, text: &str| Value::map([(field, Value::text(text))]).encode();
    let clear = |load: Value| Value::map([("enc", Value::text("clear")), ("load", load)]).encode();
    let ret = |ret: Value| clear(Value::map([("ret", ret)]));
    const BAD_LOAD: Expect = refused_by_anybody("refused", &["refuses the request"]);
    const NOT_NOW: Expect = refused_by_anybody("refused", &["cannot sign anybody in now"]);
    const UNSIGNED: Expect = impostor(&["not signed"]);
    let replies: Vec<Row<Vec<u8>>> = vec![
        ("bad load", text("bad load"), BAD_LOAD),
        (
            "load must be a dict",
            text("payload and load must be a dict"),
            BAD_LOAD,
        ),
        ("a null byte", text("bad load: id contains a null byte"), BAD_LOAD),
        ("not a string", text("bad load: id 7 is not a string"), BAD_LOAD),
        ("terminal codes", text("bad load: \x1b[31m\x07\r\n"), BAD_LOAD),
        (
            "a long text",
            text(&format!("bad load: {}", "x".repeat(50_000))),
            BAD_LOAD,
        ),
        (
            "some exception",
            text("Some exception handling minion payload"),
            NOT_NOW,
        ),
        (
            "server-side exception",
            text("Server-side exception handling payload"),
            NOT_NOW,
        ),
        ("msg bad load", map("msg", "bad load"), BAD_LOAD),
        ("error bad load", map("error", "bad load"), BAD_LOAD),
        ("routing error", map("error", "Routing error"), NOT_NOW),
        (
            "no client for pool",
            map("error", "No client for pool default"),
            NOT_NOW,
        ),
        (
            "internal routing error",
            Value::map([
                ("error", Value::text("Internal routing error")),
                ("success", Value::Bool(false)),
            ])
            .encode(),
            NOT_NOW,
        ),
        ("no nonce", map("error", "Nonce not included in request"), NOT_NOW),
        ("no AES key", map("error", "AES key not found"), NOT_NOW),
        (
            "a cluster member that is not ready",
            clear(Value::map([
                ("ret", Value::Bool(false)),
                ("cluster_retry", Value::Bool(true)),
            ])),
            refused_by_anybody("refused", &["cluster member"]),
        ),
        (
            "bad sig algo",
            ret(Value::text("bad sig algo")),
            refused_by_anybody("refused", &["our signing_algorithm"]),
        ),
        (
            "bad enc algo",
            ret(Value::text("bad enc algo")),
            refused_by_anybody("refused", &["our encryption_algorithm"]),
        ),
        ("pending, unsigned", ret(Value::Bool(true)), UNSIGNED),
        ("rejected, unsigned", ret(Value::Bool(false)), UNSIGNED),
        ("full, unsigned", ret(Value::text("full")), UNSIGNED),
    ];
    as_cases(replies)
}

fn as_cases(replies: Vec<Row<Vec<u8>>>) -> Vec<Case> {
    let case = |(name, reply, expect)| Case::new(name, Who::SignIn(SignIn::Reply(reply)), expect);
    replies.into_iter().map(case).collect()
}

#[test]
fn nonsense_for_a_reply_makes_an_impostor() {
    check_all(&nonsense(), Case::check_alone);
}

#[test]
fn an_unsigned_refusal_is_reported_and_not_believed() {
    check_all(&catalogue(), Case::check_alone);
}
