//! The cryptographic parts of Salt's protocol, and nothing that Salt does not use.
//!
//! RSA and the block cipher come from RustCrypto; what is ours is the way in which Salt puts them
//! together. Every failure to open something is the same error, whatever went wrong inside.

mod keys;

pub use keys::{KeyError, PrivateKey, PublicKey};
