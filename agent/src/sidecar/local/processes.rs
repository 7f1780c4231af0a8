//! Which processes are those of our minion.
//!
//! A salt-minion is a Python process. By default it has two: one that starts the other anew when it fails, and the minion itself,
//! whose id is in the `pidfile`; and one more for each job. The first has its arguments as it was given them; the others write a
//! title over them (`setproctitle`, the arguments parted by blanks and some words more), and jobs inherit the connections. A job
//! may outlive its minion, with a connection that nobody serves: it is known by its title, and by not being in the `pidfile`.
//!
//! Minions of one host are told apart by the folder of their configuration. It is compared by device and inode through
//! `/proc/PID/root`, so that a container's `/etc/salt` is not taken for ours, and ours is known through links and bind mounts.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Which;

/// Where a minion's configuration is if its command line does not say.
pub(in crate::sidecar) const CONFIG_DIR: &str = "/etc/salt";
/// Of a command line, more than enough to find program and options.
const COMMAND_LINE: u64 = 4096;
/// A `pidfile` holds a number.
const PID_FILE: u64 = 32;

/// The processes of our minion; empty if it does not run.
#[derive(Debug, Default)]
pub(super) struct Family {
    members: Vec<Process>,
    main: Option<u32>,
}

impl Family {
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        self.members.iter().map(|process| process.pid)
    }

    /// The processes whose connections count: the one of the `pidfile`, since one that outlived it may still hold a socket
    /// that nobody serves; all of them if the `pidfile` does not tell.
    pub(super) fn holders(&self) -> impl Iterator<Item = u32> {
        self.pids()
            .filter(|pid| self.main.is_none_or(|main| main == *pid))
    }

    /// Forgets those that have ended. Whether those that count are all there.
    pub(super) fn drop_dead(&mut self) -> bool {
        let holders = self.holders().count();
        self.members.retain(|known| {
            Process::read(known.pid).is_ok_and(|now| now.is_alive && now.started == known.started)
        });
        holders > 0 && self.holders().count() == holders
    }
}

/// Looks through all processes for those of our minion.
#[derive(Debug)]
pub(super) struct Search {
    which: Which,
}

/// A salt-minion, perhaps ours.
#[derive(Debug)]
struct Candidate {
    process: Process,
    belongs: Belongs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belongs {
    Here,
    Elsewhere,
    /// With its parent or child.
    WithKin,
}

impl Search {
    pub(super) fn new(which: Which) -> Self {
        Self { which }
    }

    /// Looks through all processes now.
    ///
    /// # Errors
    /// Why it cannot be told whether the minion runs, with the remedy.
    pub(super) fn family(&self) -> Result<Family, String> {
        let folder = self.which.config_dir.as_deref().map(Folder::ours).transpose()?;
        let main = self.which.pid_file.as_deref().and_then(read_pid_file);
        let mut candidates = Vec::new();
        let entries = fs::read_dir("/proc").map_err(|error| format!("cannot read /proc: {error}"))?;
        for name in entries.filter_map(|entry| Some(entry.ok()?.file_name())) {
            let pid = name.to_str().and_then(|name| name.parse().ok());
            let Some((pid, arguments)) = pid.and_then(|pid| Some((pid, minion_arguments(pid)?))) else {
                continue;
            };
            let Ok(process) = Process::read(pid) else { continue };
            let belongs = match (&folder, main) {
                (Some(folder), _) => folder.holds_configuration_of(pid, &arguments),
                (None, Some(main)) if main == pid => Belongs::Here,
                (None, Some(_)) => Belongs::WithKin,
                (None, None) => Belongs::Here,
            };
            if process.is_alive {
                candidates.push(Candidate { process, belongs });
            }
        }
        if candidates.is_empty() && others_are_hidden() {
            return Err(
                "processes of other users are hidden here: run saltfo as root, or give it CAP_SYS_PTRACE"
                    .to_owned(),
            );
        }
        let members = kin(candidates);
        let main = main.filter(|main| members.iter().any(|process| process.pid == *main));
        Ok(Family { members, main })
    }
}

/// Whether `/proc` shows nobody's processes but our own (`hidepid`): not even the first one.
fn others_are_hidden() -> bool {
    let ours = rustix::process::geteuid().as_raw();
    let is_anothers = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let is_process = name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
        is_process && entry.metadata().is_ok_and(|process| process.uid() != ours)
    };
    fs::read("/proc/1/stat").is_err()
        && !fs::read_dir("/proc").is_ok_and(|entries| entries.filter_map(Result::ok).any(is_anothers))
}

/// Those that are here, with those that belong to their parents and children.
fn kin(mut candidates: Vec<Candidate>) -> Vec<Process> {
    loop {
        let here: Vec<(u32, u32)> = candidates
            .iter()
            .filter(|candidate| candidate.belongs == Belongs::Here)
            .map(|Candidate { process, .. }| (process.pid, process.parent))
            .collect();
        let mut more = false;
        for Candidate { process, belongs } in &mut candidates {
            let related = |(pid, parent): &(u32, u32)| *pid == process.parent || *parent == process.pid;
            if *belongs == Belongs::WithKin && here.iter().any(related) {
                *belongs = Belongs::Here;
                more = true;
            }
        }
        if !more {
            break;
        }
    }
    let here = candidates
        .into_iter()
        .filter(|candidate| candidate.belongs == Belongs::Here);
    let mut members: Vec<Process> = here.map(|candidate| candidate.process).collect();
    members.sort_unstable_by_key(|process| process.pid);
    members
}

/// The folder of our minion's configuration.
struct Folder<'a> {
    path: &'a Path,
    here: Metadata,
}

impl<'a> Folder<'a> {
    fn ours(path: &'a Path) -> Result<Self, String> {
        match fs::metadata(path) {
            Ok(here) => Ok(Self { path, here }),
            Err(error) => Err(format!(
                "cannot tell which minion is the local one: {}, the folder of its configuration: {error}",
                path.display()
            )),
        }
    }

    fn holds_configuration_of(&self, pid: u32, arguments: &[String]) -> Belongs {
        let folder = config_dir(arguments).unwrap_or(CONFIG_DIR);
        // A relative one was meant from where the process was started.
        let from = if Path::new(folder).is_absolute() {
            "root"
        } else {
            "cwd"
        };
        let there = PathBuf::from(format!("/proc/{pid}/{from}/{folder}"));
        match fs::metadata(there) {
            Ok(there) if (there.dev(), there.ino()) == (self.here.dev(), self.here.ino()) => Belongs::Here,
            Ok(_) => Belongs::Elsewhere,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                if Path::new(folder) == self.path {
                    Belongs::Here
                } else {
                    Belongs::WithKin
                }
            }
            Err(_) => Belongs::WithKin,
        }
    }
}

/// A process as `/proc/PID/stat` shows it.
#[derive(Debug)]
struct Process {
    pid: u32,
    parent: u32,
    /// When it was started, in ticks since boot: a process id is used again, both are not.
    started: u64,
    is_alive: bool,
}

impl Process {
    fn read(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(pid, &stat).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// See proc(5). The second field is a name in brackets, with any characters in it; the first one behind it is number 3.
    fn parse(pid: u32, stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let started = fields.nth(22 - 5)?.parse().ok()?;
        Some(Self {
            pid,
            parent,
            started,
            is_alive: !matches!(state, "Z" | "X"),
        })
    }
}

/// The arguments of a process that is a salt-minion.
fn minion_arguments(pid: u32) -> Option<Vec<String>> {
    let mut line = Vec::new();
    let file = File::open(format!("/proc/{pid}/cmdline")).ok()?;
    file.take(COMMAND_LINE).read_to_end(&mut line).ok()?;
    parse_command_line(&line)
}

/// The arguments of `salt-minion …` or `python … salt-minion …`, given apart or as a title; none if the title is a job's.
fn parse_command_line(line: &[u8]) -> Option<Vec<String>> {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches(['\0', ' ']);
    let words: Vec<&str> = if line.contains('\0') {
        line.split('\0').collect()
    } else {
        line.split_ascii_whitespace().collect()
    };
    let name = |word: &str| word.rsplit('/').next().map(str::to_owned).unwrap_or_default();
    if words.iter().any(|word| is_of_a_job(word)) {
        return None;
    }
    let mut words = words.into_iter();
    let program = name(words.next()?);
    if program != "salt-minion" {
        let script = words.find(|word| !word.starts_with('-'))?;
        if !program.starts_with("python") || name(script) != "salt-minion" {
            return None;
        }
    }
    Some(words.map(str::to_owned).collect())
}

/// What `salt.minion` appends to a job's title: the name of the process, then that of the function that runs in it.
fn is_of_a_job(word: &str) -> bool {
    let functions = ["._thread_return", "._thread_multi_return"];
    word.starts_with("ProcessPayload(jid=") || functions.iter().any(|function| word.ends_with(function))
}

/// `-c` or `--config-dir`, which Python's `optparse` also takes glued to its value or cut short.
fn config_dir(arguments: &[String]) -> Option<&str> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "-c" || (argument.starts_with("--config") && !argument.contains('=')) {
            return arguments.next().map(String::as_str);
        }
        if let Some((option, value)) = argument.split_once('=')
            && option.starts_with("--config")
        {
            return Some(value);
        }
        if let Some(value) = argument.strip_prefix("-c") {
            return Some(value);
        }
    }
    None
}

fn read_pid_file(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path)
        .ok()?
        .take(PID_FILE)
        .read_to_string(&mut text)
        .ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of(line: &str) -> Option<String> {
        let arguments = parse_command_line(line.as_bytes())?;
        Some(config_dir(&arguments).unwrap_or(CONFIG_DIR).to_owned())
    }

    #[test]
    fn minions_are_known_however_they_were_installed() {
        for (line, folder) in [
            // As recorded from 3006.25 and 3008.1 by pip, the parent and then the minion itself.
            (
                "/v/bin/python\0/v/bin/salt-minion\0-c\0/tmp/m/etc\0-l\0error\0",
                "/tmp/m/etc",
            ),
            (
                "/v/bin/python /v/bin/salt-minion -c /tmp/m/etc -l error MultiMinionProcessManager \
                 MinionProcessManager\0\0\0",
                "/tmp/m/etc",
            ),
            (
                "/opt/saltstack/salt/bin/python3.10\0/usr/bin/salt-minion\0",
                "/etc/salt",
            ),
            (
                "/opt/saltstack/salt/bin/python3.10 /usr/bin/salt-minion MultiMinionProcessManager\0",
                "/etc/salt",
            ),
            (
                "/usr/bin/python3\0-E\0/usr/bin/salt-minion\0--config-dir=/srv/two\0-d\0",
                "/srv/two",
            ),
            ("/usr/bin/salt-minion\0-c/srv/two\0", "/srv/two"),
            ("salt-minion\0--config-dir\0/srv/a b\0", "/srv/a b"),
        ] {
            assert_eq!(folder_of(line).as_deref(), Some(folder), "{line:?}");
        }
    }

    #[test]
    fn what_only_mentions_a_minion_is_none() {
        for line in [
            "",
            "\0",
            "tail\0-f\0/var/log/salt/salt-minion\0",
            "timeout\x005\0/v/bin/python\0/v/bin/salt-minion\0",
            "/usr/bin/python3\0/usr/bin/salt-call\0salt-minion\0",
            "/usr/bin/python3\0-m\0pdb\0/usr/bin/salt-minion\0",
            "/opt/saltstack/salt/bin/python3.10\0/usr/bin/salt-master\0",
            "/usr/bin/salt-minion-watch\0",
            // Jobs, as recorded from 3006.25 and 3008.1.
            "/v/bin/python /v/bin/salt-minion -c /tmp/m/etc MultiMinionProcessManager MinionProcessManager \
             ProcessPayload(jid=20261122221530123456) Minion._thread_return\0",
            "/usr/bin/python3 /usr/bin/salt-minion ProcessPayload(jid=20261122221530123456)\0",
            "/usr/bin/python3 /usr/bin/salt-minion Minion._thread_multi_return\0",
        ] {
            assert_eq!(folder_of(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_fields() {
        let stat = "13171 (salt) -3 (de) S 13110 13094 13094 0 -1 4194560 11043 0 3 0 81 11 0 0 20 0 5 0 1309543 \
                    390447104 16111 18446744073709551615 1 1";
        let process = Process::parse(13171, stat).unwrap();
        assert_eq!(
            (process.parent, process.started, process.is_alive),
            (13110, 1_309_543, true)
        );
        assert!(!Process::parse(7, &stat.replace(" S ", " Z ")).unwrap().is_alive);
        assert!(Process::parse(7, "7 (x) S 1").is_none());
    }

    #[test]
    fn kin_joins_unless_it_is_known_to_be_elsewhere() {
        let candidate = |pid, parent, belongs| Candidate {
            process: Process {
                pid,
                parent,
                started: 0,
                is_alive: true,
            },
            belongs,
        };
        let all = vec![
            candidate(5, 4, Belongs::WithKin),
            candidate(4, 3, Belongs::WithKin),
            candidate(3, 1, Belongs::Here),
            candidate(6, 3, Belongs::Elsewhere),
            candidate(8, 1, Belongs::WithKin),
        ];
        let pids: Vec<u32> = kin(all).iter().map(|process| process.pid).collect();
        assert_eq!(pids, [3, 4, 5]);
    }
}
