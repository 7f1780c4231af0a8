//! The namespaces of a lab: a holder that everything dies with, a switch, a cable per host.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::process;

/// The programs that the lab needs, and the Debian packages that they come from.
const PROGRAMS: [(&str, &str); 8] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
    ("mount", "util-linux"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("env", "coreutils"),
];

/// Where `ip` and `tc` are, and where an ordinary user's `PATH` does not look.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A lab's namespaces as any process of the same user can enter them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Namespaces {
    /// The first process of the PID namespace, its id as seen from outside.
    init: i32,
    /// Whether there is a user namespace to enter, too: the lab was not started by root.
    user: bool,
}

/// Keeps the namespaces alive. It is a `cat` on a pipe from this process: when this process ends, even by
/// `kill -9`, `cat` reads the end of its input and exits; it is the first process of its PID namespace, so the
/// kernel then kills all others there, and the namespaces and cables go with the last of them.
#[derive(Debug)]
pub(crate) struct Holder {
    unshare: Child,
    input: Option<ChildStdin>,
    namespaces: Namespaces,
}

impl Holder {
    /// Makes the namespaces and the network. `etc` holds the `hosts` and `resolv.conf` that all hosts see.
    pub(crate) fn start(hosts: &[Host], etc: &Path) -> anyhow::Result<Self> {
        require_programs()?;
        let user = !rustix::process::geteuid().is_root();
        let mut command = Command::new("unshare");
        if user {
            command.args(["--user", "--map-root-user"]);
        }
        let mut unshare = command
            .args([
                "--net",
                "--pid",
                "--mount",
                "--uts",
                "--ipc",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["sh", "-c", &script(hosts, etc), "sh"])
            .arg(etc)
            .env("PATH", SYSTEM_PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run unshare")?;
        let input = unshare.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = unshare.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.trim() != "ready" {
            drop(input);
            let mut reason = String::new();
            if let Some(mut stderr) = unshare.stderr.take() {
                stderr.read_to_string(&mut reason)?;
            }
            unshare.wait()?;
            bail!(
                "cannot make the lab's network: {}{}",
                reason.trim(),
                advice(&reason, user)
            );
        }
        let id = i32::try_from(unshare.id())?;
        let init = process::children(id)?
            .first()
            .copied()
            .context("the lab's first process is gone")?;
        Ok(Self {
            unshare,
            input,
            namespaces: Namespaces { init, user },
        })
    }

    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.unshare.wait();
    }
}

impl Namespaces {
    /// The lab's first process, as seen from outside.
    pub(crate) fn init(&self) -> i32 {
        self.init
    }

    /// A command whose next arguments are a program and its arguments: it runs on this host, or at the switch.
    ///
    /// `nsenter` enters at once what `ip netns exec` would mount and unshare afresh each time, and takes half
    /// as long. The network's file lies in the lab's own `/run`, so the way there leads through `/proc`.
    pub(crate) fn enter(&self, host: Option<&str>) -> Command {
        let own = |kind: &str| format!("/proc/{}/ns/{kind}", self.init);
        let (net, uts) = match host {
            Some(name) => (
                format!("/proc/{}/root/run/netns/{name}", self.init),
                format!("/proc/{}/root/run/uts/{name}", self.init),
            ),
            None => (own("net"), own("uts")),
        };
        let mut command = Command::new("nsenter");
        if self.user {
            command
                .arg(format!("--user={}", own("user")))
                .arg("--preserve-credentials");
        }
        for (kind, file) in [
            ("mount", own("mnt")),
            ("pid", own("pid")),
            ("ipc", own("ipc")),
            ("net", net),
            ("uts", uts),
        ] {
            command.arg(format!("--{kind}={file}"));
        }
        let folder = std::env::current_dir()
            .ok()
            .filter(|folder| !folder.starts_with("/run"));
        let folder = folder.unwrap_or_else(|| "/".into());
        command.arg(format!("--wdns={}", folder.display())).arg("--");
        command
    }

    /// Runs a program to its end, on this host or at the switch, and returns what it printed.
    pub(crate) fn run(&self, host: Option<&str>, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self
            .enter(host)
            .args(arguments)
            .env("PATH", SYSTEM_PATH)
            .stdin(Stdio::null())
            .output()
            .context("cannot run nsenter")?;
        ensure!(
            output.status.success(),
            "{}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// What the holder does before it holds.
fn script(hosts: &[Host], etc: &Path) -> String {
    // The lab's own /run: names of `ip netns` are files there, and nobody else's sockets and locks are in reach.
    let mut text = String::from(
        "set -e\n\
         mount -t tmpfs -o mode=755 tmpfs /run\n\
         mkdir /run/netns /run/uts\n\
         mkdir -m 1777 /run/lock\n\
         mount --bind \"$1/hosts\" /etc/hosts\n\
         if [ -f /etc/resolv.conf ]; then mount --bind \"$1/resolv.conf\" /etc/resolv.conf; fi\n\
         ip link set lo up\n\
         ip link add switch type bridge\n\
         ip link set switch up\n",
    );
    debug_assert!(etc.is_absolute(), "the script runs elsewhere");
    for Host { name, address, .. } in hosts {
        // The switch's end of a cable is named like the host. A host's name of its own is a nicety.
        let _ = write!(
            text,
            "ip netns add {name}\n\
             ip link add {name} type veth peer name eth0 netns {name}\n\
             ip link set {name} master switch up\n\
             ip -n {name} address add {address}/24 dev eth0\n\
             ip -n {name} link set lo up\n\
             ip -n {name} link set eth0 up\n\
             : > /run/uts/{name}\n\
             unshare --uts=/run/uts/{name} sh -c 'hostname {name} 2>/dev/null || true'\n"
        );
    }
    // Whoever loses its parent becomes a child of the first process; ignored, SIGCHLD lets the kernel reap it.
    text.push_str("echo ready\nexec env --ignore-signal=CHLD cat >/dev/null 2>&1\n");
    text
}

fn require_programs() -> anyhow::Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    for (program, package) in PROGRAMS {
        let found = path
            .split(':')
            .chain(SYSTEM_PATH.split(':'))
            .any(|folder| !folder.is_empty() && Path::new(folder).join(program).exists());
        ensure!(
            found,
            "the lab needs the program {program} (Debian: apt install {package})"
        );
    }
    Ok(())
}

/// What to do about a refusal of the kernel's.
fn advice(reason: &str, user: bool) -> &'static str {
    let refused = reason.contains("not permitted") || reason.contains("denied");
    let exhausted = reason.contains("No space left");
    match (user, refused || exhausted) {
        (true, true) => {
            "\nas an ordinary user the lab needs unprivileged user namespaces. Run it as root, or see to it that \
             the sysctls user.max_user_namespaces and user.max_net_namespaces are not 0, \
             kernel.unprivileged_userns_clone (Debian) is 1 and \
             kernel.apparmor_restrict_unprivileged_userns (Ubuntu) is 0"
        }
        (false, true) => {
            "\nroot may not make namespaces here; a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN \
             (docker run --privileged)"
        }
        (_, false) if reason.contains("Unknown device type") || reason.contains("not supported") => {
            "\nthe kernel lacks bridge or veth (CONFIG_BRIDGE, CONFIG_VETH)"
        }
        (_, false) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_user_namespace_is_explained_to_the_user() {
        let text = advice("unshare: unshare failed: Operation not permitted", true);
        assert!(text.contains("kernel.unprivileged_userns_clone"));
        assert!(advice("unshare: unshare failed: Operation not permitted", false).contains("CAP_SYS_ADMIN"));
    }
}
