//! Makes and keeps every key of a Salt client in its YAML file.
//!
//! [`client::Client`] reads a client; [`generate::run`] makes the keys that it lacks, in place, and
//! leaves every other byte of its files as it was; [`rotate::run`] puts new keys in place of old ones;
//! [`install::run`] puts a host's files where Salt looks for them.

mod accepted;
pub mod check;
pub mod client;
mod edit;
mod emit;
mod error;
mod export;
pub mod fingerprint;
pub mod generate;
mod include;
pub mod install;
pub mod keys;
mod layout;
mod parallel;
mod permissions;
pub mod pillar;
pub mod pipeline;
#[cfg(test)]
mod random_client;
pub mod rotate;
pub mod seal;
pub mod secrets;
mod store;
mod tolerance;
mod yaml;

pub use error::{Error, Place};
pub use export::Change;
pub use permissions::Permissions;
