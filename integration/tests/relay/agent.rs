//! A relay beside `minion01`: `saltfo agent` as a service manager runs it, and what it says of itself.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use integration::{Lab, find_saltfo, until};
use rustix::process::Signal;
use serde_json::Value as Json;

pub(crate) const MASTERS: [&str; 2] = ["salt1", "salt2"];
pub(crate) const MINION: &str = "minion01";
/// How long anything may take that has no bound of its own. A master that has fallen several times is believed a minute later.
pub(crate) const LONG: Duration = Duration::from_secs(150);

/// The process and its log. Dropped, it is killed.
pub(crate) struct Relay<'a> {
    pub(crate) lab: &'a Lab,
    process: Option<Child>,
    /// The minion's first process.
    minion: i32,
}

impl<'a> Relay<'a> {
    /// Nothing runs yet but the minion.
    pub(crate) fn new(lab: &'a Lab) -> Self {
        let relay = Self {
            lab,
            process: None,
            minion: first_process(lab),
        };
        relay.configure("");
        relay
    }

    /// More settings: the rest of the section `sidecar:`, and what follows it.
    pub(crate) fn configure(&self, settings: &str) {
        self.lab.relay_config(MINION, settings).unwrap();
    }

    pub(crate) fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path());
        let process = self
            .lab
            .relay(MINION)
            .unwrap()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        assert!(
            self.process.replace(process.unwrap()).is_none(),
            "it runs already"
        );
    }

    pub(crate) fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().unwrap();
        self.lab.signal(&process, Signal::TERM).unwrap();
        until("the relay ends", LONG, || Ok(process.try_wait()?)).unwrap()
    }

    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        self.lab.signal(&process, Signal::KILL).unwrap();
        process.wait().unwrap();
    }

    /// Its process id as seen from here.
    pub(crate) fn pid(&self) -> i32 {
        self.lab.pid(self.process.as_ref().unwrap()).unwrap()
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// What it reports; `null` while it does not answer.
    pub(crate) fn status(&self) -> Json {
        let (_, printed) = self.saltfo(&["status", "--out", "json"]);
        serde_json::from_str(&printed).unwrap_or_default()
    }

    /// `saltfo` on the minion's host: exit code and what it printed.
    pub(crate) fn saltfo(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = self.lab.command(MINION, find_saltfo().unwrap());
        let output = command
            .env_remove("SALTFO_CONFIG")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), printed)
    }

    /// Waits for a report that shows this.
    pub(crate) fn wait<T>(&self, what: &str, shows: impl Fn(&Json) -> Option<T>) -> T {
        let mut last = Json::Null;
        let waited = until(what, LONG, || {
            last = self.status();
            Ok(shows(&last))
        });
        waited.unwrap_or_else(|error| panic!("{error:#}\n{last:#}\n{}", self.log_tail()))
    }

    /// Waits until both masters are up and a job has come back through the elected one: which.
    pub(crate) fn settled(&self) -> &'static str {
        self.wait(
            "both masters are up and jobs get through the elected one",
            |status| {
                let all_up = MASTERS.iter().all(|master| state(status, master) == "up");
                let elected = elected(status)?;
                let active = short(&status["active"]["name"])?;
                let proven = status["active"]["proof"] == "round_trip" && active == elected;
                (all_up && proven && status["ready"] == true).then_some(elected)
            },
        )
    }

    pub(crate) fn switches(&self) -> u64 {
        self.status()["relay"]["switches"].as_u64().unwrap()
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.lab.folder().join(MINION).join("log/saltfo")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let skip = log.lines().count().saturating_sub(30);
        log.lines().skip(skip).collect::<Vec<_>>().join("\n")
    }

    /// That the minion still has the process that it had in the beginning: nobody has restarted it, nor has it itself.
    pub(crate) fn minion_was_not_restarted(&self) {
        assert_eq!(
            first_process(self.lab),
            self.minion,
            "the minion has been restarted"
        );
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The one of the two that is not this one.
pub(crate) fn other(master: &str) -> &'static str {
    MASTERS.into_iter().find(|name| *name != master).unwrap()
}

/// What a report calls a master.
pub(crate) fn state(status: &Json, master: &str) -> String {
    let name = format!("{master}.xyz.example");
    let masters = status["masters"].as_array();
    let found = masters.and_then(|masters| masters.iter().find(|found| found["name"] == *name));
    found.map_or_else(String::new, |found| {
        found["state"].as_str().unwrap_or_default().to_owned()
    })
}

/// The elected master of a report.
pub(crate) fn elected(status: &Json) -> Option<&'static str> {
    short(&status["relay"]["master"])
}

fn short(name: &Json) -> Option<&'static str> {
    let name = name.as_str()?;
    MASTERS.into_iter().find(|short| name.starts_with(short))
}

fn first_process(lab: &Lab) -> i32 {
    let processes = lab.minion(MINION).unwrap().processes().unwrap();
    let first = processes
        .iter()
        .find(|process| process.inner_pid == process.session);
    first.unwrap().pid
}
