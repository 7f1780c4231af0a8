//! The outer maps of requests, in Salt's payload version 3 and never lower.

use super::{MinionId, Value};
use crate::crypto::{EncryptionAlgorithm, SigningAlgorithm};

/// Salt's payload version: signed sign-in replies, session keys per minion, `tok` and `id` required.
///
/// Asking for less is how a man in the middle would open CVE-2025-62349, so it is no parameter.
const VERSION: i64 = 3;

/// A request in the clear: `_auth`, and `ping`, which only shows that somebody answers.
#[must_use]
pub fn clear_request(load: Value) -> Vec<u8> {
    Value::map([
        ("enc", Value::text("clear")),
        ("load", load),
        ("version", Value::Int(VERSION)),
    ])
    .encode()
}

/// An encrypted request; `load` is the message under the session key of `id`.
#[must_use]
pub fn aes_request(
    load: Vec<u8>,
    id: &MinionId,
    encryption: EncryptionAlgorithm,
    signing: SigningAlgorithm,
) -> Vec<u8> {
    Value::map([
        ("enc", Value::text("aes")),
        ("load", Value::Raw(load)),
        ("version", Value::Int(VERSION)),
        ("id", Value::text(id.as_str())),
        ("enc_algo", Value::text(encryption.name())),
        ("sig_algo", Value::text(signing.name())),
    ])
    .encode()
}
