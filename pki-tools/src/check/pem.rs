//! PEM blocks, taken apart as Salt takes them apart.
//!
//! What is said here about Salt was tried with `salt.crypt` of 3006.25 and 3008.1 on `cryptography` 50.0.2,
//! and `integration/tests/key_forms.rs` tries it again. Both read a block wherever it stands in a text,
//! whatever its line ends and the length of its lines, with blanks around each line. Releases of Salt from before
//! they needed `cryptography` 46 are stricter: OpenSSL's reader (`cryptography` 42.0.8) and PyCryptodome refuse
//! blanks before `-----BEGIN` and blocks without line ends, and OpenSSH refuses more than that.

use zeroize::Zeroizing;

/// The block that a reader finds first in a text.
pub(super) struct Block<'a> {
    /// What it says that it is: `RSA PRIVATE KEY`.
    pub(super) label: &'a str,
    /// The lines before an empty one, as in `Proc-Type: 4,ENCRYPTED`.
    headers: Zeroizing<String>,
    /// The base64 without its line ends.
    body: Zeroizing<String>,
}

/// Why there is no block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoBlock {
    /// No `-----BEGIN` with a label.
    NoBegin,
    /// No `-----END` with the same label.
    NoEnd,
    /// An empty line among the base64: what is above it is taken for headers.
    EmptyLine,
}

impl<'a> Block<'a> {
    pub(super) fn find(text: &'a str) -> Result<Self, NoBlock> {
        let (_, rest) = text.split_once("-----BEGIN ").ok_or(NoBlock::NoBegin)?;
        let (label, rest) = rest.split_once("-----").ok_or(NoBlock::NoBegin)?;
        if label.contains(['\n', '\r']) {
            return Err(NoBlock::NoBegin);
        }
        let (inside, _) = rest
            .split_once(&format!("-----END {label}-----"))
            .ok_or(NoBlock::NoEnd)?;
        let inside = Zeroizing::new(inside.replace("\r\n", "\n"));
        let (headers, body) = inside
            .trim_start()
            .split_once("\n\n")
            .unwrap_or(("", inside.as_str()));
        if headers.lines().any(|line| !line.contains(':')) {
            return Err(NoBlock::EmptyLine);
        }
        let mut base64 = Zeroizing::new(String::with_capacity(body.len()));
        base64.extend(body.chars().filter(|c| !c.is_whitespace()));
        Ok(Self {
            label,
            headers: Zeroizing::new(headers.to_owned()),
            body: base64,
        })
    }

    /// Whether it is encrypted the old way, with headers.
    pub(super) fn is_encrypted(&self) -> bool {
        self.headers.contains("ENCRYPTED")
    }

    /// What is in it, decoded; empty if that is no base64.
    pub(super) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        use base64::Engine as _;
        let decoded = base64::engine::general_purpose::STANDARD.decode(self.body.as_bytes());
        Zeroizing::new(decoded.unwrap_or_default())
    }

    /// The block with lines of this width, as everybody reads it, without a final line end.
    pub(super) fn to_text(&self, width: usize) -> Zeroizing<String> {
        let label = self.label;
        // Of its final size from the beginning: growing would leave copies of keys in freed memory.
        let size = 2 * self.body.len() + 2 * label.len() + 64;
        let mut text = Zeroizing::new(String::with_capacity(size));
        text.extend(["-----BEGIN ", label, "-----\n"]);
        let mut column = 0;
        for c in self.body.chars() {
            if column == width {
                text.push('\n');
                column = 0;
            }
            text.push(c);
            column += 1;
        }
        text.extend(["\n-----END ", label, "-----"]);
        text
    }

    /// What is unusual about the way in which this text writes it; white space around it and CRLF are not.
    pub(super) fn oddity(&self, text: &str) -> Option<&'static str> {
        let usual = self.to_text(64);
        let text = Zeroizing::new(text.trim().replace("\r\n", "\n"));
        if *text == *usual {
            return None;
        }
        let lines = || text.lines();
        Some(match () {
            () if !text.starts_with("-----BEGIN ") => "there is other text before it",
            () if !text.ends_with("-----") || text.matches("-----BEGIN ").count() > 1 => {
                "there is other text after it"
            }
            () if !self.headers.is_empty() => "it has header lines",
            () if lines().count() < 3 => "it is not broken into lines",
            () if lines().any(|line| line.starts_with([' ', '\t'])) => "its lines are indented",
            () if lines().any(|line| line.ends_with([' ', '\t'])) => "its lines end with blanks",
            () if lines().any(str::is_empty) => "it has empty lines",
            () => "its lines do not have 64 characters",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = "-----BEGIN X-----\nQUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2\nd3h5eg==\n-----END X-----";

    #[test]
    fn the_usual_form_has_no_oddity_whatever_its_line_ends_and_the_space_around_it() {
        for text in [
            USUAL.to_owned(),
            format!("{USUAL}\n"),
            format!("\n {USUAL}\n\n"),
            USUAL.replace('\n', "\r\n"),
        ] {
            let block = Block::find(&text).ok().unwrap();
            assert_eq!(block.label, "X");
            assert_eq!(block.oddity(&text), None);
            assert_eq!(*block.to_text(64), USUAL);
            assert_eq!(
                *block.bytes(),
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
            );
        }
    }

    #[test]
    fn every_oddity_is_named_and_the_block_is_still_read() {
        let cases = [
            (format!("a comment\n{USUAL}"), "there is other text before it"),
            (format!("{USUAL}\nx"), "there is other text after it"),
            (format!("{USUAL}\n{USUAL}"), "there is other text after it"),
            (
                USUAL.replacen("-----\n", "-----\nA: b\n\n", 1),
                "it has header lines",
            ),
            (USUAL.replace('\n', " "), "it is not broken into lines"),
            (USUAL.replace('\n', ""), "it is not broken into lines"),
            (USUAL.replace('\n', "\n  "), "its lines are indented"),
            (USUAL.replace('\n', " \n"), "its lines end with blanks"),
            (USUAL.replacen('\n', "\n\n", 1), "it has empty lines"),
            (
                USUAL.replace("QUJD", "QUJD\n"),
                "its lines do not have 64 characters",
            ),
        ];
        for (text, oddity) in cases {
            let block = Block::find(&text).ok().unwrap();
            assert_eq!(block.oddity(&text).unwrap_or_default(), oddity, "{text}");
            assert_eq!(*block.to_text(64), USUAL, "{text}");
        }
    }

    #[test]
    fn what_no_reader_takes_is_no_block() {
        let cases = [
            (String::new(), NoBlock::NoBegin),
            (USUAL.replace("-----", "----"), NoBlock::NoBegin),
            ("-----BEGIN X".to_owned(), NoBlock::NoBegin),
            (USUAL.replace("-----END X", "-----END Y"), NoBlock::NoEnd),
            (USUAL.replace("-----END X-----", ""), NoBlock::NoEnd),
            (USUAL.replace("\nd3h5", "\n\nd3h5"), NoBlock::EmptyLine),
        ];
        for (text, expected) in cases {
            assert_eq!(Block::find(&text).err(), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_old_encryption_shows_in_the_headers() {
        let text = USUAL.replacen(
            "-----\n",
            "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n",
            1,
        );
        assert!(Block::find(&text).ok().unwrap().is_encrypted());
        assert!(!Block::find(USUAL).ok().unwrap().is_encrypted());
    }
}
