//! `pub_sig`: the signature of `master_sign` over a master's public key.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::Deceit;
use crate::crypto::{PublicKey, SigningAlgorithm};
use crate::message::Value;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Checks it over the text of the key as received.
///
/// Also over that text with a newline: `salt-key --gen-signature` of 3006 to 3008 signs the *file*, whose
/// last newline the reply lacks (salt #68930). Both texts are the same key, signed by the same signer.
pub(super) fn verify(
    signer: &PublicKey,
    algorithm: SigningAlgorithm,
    pem: &str,
    pub_sig: &Value,
) -> Result<(), Deceit> {
    let text = pub_sig.as_text().ok_or(Deceit::KeySignature)?;
    let compact: String = text
        .chars()
        .filter(|character| !character.is_ascii_whitespace())
        .collect();
    let signature = BASE64.decode(compact).map_err(|_| Deceit::KeySignature)?;
    signer
        .verify(algorithm, pem.as_bytes(), &signature)
        .or_else(|_| signer.verify(algorithm, format!("{pem}\n").as_bytes(), &signature))
        .map_err(|_| Deceit::KeySignature)
}
