//! What the edges learn of the masters and of the local minion: the evidence that policy decides on.

use std::net::SocketAddr;
use std::time::Duration;

use proto::message::{Jid, Mark};
use tokio::time::Instant;

use crate::state::Verdict;

/// Which master, as an index into the configuration's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterIndex(pub usize);

/// One of the two connections to a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line {
    /// To `master_port`, 4506: requests.
    Request,
    /// To `publish_port`, 4505: publications.
    Publish,
}

/// Something that was learned, and when.
#[derive(Debug, Clone)]
pub struct Fact {
    /// When it was learned.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What was learned.
#[derive(Debug, Clone)]
pub enum What {
    /// Of a master.
    Master(MasterIndex, Evidence),
    /// Of the local minion: its process and its connections, as the kernel shows them.
    Minion(Local),
    /// How a round trip through a master to the local minion ended.
    RoundTrip(MasterIndex, RoundTrip),
    /// What became of an attempt to restart the minion.
    Restarted(Result<(), String>),
}

/// Evidence of a master. Only [`Evidence::Verified`] and [`Evidence::Publication`] show that it is the genuine one: a man in the
/// middle can accept connections and answer heartbeats.
#[derive(Debug, Clone)]
pub enum Evidence {
    /// A connection was made and has shaken hands.
    Connected {
        /// Which.
        line: Line,
        /// The address that its name led to.
        peer: SocketAddr,
    },
    /// A heartbeat was answered.
    Pong {
        /// On which connection.
        line: Line,
        /// How long it took.
        after: Duration,
    },
    /// A heartbeat went unanswered for a whole interval.
    Missed {
        /// On which connection.
        line: Line,
    },
    /// Whether the master's system takes a fresh TCP connection, tried while heartbeats are missed: it tells a host that is
    /// gone from a process that hangs.
    Accepts {
        /// On which port.
        line: Line,
        /// Whether it was taken.
        taken: bool,
    },
    /// A connection broke, or could not be made. Told once per try.
    Down {
        /// Which.
        line: Line,
        /// What that shows: `Unreachable` (refused, reset, closed, no address, no route, no answer to TCP), `Hung` (TCP accepted, no handshake),
        /// `Impostor` (no ZMTP), with the reason in words.
        verdict: Verdict,
    },
    /// An encrypted request was answered, and the reply proved that the master is genuine. `signed_in`: by a new sign-in.
    Verified {
        /// How long it took.
        after: Duration,
        /// Whether a sign-in was needed.
        signed_in: bool,
    },
    /// A request (or sign-in) was not answered in time, though the connection stands: its workers may hang.
    Unanswered,
    /// An answer came and shows something else than a genuine master that takes us: `Impostor`, `Key…`, `Full`, `Refused`.
    Contrary(Verdict),
    /// A genuine publication arrived.
    Publication,
    /// Something arrived on the publish port that is not genuine: dropped. The reason is one of a few constant words, for metrics.
    Forged(&'static str),
}

/// The local minion as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Local {
    /// The process ids of the minion's processes; empty if it does not run.
    pub processes: Vec<u32>,
    /// To which masters it has an ESTABLISHED connection to the publish port, by address. Usually one.
    pub tied_to: Vec<MasterIndex>,
    /// Whether it is connected to our relay.
    pub relayed: bool,
    /// ESTABLISHED connections of it to a publish port at addresses that are no master's.
    pub strangers: Vec<SocketAddr>,
    /// Why nothing could be learned, if so (no permission to look into its namespace).
    pub unknown: Option<String>,
}

/// How a round trip to the local minion ended.
#[derive(Debug, Clone)]
pub enum RoundTrip {
    /// The minion answered through this master.
    Answered {
        /// The job.
        jid: Jid,
        /// From the publish until the return was seen.
        after: Duration,
    },
    /// Published there, and the minion did not answer in time.
    Silent,
    /// `peer:` does not allow it: only the connection is known.
    NotPermitted(String),
    /// It could not be tried: the master failed meanwhile, or others of this host kept publishing.
    Failed(Verdict),
}

/// What a publication is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// A `test.ping`: somebody looks for the minion, perhaps to dispatch the job of this mark next.
    Lookup(Option<Mark>),
    /// Anything else, with its mark.
    Job(Option<Mark>),
}
