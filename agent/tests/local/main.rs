//! The local minion from the kernel: real processes with real connections, in their own network namespaces and in ours.

// Helpers of tests fail like tests do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use agent::sidecar::facts::{Local, MasterIndex};
use agent::sidecar::local::{Endpoint, Publisher, Watcher, Which};
use rustix::process::Uid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities, set_thread_res_uid,
};

const SOON: Duration = Duration::from_secs(60);

/// Two masters as the kernel of a minion's host can have them all to itself: addresses of the loopback.
const MASTERS: [&str; 2] = ["127.0.0.11", "127.0.0.12"];

/// A folder with configurations, and the program.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/local/minion.py"),
            folder.path().join("salt-minion"),
        )
        .unwrap();
        Self { folder }
    }

    fn config_dir(&self, minion: &str) -> PathBuf {
        let path = self.folder.path().join(minion);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn which(&self, minion: &str) -> Which {
        Which {
            config_dir: Some(self.config_dir(minion)),
            pid_file: Some(self.config_dir(minion).join("pid")),
        }
    }

    /// Starts a minion in a network namespace of its own.
    fn start(&self, minion: &str) -> Minion {
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]);
        self.run(command, minion)
    }

    /// Starts a minion in the network namespace of another one.
    fn start_beside(&self, other: &Minion, minion: &str) -> Minion {
        let mut command = Command::new("nsenter");
        command.args(["--target", &other.pid().to_string(), "--net"]);
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        self.run(command, minion)
    }

    fn run(&self, mut command: Command, minion: &str) -> Minion {
        let mut child = command
            .arg("python3")
            .arg(self.folder.path().join("salt-minion"))
            .arg("-c")
            .arg(self.config_dir(minion))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux is needed (Debian: apt install util-linux iproute2 python3)");
        let mut minion = Minion {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        assert_eq!(
            minion.hears(),
            "ready",
            "namespaces are needed: run as root, or allow unprivileged user namespaces"
        );
        minion
    }
}

struct Minion {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Minion {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn hears(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn does(&mut self, what: &str) -> String {
        writeln!(self.input, "{what}").unwrap();
        let answer = self.hears();
        assert_ne!(answer, "", "{what} failed");
        answer
    }
}

impl Drop for Minion {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn masters() -> Vec<Endpoint> {
    let endpoint = |(at, address): (usize, &&str)| Endpoint {
        of: Publisher::Master(MasterIndex(at)),
        publish_port: 4505,
        addresses: vec![address.parse().unwrap()],
    };
    MASTERS.iter().enumerate().map(endpoint).collect()
}

/// Looks until it is as expected.
fn look_until(watcher: &mut Watcher, masters: &[Endpoint], expected: impl Fn(&Local) -> bool) -> Local {
    let start = Instant::now();
    loop {
        let local = watcher.look(masters);
        if expected(&local) {
            return local;
        }
        assert!(start.elapsed() < SOON, "{local:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn tied_to(watcher: &mut Watcher, expected: &[usize]) -> Local {
    let expected: Vec<MasterIndex> = expected.iter().copied().map(MasterIndex).collect();
    look_until(watcher, &masters(), |local| local.tied_to == expected)
}

#[test]
fn a_connection_in_another_network_namespace_is_found() {
    let place = Place::new();
    let mut minion = place.start("one");
    for address in [MASTERS[0], MASTERS[1], "127.0.0.13"] {
        minion.does(&format!("listen {address} 4505"));
    }
    minion.does("listen 127.0.0.14 4506");
    let mut watcher = Watcher::new(place.which("one"));
    let local = watcher.look(&masters());
    assert_eq!(
        local,
        Local {
            processes: vec![minion.pid()],
            ..Local::default()
        }
    );

    minion.does("connect 127.0.0.14 4506");
    minion.does("connect 127.0.0.12 4505");
    let local = tied_to(&mut watcher, &[1]);
    assert_eq!((local.strangers, local.unknown), (vec![], None));

    minion.does("close");
    tied_to(&mut watcher, &[]);

    minion.does("connect_mapped 127.0.0.11 4505");
    minion.does("connect 127.0.0.13 4505");
    let local = tied_to(&mut watcher, &[0]);
    assert_eq!(local.strangers, ["127.0.0.13:4505".parse().unwrap()]);
}

#[test]
fn an_address_that_becomes_known_later_is_no_stranger_any_more() {
    let place = Place::new();
    let mut minion = place.start("one");
    minion.does("listen 127.0.0.12 4505");
    minion.does("connect 127.0.0.12 4505");
    let mut watcher = Watcher::new(place.which("one"));
    let mut masters = masters();
    let address: Vec<IpAddr> = std::mem::take(&mut masters[1].addresses);
    let local = look_until(&mut watcher, &masters, |local| !local.strangers.is_empty());
    assert_eq!(local.tied_to, []);
    masters[1].addresses = address;
    let local = watcher.look(&masters);
    assert_eq!((local.tied_to, local.strangers), (vec![MasterIndex(1)], vec![]));
}

#[test]
fn a_connection_counts_once_it_stands() {
    let place = Place::new();
    let mut minion = place.start("one");
    // A queue of one: the second waits for its SYN to be answered.
    minion.does("listen 127.0.0.11 4505 0");
    minion.does("connect 127.0.0.11 4505");
    minion.does("close");
    minion.does("begin_to_connect 127.0.0.11 4505");
    let mut watcher = Watcher::new(place.which("one"));
    let local = watcher.look(&masters());
    assert_eq!((local.processes, local.tied_to), (vec![minion.pid()], vec![]));
    minion.does("accept_all 127.0.0.11");
    tied_to(&mut watcher, &[0]);
}

#[test]
fn two_minions_in_one_namespace_are_told_apart() {
    let place = Place::new();
    let mut one = place.start("one");
    let mut two = place.start_beside(&one, "two");
    for address in MASTERS {
        one.does(&format!("listen {address} 4505"));
    }
    one.does("connect 127.0.0.11 4505");
    two.does("connect 127.0.0.12 4505");
    let (mut of_one, mut of_two) = (Watcher::new(place.which("one")), Watcher::new(place.which("two")));
    assert_eq!(tied_to(&mut of_one, &[0]).processes, [one.pid()]);
    assert_eq!(tied_to(&mut of_two, &[1]).processes, [two.pid()]);

    // By the pid file alone.
    let pid_file = place.config_dir("x").join("pid");
    fs::write(&pid_file, two.pid().to_string()).unwrap();
    let mut by_pid = Watcher::new(Which {
        config_dir: None,
        pid_file: Some(pid_file),
    });
    assert_eq!(tied_to(&mut by_pid, &[1]).processes, [two.pid()]);
}

#[test]
fn a_folder_is_known_through_a_link() {
    let place = Place::new();
    let minion = place.start("one");
    let link = place.folder.path().join("link");
    std::os::unix::fs::symlink(place.config_dir("one"), &link).unwrap();
    let mut watcher = Watcher::new(Which {
        config_dir: Some(link),
        pid_file: None,
    });
    assert_eq!(watcher.look(&[]).processes, [minion.pid()]);
}

#[test]
fn a_minion_that_ends_is_gone_at_once_and_one_that_starts_is_found() {
    let place = Place::new();
    let mut watcher = Watcher::new(place.which("one"));
    assert_eq!(watcher.look(&masters()), Local::default());
    let mut minion = place.start("one");
    minion.does("listen 127.0.0.11 4505");
    minion.does("connect 127.0.0.11 4505");
    tied_to(&mut watcher, &[0]);
    drop(minion);
    assert_eq!(watcher.look(&masters()), Local::default());
    let minion = place.start("one");
    let found = look_until(&mut watcher, &masters(), |local| !local.processes.is_empty());
    assert_eq!(found.processes, [minion.pid()]);
}

#[test]
fn a_socket_that_only_a_job_has_inherited_does_not_count() {
    let place = Place::new();
    let mut minion = place.start("one");
    minion.does("listen 127.0.0.11 4505");
    minion.does("connect 127.0.0.11 4505");
    let job: u32 = minion.does("fork").parse().unwrap();
    minion.does("close");
    let mut any = Watcher::new(Which {
        pid_file: None,
        ..place.which("one")
    });
    assert_eq!(tied_to(&mut any, &[0]).processes, [minion.pid(), job]);
    fs::write(place.config_dir("one").join("pid"), format!("{}\n", minion.pid())).unwrap();
    let mut watcher = Watcher::new(place.which("one"));
    let local = watcher.look(&masters());
    assert_eq!(
        (local.processes, local.tied_to),
        (vec![minion.pid(), job], vec![])
    );
}

#[test]
fn without_permission_the_remedy_is_named() {
    let place = Place::new();
    // Not in a user namespace, where whoever made it may do anything.
    let mut minion = place.run(Command::new("env"), "one");
    minion.does("hide");
    let which = place.which("one");
    let local = look_with(which, CapabilitySet::empty(), None);
    let reason = local.unknown.unwrap();
    assert!(
        reason.contains("CAP_SYS_PTRACE") && reason.contains("as root"),
        "{reason}"
    );
    assert_eq!((local.processes, local.tied_to), (vec![minion.pid()], vec![]));
}

#[test]
fn another_user_with_the_two_capabilities_of_the_unit_may_look() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested: only root can become another user");
        return;
    }
    let place = Place::new();
    let mut minion = place.start("one");
    minion.does("listen 127.0.0.11 4505");
    minion.does("connect 127.0.0.11 4505");
    minion.does("hide");
    fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let nobody = Some(Uid::from_raw(65534));
    let both = CapabilitySet::DAC_READ_SEARCH | CapabilitySet::SYS_PTRACE;
    let local = look_with(place.which("one"), both, nobody);
    assert_eq!((local.tied_to, local.unknown), (vec![MasterIndex(0)], None));
    for one in [CapabilitySet::DAC_READ_SEARCH, CapabilitySet::SYS_PTRACE] {
        let local = look_with(place.which("one"), one, nobody);
        assert!(local.unknown.is_some(), "{one:?} is enough: {local:?}");
    }
}

/// Looks as this user, with these capabilities: the kernel keeps both for each thread.
fn look_with(which: Which, effective: CapabilitySet, user: Option<Uid>) -> Local {
    let looking = std::thread::spawn(move || {
        if let Some(user) = user {
            set_keep_capabilities(true).unwrap();
            set_thread_res_uid(user, user, user).unwrap();
        }
        let sets = CapabilitySets {
            effective,
            permitted: effective,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets).unwrap();
        Watcher::new(which).look(&masters())
    });
    looking.join().unwrap()
}

#[test]
fn without_its_configuration_no_minion_is_guessed() {
    let place = Place::new();
    let _minion = place.start("one");
    let mut watcher = Watcher::new(Which {
        config_dir: Some(place.folder.path().join("none")),
        pid_file: None,
    });
    let local = watcher.look(&[]);
    assert_eq!(local.processes, Vec::<u32>::new());
    assert!(local.unknown.unwrap().contains("none"));
}

#[test]
fn a_job_that_outlives_its_minion_does_not_pass_for_it() {
    let place = Place::new();
    let mut minion = place.start("one");
    minion.does("listen 127.0.0.11 4505");
    minion.does("connect 127.0.0.11 4505");
    let job: i32 = minion
        .does("job ProcessPayload(jid=20261122221530123456)")
        .parse()
        .unwrap();
    // It has the connection, and is in no pid file.
    let mut watcher = Watcher::new(place.which("one"));
    assert_eq!(tied_to(&mut watcher, &[0]).processes, [minion.pid()]);
    drop(minion);
    assert_eq!(watcher.look(&masters()), Local::default());
    assert_eq!(
        Watcher::new(place.which("one")).look(&masters()),
        Local::default()
    );
    let job = rustix::process::Pid::from_raw(job).unwrap();
    rustix::process::kill_process(job, rustix::process::Signal::KILL).expect("it lives");
}
