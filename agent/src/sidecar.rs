//! The sidecar: a process beside a salt-minion that knows which masters are alive and genuine, which one the minion
//! hangs on, and whether jobs really get through.
//!
//! Facts go one way: [`facts`] come in from the edges, with the time at which they were learned; a pure policy makes
//! states and decisions of them; the edges carry these out.

mod child;
pub mod control;
pub mod daemon;
pub mod event;
pub mod facts;
pub mod hooks;
pub mod http;
pub mod kept;
pub mod last_restart;
pub mod local;
pub mod metrics;
pub mod policy;
pub mod relay;
pub mod report;
pub mod restart;
pub mod round_trip;
pub mod settings;
pub mod systemd;
pub mod watch;
