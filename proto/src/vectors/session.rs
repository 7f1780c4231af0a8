//! Encrypted requests and replies as captured between real masters and minions.

use super::msgpack::json;
use super::{Keys, RELEASES, bytes, cases, file, text};
use crate::crypto::{Crypticle, KeyString};
use crate::identity::Algorithms;
use crate::message::{Command, Limits, MinionId, Nonce, Value};
use crate::session::{Awaited, ReplyError, Session};

fn session(keys: &Keys, key_string: &str) -> Session {
    let key = KeyString::parse(key_string.as_bytes()).unwrap();
    let crypticle = || Crypticle::new(&key).unwrap();
    Session::verified(
        &keys.identity("client"),
        Algorithms::default(),
        keys.public("master"),
        crypticle(),
        crypticle(),
        None,
    )
}

#[test]
fn captured_replies_open_to_what_salt_read_in_them() {
    let keys = Keys::load();
    let mut opened = 0;
    for release in RELEASES {
        for (name, list) in [("requests", "requests"), ("peer", "peer"), ("errors", "errors")] {
            for case in cases(&file(&format!("{name}-{release}")), list) {
                let Some(nonce) = case["request_inner"]["nonce"].as_str().and_then(Nonce::parse) else {
                    continue;
                };
                let session = session(&keys, text(&case["request_key"], "key"));
                let reply = session.open(&Awaited::to(nonce), &bytes(&case, "reply_wire"));
                if case["reply_has_nonce"] == true {
                    assert_eq!(
                        json(&reply.unwrap()),
                        case["reply_value"],
                        "{release} {}",
                        case["name"]
                    );
                    opened += 1;
                } else {
                    assert!(reply.is_err(), "{release} {}", case["name"]);
                }
            }
        }
    }
    assert!(opened > 60, "only {opened} replies were opened");
}

#[test]
fn bad_load_calls_for_a_sign_in_and_other_refusals_do_not() {
    let keys = Keys::load();
    for release in RELEASES {
        let vectors = file(&format!("errors-{release}"));
        for case in cases(&vectors, "errors") {
            if case["reply_kind"] != "clear" {
                continue;
            }
            let key = case["request_key"]["key"].as_str();
            let key = key.map_or_else(
                || KeyString::generate(&mut rand::rng()).as_str().to_owned(),
                str::to_owned,
            );
            let nonce = Nonce::generate(&mut rand::rng());
            let error = session(&keys, &key)
                .open(&Awaited::to(nonce), &bytes(&case, "reply_wire"))
                .unwrap_err();
            let expected = case["reply_value"] == "bad load" || case["reply_value"]["msg"] == "bad load";
            assert_eq!(
                error.calls_for_sign_in(),
                expected,
                "{release} {}: {error:?}",
                case["name"]
            );
        }
    }
}

#[test]
fn a_reply_to_another_request_is_refused() {
    let keys = Keys::load();
    let vectors = file("requests-3008");
    let case = cases(&vectors, "requests")
        .into_iter()
        .find(|case| case["reply_has_nonce"] == true)
        .unwrap();
    let session = session(&keys, text(&case["request_key"], "key"));
    let awaited = Awaited::to(Nonce::generate(&mut rand::rng()));
    assert_eq!(
        session.open(&awaited, &bytes(&case, "reply_wire")),
        Err(ReplyError::Nonce)
    );
}

/// A worker of a master can be lost to a request without its fields: compare with what Salt's code sends.
#[test]
fn our_requests_have_every_field_of_salts() {
    let keys = Keys::load();
    let vectors = file("requests-3008");
    let salts = cases(&vectors, "requests")
        .into_iter()
        .find(|case| case["name"] == "real-channel-file-envs")
        .unwrap();
    let key = text(&salts["request_key"], "key");
    let salts_outer = Value::decode(&bytes(&salts, "request_wire"), Limits::UNVERIFIED).unwrap();
    let salts_inner = bytes(&salts, "request_plaintext");
    let salts_inner =
        Value::decode(salts_inner.strip_prefix(b"pickle::").unwrap(), Limits::UNVERIFIED).unwrap();

    let (_, request) = session(&keys, key)
        .request(&Command::FileEnvs, 1_795_200_007, &mut rand::rng())
        .unwrap();
    let outer = Value::decode(&request, Limits::UNVERIFIED).unwrap();
    let crypticle = Crypticle::new(&KeyString::parse(key.as_bytes()).unwrap()).unwrap();
    let inner = crypticle
        .decrypt(outer.get("load").unwrap().as_bytes().unwrap())
        .unwrap();
    let inner = Value::decode(&inner, Limits::UNVERIFIED).unwrap();

    for (name, value) in salts_outer.as_map().unwrap() {
        let ours = outer.get(name.as_text().unwrap());
        assert!(ours.is_some(), "{name:?}");
        assert!(name.as_text() == Some("load") || ours == Some(value), "{name:?}");
    }
    for (name, value) in salts_inner.as_map().unwrap() {
        let ours = inner.get(name.as_text().unwrap());
        assert!(ours.is_some(), "{name:?}");
        let fresh = matches!(name.as_text(), Some("nonce" | "ts"));
        assert!(fresh || ours == Some(value), "{name:?}");
    }
    assert_eq!(inner.get("serial"), None);
}

#[test]
fn a_publish_has_every_field_that_a_master_requires() {
    let keys = Keys::load();
    let key = KeyString::generate(&mut rand::rng());
    let minions = [MinionId::parse("minion01").unwrap()];
    let command = Command::MinionPub {
        function: "test.ping",
        arguments: &[],
        minions: &minions,
        mark: None,
        announces: None,
    };
    let (_, request) = session(&keys, key.as_str())
        .request(&command, 0, &mut rand::rng())
        .unwrap();
    let outer = Value::decode(&request, Limits::UNVERIFIED).unwrap();
    let inner = Crypticle::new(&key)
        .unwrap()
        .decrypt(outer.get("load").unwrap().as_bytes().unwrap())
        .unwrap();
    let inner = Value::decode(&inner, Limits::UNVERIFIED).unwrap();
    for field in [
        "cmd", "fun", "arg", "tgt", "tgt_type", "ret", "id", "tok", "ts", "nonce",
    ] {
        assert!(inner.get(field).is_some(), "{field}");
    }
    assert_eq!(
        inner.get("tgt"),
        Some(&Value::Array(vec![Value::text("minion01")]))
    );
}
