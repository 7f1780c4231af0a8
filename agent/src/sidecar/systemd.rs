//! What systemd is told (sd_notify(3)) and what it wants to hear (its watchdog). Outside of systemd all of it does nothing.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;

/// The service manager.
#[derive(Debug, Default)]
pub struct Systemd {
    status: String,
}

/// How often the watchdog must be fed: half of what systemd waits (sd_watchdog_enabled(3)). Nothing if it does not wait.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
        .map(|longest| longest / 2)
        .filter(|interval| !interval.is_zero())
}

impl Systemd {
    /// Started, or done with a reload.
    pub fn ready(&mut self, status: &str) {
        status.clone_into(&mut self.status);
        send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// What `systemctl status` shows; sent if it is news.
    pub fn status(&mut self, status: &str) {
        if status != self.status {
            status.clone_into(&mut self.status);
            send(&[NotifyState::Status(&one_line(status))]);
        }
    }

    /// A reload begins. [`Systemd::ready`] must follow, also if it failed.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "no monotonic clock"),
        }
    }

    /// About to end.
    pub fn stopping(&self) {
        send(&[NotifyState::Stopping]);
    }

    /// Everything goes round; to be said every [`watchdog_interval`].
    pub fn alive(&self) {
        send(&[NotifyState::Watchdog]);
    }
}

/// A message is lines of assignments.
fn one_line(status: &str) -> String {
    status.replace(char::is_control, " ")
}

fn send(states: &[NotifyState<'_>]) {
    let sent: io::Result<()> = sd_notify::notify(states);
    if let Err(error) = sent {
        tracing::warn!(%error, "cannot notify systemd");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    use super::*;

    /// Where the variables are read, for a process cannot safely change its own.
    const ROLE: &str = "SALTFO_TEST_SYSTEMD";

    fn speak() {
        let mut systemd = Systemd::default();
        systemd.ready("two masters");
        systemd.status("two masters");
        systemd.status("one master\nREADY=1");
        systemd.reloading();
        systemd.alive();
        systemd.stopping();
    }

    /// Runs this test as a process of its own.
    fn run_as(variables: &[(&str, &str)]) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(variable);
        }
        let test = "sidecar::systemd::tests::systemd_hears_what_is_said";
        let output = command
            .args(["--exact", test, "--nocapture"])
            .env(ROLE, "1")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("1 passed"),
            "{output:?}"
        );
    }

    #[test]
    fn systemd_hears_what_is_said() {
        if std::env::var_os(ROLE).is_some() {
            let expected = std::env::var("NOTIFY_SOCKET")
                .ok()
                .map(|_| Duration::from_secs(5));
            assert_eq!(watchdog_interval(), expected);
            return speak();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        run_as(&[
            ("NOTIFY_SOCKET", path.to_str().unwrap()),
            ("WATCHDOG_USEC", "10000000"),
        ]);
        let mut heard = Vec::new();
        let mut message = [0; 512];
        while let Ok(count) = socket.recv(&mut message) {
            heard.push(String::from_utf8_lossy(&message[..count]).into_owned());
        }
        let reload = heard.remove(2);
        let time = reload.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(time.trim_end().parse::<u64>().unwrap() > 0);
        assert_eq!(
            heard,
            [
                "READY=1\nSTATUS=two masters\n",
                "STATUS=one master READY=1\n",
                "WATCHDOG=1\n",
                "STOPPING=1\n"
            ]
        );
        // Outside of systemd.
        run_as(&[]);
    }
}
