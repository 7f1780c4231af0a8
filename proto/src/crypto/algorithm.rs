//! The algorithm names that Salt puts on the wire (`enc_algo`, `sig_algo`) and into its configuration.

use std::fmt;
use std::str::FromStr;

/// How a key string or token is encrypted to an RSA key: minion option `encryption_algorithm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum EncryptionAlgorithm {
    /// OAEP with SHA-1 as hash and in MGF1: Salt's default.
    #[default]
    OaepSha1,
    /// OAEP with SHA-224 as hash and in MGF1: for FIPS hosts.
    OaepSha224,
}

/// How something is signed with an RSA key: minion option `signing_algorithm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-1: Salt's default.
    #[default]
    Pkcs1v15Sha1,
    /// RSASSA-PKCS1-v1_5 with SHA-224: for FIPS hosts.
    Pkcs1v15Sha224,
}

/// A name that is none of Salt's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not an algorithm of Salt here: use {expected}")]
pub struct UnsupportedAlgorithm {
    /// The name as it was given.
    pub name: String,
    /// The names that would do.
    pub expected: &'static str,
}

impl EncryptionAlgorithm {
    /// Salt's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OaepSha1 => "OAEP-SHA1",
            Self::OaepSha224 => "OAEP-SHA224",
        }
    }
}

impl SigningAlgorithm {
    /// Salt's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pkcs1v15Sha1 => "PKCS1v15-SHA1",
            Self::Pkcs1v15Sha224 => "PKCS1v15-SHA224",
        }
    }
}

impl fmt::Display for EncryptionAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EncryptionAlgorithm {
    type Err = UnsupportedAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "OAEP-SHA1" => Ok(Self::OaepSha1),
            "OAEP-SHA224" => Ok(Self::OaepSha224),
            _ => Err(UnsupportedAlgorithm {
                name: name.to_owned(),
                expected: "OAEP-SHA1 or OAEP-SHA224",
            }),
        }
    }
}

impl FromStr for SigningAlgorithm {
    type Err = UnsupportedAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "PKCS1v15-SHA1" => Ok(Self::Pkcs1v15Sha1),
            "PKCS1v15-SHA224" => Ok(Self::Pkcs1v15Sha224),
            _ => Err(UnsupportedAlgorithm {
                name: name.to_owned(),
                expected: "PKCS1v15-SHA1 or PKCS1v15-SHA224",
            }),
        }
    }
}
