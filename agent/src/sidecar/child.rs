//! Programs that the sidecar runs: without a shell, with an environment of their own, for a limited time.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

/// Of what it prints, the end is kept: errors stand there.
const OUTPUT: usize = 8 * 1024;
/// What is read at once.
const PIECE: usize = 1024;
/// Where programs are looked for if the sidecar itself was told nothing.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that ran to its end and succeeded, with what it printed on stdout and stderr.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) output: String,
}

/// A program that did not.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    #[error("cannot run {program}: {source}")]
    Start { program: String, source: io::Error },
    #[error("{program} failed ({status}){}", said(.output))]
    Failed {
        program: String,
        status: ExitStatus,
        output: String,
    },
    #[error("{program} did not end within {} s and was killed{}", .limit.as_secs_f64(), said(.output))]
    TooLong {
        program: String,
        limit: Duration,
        output: String,
    },
}

fn said(output: &str) -> String {
    if output.is_empty() {
        String::new()
    } else {
        format!(": {output}")
    }
}

/// Runs a program with these variables and `PATH`, and nothing else of ours: a hook has no business with our watchdog, and secrets
/// may be in an environment.
///
/// It has a process group of its own. All of that is killed when the time is over, or when this future is dropped.
pub(super) async fn run(
    program: &str,
    arguments: &[String],
    variables: impl Iterator<Item = (String, String)>,
    limit: Duration,
) -> Result<Done, ChildError> {
    let started = start(program, arguments, variables);
    let (mut child, mut pipe) = started.map_err(|source| ChildError::Start {
        program: program.to_owned(),
        source,
    })?;
    let mut group = Group::of(&child);
    let mut output = Output::default();
    let ended = tokio::time::timeout(limit, to_the_end(&mut child, &mut pipe, &mut output)).await;
    match ended {
        Ok(Ok(status)) => {
            group.0 = None;
            output.take_what_is_there(&pipe);
            let output = output.text();
            if status.success() {
                Ok(Done { output })
            } else {
                Err(ChildError::Failed {
                    program: program.to_owned(),
                    status,
                    output,
                })
            }
        }
        Ok(Err(source)) => Err(ChildError::Start {
            program: program.to_owned(),
            source,
        }),
        Err(_) => {
            drop(group);
            // So that no zombie is left; it cannot take long now.
            if let Err(error) = child.wait().await {
                tracing::debug!(%error, program, "cannot wait for a killed program");
            }
            output.take_what_is_there(&pipe);
            Err(ChildError::TooLong {
                program: program.to_owned(),
                limit,
                output: output.text(),
            })
        }
    }
}

fn start(
    program: &str,
    arguments: &[String],
    variables: impl Iterator<Item = (String, String)>,
) -> io::Result<(Child, pipe::Receiver)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()))
        .envs(variables)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    let child = command.spawn()?;
    // `command` is dropped here, and with it our ends for writing: the pipe ends with the program.
    Ok((child, pipe::Receiver::from_owned_fd(reader.into())?))
}

async fn to_the_end(
    child: &mut Child,
    pipe: &mut pipe::Receiver,
    output: &mut Output,
) -> io::Result<ExitStatus> {
    let mut piece = [0; PIECE];
    let mut open = true;
    loop {
        tokio::select! {
            status = child.wait() => return status,
            read = pipe.read(&mut piece), if open => match read {
                Ok(count @ 1..) => output.take(piece.get(..count).unwrap_or_default()),
                Ok(0) | Err(_) => open = false,
            }
        }
    }
}

/// A program's process group, killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::debug!(%error, "cannot kill a program");
        }
    }
}

/// The end of what a program printed.
#[derive(Default)]
struct Output(VecDeque<u8>);

impl Output {
    fn take(&mut self, piece: &[u8]) {
        self.0.extend(piece);
        let excess = self.0.len().saturating_sub(OUTPUT);
        self.0.drain(..excess);
    }

    /// Without waiting: a program in the background may hold the pipe open for good.
    fn take_what_is_there(&mut self, pipe: &pipe::Receiver) {
        let mut piece = [0; PIECE];
        // No more than a pipe holds, should something keep writing.
        for _ in 0..64 {
            match pipe.try_read(&mut piece) {
                Ok(count @ 1..) => self.take(piece.get(..count).unwrap_or_default()),
                Ok(0) | Err(_) => break,
            }
        }
    }

    /// One line, without what could upset a terminal.
    fn text(self) -> String {
        let bytes = Vec::from(self.0);
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let text = lines.collect::<Vec<_>>().join("; ");
        text.replace(char::is_control, " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    async fn sh(script: &str, limit: Duration) -> Result<Done, ChildError> {
        let variables = [("SALTFO_WHY".to_owned(), "$(id); `id`".to_owned())];
        run(
            "sh",
            &["-c".to_owned(), script.to_owned()],
            variables.into_iter(),
            limit,
        )
        .await
    }

    #[tokio::test]
    async fn it_has_its_variables_and_a_path_and_no_others() {
        let done = sh("env | sort | grep -v ^PATH= | grep -v ^PWD= | grep -v ^_=", LONG).await;
        assert_eq!(done.unwrap().output, "SALTFO_WHY=$(id); `id`");
    }

    #[tokio::test]
    async fn arguments_are_no_shell_words() {
        let arguments = ["$HOME".to_owned(), "; id".to_owned(), "*".to_owned()];
        let done = run("echo", &arguments, [].into_iter(), LONG).await.unwrap();
        assert_eq!(done.output, "$HOME ; id *");
    }

    #[tokio::test]
    async fn a_failure_tells_the_status_and_what_was_printed() {
        let error = sh("echo out; echo \"\u{1b}[31merr\" >&2; exit 3", LONG)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "sh failed (exit status: 3): out;  [31merr");
        let error = run("/none/such", &[], [].into_iter(), LONG).await.unwrap_err();
        assert!(
            error.to_string().starts_with("cannot run /none/such: "),
            "{error}"
        );
    }

    #[tokio::test]
    async fn of_long_output_the_end_is_kept() {
        let done = sh(
            "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done",
            LONG,
        )
        .await;
        let output = done.unwrap().output;
        assert!(
            output.ends_with("line 4999") && output.len() <= 2 * OUTPUT,
            "{}",
            output.len()
        );
    }

    #[tokio::test]
    async fn what_takes_too_long_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; echo begun; wait", pid.display());
        let error = sh(&script, Duration::from_millis(500)).await.unwrap_err();
        assert!(
            matches!(&error, ChildError::TooLong { output, .. } if output == "begun"),
            "{error}"
        );
        assert!(is_gone(&pid).await);
    }

    #[tokio::test]
    async fn it_is_killed_when_nobody_waits_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", pid.display());
        let running = tokio::spawn(async move { sh(&script, LONG).await });
        while std::fs::read_to_string(&pid).unwrap_or_default().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.abort();
        assert!(is_gone(&pid).await);
    }

    #[tokio::test]
    async fn what_it_leaves_in_the_background_does_not_hold_us_up() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; echo done", pid.display());
        assert_eq!(sh(&script, LONG).await.unwrap().output, "done");
        let left: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        rustix::process::kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
    }

    /// Whether the process whose id is in this file ends.
    async fn is_gone(pid_file: &std::path::Path) -> bool {
        let pid = std::fs::read_to_string(pid_file).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        let gone = async {
            while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, gone).await.is_ok()
    }
}
