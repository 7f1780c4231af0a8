//! What the `saltfo` binary is made of: configuration, one master at a time, the lookup over all of them.
//!
//! Facts flow one way: a [`config::Config`] says whom to ask and what to trust, [`master`] turns one
//! master's bytes into a verdict, [`locate`] turns the verdicts into an answer, [`cli`] prints it and
//! chooses the exit code.

pub mod arguments;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod exit;
mod link;
pub mod locate;
pub mod master;
pub mod output;
mod permission;
pub mod probe;
pub mod setup;
pub mod sidecar;
pub mod state;
pub mod success;
mod traffic;
mod whole_file;
