//! A relay beside a minion: `saltfo agent` as a service manager runs it, and what it says of itself.

use std::fs;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use integration::{Lab, find_saltfo, until};
use serde_json::Value as Json;

pub(crate) const MASTERS: [&str; 2] = ["salt1", "salt2"];
pub(crate) const MINION: &str = "minion01";
/// How long anything may take that has no bound of its own. A master that has fallen several times is believed a minute later.
pub(crate) const LONG: Duration = Duration::from_secs(150);

/// The relay's process, and the minion that it must not lose.
pub(crate) struct Relay<'a> {
    pub(crate) lab: &'a Lab,
    /// The minion's id, also the name of its host.
    pub(crate) minion: &'static str,
    process: Option<integration::Relay<'a>>,
    /// The minion's first process.
    first_process: i32,
}

impl<'a> Relay<'a> {
    /// Nothing runs yet but the minion, [`MINION`].
    pub(crate) fn new(lab: &'a Lab) -> Self {
        Self::beside(lab, MINION)
    }

    /// The same beside another minion.
    pub(crate) fn beside(lab: &'a Lab, minion: &'static str) -> Self {
        let relay = Self {
            lab,
            minion,
            process: None,
            first_process: first_process(lab, minion),
        };
        relay.configure("");
        relay
    }

    /// More settings: the rest of the section `sidecar:`, and what follows it.
    pub(crate) fn configure(&self, settings: &str) {
        self.lab.relay_config(self.minion, settings).unwrap();
    }

    /// The same with these masters, in this order.
    pub(crate) fn configure_with(&self, masters: &[&str], settings: &str) {
        self.lab.relay_config_of(self.minion, masters, settings).unwrap();
    }

    /// Lets it read its configuration again, and waits until it says `outcome` of that. What it has logged since.
    pub(crate) fn reload(&mut self, outcome: &str) -> String {
        let before = self.log().len();
        self.running().reload().unwrap();
        until(&format!("it logs {outcome:?}"), LONG, || {
            let news = self.log().split_off(before);
            Ok(news.contains(outcome).then_some(news))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", self.evidence()))
    }

    pub(crate) fn start(&mut self) {
        let process = self.lab.start_relay(self.minion, &find_saltfo().unwrap());
        assert!(
            self.process.replace(process.unwrap()).is_none(),
            "it runs already"
        );
    }

    /// `saltfo agent` on the same host, not started yet.
    pub(crate) fn second(&self) -> Command {
        self.lab
            .relay_command(self.minion, &find_saltfo().unwrap())
            .unwrap()
    }

    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.take().unwrap().stop().unwrap()
    }

    pub(crate) fn kill(&mut self) {
        drop(self.process.take().unwrap());
    }

    /// Its process id as seen from here.
    pub(crate) fn pid(&self) -> i32 {
        self.running().pid().unwrap()
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn status(&self) -> Json {
        self.running().status().unwrap()
    }

    /// `saltfo` on the minion's host: exit code and what it printed.
    pub(crate) fn saltfo(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = self.lab.command(self.minion, find_saltfo().unwrap());
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
    pub(crate) fn wait<T>(&mut self, what: &str, shows: impl Fn(&Json) -> Option<T>) -> T {
        let process = self.process.as_mut().unwrap();
        process
            .wait(what, LONG, shows)
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Waits until both masters are up and a job has come back through the elected one: which.
    pub(crate) fn settled(&mut self) -> &'static str {
        let settled = self.process.as_mut().unwrap().settled(LONG);
        let name = settled.unwrap_or_else(|error| panic!("{error:#}"));
        MASTERS.into_iter().find(|master| *master == name).unwrap()
    }

    pub(crate) fn switches(&self) -> u64 {
        self.status()["relay"]["switches"].as_u64().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.running().log_path()).unwrap_or_default()
    }

    /// What it reports, and the ends of its log and the minion's: for whoever waits in vain.
    pub(crate) fn evidence(&self) -> String {
        let minion = self.lab.minion(self.minion).unwrap().log_tail();
        format!("{:#}\n{}\n{minion}", self.status(), self.running().log_tail())
    }

    /// That the minion still has the process that it had in the beginning: nobody has restarted it, nor has it itself.
    pub(crate) fn minion_was_not_restarted(&self) {
        assert_eq!(
            first_process(self.lab, self.minion),
            self.first_process,
            "the minion has been restarted"
        );
    }

    fn running(&self) -> &integration::Relay<'a> {
        self.process.as_ref().unwrap()
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

fn first_process(lab: &Lab, minion: &str) -> i32 {
    let processes = lab.minion(minion).unwrap().processes().unwrap();
    let first = processes
        .iter()
        .find(|process| process.inner_pid == process.session);
    first.unwrap().pid
}
