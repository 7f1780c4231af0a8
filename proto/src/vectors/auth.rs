//! Sign-in replies of real masters, genuine and forged.

use super::{Keys, RELEASES, bytes, cases, file, text};
use crate::auth::{Claim, SignIn, SignInError, Trust};
use crate::crypto::{Fingerprint, KeyString};
use crate::identity::Algorithms;
use crate::message::{Limits, Nonce, Value};
use crate::publication::Signatures;
use crate::session::Session;

/// Cases in which we are stricter than Salt's minion on purpose: it trusts whoever answers first, and does
/// not look at a bad `pub_sig` beside a known key.
const STRICTER: [&str; 3] = ["first-contact", "impostor-first-contact", "known-key-bad-pub-sig"];
/// Cases in which the same key, signed by the same signer, comes in another text than Salt's minion expects.
const MORE_TOLERANT: [&str; 3] = [
    "pub-sig-over-newline",
    "pub-key-final-newline",
    "finger-of-whole-pem",
];

#[test]
fn replies_that_salts_minion_accepts_are_accepted_and_no_others() {
    let keys = Keys::load();
    for case in cases(&file("auth-verdicts"), "cases") {
        let name = text(&case, "name");
        let accepted = case["salt"]
            .as_object()
            .unwrap()
            .values()
            .all(|verdict| verdict["accepted"] == true);
        let expected = (accepted || MORE_TOLERANT.contains(&name)) && !STRICTER.contains(&name);
        let session = judge(&keys, &case);
        assert_eq!(session.is_ok(), expected, "{name}: {:?}", session.err());
    }
}

/// Runs one case with the anchors that its minion options stand for.
fn judge(keys: &Keys, case: &serde_json::Value) -> Result<Session, SignInError> {
    let options = &case["minion"]["opts"];
    let stored = case["minion"]["stored_master_pub"]
        .as_str()
        .map(|name| keys.public(name));
    let finger = options["master_finger"]
        .as_str()
        .map(|finger| Fingerprint::parse(finger).unwrap());
    let signer = (options["verify_master_pubkey_sign"] == true).then(|| keys.public("master_sign"));
    // With a signer the stored key may change: `pub_sig` decides, as for `verify_master_pubkey_sign`.
    let pinned = if signer.is_some() { None } else { stored };
    let mut algorithms = Algorithms::default();
    if let Some(name) = options["encryption_algorithm"].as_str() {
        algorithms.encryption = name.parse().unwrap();
    }
    if let Some(name) = options["signing_algorithm"].as_str() {
        algorithms.signing = name.parse().unwrap();
    }
    let Ok(trust) = Trust::new(signer, pinned, finger) else {
        return Err(SignInError::NotAReply); // no anchor: we do not even ask
    };
    let nonce = Nonce::parse(text(&case["request"], "nonce")).unwrap();
    let token = case["request"]["token_plain"].as_str().map(|token| {
        use base64::Engine as _;
        let token = base64::engine::general_purpose::STANDARD.decode(token).unwrap();
        KeyString::parse(&token).unwrap()
    });
    let identity = keys.identity("client");
    let sign_in = SignIn::resume(&identity, &trust, algorithms, nonce, token);
    sign_in.finish(&bytes(case, "reply_wire"), &mut rand::rng())
}

#[test]
fn every_reply_of_every_release_has_its_verdict() {
    let keys = Keys::load();
    for release in RELEASES {
        for case in cases(&file(&format!("auth-{release}")), "auth") {
            let name = text(&case, "name");
            let load = &case["request"]["load"];
            let Some(nonce) = load["nonce"].as_str().and_then(Nonce::parse) else {
                continue;
            };
            let algorithms = Algorithms {
                encryption: load["enc_algo"]
                    .as_str()
                    .and_then(|name| name.parse().ok())
                    .unwrap_or_default(),
                signing: load["sig_algo"]
                    .as_str()
                    .and_then(|name| name.parse().ok())
                    .unwrap_or_default(),
            };
            let minion = case["minion_key"].as_str().unwrap_or("client");
            let identity = keys.identity(minion);
            let signed = case["reply_inner"].get("pub_sig").is_some();
            let trust = Trust::new(
                signed.then(|| keys.public("master_sign")),
                Some(keys.public("master")),
                None,
            )
            .unwrap();
            let sign_in = SignIn::resume(&identity, &trust, algorithms, nonce, None);
            let verdict = sign_in.finish(&bytes(&case, "reply_wire"), &mut rand::rng());
            let expected = expected(&case);
            match (verdict, expected) {
                (Ok(session), Expected::Accepted) => {
                    assert_eq!(session.master_key(), &keys.public("master"));
                    let _ = session.publications(Signatures::Required);
                }
                (Err(SignInError::NotAccepted { claim, verified }), Expected::Claim(expected)) => {
                    assert_eq!((claim, verified), (expected, true), "{release} {name}");
                }
                (Err(error), Expected::Refused) => {
                    assert!(
                        !matches!(error, SignInError::NotAccepted { .. }),
                        "{release} {name}: {error}"
                    );
                }
                (verdict, expected) => {
                    panic!("{release} {name}: {:?}, expected {expected:?}", verdict.err());
                }
            }
        }
    }
}

#[derive(Debug)]
enum Expected {
    Accepted,
    Claim(Claim),
    Refused,
}

fn expected(case: &serde_json::Value) -> Expected {
    if case["reply_kind"] == "auth ret, signed" {
        return Expected::Claim(match &case["reply_inner"]["ret"] {
            serde_json::Value::Bool(true) => Claim::Pending,
            serde_json::Value::Bool(false) => Claim::Rejected,
            _ => Claim::Full,
        });
    }
    // Versions below 2 have no nonce and no signature; what a master answers to those is not for us. A
    // pre-computed pub_sig over another text or hash is judged in the other test.
    let inner = &case["reply_inner"];
    let whole = inner.is_object() && inner.get("session").is_some() && inner.get("nonce").is_some();
    if case["reply_kind"] == "auth accepted" && whole {
        Expected::Accepted
    } else {
        Expected::Refused
    }
}

#[test]
fn our_request_has_the_fields_of_salts_minion_in_their_order() {
    let keys = Keys::load();
    let vectors = file("auth-3008");
    let captured: Vec<_> = cases(&vectors, "auth")
        .into_iter()
        .filter(|case| text(case, "name").starts_with("real-channel"))
        .collect();
    assert!(!captured.is_empty());
    for case in captured {
        let salts = Value::decode(&bytes(&case, "request_wire"), Limits::UNVERIFIED).unwrap();
        let with_token = salts.get("load").unwrap().get("token").is_some();
        let pinned = with_token.then(|| keys.public("master"));
        let signer = (!with_token).then(|| keys.public("master_sign"));
        let trust = Trust::new(signer, pinned, None).unwrap();
        let algorithms = Algorithms {
            encryption: salts
                .get("load")
                .unwrap()
                .get("enc_algo")
                .unwrap()
                .as_text()
                .unwrap()
                .parse()
                .unwrap(),
            signing: salts
                .get("load")
                .unwrap()
                .get("sig_algo")
                .unwrap()
                .as_text()
                .unwrap()
                .parse()
                .unwrap(),
        };
        let identity = keys.identity("client");
        let (_, request) = SignIn::new(&identity, &trust, algorithms, &mut rand::rng());
        let ours = Value::decode(&request, Limits::UNVERIFIED).unwrap();
        assert_eq!(shape(&ours), shape(&salts), "{}", case["name"]);
        for field in ["cmd", "id", "enc_algo", "sig_algo", "pub"] {
            assert_eq!(
                ours.get("load").unwrap().get(field),
                salts.get("load").unwrap().get(field),
                "{field}"
            );
        }
        assert_eq!(ours.get("version"), Some(&Value::Int(3)));
    }
}

fn shape(request: &Value) -> (Vec<String>, Vec<String>) {
    let names = |value: &Value| {
        value
            .as_map()
            .unwrap()
            .iter()
            .map(|(key, _)| key.as_text().unwrap().to_owned())
            .collect()
    };
    (names(request), names(request.get("load").unwrap()))
}
