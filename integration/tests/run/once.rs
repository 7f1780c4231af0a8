//! A state that leaves a line behind each time it runs, and a run of it that can be watched.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use integration::Lab;
use rustix::process::Signal;
use serde_json::Value as Json;

/// How long the journal line may take: a minion that has just been moved may not hear the first publication, and a master whose workers wait
/// for each other answers after 30 s.
const JOURNAL: Duration = Duration::from_secs(120);

/// Leaves a mark, waits, then writes a line.
const STATE: &str = "\
wait:
  cmd.run:
    - name: touch {{ pillar['file'] }}.began; sleep {{ pillar['seconds'] }}
line:
  cmd.run:
    - name: echo line >> {{ pillar['file'] }}
    - require: [{cmd: wait}]
";

pub(crate) fn write_state(lab: &Lab) {
    fs::create_dir_all(lab.file_root()).unwrap();
    fs::write(lab.file_root().join("once.sls"), STATE).unwrap();
}

/// A run of the state.
pub(crate) struct Once {
    pub(crate) minion: String,
    file: PathBuf,
    child: Child,
    began: Instant,
    stderr: Arc<Mutex<String>>,
    reading: Vec<JoinHandle<String>>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
    /// Lines that the state left.
    pub(crate) lines: usize,
    file: PathBuf,
}

impl Once {
    /// Starts `saltfo run MINION state.apply once`; the state takes `seconds`.
    pub(crate) fn start(lab: &Lab, minion: &str, seconds: u32, options: &[&str]) -> Self {
        Self::start_with(lab, minion, seconds, options, None)
    }

    /// The same with another configuration; the request that publishes it is longer than any other.
    pub(crate) fn start_with(
        lab: &Lab,
        minion: &str,
        seconds: u32,
        options: &[&str],
        config: Option<&std::path::Path>,
    ) -> Self {
        static NUMBER: Mutex<u32> = Mutex::new(0);
        let number = {
            let mut number = NUMBER.lock().unwrap();
            *number += 1;
            *number
        };
        let file = lab.folder().join(format!("once-{number}"));
        let padding = "x".repeat(if config.is_some() { 4000 } else { 0 });
        let pillar = format!(
            "pillar={{seconds: {seconds}, file: {}, padding: '{padding}'}}",
            file.display()
        );
        let mut arguments = vec!["run", minion, "state.apply", "once", &pillar, "--out", "json"];
        arguments.extend(options);
        let mut command = lab.saltfo(&arguments).unwrap();
        if let Some(config) = config {
            command.env("SALTFO_CONFIG", config);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let shared = Arc::clone(&stderr);
        let reading = vec![
            std::thread::spawn(move || {
                let mut text = String::new();
                out.read_to_string(&mut text).unwrap();
                text
            }),
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = err.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..count]);
                    shared.lock().unwrap().push_str(&text);
                }
                String::new()
            }),
        ];
        Self {
            minion: minion.to_owned(),
            file,
            child,
            began: Instant::now(),
            stderr,
            reading,
        }
    }

    /// Waits for the journal line: the job is published. Gives its jid.
    pub(crate) fn jid(&self) -> String {
        let until = Instant::now() + JOURNAL;
        loop {
            let said = self.stderr.lock().unwrap().clone();
            if let Some((_, rest)) = said.split_once("saltfo: jid ")
                && let Some((jid, _)) = rest.split_once(' ')
            {
                return jid.to_owned();
            }
            assert!(Instant::now() < until, "no journal line: {said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the minion has all that it needs from its master, and the state runs.
    pub(crate) fn has_begun(&self, lab: &Lab) {
        self.jid();
        let mark = self.file.with_extension("began");
        lab.wait_for("the state has begun", JOURNAL, || Ok(mark.exists().then_some(())))
            .unwrap_or_else(|error| panic!("{error:#}: {}", self.said()));
    }

    /// SIGTERM, as a cancelled pipeline sends it.
    pub(crate) fn terminate(&self, lab: &Lab) {
        lab.signal(&self.child, Signal::TERM).unwrap();
    }

    pub(crate) fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    pub(crate) fn end(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let took = self.began.elapsed();
        let stdout: String = self
            .reading
            .drain(..)
            .map(|thread| thread.join().unwrap())
            .collect();
        let ended = Ended {
            code: status.code().unwrap_or(-1),
            stdout,
            stderr: self.stderr.lock().unwrap().clone(),
            took,
            lines: lines(&self.file),
            file: self.file.clone(),
        };
        eprintln!(
            "   {} exit {} after {:.1} s, {} lines",
            self.minion,
            ended.code,
            took.as_secs_f64(),
            ended.lines
        );
        ended
    }
}

impl Ended {
    /// The state ran once and its return is here.
    pub(crate) fn has_returned(&self, minion: &str) {
        assert_eq!((self.code, self.lines), (0, 1), "{self:?}");
        let document: Json = serde_json::from_str(&self.stdout).unwrap();
        let states = document[minion].as_object().unwrap();
        assert!(
            states.values().all(|state| state["result"] == Json::Bool(true)),
            "{self:?}"
        );
        assert_eq!(states.len(), 2, "{self:?}");
    }

    /// The lines at the end of the wait for one.
    pub(crate) fn wait_for_line(&self, lab: &Lab) -> usize {
        lab.wait_for("the state has ended", Duration::from_secs(60), || {
            Ok((lines(&self.file) > 0).then_some(()))
        })
        .unwrap();
        lines(&self.file)
    }
}

fn lines(file: &std::path::Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}
