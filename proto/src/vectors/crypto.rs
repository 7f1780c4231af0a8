//! RSA, X9.31, key strings, messages and fingerprints.

use super::{Keys, bytes, cases, file, text};
use crate::crypto::{
    Crypticle, EncryptionAlgorithm, Fingerprint, FingerprintMatch, KeyString, PrivateKey, PublicKey,
    SigningAlgorithm,
};
use crate::message::Nonce;

#[test]
fn oaep_opens_what_salt_sealed_and_only_with_its_algorithm() {
    let keys = Keys::load();
    for case in cases(&file("rsa"), "oaep") {
        let key = keys.private(text(&case, "key"));
        let rng = &mut rand::rng();
        let algorithm: EncryptionAlgorithm = text(&case, "algorithm").parse().unwrap();
        let other: EncryptionAlgorithm = text(&case, "must_fail_with_algorithm").parse().unwrap();
        let sealed = bytes(&case, "ciphertext");
        assert_eq!(
            key.decrypt(algorithm, &sealed, rng).unwrap().as_slice(),
            bytes(&case, "plaintext")
        );
        assert!(key.decrypt(other, &sealed, rng).is_err(), "{}", case["name"]);
        let ours = key
            .public_key()
            .encrypt(algorithm, &bytes(&case, "plaintext"), rng)
            .unwrap();
        assert_eq!(
            key.decrypt(algorithm, &ours, rng).unwrap().as_slice(),
            bytes(&case, "plaintext")
        );
    }
}

#[test]
fn signatures_are_salts_byte_for_byte() {
    let keys = Keys::load();
    for case in cases(&file("rsa"), "pkcs1v15") {
        let key = keys.private(text(&case, "key"));
        let algorithm: SigningAlgorithm = text(&case, "algorithm").parse().unwrap();
        let other: SigningAlgorithm = text(&case, "must_fail_with_algorithm").parse().unwrap();
        let (data, signature) = (bytes(&case, "data"), bytes(&case, "signature"));
        assert_eq!(
            key.sign(algorithm, &data, &mut rand::rng()).unwrap(),
            signature,
            "{}",
            case["name"]
        );
        key.public_key().verify(algorithm, &data, &signature).unwrap();
        assert!(key.public_key().verify(other, &data, &signature).is_err());
        assert!(key.public_key().verify(algorithm, b"else", &signature).is_err());
    }
}

#[test]
fn tokens_are_salts_byte_for_byte_and_open_from_either_root() {
    let keys = Keys::load();
    for case in cases(&file("rsa"), "x931") {
        let key = keys.private(text(&case, "key"));
        let (data, signature) = (bytes(&case, "data"), bytes(&case, "signature"));
        assert_eq!(
            key.x931_sign(&data, &mut rand::rng()).unwrap(),
            signature,
            "{}",
            case["name"]
        );
        let opens = case["opens_again"].as_bool().unwrap();
        assert_eq!(
            key.public_key().x931_verify(&data, &signature).is_ok(),
            opens,
            "{}",
            case["name"]
        );
        if opens {
            assert_eq!(key.public_key().x931_open(&signature).unwrap(), data);
        }
        if case
            .get("other_root_also_opens")
            .is_some_and(|root| root.is_string())
        {
            let other_root = bytes(&case, "other_root_also_opens");
            assert_eq!(
                key.public_key().x931_open(&other_root).unwrap(),
                data,
                "{}",
                case["name"]
            );
        }
    }
}

#[test]
fn tokens_that_openssl_refuses_are_refused() {
    let keys = Keys::load();
    for case in cases(&file("rsa"), "x931_reject") {
        let key = keys.public(text(&case, "key"));
        assert!(
            key.x931_open(&bytes(&case, "signature")).is_err(),
            "{}",
            case["name"]
        );
    }
}

#[test]
fn algorithms_that_salt_does_not_know_are_refused() {
    for case in cases(&file("rsa"), "invalid_algorithms") {
        let name = text(&case, "algorithm");
        match text(&case, "use") {
            "sign" => assert!(name.parse::<SigningAlgorithm>().is_err(), "{name}"),
            "encrypt" => assert!(name.parse::<EncryptionAlgorithm>().is_err(), "{name}"),
            other => panic!("unknown use {other:?}"),
        }
    }
}

#[test]
fn messages_of_salt_open() {
    for case in cases(&file("crypticle"), "cases") {
        let key = KeyString::parse(text(&case, "key").as_bytes()).unwrap();
        let opened = Crypticle::new(&key)
            .unwrap()
            .decrypt(&bytes(&case, "message"))
            .unwrap();
        let plaintext = bytes(&case, "plaintext");
        assert_eq!(
            opened.as_slice(),
            plaintext.strip_prefix(b"pickle::").unwrap(),
            "{}",
            case["name"]
        );
    }
}

#[test]
fn messages_that_are_not_genuine_are_refused() {
    for case in cases(&file("crypticle"), "reject") {
        if text(&case, "client_must") == "either" {
            continue;
        }
        let key = KeyString::parse(text(&case, "key").as_bytes()).unwrap();
        let message = case["message_text"]
            .as_str()
            .map_or_else(|| bytes(&case, "message"), |text| text.as_bytes().to_vec());
        let opened = Crypticle::new(&key).unwrap().decrypt(&message);
        let genuine = opened.is_ok_and(|opened| match case["nonce"].as_str().and_then(Nonce::parse) {
            Some(nonce) => opened.get(..Nonce::LEN).is_some_and(|bytes| nonce.matches(bytes)),
            None => true,
        });
        assert!(!genuine, "{}", case["name"]);
    }
}

#[test]
fn key_strings_have_56_bytes() {
    for case in cases(&file("crypticle"), "key_strings") {
        let parsed = KeyString::parse(text(&case, "key").as_bytes());
        assert_eq!(parsed.is_ok(), case["raises"].is_null(), "{}", case["name"]);
    }
}

#[test]
fn fingerprints_are_salts() {
    let vectors = file("fingerprints");
    for case in cases(&vectors, "keys") {
        let pem = text(&case, "public_pem");
        let key = PublicKey::from_pem(pem).unwrap();
        let stripped = pem.trim_end();
        let body = text(&case["body_lines_only"], "sha256");
        assert_eq!(Fingerprint::of_body_lines(pem).to_string(), body);
        let whole = text(&case["whole_pem_stripped"], "sha256");
        assert_eq!(Fingerprint::of_whole_pem(stripped).to_string(), whole);
        let with_newline = text(&case["whole_pem_with_newline"], "sha256");
        assert_eq!(
            Fingerprint::of_whole_pem(&format!("{stripped}\n")).to_string(),
            with_newline
        );

        let matched = |finger: &str| Fingerprint::parse(finger).unwrap().matches(&key);
        assert_eq!(matched(body), Some(FingerprintMatch::BodyLines));
        assert_eq!(matched(whole), Some(FingerprintMatch::WholePem));
        assert_eq!(matched(with_newline), Some(FingerprintMatch::WholePem));
        assert_eq!(Fingerprint::of_body_lines("").matches(&key), None);
    }
    for case in cases(&vectors, "file_variants_of_master_pub") {
        let finger = Fingerprint::of_body_lines(text(&case, "public_pem")).to_string();
        assert_eq!(finger, text(&case, "body_lines_only_sha256"), "{}", case["name"]);
    }
}

#[test]
fn keys_are_written_as_salt_writes_them() {
    let vectors = file("keys");
    for (name, pair) in vectors["keys"].as_object().unwrap() {
        let key = PrivateKey::from_pem(text(pair, "private")).unwrap();
        assert_eq!(
            key.to_pkcs1_pem().unwrap().as_str(),
            text(pair, "private").trim_end(),
            "{name}"
        );
        assert_eq!(
            key.public_key().to_pem().unwrap(),
            text(pair, "public").trim_end(),
            "{name}"
        );
        assert_eq!(
            u64::from(key.public_key().bits()),
            pair["bits"].as_u64().unwrap(),
            "{name}"
        );
    }
}
