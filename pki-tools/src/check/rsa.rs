//! The halves of an RSA pair, each as Salt would read it.
//!
//! Sources: `PrivateKey` and `PublicKey` in `salt/crypt.py`, `salt/utils/rsax931.py`, and trials with
//! 3006.25 and 3008.1; see [`super::pem`].

use proto::crypto::{KeyError, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::finding::{Code, Severity};
use super::half::{Fault, Judged, RESTORE};
use super::pem::{Block, NoBlock};
use crate::keys::Role;

/// The object identifier rsaEncryption (RFC 8017, appendix C), in DER.
const RSA_OID: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// The object identifier id-RSASSA-PSS, in DER.
const PSS_OID: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];

/// How to get another public half.
const REMAKE: &str = "remove `pub` and run `pki-tools gen`, which makes it from the private half";

/// Looks at a private half; in `identity` is its public half, as Salt sends it.
pub(super) fn private(text: &str, role: Role) -> Judged {
    let block = match Block::find(text) {
        Ok(block) => block,
        Err(why) => return Judged::bad(no_block(&why, text, RESTORE)),
    };
    let fault = match block.label {
        "RSA PRIVATE KEY" | "PRIVATE KEY" if block.is_encrypted() => Some(encrypted()),
        "RSA PRIVATE KEY" | "PRIVATE KEY" => None,
        "ENCRYPTED PRIVATE KEY" => Some(encrypted()),
        "OPENSSH PRIVATE KEY" => Some(Fault::new(
            Code::BadKey,
            "is an OpenSSH private key, which Salt refuses",
            "convert it with `ssh-keygen -p -m PEM -f FILE` if it is RSA",
        )),
        "EC PRIVATE KEY" => Some(not_rsa()),
        label if label.contains("PUBLIC KEY") => Some(Fault::new(
            Code::BadKey,
            "is a public key, not a private one",
            RESTORE,
        )),
        label => Some(Fault::new(
            Code::BadKey,
            format!("is a {}, not an RSA private key", label.to_lowercase()),
            RESTORE,
        )),
    };
    if let Some(fault) = fault {
        return Judged::bad(fault);
    }
    let key = match PrivateKey::from_pem(&block.to_text(64)) {
        Ok(key) => key,
        Err(error) => return Judged::bad(unusable(&error, &block, RESTORE)),
    };
    let public = key.public_key();
    let mut judged = Judged::good(public.to_pem().ok());
    if !is_consistent(&key, &block) {
        // `rsa` makes the helping numbers afresh; OpenSSL, for Salt, checks them.
        judged.faults.push(Fault::new(
            Code::BadKey,
            "is damaged: its numbers do not fit each other, and Salt refuses it",
            RESTORE,
        ));
    }
    judged.faults.extend(size(public.bits()));
    if let Some(oddity) = block.oddity(text) {
        judged.faults.push(odd_private(oddity, role));
    }
    judged
}

/// Looks at a public half.
pub(super) fn public(text: &str, role: Role) -> Judged {
    if text.contains("PRIVATE KEY-----") {
        return Judged::bad(Fault::new(
            Code::PrivateInPublic,
            "holds a private key, which would be given to everybody",
            "put the public half there; if the file was ever installed or shown, make a new pair",
        ));
    }
    let block = match Block::find(text) {
        Ok(block) => block,
        Err(why) => return Judged::bad(no_block(&why, text, REMAKE)),
    };
    if !matches!(block.label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
        let what = block.label.to_lowercase();
        return Judged::bad(Fault::new(
            Code::BadKey,
            format!("is a {what}, not a public key"),
            REMAKE,
        ));
    }
    let key = match PublicKey::from_pem(&block.to_text(64)) {
        Ok(key) => key,
        Err(error) => return Judged::bad(unusable(&error, &block, REMAKE)),
    };
    let mut judged = Judged::good(key.to_pem().ok());
    judged.faults.extend(size(key.bits()));
    if block.label == "RSA PUBLIC KEY" {
        judged.faults.push(odd_public("it is PKCS#1", role));
    } else if let Some(oddity) = block.oddity(text) {
        judged.faults.push(odd_public(oddity, role));
    }
    judged
}

fn no_block(why: &NoBlock, text: &str, remedy: &'static str) -> Fault {
    let text = text.trim_start();
    let message = match why {
        _ if text.starts_with("ssh-") => "is an OpenSSH public key, which Salt refuses",
        NoBlock::NoBegin => "is no key: there is no `-----BEGIN …-----` in it",
        NoBlock::NoEnd => "is cut off: its `-----BEGIN …-----` has no `-----END …-----`",
        NoBlock::EmptyLine => "has an empty line in its PEM block, with which Salt refuses it",
    };
    Fault::new(Code::BadKey, message, remedy)
}

fn encrypted() -> Fault {
    Fault::new(
        Code::EncryptedKey,
        "is encrypted with a passphrase of its own, which a minion cannot give",
        "decrypt it with `openssl rsa`, and protect the file with `pki-tools seal`",
    )
}

fn not_rsa() -> Fault {
    // 3006.25 and 3008.1 load it, and fail with a TypeError when they sign or decrypt.
    Fault::new(
        Code::BadKey,
        "is no RSA key: Salt loads it, and fails when it uses it",
        RESTORE,
    )
}

fn unusable(error: &KeyError, block: &Block<'_>, remedy: &'static str) -> Fault {
    let generic = !block.label.contains("RSA");
    match error {
        KeyError::Size(bits) if *bits < 2048 => too_small(*bits),
        KeyError::Size(bits) => Fault::new(Code::BadSize, format!("has {bits} bits, too many"), remedy),
        // 3006.25 and 3008.1 sign and make tokens with it.
        _ if contains(&block.bytes(), PSS_OID) => Fault::new(
            Code::BadKey,
            "is an RSA-PSS key, which Salt may read but saltfo does not",
            remedy,
        ),
        _ if generic && !contains(&block.bytes(), RSA_OID) && !block.bytes().is_empty() => not_rsa(),
        _ => Fault::new(Code::BadKey, "is damaged: it does not hold an RSA key", remedy),
    }
}

fn size(bits: u32) -> Option<Fault> {
    match bits {
        0..2048 => Some(too_small(bits)),
        // `RSA_padding_add_X931` fills whole bytes, so what is signed may exceed such a modulus: Salt's tokens
        // failed for 2047 (most keys), 2050, 2052, 2054, 2055 and 4095 bits, never for 2049, 2056, 3000 or 3001.
        _ if bits % 8 > 1 => Some(Fault::new(
            Code::BadSize,
            format!("has {bits} bits, with which Salt's tokens (X9.31) fail"),
            "make a new pair, of 2048, 3072 or 4096 bits",
        )),
        2048 | 3072 | 4096 => None,
        4097.. => Some(unusual_size(
            bits,
            "which makes every sign-in slow and nothing safer",
        )),
        _ => Some(unusual_size(bits, "an unusual size")),
    }
}

fn too_small(bits: u32) -> Fault {
    Fault::new(
        Code::BadSize,
        format!("has {bits} bits, which is too small to be safe"),
        "make a new pair, of 2048, 3072 or 4096 bits",
    )
}

fn unusual_size(bits: u32, why: &str) -> Fault {
    Fault::new(
        Code::UnusualSize,
        format!("has {bits} bits, {why}"),
        "make a new pair of 2048, 3072 or 4096 bits when you can",
    )
    .severity(Severity::Warning)
}

fn odd_private(oddity: &str, role: Role) -> Fault {
    let remedy = "rewrite it as one plain PEM block";
    let what = format!("has an unusual form ({oddity})");
    if role == Role::Pipeline {
        let message = format!("{what}, which saltfo may not read");
        return Fault::new(Code::UnusualForm, message, remedy);
    }
    let message = format!("{what}: Salt 3006.25 and 3008.1 read it, older releases and other tools may not");
    Fault::new(Code::UnusualForm, message, remedy).severity(Severity::Warning)
}

/// A master compares public keys as texts (`compare_keys` in salt/channel/server.py), and saltfo sends the usual one:
/// tried with 3006.25 and 3008.1, which then take its key for another.
fn odd_public(oddity: &str, role: Role) -> Fault {
    let what = format!("has an unusual form ({oddity})");
    let (severity, message) = match role {
        Role::Pipeline => (
            Severity::Fault,
            format!("{what}: masters would refuse saltfo, which sends the usual one"),
        ),
        Role::Minion | Role::MasterMinion => (
            Severity::Warning,
            format!("{what}: masters would refuse saltfo as this minion, though not Salt's own"),
        ),
        _ => (
            Severity::Warning,
            format!("{what}: Salt 3006.25 and 3008.1 read it, older releases and other tools may not"),
        ),
    };
    Fault::new(Code::UnusualForm, message, REMAKE).severity(severity)
}

/// Whether the key, encoded afresh, is what is in the block: PKCS#1 itself, or PKCS#8 around it.
fn is_consistent(key: &PrivateKey, block: &Block<'_>) -> bool {
    let Ok(pem) = key.to_pkcs1_pem() else { return false };
    let Ok(own) = Block::find(&pem) else { return false };
    contains(&block.bytes(), &own.bytes())
}

fn contains(bytes: &Zeroizing<Vec<u8>>, part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;

    fn key(bits: u32) -> PrivateKey {
        PrivateKey::generate(bits, &mut rand::rng()).unwrap()
    }

    /// A private half in PKCS#1, and its public half, without final line ends.
    fn pair() -> &'static (String, String) {
        static PAIR: OnceLock<(String, String)> = OnceLock::new();
        PAIR.get_or_init(|| {
            let key = key(2048);
            let private = key.to_pkcs1_pem().unwrap().to_string();
            (private, key.public_key().to_pem().unwrap())
        })
    }

    fn codes(judged: &Judged) -> Vec<(Severity, Code)> {
        judged
            .faults
            .iter()
            .map(|fault| (fault.severity, fault.code))
            .collect()
    }

    /// The bytes of a PEM text, and a PEM text of bytes.
    fn recode(pem: &str, label: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
        use base64::Engine as _;
        let mut bytes = Block::find(pem).ok().unwrap().bytes().to_vec();
        change(&mut bytes);
        let body = base64::engine::general_purpose::STANDARD.encode(bytes);
        let text = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----");
        Block::find(&text).ok().unwrap().to_text(64).to_string()
    }

    #[test]
    fn both_halves_of_a_pair_have_one_identity_and_no_fault() {
        let (pem, public_pem) = pair();
        for role in [Role::Minion, Role::Pipeline] {
            let (private, public) = (private(pem, role), public(public_pem, role));
            assert_eq!(private.identity.as_ref(), Some(public_pem));
            assert_eq!(private.identity, public.identity);
            assert_eq!(codes(&private), []);
            assert_eq!(codes(&public), []);
        }
    }

    #[test]
    fn an_unusual_form_is_a_warning_but_a_fault_for_the_dispatch_identity() {
        let (pem, public_pem) = pair();
        let indent = |text: &str| text.replace('\n', "\n  ");
        for (role, severity) in [
            (Role::Minion, Severity::Warning),
            (Role::Pipeline, Severity::Fault),
        ] {
            let expected = [(severity, Code::UnusualForm)];
            assert_eq!(codes(&private(&indent(pem), role)), expected);
            assert_eq!(codes(&public(&indent(public_pem), role)), expected);
            assert_eq!(codes(&public(&format!("my key\n{public_pem}"), role)), expected);
        }
    }

    #[test]
    fn a_key_whose_numbers_do_not_fit_each_other_is_damaged_as_salt_sees_it() {
        let (pem, _) = pair();
        // The last number is qInv (RFC 8017, A.1.2): no reader needs it to know the public half.
        let damaged = recode(pem, "RSA PRIVATE KEY", |bytes| *bytes.last_mut().unwrap() ^= 2);
        let judged = private(&damaged, Role::Minion);
        assert_eq!(codes(&judged), [(Severity::Fault, Code::BadKey)]);
        assert!(judged.identity.is_some());
        let broken = recode(pem, "RSA PRIVATE KEY", |bytes| bytes.truncate(100));
        assert_eq!(
            codes(&private(&broken, Role::Minion)),
            [(Severity::Fault, Code::BadKey)]
        );
    }

    #[test]
    fn sizes_that_salt_cannot_use_are_faults_and_others_warnings() {
        let cases = [
            (1024, Some((Severity::Fault, Code::BadSize))),
            (2047, Some((Severity::Fault, Code::BadSize))),
            (2048, None),
            (2050, Some((Severity::Fault, Code::BadSize))),
            (2056, Some((Severity::Warning, Code::UnusualSize))),
            (3000, Some((Severity::Warning, Code::UnusualSize))),
            (3072, None),
            (4095, Some((Severity::Fault, Code::BadSize))),
            (4096, None),
            (8192, Some((Severity::Warning, Code::UnusualSize))),
        ];
        for (bits, expected) in cases {
            let found = size(bits).map(|fault| (fault.severity, fault.code));
            assert_eq!(found, expected, "{bits}");
        }
        let small = key(1536);
        let found = private(&small.to_pkcs1_pem().unwrap(), Role::Minion);
        assert_eq!(codes(&found), [(Severity::Fault, Code::BadSize)]);
    }

    #[test]
    fn a_key_for_pss_alone_is_not_called_a_damaged_one() {
        let (pem, _) = pair();
        let pss = recode(pem, "PRIVATE KEY", |bytes| {
            *bytes = [&[0x30, 0x0b], PSS_OID].concat();
        });
        let judged = private(&pss, Role::Minion);
        assert_eq!(codes(&judged), [(Severity::Fault, Code::BadKey)]);
        assert!(judged.faults[0].message.contains("RSA-PSS"));
    }

    #[test]
    fn keys_of_other_kinds_are_refused_each_with_its_reason() {
        let (pem, public_pem) = pair();
        let label = |text: &str, from: &str, to: &str| text.replace(from, to);
        let cases = [
            (String::new(), Code::BadKey, "no key"),
            ("ssh-ed25519 AAAA".to_owned(), Code::BadKey, "OpenSSH public key"),
            (public_pem.clone(), Code::BadKey, "a public key"),
            (
                label(pem, "RSA PRIVATE", "OPENSSH PRIVATE"),
                Code::BadKey,
                "OpenSSH private key",
            ),
            (label(pem, "RSA PRIVATE", "EC PRIVATE"), Code::BadKey, "no RSA key"),
            (
                label(pem, "RSA PRIVATE", "ENCRYPTED PRIVATE"),
                Code::EncryptedKey,
                "passphrase",
            ),
            (
                pem.replacen("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1),
                Code::EncryptedKey,
                "passphrase",
            ),
            // An Ed25519 key in PKCS#8 (RFC 8410, section 10.3).
            (
                "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                 -----END PRIVATE KEY-----"
                    .to_owned(),
                Code::BadKey,
                "no RSA key",
            ),
        ];
        for (text, code, part) in cases {
            let judged = private(&text, Role::Minion);
            assert_eq!(codes(&judged), [(Severity::Fault, code)], "{text}");
            assert!(
                judged.faults[0].message.contains(part),
                "{}",
                judged.faults[0].message
            );
        }
        let judged = public(pem, Role::Minion);
        assert_eq!(codes(&judged), [(Severity::Fault, Code::PrivateInPublic)]);
    }
}
