//! Makes and keeps every key of a Salt client in its YAML file.
//!
//! [`client::Client`] reads a client; [`generate::run`] makes the keys that it lacks, in place, and
//! leaves every other byte of its files as it was; [`rotate::run`] puts new keys in place of old ones.

pub mod client;
mod edit;
mod error;
pub mod generate;
mod include;
pub mod keys;
mod layout;
mod permissions;
#[cfg(test)]
mod random_client;
pub mod rotate;
pub mod seal;
mod store;
mod yaml;

pub use error::{Error, Place};
pub use permissions::Permissions;
