//! A sidecar beside `minion01`, and what it says of itself, looked at 30 times a second.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use integration::{Lab, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

pub(crate) const MASTERS: [&str; 2] = ["salt1", "salt2"];
/// How long anything may take that has no bound of its own.
pub(crate) const LONG: Duration = Duration::from_secs(90);
const HOST: &str = "minion01";
const PORT: &str = "9745";

/// The process, its configuration, its log, and who looks at it.
pub(crate) struct Sidecar<'a> {
    pub(crate) lab: &'a Lab,
    folder: PathBuf,
    /// A library that lies to it.
    pub(crate) preloaded: Option<PathBuf>,
    process: Option<Child>,
    watcher: Child,
    samples: Receiver<Sample>,
    last: Option<Sample>,
}

/// What it said at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    /// The status of `/readyz`; 0 if nobody answered.
    pub(crate) readyz: u64,
    pub(crate) why: String,
    pub(crate) status: Json,
}

impl Sample {
    pub(crate) fn is_ready(&self) -> bool {
        self.readyz == 200
    }

    fn master(&self, name: &str) -> &Json {
        let name = format!("{name}.xyz.example");
        let masters = self.status["masters"].as_array();
        masters
            .and_then(|masters| masters.iter().find(|master| master["name"] == *name))
            .unwrap_or(&Json::Null)
    }

    /// A field of what is said of a master, as text.
    pub(crate) fn of(&self, master: &str, field: &str) -> String {
        self.master(master)[field].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn state(&self, master: &str) -> String {
        self.of(master, "state")
    }

    /// When a master was verified last.
    pub(crate) fn verified_at(&self, master: &str) -> String {
        let at = self.master(master)["last_verified"]["at"].as_str();
        at.unwrap_or_default().to_owned()
    }

    /// Where a connection to a master leads.
    pub(crate) fn peer(&self, master: &str, line: &str) -> String {
        let peer = self.master(master)[line]["peer"].as_str();
        peer.unwrap_or_default().to_owned()
    }

    /// The short name of the active master.
    pub(crate) fn active(&self) -> Option<&'static str> {
        let name = self.status["active"]["name"].as_str()?;
        MASTERS.into_iter().find(|short| name.starts_with(short))
    }

    pub(crate) fn all_up(&self) -> bool {
        self.is_ready() && MASTERS.iter().all(|master| self.state(master) == "up")
    }
}

impl<'a> Sidecar<'a> {
    /// Begins to look; nothing runs yet.
    pub(crate) fn new(lab: &'a Lab) -> Self {
        let folder = lab.folder().join(HOST).join("sidecar");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("ask.py"), include_str!("ask.py")).unwrap();
        let mut watcher = ask(lab, &["watch", PORT]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
        let (told, samples) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let at = Instant::now();
                let line: Json = serde_json::from_str(&line).unwrap();
                let _ = told.send(Sample {
                    at,
                    readyz: line["readyz"].as_u64().unwrap(),
                    why: line["body"].as_str().unwrap().to_owned(),
                    status: line["status"].clone(),
                });
            }
        });
        let sidecar = Self {
            lab,
            folder,
            preloaded: None,
            process: None,
            watcher,
            samples,
            last: None,
        };
        sidecar.configure("");
        sidecar
    }

    /// Writes its `saltfo.yaml`, which has this section alone.
    pub(crate) fn configure(&self, settings: &str) {
        fs::write(self.folder.join("saltfo.yaml"), format!("sidecar:\n{settings}")).unwrap();
    }

    /// Starts it, with the minion's own configuration.
    pub(crate) fn start(&mut self) {
        fs::create_dir_all(self.file("state")).unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .unwrap();
        let mut command = self.lab.command(HOST, integration::find_saltfo().unwrap());
        command
            .env_remove("SALTFO_CONFIG")
            // As systemd does, with `RuntimeDirectory=`.
            .env("RUNTIME_DIRECTORY", self.file("state"))
            .args(["--log-format", "json", "--config"])
            .arg(self.folder.join("saltfo.yaml"))
            .arg("--minion-config")
            .arg(self.lab.config_dir(HOST).join("minion"))
            .arg("agent")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(library) = &self.preloaded {
            command.env("LD_PRELOAD", library);
        }
        let process = command.spawn().unwrap();
        self.process = Some(process);
    }

    /// A sidecar that knows nothing of the past and has just become ready: through which master.
    pub(crate) fn fresh(&mut self) -> &'static str {
        if self.is_running() {
            self.stop();
        }
        let start = Instant::now();
        self.start();
        let ready = self.wait_after(
            start,
            "both masters are up and jobs reach the minion",
            Sample::all_up,
        );
        ready.active().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.lab.signal(self.process.as_ref().unwrap(), signal).unwrap();
    }

    /// Does not let it run.
    pub(crate) fn pause(&self) {
        kill_process(pid(self.pid()), Signal::STOP).unwrap();
    }

    /// Lets it run again. nsenter(1) stops itself when its program is stopped, and lets it run when it goes on.
    pub(crate) fn go_on(&self) {
        kill_process(pid(self.pid()), Signal::CONT).unwrap();
        kill_process(pid(self.process.as_ref().unwrap().id()), Signal::CONT).unwrap();
    }

    /// Asks it to end, and says how that went and how long it took.
    pub(crate) fn stop(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal(Signal::TERM);
        let mut process = self.process.take().unwrap();
        let status = until("the sidecar ends", LONG, || Ok(process.try_wait()?)).unwrap();
        (status, start.elapsed())
    }

    /// Its process id as seen from here.
    pub(crate) fn pid(&self) -> u32 {
        let nsenter = self.process.as_ref().unwrap().id().to_string();
        let stat = |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let is_child = |pid: &String| {
            let parent = stat(pid)
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_whitespace().nth(1).map(str::to_owned));
            parent.as_deref() == Some(&nsenter)
        };
        let entries = fs::read_dir("/proc").unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.find(is_child).unwrap().parse().unwrap()
    }

    /// `saltfo` on the sidecar's host: exit code and what it printed.
    pub(crate) fn saltfo(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = self.lab.command(HOST, integration::find_saltfo().unwrap());
        let output = command
            .env_remove("SALTFO_CONFIG")
            .args(arguments)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }

    /// The answer to one request: its status in the first line, then its body.
    pub(crate) fn get(&self, path: &str) -> String {
        let output = ask(self.lab, &["get", PORT, path]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Takes the port away, until the child is dropped.
    pub(crate) fn take_port(&self) -> Child {
        let mut child = ask(self.lab, &["take", PORT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
        child
    }

    /// A name server that hears and says nothing, until the child is dropped.
    pub(crate) fn take_name_service(&self) -> Child {
        let script = "import socket, sys\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.bind(('127.0.0.1', 53))\n\
                      print('bound', flush=True)\nsys.stdin.read()";
        let mut command = self.lab.command(HOST, self.lab.salt(HOST).python());
        let mut child = command
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
        child
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// A file beside its configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The first sample after this moment that shows this.
    pub(crate) fn wait_after(
        &mut self,
        earliest: Instant,
        what: &str,
        shows: impl Fn(&Sample) -> bool,
    ) -> Sample {
        let start = Instant::now();
        let fits = |sample: &Sample| sample.at >= earliest && shows(sample);
        if let Some(last) = self.last.as_ref().filter(|sample| fits(sample)) {
            return last.clone();
        }
        while start.elapsed() < LONG {
            let Ok(sample) = self.samples.recv_timeout(Duration::from_secs(5)) else {
                continue;
            };
            self.last = Some(sample.clone());
            if fits(&sample) {
                return sample;
            }
        }
        let log = self.log();
        let skip = log.lines().count().saturating_sub(40);
        let tail: Vec<&str> = log.lines().skip(skip).collect();
        panic!("waited in vain: {what}\n{:#?}\n{}", self.last, tail.join("\n"));
    }
}

impl Drop for Sidecar<'_> {
    fn drop(&mut self) {
        for child in self.process.iter_mut().chain([&mut self.watcher]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.try_into().unwrap()).unwrap()
}

/// `ask.py` on the sidecar's host.
fn ask(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = lab.command(HOST, lab.salt(HOST).python());
    command
        .arg(lab.folder().join(HOST).join("sidecar/ask.py"))
        .args(arguments)
        .stdin(Stdio::null());
    command
}
