//! Ids of minions and jobs: checked once, then carried as types.
//!
//! Both come from outside (a command line, a master) and end up in targets, paths and messages. What
//! could be a path, a pattern or a list is refused here, so that nobody has to think of it later.

use std::fmt;

/// The id of one minion: never a glob, a list, a compound target or a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MinionId(String);

/// Why a text is not the id of one minion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MinionIdError {
    /// Nothing there.
    #[error("a minion id is empty")]
    Empty,
    /// Longer than a file name, which is what masters keep keys under.
    #[error("a minion id has at most 255 bytes, this one has {0}")]
    TooLong(usize),
    /// Reads like a target pattern.
    #[error(
        "{id:?} is a pattern ({found:?}): give the id of one minion; targets with wildcards or lists are not looked up"
    )]
    Pattern {
        /// The text as it was given.
        id: String,
        /// What gave it away.
        found: char,
    },
    /// Has a character that no id has, or that Salt's masters refuse.
    #[error("{id:?} is not a minion id: {found:?} is not allowed in it")]
    Character {
        /// The text as it was given.
        id: String,
        /// The character.
        found: char,
    },
    /// `.` or `..`.
    #[error("{0:?} is not a minion id")]
    Reserved(String),
}

impl MinionId {
    const MAX: usize = 255;

    /// Checks a text.
    ///
    /// # Errors
    /// [`MinionIdError`]. Stricter than Salt, which refuses only `/`, `\`, NUL and the empty text.
    pub fn parse(text: &str) -> Result<Self, MinionIdError> {
        if text.is_empty() {
            return Err(MinionIdError::Empty);
        }
        if text.len() > Self::MAX {
            return Err(MinionIdError::TooLong(text.len()));
        }
        // `G@os:Debian`, a compound target of one term, which would be looked for as an id in vain (salt/utils/minions.py).
        if let [b'A'..=b'Z', b'@', ..] = text.as_bytes() {
            return Err(MinionIdError::Pattern {
                id: text.to_owned(),
                found: '@',
            });
        }
        for found in text.chars() {
            match found {
                '*' | '?' | '[' | ']' | ',' => {
                    return Err(MinionIdError::Pattern {
                        id: text.to_owned(),
                        found,
                    });
                }
                '/' | '\\' => {
                    return Err(MinionIdError::Character {
                        id: text.to_owned(),
                        found,
                    });
                }
                _ if found.is_control() || found.is_whitespace() => {
                    return Err(MinionIdError::Character {
                        id: text.to_owned(),
                        found,
                    });
                }
                _ => {}
            }
        }
        if matches!(text, "." | "..") {
            return Err(MinionIdError::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MinionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for MinionId {
    type Err = MinionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// A job id: 20 digits, `YYYYmmddHHMMSSffffff`, made by the master that published.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jid(String);

/// A text that is not a job id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a job id (20 digits, as 20261120184009763862)")]
pub struct JidError;

impl Jid {
    /// Checks a text.
    ///
    /// # Errors
    /// [`JidError`] for anything but 20 ASCII digits.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        if text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(JidError)
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_lists_and_paths_are_no_ids() {
        for text in [
            "",
            "*",
            "web?",
            "[ab]",
            "a,b",
            "../x",
            "a/b",
            "a\\b",
            "a b",
            "a\nb",
            "a\0",
            ".",
            "..",
            "G@os:Debian",
            "I@role:web",
            "N@group",
            "E@web.*",
        ] {
            assert!(MinionId::parse(text).is_err(), "{text:?}");
        }
        assert!(MinionId::parse(&"a".repeat(256)).is_err());
        for text in [
            "minion01",
            "minion01.xyz.example",
            "grün",
            "a@b:c-d_e",
            "root@HOST",
        ] {
            assert_eq!(MinionId::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn job_ids_have_twenty_digits() {
        assert!(Jid::parse("20261120184009763862").is_ok());
        for text in [
            "",
            "0",
            "2026112018400976386x",
            "../../../etc/passwd00",
            "202611201840097638620",
        ] {
            assert!(Jid::parse(text).is_err(), "{text:?}");
        }
    }
}
