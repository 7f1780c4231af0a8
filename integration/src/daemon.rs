//! A salt-master or salt-minion of the lab: its life, its faults, its cable.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;

use crate::config::HostFolder;
use crate::host::{Host, Role};
use crate::lab::Lab;
use crate::process::{self, Process};
use crate::wait::until;

/// How long a daemon may take to start: alone it needs 2 to 7 s, on a busy machine several times that.
pub(crate) const START: Duration = Duration::from_secs(120);
/// How long a daemon may take to end after SIGTERM before it is killed.
const STOP: Duration = Duration::from_secs(10);
/// How long the kernel may take to stop or end processes that were signalled.
pub(crate) const SIGNAL: Duration = Duration::from_secs(10);
/// Lines of a log in an error.
const LOG_TAIL: usize = 15;

/// The Salt daemon of a host. It is a view of the lab: it can be had again, and dropping it does nothing.
#[derive(Debug, Clone, Copy)]
pub struct Daemon<'lab> {
    pub(crate) lab: &'lab Lab,
    pub(crate) host: &'lab Host,
}

impl<'lab> Daemon<'lab> {
    pub(crate) fn new(lab: &'lab Lab, host: &'lab Host) -> Self {
        Self { lab, host }
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &'lab Host {
        self.host
    }

    /// Starts it, and for a master waits until it answers. One that runs already is an error.
    ///
    /// # Errors
    /// It did not come up, with the end of its log.
    pub fn start(&self) -> anyhow::Result<()> {
        self.launch()?;
        if self.host.role == Role::Master {
            self.wait_ready(START)
        } else {
            Ok(())
        }
    }

    /// Asks it to end, as its service manager would, and kills what is still there after 10 s.
    ///
    /// # Errors
    /// Processes that can't be ended.
    pub fn stop(&self) -> anyhow::Result<()> {
        let processes = self.processes()?;
        let session = self.forget()?;
        for leader in processes
            .iter()
            .filter(|process| Some(process.inner_pid) == session)
        {
            process::send(leader.pid, Signal::TERM)?;
            // A stopped process acts on it only when it goes on.
            process::send(leader.pid, Signal::CONT)?;
        }
        let ended = until("it ends", STOP, || {
            Ok(self.of_session(session)?.is_empty().then_some(()))
        });
        if ended.is_err() {
            self.kill_session(session)
        } else {
            Ok(())
        }
    }

    /// Kills all its processes at once, as a power cut would. Its host stays on the network and refuses
    /// connections. One that does not run is no error.
    ///
    /// # Errors
    /// Processes that can't be killed.
    pub fn kill(&self) -> anyhow::Result<()> {
        let session = self.forget()?;
        self.kill_session(session)
    }

    /// Ends it and starts it again; see [`Daemon::start`].
    ///
    /// # Errors
    /// As those of [`Daemon::stop`] and [`Daemon::start`].
    pub fn restart(&self) -> anyhow::Result<()> {
        self.stop()?;
        self.start()
    }

    /// Its live processes: those of its session and their descendants.
    ///
    /// # Errors
    /// `/proc` can't be read.
    pub fn processes(&self) -> anyhow::Result<Vec<Process>> {
        self.of_session(self.session())
    }

    /// Whether its first process lives, hung or not.
    ///
    /// # Errors
    /// `/proc` can't be read.
    pub fn is_running(&self) -> anyhow::Result<bool> {
        let session = self.session();
        Ok(self
            .processes()?
            .iter()
            .any(|process| Some(process.inner_pid) == session))
    }

    /// Processor time that its live processes, and children that they waited for, have used so far.
    ///
    /// # Errors
    /// `/proc` can't be read.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        // A process may end between the list and the look.
        Ok(self
            .processes()?
            .iter()
            .filter_map(|process| process.cpu_time().ok())
            .sum())
    }

    /// Its log file.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder().log(self.role())
    }

    /// The end of its log, and of what it printed elsewhere.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let mut text = String::new();
        for path in [self.log_path(), self.folder().output(self.role())] {
            let content = fs::read(&path).unwrap_or_default();
            let content = String::from_utf8_lossy(&content);
            let skip = content.lines().count().saturating_sub(LOG_TAIL);
            if content.is_empty() {
                continue;
            }
            text.push_str(&format!("--- the end of {}\n", path.display()));
            for line in content.lines().skip(skip) {
                text.push_str(line);
                text.push('\n');
            }
        }
        if text.is_empty() {
            "(it has logged nothing)".to_owned()
        } else {
            text
        }
    }

    /// Waits until a master answers: both ports, and a clear `ping` by a worker. Asked on its own host, so that
    /// its cable does not matter.
    ///
    /// # Errors
    /// It died or did not answer in time, with the end of its log.
    pub fn wait_ready(&self, timeout: Duration) -> anyhow::Result<()> {
        ensure!(self.host.role == Role::Master, "{} is no master", self.host.name);
        let seconds = timeout.as_secs_f64().to_string();
        self.watch_script("ready.py", &["127.0.0.1", "4505", "4506", &seconds], &[*self])
            .with_context(|| format!("the salt-master on {} does not answer", self.host.name))
    }

    /// Waits until a minion answers a `test.ping` that this master published. Returns how long that took.
    ///
    /// # Errors
    /// It did not in time, or one of the two died, with the end of the logs.
    pub fn wait_connected(&self, master: &str, timeout: Duration) -> anyhow::Result<Duration> {
        let start = Instant::now();
        self.lab.wait_answers(master, &[&self.host.name], timeout)?;
        Ok(start.elapsed())
    }

    /// Starts it without waiting for more than its process.
    pub(crate) fn launch(&self) -> anyhow::Result<()> {
        let (role, folder, program) = (self.role(), self.folder(), self.program());
        ensure!(
            !self.is_running()?,
            "the {program} on {} runs already",
            self.host.name
        );
        // A first process that was killed alone may have left others.
        self.kill()?;
        let pid_file = folder.pid_file(role);
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.output(role))?;
        let mut command = self.lab.enter_for_salt(&self.host.name);
        // A session of its own tells its processes from others of the host; the shell's id becomes its own.
        let status = command
            .args(["setsid", "--fork", "sh", "-c"])
            .arg("echo $$ >\"$1.new\" && mv \"$1.new\" \"$1\" && shift && exec \"$@\"")
            .arg("sh")
            .arg(&pid_file)
            .arg(self.lab.salt(&self.host.name).python())
            .arg(self.lab.salt(&self.host.name).program(program))
            .arg("-c")
            .arg(folder.etc())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .context("cannot run nsenter")?;
        ensure!(
            status.success(),
            "cannot start the {program} on {}\n{}",
            self.host.name,
            self.log_tail()
        );
        let what = format!("the {program} on {} gets going", self.host.name);
        until(&what, SIGNAL, || Ok(self.session().map(drop)))
    }

    /// An error with the end of the log if it should run and doesn't.
    pub(crate) fn check_alive(&self) -> anyhow::Result<()> {
        if self.session().is_some() && !self.is_running()? {
            bail!(
                "the {} on {} has died\n{}",
                self.program(),
                self.host.name,
                self.log_tail()
            );
        }
        Ok(())
    }

    /// Runs one of the lab's Python scripts on this host to its end, and meanwhile watches these daemons.
    pub(crate) fn watch_script(
        &self,
        script: &str,
        arguments: &[&str],
        watched: &[Self],
    ) -> anyhow::Result<()> {
        let logs = || {
            watched
                .iter()
                .map(|daemon| format!("\n{}", daemon.log_tail()))
                .collect::<String>()
        };
        let mut child = self
            .lab
            .enter_for_salt(&self.host.name)
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(self.lab.salt(&self.host.name).python())
            .arg(self.lab.script(script))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run nsenter")?;
        // The scripts end by themselves, so the bound here is only against one that doesn't.
        let ended = until(script, Duration::from_secs(3600), || {
            for daemon in watched {
                daemon.check_alive()?;
            }
            Ok(child.try_wait()?)
        });
        if ended.is_err() {
            child.kill()?;
        }
        let output = child.wait_with_output()?;
        if ended?.success() {
            return Ok(());
        }
        bail!("{}{}", String::from_utf8_lossy(&output.stderr).trim(), logs())
    }

    pub(crate) fn program(&self) -> &'static str {
        if self.host.role == Role::Master {
            "salt-master"
        } else {
            "salt-minion"
        }
    }

    fn role(&self) -> &'static str {
        if self.host.role == Role::Master {
            "master"
        } else {
            "minion"
        }
    }

    fn folder(&self) -> HostFolder {
        HostFolder::of(self.lab.folder(), &self.host.name)
    }

    /// The id of its session inside of the lab, if it should run.
    fn session(&self) -> Option<i32> {
        fs::read_to_string(self.folder().pid_file(self.role()))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Notes that it should not run any more, so that nobody is surprised by its end.
    fn forget(&self) -> anyhow::Result<Option<i32>> {
        let session = self.session();
        if session.is_some() {
            fs::remove_file(self.folder().pid_file(self.role()))?;
        }
        Ok(session)
    }

    fn of_session(&self, session: Option<i32>) -> anyhow::Result<Vec<Process>> {
        let Some(session) = session else {
            return Ok(Vec::new());
        };
        Ok(process::of_session(
            &process::of_lab(self.lab.namespaces().init())?,
            session,
        ))
    }

    fn kill_session(&self, session: Option<i32>) -> anyhow::Result<()> {
        let what = format!("the {} on {} dies", self.program(), self.host.name);
        // Again until nobody is left: one may fork between the look and the signal.
        until(&what, SIGNAL, || {
            let processes = self.of_session(session)?;
            for process in &processes {
                process::send(process.pid, Signal::KILL)?;
            }
            Ok(processes.is_empty().then_some(()))
        })
    }
}
