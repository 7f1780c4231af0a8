//! The halves of an OpenSSH pair, each as OpenSSH would read it.
//!
//! OpenSSH 9.2 takes lines of any length and text behind the block, and refuses ("error in libcrypto") CRLF,
//! blanks at the beginning or end of lines, anything before the block, and a missing final line end.

use ssh_key::{Algorithm, PrivateKey, PublicKey};

use super::finding::{Code, Severity};
use super::half::{Fault, Judged, RESTORE};
use super::pem::Block;

/// How to get another public half.
const REMAKE: &str = "remove `pub` and run `pki-tools gen`, which makes it from the private half";

/// The width of OpenSSH's lines (`sshkey_private_to_blob2`), on which `ssh_key` insists.
const WIDTH: usize = 70;

/// Looks at a private half; in `identity` is its public half, without a comment.
pub(super) fn private(text: &str) -> Judged {
    let block = match Block::find(text) {
        Ok(block) if block.label == "OPENSSH PRIVATE KEY" => block,
        Ok(block) => {
            let message = format!("is a {}, not an OpenSSH private key", block.label.to_lowercase());
            return Judged::bad(Fault::new(Code::BadKey, message, RESTORE));
        }
        Err(_) => {
            let message =
                "is no OpenSSH private key: it has no whole `-----BEGIN OPENSSH PRIVATE KEY-----` block";
            return Judged::bad(Fault::new(Code::BadKey, message, RESTORE));
        }
    };
    let Ok(key) = PrivateKey::from_openssh(block.to_text(WIDTH).as_str()) else {
        let message = "is damaged: it does not hold an OpenSSH key";
        return Judged::bad(Fault::new(Code::BadKey, message, RESTORE));
    };
    let mut judged = Judged::good(identity(key.public_key()));
    if key.is_encrypted() {
        judged.faults.push(Fault::new(
            Code::EncryptedKey,
            "is encrypted with a passphrase of its own, which nobody is there to type",
            "decrypt it with `ssh-keygen -p`, and protect the file with `pki-tools seal`",
        ));
    }
    judged.faults.extend(kind(&key.algorithm()));
    let blanks = |line: &str| line.starts_with([' ', '\t']) || line.ends_with([' ', '\t', '\r']);
    let head = text.split_once("-----END ").map_or(text, |(head, _)| head);
    if !text.starts_with("-----BEGIN ") || head.lines().count() < 2 || head.split('\n').any(blanks) {
        judged.faults.push(Fault::new(
            Code::UnusualForm,
            "has a form that OpenSSH refuses: CRLF, blanks around its lines, or something before it",
            "rewrite it as one plain block",
        ));
    } else if !text.ends_with('\n') {
        let fault = Fault::new(
            Code::UnusualForm,
            "has no line end after it, without which OpenSSH refuses a file",
            "write it as a `|` text",
        );
        judged.faults.push(fault.severity(Severity::Warning));
    }
    judged
}

/// Looks at a public half.
pub(super) fn public(text: &str) -> Judged {
    if text.contains("PRIVATE KEY-----") {
        return Judged::bad(Fault::new(
            Code::PrivateInPublic,
            "holds a private key, which would be given to everybody",
            "put the public half there; if the file was ever installed or shown, make a new pair",
        ));
    }
    match PublicKey::from_openssh(text.trim()) {
        Ok(key) => {
            let mut judged = Judged::good(identity(&key));
            judged.faults.extend(kind(&key.algorithm()));
            judged
        }
        Err(_) => Judged::bad(Fault::new(
            Code::BadKey,
            "is no OpenSSH public key (one line, `ssh-ed25519 AAAA… COMMENT`)",
            REMAKE,
        )),
    }
}

fn kind(algorithm: &Algorithm) -> Option<Fault> {
    let name = algorithm.as_str();
    (*algorithm != Algorithm::Ed25519).then(|| {
        Fault::new(
            Code::BadType,
            format!("is of type {name}, not ssh-ed25519"),
            "remove the pair and run `pki-tools gen` for an ed25519 one, then exchange it where it is in use",
        )
        .severity(Severity::Warning)
    })
}

fn identity(key: &PublicKey) -> Option<String> {
    PublicKey::from(key.key_data().clone()).to_openssh().ok()
}
