//! One hostile peer and what is to be said of it; tables of them are run side by side.

use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value as Json;

use super::client::{Client, Entry, keys};
use super::fake_master::{FakeMaster, Script, SignIn};
use super::peer::Peer;
use super::saltfo::{Ended, Saltfo};

/// How many cases run at once: most of them wait.
const AT_ONCE: usize = 12;
/// The longest that a run may take, whatever its `--timeout`: nothing here is worth a longer wait.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// The name of the one master.
pub(crate) const BAD: &str = "bad.xyz.example";

/// A peer.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) who: Who,
    /// Whether the key of the genuine master is pinned.
    pub(crate) pinned: bool,
    /// How many connections it takes until saltfo has made up its mind.
    pub(crate) connections: usize,
    pub(crate) expect: Expect,
}

/// What it is.
pub(crate) enum Who {
    /// Something that a connection is handed to.
    Raw(fn(TcpStream)),
    /// A master with real keys.
    Master(Box<dyn Fn() -> Script + Send + Sync>),
    /// One that is honest except at the sign-in.
    SignIn(SignIn),
}

/// What saltfo says of it. Several states are told apart by bars.
#[derive(Clone, Copy)]
pub(crate) struct Expect {
    pub(crate) state: &'static str,
    pub(crate) verified: bool,
    /// One of these.
    pub(crate) code: &'static [i32],
    /// One of these is in the reason.
    pub(crate) why: &'static [&'static str],
}

/// One line of a table.
pub(crate) type Row<T> = (&'static str, T, Expect);

/// A peer that listens.
pub(crate) enum Running {
    Raw(Peer),
    Master(FakeMaster),
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, who: Who, expect: Expect) -> Self {
        Self {
            name: name.into(),
            who,
            pinned: false,
            connections: 1,
            expect,
        }
    }

    pub(crate) fn pinned(mut self) -> Self {
        self.pinned = true;
        self
    }

    pub(crate) fn connecting(mut self, times: usize) -> Self {
        self.connections = times;
        self
    }

    /// On 127.0.0.3.
    pub(crate) fn start(&self) -> Running {
        match &self.who {
            Who::Raw(serve) => Running::Raw(Peer::start(3, *serve)),
            Who::Master(script) => Running::Master(FakeMaster::start(3, script())),
            Who::SignIn(how) => Running::Master(FakeMaster::start(3, Script::signing_in(how.clone()))),
        }
    }

    pub(crate) fn entry(&self, address: SocketAddr) -> Entry {
        Entry {
            name: BAD,
            address,
            pinned: self.pinned,
        }
    }

    /// Whether saltfo has its verdict as soon as it has heard this peer, and need not wait for time to be up.
    fn shows_itself(&self) -> bool {
        !self.expect.state.contains("hung") && self.expect.state != "reachable"
    }

    /// Tells whether saltfo knows as much of the running peer as it ever will, or will before time is up.
    pub(crate) fn has_shown(&self) -> impl Fn(&Running) -> bool + Send + Sync + use<> {
        let (shows_itself, connections, state) = (self.shows_itself(), self.connections, self.expect.state);
        move |running| match running {
            _ if shows_itself => running.peer().ended() >= connections,
            // The reply to the first one was read, then.
            Running::Master(master) if state == "reachable" => master.count("pub_ret") > 1,
            Running::Master(master) => master.count("minion_pub") > 0,
            Running::Raw(peer) => peer.connections() > 0,
        }
    }

    /// `--timeout` for this peer alone: enough to come as far as it lets us.
    fn timeout(&self) -> f64 {
        match self.expect {
            _ if self.shows_itself() => 15.0,
            Expect { verified: true, .. } => 2.0,
            _ => 1.0,
        }
    }

    /// Looks up the minion with this master alone, and checks everything.
    pub(crate) fn check_alone(&self) {
        let running = self.start();
        let client = Client::new(&[self.entry(running.address())]);
        let ended = Saltfo::lookup(&client.config(), self.timeout()).run();
        let document = ended.document();
        assert!(self.expect.code.contains(&ended.code()), "{ended:?}");
        assert_eq!(document["active"], Json::Null, "{ended:?}");
        self.expect.check(&document["masters"][0], &ended);
        assert!(ended.took < SOON, "{ended:?}");
    }
}

impl Expect {
    /// `line` is the master's part of the document.
    pub(crate) fn check(&self, line: &Json, ended: &Ended) {
        let state = line["state"].as_str().unwrap();
        assert!(
            self.state.split('|').any(|one| one == state),
            "{state}: {ended:?}"
        );
        assert_eq!(line["verified"], self.verified, "{ended:?}");
        let error = line["error"].as_str().unwrap_or_default();
        assert!(
            self.why.iter().any(|why| error.contains(why)),
            "{error}: {ended:?}"
        );
    }
}

impl Running {
    pub(crate) fn address(&self) -> SocketAddr {
        self.peer().address
    }

    pub(crate) fn peer(&self) -> &Peer {
        match self {
            Self::Raw(peer) => peer,
            Self::Master(master) => master.peer(),
        }
    }
}

/// Checks all cases, several at once, and fails with the names of those that failed.
pub(crate) fn check_all(cases: &[Case], check: impl Fn(&Case) + Sync) {
    // Not within the time of the first case.
    keys();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            if catch_unwind(AssertUnwindSafe(|| check(case))).is_err() {
                failed.push(case.name.as_str());
            }
        }
        failed
    };
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(!cases.is_empty() && failed.is_empty(), "{failed:#?}");
}

/// Answers, and is not the master.
pub(crate) const fn impostor(why: &'static [&'static str]) -> Expect {
    Expect {
        state: "impostor",
        verified: false,
        code: &[5],
        why,
    }
}

/// Somebody says no, and nobody knows who.
pub(crate) const fn refused_by_anybody(state: &'static str, why: &'static [&'static str]) -> Expect {
    Expect {
        state,
        verified: false,
        code: &[6],
        why,
    }
}

/// The genuine master says no.
pub(crate) const fn refused(state: &'static str, why: &'static [&'static str]) -> Expect {
    Expect {
        state,
        verified: true,
        code: &[6],
        why,
    }
}

/// Nobody whom we know has said anything.
pub(crate) const fn silent(state: &'static str, why: &'static [&'static str]) -> Expect {
    Expect {
        state,
        verified: false,
        code: &[4],
        why,
    }
}

/// The genuine master, through which the minion did not answer.
pub(crate) const fn without_minion(state: &'static str, why: &'static [&'static str]) -> Expect {
    Expect {
        state,
        verified: true,
        code: &[3],
        why,
    }
}
