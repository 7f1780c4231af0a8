//! The binary, run as a user runs it, under a bound of memory and of time.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::client::MINION;

/// Anonymous memory that a run may have, in KiB: `RLIMIT_DATA`, beyond which allocation fails and Rust aborts.
pub(crate) const MEMORY: u32 = 40 * 1024;
/// What a run may take beyond `--timeout`: the start of a debug build on a busy machine.
const MARGIN: Duration = Duration::from_secs(2);
/// When it is given up.
const FAR_TOO_LONG: Duration = Duration::from_secs(30);

/// A run to be.
pub(crate) struct Saltfo {
    command: Command,
    timeout: Duration,
}

/// A run that ended by itself.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Saltfo {
    /// With these arguments, in an environment that says nothing.
    pub(crate) fn new(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Self::within(&MEMORY.to_string(), arguments)
    }

    /// `active-master` for the one minion, as JSON.
    pub(crate) fn lookup(config: &Path, timeout: f64) -> Self {
        Self::lookup_within(&MEMORY.to_string(), config, timeout)
    }

    /// The same, for a master that is verified and has much to say.
    pub(crate) fn lookup_without_bound(config: &Path, timeout: f64) -> Self {
        Self::lookup_within("unlimited", config, timeout)
    }

    fn lookup_within(memory: &str, config: &Path, timeout: f64) -> Self {
        let seconds = timeout.to_string();
        let mut run = Self::within(
            memory,
            ["--out", "json", "--timeout", &seconds, "active-master", MINION],
        );
        run.command.arg("--config").arg(config);
        run.timeout = Duration::from_secs_f64(timeout);
        run
    }

    fn within(memory: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = bounded(memory, env!("CARGO_BIN_EXE_saltfo"));
        command
            .args(arguments)
            .env_remove("SALTFO_CONFIG")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            // Nothing is remembered, as no folder can be made there.
            .env("XDG_CACHE_HOME", "/dev/null")
            .stdin(Stdio::null());
        Self {
            command,
            // The default of --timeout.
            timeout: Duration::from_secs(10),
        }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn stdout(mut self, to: Stdio) -> Self {
        self.command.stdout(to);
        self
    }

    pub(crate) fn stderr(mut self, to: Stdio) -> Self {
        self.command.stderr(to);
        self
    }

    /// Runs it, reading what it prints.
    pub(crate) fn run(self) -> Ended {
        self.stdout(Stdio::piped()).stderr(Stdio::piped()).run_as_is()
    }

    /// The same, and ends it with SIGTERM as soon as it is time to.
    pub(crate) fn run_until(self, is_time: impl Fn() -> bool) -> Ended {
        let piped = self.stdout(Stdio::piped()).stderr(Stdio::piped());
        piped.run_watched(|child| {
            let is_time = is_time();
            if is_time {
                let kill = r#"kill -TERM "$0""#;
                let killed = Command::new("/bin/sh")
                    .args(["-c", kill, &child.id().to_string()])
                    .status();
                assert!(killed.unwrap().success());
            }
            is_time
        })
    }

    /// Runs it with stdout and stderr as they were given.
    pub(crate) fn run_as_is(self) -> Ended {
        self.run_watched(|_| true)
    }

    /// `look` is called until it has said yes.
    fn run_watched(mut self, look: impl Fn(&Child) -> bool) -> Ended {
        let mut has_looked = false;
        let start = Instant::now();
        let mut child = Guarded(self.command.spawn().unwrap());
        let stdout = reader(child.0.stdout.take());
        let stderr = reader(child.0.stderr.take());
        let status = loop {
            if let Some(status) = child.0.try_wait().unwrap() {
                break status;
            }
            assert!(
                start.elapsed() < self.timeout + FAR_TOO_LONG,
                "does not end by itself"
            );
            has_looked = has_looked || look(&child.0);
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = start.elapsed();
        let ended = Ended {
            status,
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
            took,
        };
        assert!(
            took < self.timeout + MARGIN,
            "ended late, after {took:?}: {ended:?}"
        );
        ended.check_manners();
        ended
    }
}

impl Ended {
    /// The exit code; a run that was ended by a signal (an abort) has none.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{self:?}"))
    }

    /// The one document on stdout.
    pub(crate) fn document(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What every run owes its user, however it ended.
    fn check_manners(&self) {
        for sign in ["panicked", "RUST_BACKTRACE", "memory allocation"] {
            assert!(!self.stderr.contains(sign), "{self:?}");
        }
        // No peer and no argument steers the terminal; these tests run without one.
        let is_plain = |text: &str| {
            !text
                .chars()
                .any(|character| character.is_control() && character != '\n' && character != '\t')
        };
        assert!(is_plain(&self.stderr), "{self:?}");
    }
}

/// A command that cannot have more anonymous memory than this (KiB, or `unlimited`).
pub(crate) fn bounded(memory: &str, program: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"ulimit -d "$0" && exec "$@""#, memory, program]);
    command
}

/// Ended, at the latest, with the test that wanted it.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn reader<R: Read + Send + 'static>(pipe: Option<R>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_string(&mut text).unwrap();
        }
        text
    })
}

#[test]
fn the_bound_of_memory_bites() {
    let dd = |size: &str| {
        bounded(&MEMORY.to_string(), "dd")
            .args(["if=/dev/zero", "of=/dev/null", "count=1", size])
            .stderr(Stdio::null())
            .status()
            .unwrap()
    };
    assert!(dd("bs=16M").success());
    assert!(!dd("bs=48M").success());
}
