//! Publications as a subscriber gets them.

use super::msgpack::json;
use super::{Keys, RELEASES, cases, file, text};
use crate::crypto::{Crypticle, KeyString};
use crate::message::{Limits, Value};
use crate::publication::{PublicationError, Publications, Signatures};

fn publications(keys: &Keys, signer: &str, key_string: &str, signatures: Signatures) -> Publications {
    let key = KeyString::parse(key_string.as_bytes()).unwrap();
    Publications::new(keys.public(signer), Crypticle::new(&key).unwrap(), signatures)
}

fn frames(case: &serde_json::Value) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let frames = case["frames"].as_array().unwrap();
    frames
        .iter()
        .map(|frame| {
            base64::engine::general_purpose::STANDARD
                .decode(frame.as_str().unwrap())
                .unwrap()
        })
        .collect()
}

#[test]
fn captured_publications_open_and_are_not_taken_twice() {
    let keys = Keys::load();
    for release in RELEASES {
        for case in cases(&file(&format!("publications-{release}")), "publications") {
            let mut publications = publications(&keys, "master", text(&case, "aes"), Signatures::Optional);
            let publication = publications.open(&frames(&case)).unwrap();
            assert_eq!(
                json(&publication.load),
                case["inner"],
                "{release} {}",
                case["name"]
            );
            assert_eq!(publication.jid.as_str(), case["inner"]["jid"]);
            let again = publications.open(&frames(&case));
            assert!(matches!(again, Err(PublicationError::Replay { .. })), "{again:?}");
        }
    }
}

#[test]
fn publications_without_a_signature_are_refused_where_one_is_required() {
    let keys = Keys::load();
    let mut refused = 0;
    for case in cases(&file("publications-3008"), "publications") {
        let mut publications = publications(&keys, "master", text(&case, "aes"), Signatures::Required);
        let signed = case["outer"].get("sig").is_some();
        match publications.open(&frames(&case)) {
            Ok(_) => assert!(signed, "{}", case["name"]),
            Err(error) => {
                assert_eq!(error, PublicationError::Unsigned);
                assert!(!signed, "{}", case["name"]);
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn forged_publications_are_refused() {
    let keys = Keys::load();
    let vectors = file("publications-3008");
    let case = cases(&vectors, "publications")
        .into_iter()
        .find(|case| case["outer"].get("sig").is_some())
        .unwrap();
    let genuine = frames(&case);
    let aes = text(&case, "aes");
    let changed = |field: &str, value: Option<Value>| {
        let outer = Value::decode(genuine.last().unwrap(), Limits::UNVERIFIED).unwrap();
        let mut entries = outer.as_map().unwrap().to_vec();
        entries.retain(|(name, _)| name.as_text() != Some(field));
        entries.extend(value.map(|value| (Value::text(field), value)));
        vec![Value::Map(entries).encode()]
    };
    let load = Value::decode(genuine.last().unwrap(), Limits::UNVERIFIED).unwrap();
    let mut load = load.get("load").unwrap().as_bytes().unwrap().to_vec();
    load[20] ^= 1;

    let judge = |signer, key: &str, frames: &[Vec<u8>]| {
        publications(&keys, signer, key, Signatures::Required)
            .open(frames)
            .unwrap_err()
    };
    let other_key = KeyString::generate(&mut rand::rng());
    assert_eq!(judge("stranger", aes, &genuine), PublicationError::Signature);
    assert_eq!(
        judge("master", aes, &changed("load", Some(Value::Raw(load)))),
        PublicationError::Signature
    );
    assert_eq!(
        judge("master", aes, &changed("sig", None)),
        PublicationError::Unsigned
    );
    assert_eq!(
        judge("master", aes, &changed("sig", Some(Value::Nil))),
        PublicationError::Signature
    );
    assert_eq!(
        judge("master", aes, &changed("sig_algo", Some(Value::text("none")))),
        PublicationError::Algorithm
    );
    assert_eq!(
        judge("master", other_key.as_str(), &genuine),
        PublicationError::Unopened
    );
    assert_eq!(judge("master", aes, &[]), PublicationError::Malformed);
    assert_eq!(judge("master", aes, &[vec![0xc1]]), PublicationError::Malformed);
}
