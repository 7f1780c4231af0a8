//! The releases of Salt that the lab runs.

use std::fmt;
use std::str::FromStr;

/// A release of Salt, with the packages that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum SaltVersion {
    /// 3006.25, the old long-term release.
    #[serde(rename = "3006")]
    V3006,
    /// 3007.13.
    #[serde(rename = "3007")]
    V3007,
    /// 3008.1.
    #[serde(rename = "3008")]
    V3008,
}

/// A word that names no release that the lab knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lab has no salt {0:?}; it has 3006, 3007 and 3008")]
pub struct UnknownVersion(String);

impl SaltVersion {
    /// The releases that the tests run on: 3006 and 3008, or those in `SALTFO_TEST_SALT` (`3006,3007,3008`).
    ///
    /// # Errors
    /// The variable names a release that the lab does not know.
    pub fn tested() -> Result<Vec<Self>, UnknownVersion> {
        match std::env::var("SALTFO_TEST_SALT") {
            Ok(chosen) => chosen.split(',').map(|version| version.trim().parse()).collect(),
            Err(_) => Ok(vec![Self::V3006, Self::V3008]),
        }
    }

    /// The releases for tests that take many minutes each: the newest, or those in `SALTFO_TEST_SALT`.
    ///
    /// # Errors
    /// As [`Self::tested`].
    pub fn tested_at_length() -> Result<Vec<Self>, UnknownVersion> {
        match std::env::var("SALTFO_TEST_SALT") {
            Ok(_) => Self::tested(),
            Err(_) => Ok(vec![Self::V3008]),
        }
    }

    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::V3006, Self::V3007, Self::V3008];

    /// What a user calls it: `3008`.
    #[must_use]
    pub const fn series(self) -> &'static str {
        match self {
            Self::V3006 => "3006",
            Self::V3007 => "3007",
            Self::V3008 => "3008",
        }
    }

    /// The exact release: `3008.1`.
    #[must_use]
    pub const fn release(self) -> &'static str {
        match self {
            Self::V3006 => "3006.25",
            Self::V3007 => "3007.13",
            Self::V3008 => "3008.1",
        }
    }

    /// The requirements file: every package with its version, Salt included.
    #[must_use]
    pub const fn requirements(self) -> &'static str {
        match self {
            Self::V3006 => include_str!("../salt/requirements-3006.txt"),
            Self::V3007 => include_str!("../salt/requirements-3007.txt"),
            Self::V3008 => include_str!("../salt/requirements-3008.txt"),
        }
    }
}

impl fmt::Display for SaltVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.release())
    }
}

impl FromStr for SaltVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        Self::ALL
            .into_iter()
            .find(|version| text == version.series() || text == version.release())
            .ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_pin_the_release_that_is_named_and_nothing_else_loosely() {
        for version in SaltVersion::ALL {
            let pins: Vec<&str> = version
                .requirements()
                .lines()
                .filter(|line| !line.is_empty())
                .collect();
            assert!(pins.contains(&format!("salt=={}", version.release()).as_str()));
            assert!(
                pins.iter().all(|pin| pin.contains("==")),
                "an unpinned line in {}",
                version.series()
            );
        }
    }

    #[test]
    fn series_and_release_name_the_same_version() {
        for version in SaltVersion::ALL {
            assert_eq!(version.series().parse(), Ok(version));
            assert_eq!(version.release().parse(), Ok(version));
        }
        assert!("3005".parse::<SaltVersion>().is_err());
    }
}
