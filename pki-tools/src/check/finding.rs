//! What a check found: for people a line, for programs a fixed shape.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::error::Place;

/// What a check found in some files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many are faults.
    pub faults: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// How many files were read.
    pub files: usize,
    /// How many pairs of keys were looked at.
    pub keys: usize,
    /// All of them, in the order of the files.
    pub findings: Vec<Finding>,
}

/// Something that is wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What kind it is.
    pub code: Code,
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The fqdn of a master or server, or `client NAME`.
    pub owner: Option<String>,
    /// The path of the key below its owner, as in `pki.minion.pem`.
    pub key: Option<String>,
    /// What is the matter.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    pub(super) fn new(
        severity: Severity,
        code: Code,
        place: Place,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let Place { file, line, column } = place;
        Self {
            severity,
            code,
            file,
            line,
            column,
            owner: None,
            key: None,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// It as one line, with the severity written like this (in colour, say).
    #[must_use]
    pub fn to_line(&self, severity: impl fmt::Display) -> String {
        let place = format!("{}:{}", self.file.display(), self.line);
        let text = format!("{}; {}", self.message, self.remedy);
        let (place, text) = (on_one_line(&place), on_one_line(&text));
        match &self.owner {
            Some(owner) => format!("{place}: {}: {severity}: {text}", on_one_line(owner)),
            None => format!("{place}: {severity}: {text}"),
        }
    }

    pub(super) fn owner(mut self, owner: impl fmt::Display) -> Self {
        self.owner = Some(owner.to_string());
        self
    }

    pub(super) fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_line(self.severity))
    }
}

/// Control characters escaped: a name in a file may not make a second line, or speak to a terminal.
fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something does not work, or is not safe.
    Fault,
    /// It works, but should be looked at.
    Warning,
    /// What the check could not do.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fault => "fault",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// What kind of thing was found. The names that JSON has for them stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A file cannot be read, or is no UTF-8.
    Unreadable,
    /// A file is no YAML, or more than one document.
    Syntax,
    /// `include` names what isn't there, or goes in a circle.
    Include,
    /// A key is used twice in one mapping.
    DuplicateKey,
    /// Two masters or assets have one name.
    DuplicateFqdn,
    /// A value is of the wrong kind.
    WrongKind,
    /// A value that is needed is not there.
    MissingValue,
    /// Others can read private keys, or change the file.
    Permissions,
    /// A file without `configuration_management`.
    NoClient,
    /// A name that is no longer used.
    OldName,
    /// More or fewer than two active masters.
    Masters,
    /// A later file has the same thing, so this one does not count.
    Superseded,
    /// Keys of something that has none: a service, a client without masters.
    UnusedKeys,
    /// A key stands where nothing looks for it.
    MisplacedKey,
    /// A half stands under another name than it should.
    MisnamedHalf,
    /// A `master_sign` pair besides the client's.
    SecondMasterSign,
    /// A rotation of `master_sign` has not been finished.
    RotationUnderWay,
    /// An active owner has no such key.
    MissingKey,
    /// Only the public half is there.
    MissingPrivate,
    /// Only the private half is there.
    MissingPublic,
    /// The dispatch identity has no id.
    MissingId,
    /// Salt refuses this minion id, or it is no file name.
    BadId,
    /// A minion id that Salt takes, but that gives trouble.
    UnusualId,
    /// Two identities have one id.
    IdClash,
    /// Two hosts would have one pillar file.
    FileNameClash,
    /// A half is sealed and was not opened.
    Sealed,
    /// A sealed half does not open.
    SealBroken,
    /// A half is no key that Salt can read.
    BadKey,
    /// An OpenSSH pair of another type than ed25519.
    BadType,
    /// A private half is encrypted in a way of its own.
    EncryptedKey,
    /// A private key in place of a public one.
    PrivateInPublic,
    /// Salt reads the half, something else may not.
    UnusualForm,
    /// An RSA key that is too small, or that Salt cannot use.
    BadSize,
    /// An RSA key of a size that is seldom used.
    UnusualSize,
    /// The two halves are of different keys.
    HalvesDiffer,
    /// One key has two owners.
    KeyUsedTwice,
}
