//! `pki-tools` on a client of 1,000 servers: making keys beside OpenSSL, editing, memory.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use integration::Progress;
use pki_tools::generate::{self, Options};
use pki_tools::seal::Keyring;

use crate::memory;
use crate::report::Row;

/// How many OpenSSLs run at a time: as many as there are cores to make keys on.
const AT_A_TIME: usize = 2;
/// What is aimed at.
const EDIT: Duration = Duration::from_secs(1);
const MEMORY: f64 = 200.0;

/// Measures a client of so many servers.
///
/// # Errors
/// OpenSSL or pki-tools cannot be run, or fail.
pub(crate) fn rows(pki_tools: &Path, servers: usize, progress: &Progress) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let folder = folder.path();
    // OpenSSL before and after ours, so that a machine that gets slower or faster favours nobody.
    progress.say(&format!("openssl genrsa, {} times", servers / 2));
    let mut openssl = genrsa(folder, servers / 2)?;
    progress.say(&format!("pki-tools gen, {servers} keys"));
    let file = folder.join("xyz.yaml");
    write_client(&file, servers)?;
    let making = making(&file)?;
    progress.say(&format!("openssl genrsa, {} times", servers - servers / 2));
    openssl += genrsa(folder, servers - servers / 2)?;

    progress.say("memory, and the other commands");
    let again = folder.join("memory.yaml");
    write_client(&again, servers)?;
    let (memory, _) = run(pki_tools, &["gen"], &again)?;
    let ratio = making.keys.as_secs_f64() / openssl.as_secs_f64();
    let seconds = |duration: Duration| format!("{:.2} s", duration.as_secs_f64());
    let mut rows = vec![
        Row::new(
            format!("`openssl genrsa`, {servers} keys, {AT_A_TIME} at a time"),
            seconds(openssl),
            openssl.as_secs_f64(),
        ),
        Row::new(
            format!("`pki-tools gen`, {} keys", making.made),
            seconds(making.keys),
            making.keys.as_secs_f64(),
        ),
        Row::new(
            "`pki-tools gen` : `openssl genrsa`",
            format!("{ratio:.2}×"),
            ratio,
        )
        .target("at most 1×", ratio <= 1.0),
        Row::new(
            format!("reading, editing, verifying and writing a file of {servers} assets"),
            seconds(making.edit),
            making.edit.as_secs_f64(),
        )
        .target("less than 1 s", making.edit < EDIT),
    ];
    let mut most = memory;
    for (what, arguments) in [
        ("nothing to do: `pki-tools gen` once more", &["gen"][..]),
        ("`pki-tools check`", &["check"]),
        ("`pki-tools fingerprint`", &["fingerprint"]),
        ("`pki-tools seal`", &["seal"]),
        ("`pki-tools check`, sealed", &["check"]),
        ("`pki-tools unseal`", &["unseal"]),
    ] {
        let (memory, took) = run(pki_tools, arguments, &file)?;
        most = most.max(memory);
        rows.push(Row::new(what, seconds(took), took.as_secs_f64()));
    }
    #[expect(clippy::cast_precision_loss, reason = "no process is that large")]
    let mib = most as f64 / 1024.0;
    rows.push(
        Row::new("most resident memory of all these", format!("{mib:.0} MiB"), mib)
            .target("less than 200 MiB", mib < MEMORY),
    );
    Ok(rows)
}

/// Makes so many keys with OpenSSL, each into a file of its own.
fn genrsa(folder: &Path, count: usize) -> anyhow::Result<Duration> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    if let Err(error) = genrsa_once(&folder.join(format!("{number}.pem"))) {
                        next.store(count, Ordering::Relaxed);
                        *failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                    }
                }
            });
        }
    });
    let took = start.elapsed();
    match failure
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
    {
        Some(error) => Err(error),
        None => Ok(took),
    }
}

fn genrsa_once(path: &PathBuf) -> anyhow::Result<()> {
    let status = Command::new("openssl")
        .args(["genrsa", "-out"])
        .arg(path)
        .arg("2048")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run openssl (Debian: apt install openssl)")?;
    ensure!(status.success(), "openssl genrsa: {status}");
    Ok(())
}

struct Making {
    made: usize,
    /// From the first key begun to the last one done.
    keys: Duration,
    /// Everything before and after that.
    edit: Duration,
}

/// Makes the keys of a file in this process, where the making can be told from the editing.
fn making(file: &PathBuf) -> anyhow::Result<Making> {
    let span = Mutex::new((None, None, 0));
    let start = Instant::now();
    let keyring = Keyring::none();
    generate::run(
        std::slice::from_ref(file),
        &Options::default(),
        &keyring,
        &|done, total| {
            let mut span = span.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let now = Instant::now();
            span.0.get_or_insert(now);
            span.1 = Some(now);
            span.2 = total.max(done);
        },
    )?;
    let all = start.elapsed();
    let (first, last, made) = span
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let keys = first
        .zip(last)
        .map_or(Duration::ZERO, |(first, last): (Instant, Instant)| last - first);
    Ok(Making {
        made,
        keys,
        edit: all.saturating_sub(keys),
    })
}

/// Runs pki-tools; its peak memory in KiB, and how long it took.
fn run(pki_tools: &Path, arguments: &[&str], file: &Path) -> anyhow::Result<(u64, Duration)> {
    let what = format!("pki-tools {}", arguments.join(" "));
    let start = Instant::now();
    let child = Command::new(pki_tools)
        .args(arguments)
        .arg(file)
        .env("PKI_TOOLS_PASSPHRASE", "correct horse battery staple")
        .stdin(Stdio::null())
        // Nothing reads it while the process runs, so it must not be a pipe that fills.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {what}"))?;
    let (peak, output) = memory::peak(child)?;
    ensure!(output.status.success(), "{what}: {}", output.status);
    Ok((peak, start.elapsed()))
}

fn write_client(file: &Path, servers: usize) -> anyhow::Result<()> {
    use std::fmt::Write as _;
    use std::io::Write as _;
    let mut text = String::from(
        "# The made-up client of the bench.\nname: Xyz\nactive: True\nconfiguration_management:\n  type: salt\n  salt:\n    \
         version: 3008\n    masters:\n",
    );
    for number in 1..=2 {
        write!(
            text,
            "      - fqdn: salt{number}.xyz.example\n        active: True\n        external_ip: 192.0.2.{number}\n"
        )?;
    }
    text.push_str("assets:\n");
    for number in 1..=servers {
        write!(
            text,
            "  - fqdn: minion{number:04}.xyz.example   # rack {}\n    active: True\n    kind: server\n    location: Hetzner\n    os: bookworm\n",
            number / 40
        )?;
    }
    let mut out = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    out.write_all(text.as_bytes())?;
    Ok(())
}
