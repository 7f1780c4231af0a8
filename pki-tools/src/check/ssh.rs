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

#[cfg(test)]
mod tests {
    use ssh_key::LineEnding;

    use super::*;

    fn key() -> PrivateKey {
        let mut key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
        key.set_comment("root@m1");
        key
    }

    fn codes(judged: &Judged) -> Vec<(Severity, Code)> {
        judged
            .faults
            .iter()
            .map(|fault| (fault.severity, fault.code))
            .collect()
    }

    #[test]
    fn both_halves_have_one_identity_whatever_their_comments() {
        let key = key();
        let private = private(&key.to_openssh(LineEnding::LF).unwrap());
        let text = key.public_key().to_openssh().unwrap();
        for text in [text.clone(), format!("{text}\n"), text.replace("root@m1", "else")] {
            let public = public(&text);
            assert_eq!(codes(&public), []);
            assert!(public.identity.is_some());
            assert_eq!(private.identity, public.identity);
        }
        assert_eq!(codes(&private), []);
    }

    /// What OpenSSH 9.2 takes and refuses, tried with `ssh-keygen -y`.
    #[test]
    fn a_form_that_openssh_refuses_is_a_fault() {
        let text = key().to_openssh(LineEnding::LF).unwrap().to_string();
        let lines: Vec<&str> = text.lines().collect();
        let one_line = format!(
            "{}\n{}\n{}\n",
            lines[0],
            lines[1..lines.len() - 1].concat(),
            lines[lines.len() - 1]
        );
        for good in [
            text.clone(),
            format!("{text}\n\n"),
            format!("{text}text\n"),
            one_line,
        ] {
            assert_eq!(codes(&private(&good)), [], "{good}");
        }
        for bad in [
            text.replace('\n', "\r\n"),
            format!("\n{text}"),
            format!("x\n{text}"),
            text.replace('\n', "\n  "),
            text.replace('\n', "  \n"),
            text.replace('\n', " "),
        ] {
            let judged = private(&bad);
            assert_eq!(codes(&judged), [(Severity::Fault, Code::UnusualForm)], "{bad}");
            assert!(judged.identity.is_some());
        }
        let judged = private(text.trim_end());
        assert_eq!(codes(&judged), [(Severity::Warning, Code::UnusualForm)]);
    }

    #[test]
    fn what_is_no_openssh_key_is_refused() {
        for bad in [
            "",
            "x",
            "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        ] {
            assert_eq!(codes(&private(bad)), [(Severity::Fault, Code::BadKey)], "{bad}");
        }
        for bad in ["", "x", "ssh-ed25519", "ssh-ed25519 AAAA"] {
            assert_eq!(codes(&public(bad)), [(Severity::Fault, Code::BadKey)], "{bad}");
        }
        let text = key().to_openssh(LineEnding::LF).unwrap();
        assert_eq!(codes(&public(&text)), [(Severity::Fault, Code::PrivateInPublic)]);
        let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCXInueUxTxoBLu/30rYibQBjoVi92kgik/1wIlCcQWgKbkwY7R+uLrtKdt7/rQS1V3jHY2JjkOi1kFYEY65jap2ZuW6yBnQQpwLlWRXjRkL0OZ3ypa16H18UnbKeOoWTlUjApaioH0Kvv+TKZqWAsTOl4Ps+4K3VGA9ug3scpmBw== x";
        assert_eq!(codes(&public(rsa)), [(Severity::Warning, Code::BadType)]);
    }
}
