//! Every way of lying at the sign-in, as a table: the master's keys are real, one thing is wrong.

use proto::crypto::{KeyString, SigningAlgorithm};
use proto::message::Value;

use super::acceptance::{Accepted, SHA1};
use super::case::{Case, Expect, Row, Who, impostor, refused, refused_by_anybody};
use super::client::keys;
use super::fake_master::SignIn;

type Lie = fn(&mut Accepted);

const SHA224: SigningAlgorithm = SigningAlgorithm::Pkcs1v15Sha224;

const SIGNATURE: Expect = impostor(&["signature of the reply does not verify"]);
const NONCE: Expect = impostor(&["another nonce than the request: a replay"]);
const KEY: Expect = impostor(&["no usable master key"]);
const KEY_SIGNATURE: Expect = impostor(&["signed, but not by our master_sign"]);
const KEY_UNSIGNED: Expect = impostor(&["not signed by master_sign"]);
const SECRETS: Expect = impostor(&["secrets in the reply were not made for our key"]);
const INNER: Expect = impostor(&["inner signature over the AES key"]);
const TOKEN: Expect = impostor(&["could not give back our token"]);

/// With `master_sign` as the only anchor.
pub(crate) fn unpinned() -> Vec<Case> {
    let lies: Vec<Row<Lie>> = vec![
        (
            "another master, signed by another master_sign",
            |all| all.speak_as(&keys().other_master, Some(&keys().other_master_sign)),
            KEY_SIGNATURE,
        ),
        (
            "another master, signed by itself",
            |all| all.speak_as(&keys().other_master, Some(&keys().other_master)),
            KEY_SIGNATURE,
        ),
        (
            "another master, with the genuine one's pub_sig",
            |all| {
                all.signed_key = Some(all.pub_key.clone());
                all.speak_as(&keys().other_master, Some(&keys().master_sign));
            },
            KEY_SIGNATURE,
        ),
        (
            "another master, unsigned",
            |all| all.speak_as(&keys().other_master, None),
            KEY_UNSIGNED,
        ),
        (
            "the genuine key, signed by another master_sign",
            |all| all.master_sign = Some(&keys().other_master_sign),
            KEY_SIGNATURE,
        ),
        (
            "the genuine key, unsigned",
            |all| all.master_sign = None,
            KEY_UNSIGNED,
        ),
        (
            "the genuine key, everything else by another one",
            |all| {
                all.outer = Some((&keys().other_master, SHA1));
                all.inner = &keys().other_master;
            },
            SIGNATURE,
        ),
        (
            "outer signature by another key",
            |all| all.outer = Some((&keys().other_master, SHA1)),
            SIGNATURE,
        ),
        (
            "outer signature by master_sign",
            |all| all.outer = Some((&keys().master_sign, SHA1)),
            SIGNATURE,
        ),
        (
            "outer signature with SHA-224",
            |all| all.outer = Some((&keys().master, SHA224)),
            SIGNATURE,
        ),
        (
            "no outer signature",
            |all| all.outer = None,
            impostor(&["not signed"]),
        ),
        ("no key", |all| all.pub_key = String::new(), KEY),
        (
            "a private key for a key",
            |all| all.pub_key = keys().other_master.to_pkcs1_pem().unwrap().to_string(),
            KEY,
        ),
        ("another nonce", |all| all.nonce = Some(vec![b'0'; 32]), NONCE),
        (
            "half a nonce",
            |all| drop(all.nonce.as_mut().unwrap().split_off(16)),
            NONCE,
        ),
        ("no nonce", |all| all.nonce = None, NONCE),
        (
            "secrets for somebody else",
            |all| all.to = keys().other_identity.public_key(),
            SECRETS,
        ),
        ("no AES key inside", |all| all.aes = b"short".to_vec(), SECRETS),
        (
            "no session key inside",
            |all| all.session = Some(vec![b'A'; 77]),
            SECRETS,
        ),
        (
            "AES key signed by another key",
            |all| all.inner = &keys().other_master,
            INNER,
        ),
        (
            "another AES key signed",
            |all| all.signed_aes = Some(KeyString::generate(&mut rand::rng())),
            INNER,
        ),
        (
            "no session key: a master before 3006.12",
            |all| all.session = None,
            refused("refused", &["older than 3006.12"]),
        ),
    ];
    let claims = [
        ("pending", Value::Bool(true), "key_pending"),
        ("rejected", Value::Bool(false), "key_rejected"),
        ("full", Value::text("full"), "full"),
    ];
    let claims = claims.into_iter().map(|(name, ret, state)| {
        // Whoever signs it: there is no key to check it with.
        let expect = refused_by_anybody(state, &["could not be verified"]);
        Case::new(name, Who::SignIn(SignIn::Claim(ret, &keys().master)), expect)
    });
    as_cases(lies).chain(claims).collect()
}

/// With the master's own key pinned, too.
pub(crate) fn pinned() -> Vec<Case> {
    let lies: Vec<Row<Lie>> = vec![
        (
            "another master of the same client behind a pin",
            |all| all.speak_as(&keys().other_master, Some(&keys().master_sign)),
            impostor(&["not the pinned one"]),
        ),
        ("no token", |all| all.token = None, TOKEN),
        ("another token", |all| all.token = Some(vec![b'A'; 76]), TOKEN),
        (
            "a longer token",
            |all| all.token.as_mut().unwrap().push(b'='),
            TOKEN,
        ),
        (
            "the pinned key, unsigned",
            |all| all.master_sign = None,
            KEY_UNSIGNED,
        ),
    ];
    let claims = [
        ("pending behind a pin", Value::Bool(true), "key_pending"),
        ("rejected behind a pin", Value::Bool(false), "key_rejected"),
        ("full behind a pin", Value::text("full"), "full"),
    ];
    let claims = claims.into_iter().flat_map(|(name, ret, state)| {
        let genuine = SignIn::Claim(ret.clone(), &keys().master);
        let forged = SignIn::Claim(ret, &keys().other_master);
        [
            Case::new(
                name,
                Who::SignIn(genuine),
                refused(state, &["key", "max_minions"]),
            ),
            Case::new(format!("{name}, forged"), Who::SignIn(forged), SIGNATURE),
        ]
    });
    as_cases(lies).chain(claims).map(Case::pinned).collect()
}

fn as_cases(lies: Vec<Row<Lie>>) -> impl Iterator<Item = Case> {
    let case = |(name, lie, expect)| Case::new(name, Who::SignIn(SignIn::Accept(lie)), expect);
    lies.into_iter().map(case)
}
