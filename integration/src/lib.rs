//! A lab of real salt-masters and salt-minions, each host in a network namespace of its own.
//!
//! [`Lab::builder`] brings one up; [`Lab::master`] and [`Lab::minion`] give the daemons and their faults;
//! [`Lab::command`] runs a program on a host. When the process that holds a lab ends, however it ends,
//! every process, namespace and cable of the lab is gone.

mod bad_cable;
mod binary;
mod builder;
mod cables;
mod cache;
mod config;
mod daemon;
mod faults;
mod folder;
mod gitlab_ci_local;
mod host;
mod install;
mod lab;
mod namespaces;
mod pings;
mod pki;
mod process;
mod programs;
mod progress;
mod relay;
mod releases;
mod saltfo;
mod start;
mod version;
mod wait;

pub use bad_cable::BadCable;
pub use binary::{build_pki_tools, build_saltfo, find_pki_tools, find_saltfo};
pub use builder::{LabBuilder, Settings};
pub use daemon::Daemon;
pub use folder::LiveLab;
pub use gitlab_ci_local::GitlabCiLocal;
pub use host::{Host, Role};
pub use install::Salt;
pub use lab::Lab;
pub use pings::{Answer, Pings};
pub use pki_tools::client::Client;
pub use process::Process;
pub use progress::Progress;
pub use relay::Relay;
pub use version::{SaltVersion, UnknownVersion};
pub use wait::until;
