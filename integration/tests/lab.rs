//! The lab does what it says: each fault, two labs side by side, and nothing left of a dead one.

// Helpers of tests fail like tests do.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use integration::{Lab, Progress, SaltVersion, until};

/// One lab at a time, but for the test that wants two: cores are few, and Salt's timeouts are not ours.
static TURN: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

const SOON: Duration = Duration::from_secs(20);
const LATER: Duration = Duration::from_secs(120);

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a connection attempt comes to: `accepted`, `refused`, or `silence` within two seconds.
fn connect(lab: &Lab, from: &str, to: &str, port: u16) -> String {
    let address = lab.host(to).unwrap().address;
    let script = format!(
        "import socket\n\
         try:\n\
         \tsocket.create_connection(('{address}', {port}), timeout=2).close()\n\
         \tprint('accepted')\n\
         except ConnectionRefusedError:\n\
         \tprint('refused')\n\
         except OSError:\n\
         \tprint('silence')\n"
    );
    let output = lab
        .command(from, lab.salt(from).python())
        .args(["-c", &script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Whether the master's workers answer a clear `ping` from this host within three seconds.
fn answers(lab: &Lab, from: &str, master: &str) -> bool {
    let address = lab.host(master).unwrap().address.to_string();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("salt/ready.py");
    let mut command = lab.command(from, lab.salt(from).python());
    command
        .arg(script)
        .args([&address, "4505", "4506", "3"])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

fn prints(mut command: Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Processes, as the whole machine sees them, whose command line or working folder has this folder.
fn traces(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let cwd = fs::read_link(path.join("cwd")).unwrap_or_default();
        if command.contains(folder) || cwd.starts_with(folder) {
            found.push(format!("{} {command}", path.display()));
        }
    }
    found
}

#[test]
fn each_fault_does_what_it_says_and_can_be_undone() {
    let _turn = turn();
    let lab = Lab::builder()
        .worker_threads(3)
        .minions(["minion01"])
        .build()
        .unwrap();
    let salt1 = lab.master("salt1").unwrap();
    assert_eq!(connect(&lab, "runner", "salt1", 4506), "accepted");
    assert!(answers(&lab, "runner", "salt1"));
    assert!(salt1.cpu_time().unwrap() > Duration::ZERO);

    // Jobs reach the minion through the master that has it, as often as one asks, and through no other.
    let mut pings = lab.pings("salt1", "minion01").unwrap();
    for _ in 0..2 {
        let begun = Instant::now();
        pings.begin().unwrap();
        let answer = pings.answer(SOON).unwrap();
        assert!(answer.at > begun && answer.published > 0, "{answer:?}");
    }
    let mut elsewhere = lab.pings("salt2", "minion01").unwrap();
    elsewhere.begin().unwrap();
    assert!(elsewhere.answer(Duration::from_secs(3)).is_err());
    drop((pings, elsewhere));

    // Cut: nothing comes through, and the host itself can't tell.
    salt1.cut().unwrap();
    assert!(lab.is_cut("salt1").unwrap());
    assert_eq!(connect(&lab, "runner", "salt1", 4506), "silence");
    assert_eq!(connect(&lab, "salt1", "salt2", 4506), "silence");
    let mut show = lab.command("salt1", "ip");
    show.args(["-brief", "link", "show", "dev", "eth0"]);
    let link = prints(show);
    assert!(link.contains(" UP ") && link.contains("LOWER_UP"), "{link}");
    assert!(answers(&lab, "salt1", "salt1"), "the daemon itself is well");
    salt1.mend().unwrap();
    until("the mended cable carries", SOON, || {
        Ok((connect(&lab, "runner", "salt1", 4506) == "accepted").then_some(()))
    })
    .unwrap();

    // Hung: the kernel accepts, nobody answers.
    salt1.hang().unwrap();
    assert!(
        salt1
            .processes()
            .unwrap()
            .iter()
            .all(integration::Process::is_stopped)
    );
    assert_eq!(connect(&lab, "runner", "salt1", 4506), "accepted");
    assert!(!answers(&lab, "runner", "salt1"));
    salt1.resume().unwrap();
    salt1.wait_ready(SOON).unwrap();

    // Hung workers: the other processes go on.
    salt1.hang_workers().unwrap();
    let stopped = salt1
        .processes()
        .unwrap()
        .iter()
        .filter(|process| process.is_stopped())
        .count();
    assert_eq!(stopped, 3, "{:#?}", salt1.processes());
    assert!(!answers(&lab, "runner", "salt1"));
    salt1.resume().unwrap();
    salt1.wait_ready(SOON).unwrap();

    // Killed: the host is there and refuses.
    salt1.kill().unwrap();
    assert!(salt1.processes().unwrap().is_empty());
    assert_eq!(connect(&lab, "runner", "salt1", 4506), "refused");
    salt1.restart().unwrap();
    assert_eq!(connect(&lab, "runner", "salt1", 4506), "accepted");
    assert!(answers(&lab, "runner", "salt1"));

    // Moved: the minion answers there and no longer here.
    lab.move_minion("minion01", "salt2").unwrap();
    let masters: Vec<_> = lab
        .connected_to("minion01")
        .unwrap()
        .iter()
        .map(|host| &host.name)
        .collect();
    assert_eq!(masters, ["salt2"]);
    let answer = prints(lab.salt_cli("salt2", &["minion01", "test.ping"]));
    assert!(answer.contains("minion01:\n    True"), "{answer}");
}

#[test]
fn a_daemon_that_dies_by_itself_is_told_with_the_end_of_its_log() {
    let _turn = turn();
    let builder = Lab::builder().minions(["minion01"]).progress(Progress::silent());
    let error = builder
        .master_config("salt2", "interface: 192.0.2.1")
        .build()
        .unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.contains("salt-master on salt2") && text.contains("the end of /"),
        "{text}"
    );
}

#[test]
fn two_labs_side_by_side_do_not_meet() {
    let _turn = turn();
    let build = |version| {
        Lab::builder()
            .version(version)
            .worker_threads(3)
            .minions(["minion01"])
            .progress(Progress::silent())
            .build()
    };
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| build(SaltVersion::V3006));
        let other = scope.spawn(|| build(SaltVersion::V3008));
        (one.join().unwrap().unwrap(), other.join().unwrap().unwrap())
    });
    assert_ne!(one.folder(), other.folder());
    one.master("salt1").unwrap().kill().unwrap();
    assert_eq!(connect(&one, "runner", "salt1", 4506), "refused");
    assert_eq!(connect(&other, "runner", "salt1", 4506), "accepted");
    for (lab, release) in [(&one, "3006.25"), (&other, "3008.1")] {
        let master = if release == "3008.1" { "salt1" } else { "salt2" };
        assert!(prints(lab.salt_run(master, &["--version"])).contains(release));
    }
    let gone = one.folder().to_owned();
    drop(one);
    assert!(!gone.exists());
    assert_eq!(traces(&gone), Vec::<String>::new());
    assert!(answers(&other, "runner", "salt1"));
}

#[test]
fn a_killed_lab_process_leaves_no_process_and_its_folder_goes_at_the_next_start() {
    let _turn = turn();
    let mut holder = Killed(
        Command::new(env!("CARGO_BIN_EXE_lab"))
            .args([
                "hold",
                "--name",
                &format!("killed-{}", std::process::id()),
                "--workers",
                "3",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let owner = holder.0.id();
    let folder = until("the lab is up", LATER, || {
        Ok(integration::LiveLab::all()?
            .into_iter()
            .find(|lab| lab.owner() == owner)
            .map(|lab| lab.folder))
    })
    .unwrap();
    assert!(
        traces(&folder).len() > 10,
        "two masters and two minions have more processes"
    );

    holder.0.kill().unwrap();
    let killed = Instant::now();
    holder.0.wait().unwrap();
    until("its processes die", SOON, || {
        Ok(traces(&folder).is_empty().then_some(()))
    })
    .unwrap();
    eprintln!("all gone {:?} after the kill", killed.elapsed());
    assert!(folder.exists(), "nobody was there to remove it");

    let next = Lab::builder()
        .minions(Vec::<String>::new())
        .progress(Progress::silent())
        .build()
        .unwrap();
    assert!(!folder.exists());
    drop(next);
}

/// Kills its process when the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_bad_cable_delays_and_loses_or_the_kernel_is_named_that_cannot() {
    let _turn = turn();
    let lab = Lab::builder()
        .minions(Vec::<String>::new())
        .progress(Progress::silent())
        .build()
        .unwrap();
    let cable = lab.spoil_cable("salt1", Duration::from_millis(300), 0.0).unwrap();
    let start = Instant::now();
    assert_eq!(connect(&lab, "runner", "salt1", 4506), "accepted");
    assert!(start.elapsed() >= Duration::from_millis(600), "both ways");
    drop(cable);
    let cable = lab.spoil_cable("salt1", Duration::ZERO, 1.0).unwrap();
    assert_ne!(connect(&lab, "runner", "salt1", 4506), "accepted");
    drop(cable);
    assert_eq!(connect(&lab, "runner", "salt1", 4506), "accepted");
    match lab.netem("salt1", "delay 300ms") {
        Ok(()) => {
            let start = Instant::now();
            assert_eq!(connect(&lab, "runner", "salt1", 4506), "accepted");
            assert!(
                start.elapsed() >= Duration::from_millis(600),
                "it is delayed both ways"
            );
            lab.netem("salt1", "").unwrap();
        }
        Err(error) => assert!(format!("{error:#}").contains("CONFIG_NET_SCH_NETEM"), "{error:#}"),
    }
}

#[test]
fn a_program_on_a_host_dies_with_its_handle_and_gets_signals() {
    let _turn = turn();
    let lab = Lab::builder()
        .minions(Vec::<String>::new())
        .progress(Progress::silent())
        .build()
        .unwrap();
    let spawn = || {
        let mut command = lab.command("runner", "sh");
        command.args(["-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"]);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let up = |child: &mut Child| {
        let mut byte = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut byte).unwrap();
    };
    let mut child = spawn();
    up(&mut child);
    lab.signal(&child, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));

    let mut child = spawn();
    up(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    // Its end of the pipe closes when the program itself is dead.
    let mut rest = Vec::new();
    std::io::Read::read_to_end(child.stdout.as_mut().unwrap(), &mut rest).unwrap();
}
