//! The sections `sidecar:` and `relay:` of `saltfo.yaml`: how often the sidecar asks, when it believes, what it may do, and where
//! minions find it.

mod raw;
mod relay;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub(crate) use raw::RawSettings;
pub(crate) use relay::RawRelay;

/// How a sidecar behaves; every value has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Between two ZMTP PINGs on each of the two connections to a master.
    pub heartbeat: Duration,
    /// So many unanswered in a row, and the connection is gone.
    pub heartbeat_misses: u32,
    /// Between two encrypted requests to a master that is up.
    pub verify: Duration,
    /// How long such a request may take.
    pub verify_timeout: Duration,
    /// So many unanswered in a row, and the master hangs.
    pub verify_misses: u32,
    /// So many verified answers in a row make a master up again.
    pub rise: u32,
    /// Between two `test.ping`s through the active master to the local minion.
    pub round_trip: Duration,
    /// What the sidecar may do.
    pub mode: Mode,
    /// How a master is elected (relay).
    pub policy: Election,
    /// Where the report is served.
    pub listen: SocketAddr,
    /// How long a minion may hang on a dead master before its service is restarted (restart mode).
    pub restart_after: Duration,
    /// At most one restart in this time.
    pub restart_backoff: Duration,
    /// What restarts the minion.
    pub restart_command: Command,
    /// Which of the host's minions it is.
    pub minion: MinionFiles,
    /// Run at every transition, with the facts in its environment.
    pub on_change: Option<Command>,
    /// Whether the masters are told of changes by a Salt event, `saltfo/master/changed`.
    pub event: bool,
    /// The section `relay:`.
    pub relay: RelaySettings,
}

/// What the sidecar may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Probe and report.
    Observe,
    /// Also restart a minion that hangs on a dead master while another is up.
    Restart,
    /// Carry the minion's connections to the elected master.
    Relay,
}

/// How the relay elects a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Election {
    /// Stay while it is up.
    Sticky,
    /// The first of the list that is up.
    Prefer,
    /// Any that is up, then stay.
    Random,
}

/// Where the relay waits for the local minions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelaySettings {
    /// What minions have as their `master`.
    pub listen: IpAddr,
    /// Publications.
    pub publish_port: u16,
    /// Requests.
    pub master_port: u16,
}

/// A program and its arguments; no shell reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Looked up in `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// What tells the minion from others on the same host; where nothing is said it follows from the identity's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MinionFiles {
    /// The folder of its configuration (`salt-minion -c`).
    pub config_dir: Option<PathBuf>,
    /// The file with its process id.
    pub pid_file: Option<PathBuf>,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// Not a duration.
    #[error("`{value}` is not a duration ({source}): write it like 250ms, 5s or 1h30m")]
    Duration {
        /// As it stands there.
        value: String,
        /// Why not.
        source: humantime::DurationError,
    },
    /// Not a whole number.
    #[error("`{value}` is not a whole number")]
    Number {
        /// As it stands there.
        value: String,
    },
    /// Too little or too much.
    #[error("`{value}` is out of bounds: it must be {least} to {most}")]
    Bounds {
        /// As it stands there.
        value: String,
        /// The least that is accepted.
        least: String,
        /// The most.
        most: String,
    },
    /// None of the words that would do.
    #[error("`{value}` is none of {words}")]
    Choice {
        /// As it stands there.
        value: String,
        /// What would do.
        words: &'static str,
    },
    /// Not an address with a port.
    #[error("`{value}` is not an IP address with a port: write it like 127.0.0.1:9745 or '[::1]:9745'")]
    Address {
        /// As it stands there.
        value: String,
    },
    /// An address that others can reach.
    #[error(
        "{0} is not a loopback address, and the report has no password: set `listen_anywhere: true` if others \
         may read it"
    )]
    NotLoopback(SocketAddr),
    /// Not an address.
    #[error("`{value}` is not an IP address: write it like 127.0.0.1 or '::1'")]
    Ip {
        /// As it stands there.
        value: String,
    },
    /// A relay that others could reach.
    #[error(
        "{0} is not a loopback address, and whoever connects to the relay uses it as a master of its own: choose \
         an address that only this host reaches, like 127.0.0.1"
    )]
    RelayNotLoopback(IpAddr),
    /// A port that is wanted twice.
    #[error("`{value}` is the port of `{taken_by}`, too: choose another")]
    PortTwice {
        /// As it stands there.
        value: String,
        /// The other key.
        taken_by: &'static str,
    },
    /// A port that minions do not take for what it is.
    #[error(
        "a salt-minion whose `publish_port` is 4506 uses the port that its master reports: choose another"
    )]
    PublishPort,
    /// A command without words, or without a program.
    #[error("a command is a list of words, and the first one is the program")]
    NoProgram,
    /// A word that no program can be given.
    #[error("a command's words cannot hold a null byte")]
    NullByte,
    /// A name that no systemd unit has.
    #[error("`{value}` is not the name of a systemd unit")]
    Unit {
        /// As it stands there.
        value: String,
    },
    /// Both ways to say what is restarted.
    #[error("`minion_service` says already what is restarted: leave one of the two away")]
    RestartTwice,
    /// A relative path.
    #[error("`{value}` is not an absolute path")]
    RelativePath {
        /// As it stands there.
        value: String,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            heartbeat_misses: 3,
            verify: Duration::from_secs(5),
            verify_timeout: Duration::from_secs(3),
            verify_misses: 2,
            rise: 2,
            round_trip: Duration::from_secs(5 * 60),
            mode: Mode::Observe,
            policy: Election::Sticky,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9745)),
            restart_after: Duration::from_secs(10),
            restart_backoff: Duration::from_secs(5 * 60),
            restart_command: Command::restart("salt-minion"),
            minion: MinionFiles::default(),
            on_change: None,
            event: false,
            relay: RelaySettings::default(),
        }
    }
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            listen: Ipv4Addr::LOCALHOST.into(),
            publish_port: 4505,
            master_port: 4506,
        }
    }
}

impl RelaySettings {
    /// Where publications are to be had.
    #[must_use]
    pub fn publish(&self) -> SocketAddr {
        (self.listen, self.publish_port).into()
    }

    /// Where requests are taken.
    #[must_use]
    pub fn requests(&self) -> SocketAddr {
        (self.listen, self.master_port).into()
    }
}

impl Command {
    /// Restarts a systemd unit.
    fn restart(unit: &str) -> Self {
        Self {
            program: "systemctl".to_owned(),
            arguments: vec!["restart".to_owned(), unit.to_owned()],
        }
    }
}
