//! Keys that rotate under an open connection to a real master: session keys, the AES key, a restart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use integration::{Lab, SaltVersion};
use proto::crypto::PrivateKey;

/// `wire` on the runner: a connection that is held open.
struct Wire {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Wire {
    fn open(lab: &Lab, master: &str) -> Self {
        let config = lab.saltfo_config("").unwrap();
        let mut command = lab.command("runner", env!("CARGO_BIN_EXE_wire"));
        command.arg(config).arg(format!("{master}.xyz.example"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let wire = Self { child, stdin, lines };
        wire.wait_for("ready");
        wire
    }

    fn ask(&mut self) -> String {
        writeln!(self.stdin, "ask").unwrap();
        self.next_with(|line| line.starts_with("answered") || line.starts_with("failed"))
    }

    fn wait_for(&self, part: &str) -> String {
        self.next_with(|line| line.contains(part))
    }

    fn next_with(&self, is: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self
                .lines
                .recv_timeout(Duration::from_secs(90))
                .expect("wire is silent");
            if is(&line) {
                return line;
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn rotated_keys_cost_one_sign_in_and_nothing_else() {
    for version in SaltVersion::tested().unwrap() {
        // Session keys last 3 s on salt1; salt2 looks each second, not each minute, whether to rotate its AES key.
        let lab = Lab::builder()
            .version(version)
            .minions(["minion01"])
            .first_master("minion01", "salt2")
            .master_config("salt1", "publish_session: 3\n")
            .master_config("salt2", "loop_interval: 1\n")
            .build()
            .unwrap();
        a_session_key_that_changed_is_fetched_anew(&lab);
        the_first_publication_under_a_new_key_is_read(&lab);
    }
}

fn a_session_key_that_changed_is_fetched_anew(lab: &Lab) {
    let mut wire = Wire::open(lab, "salt1");
    let sign_ins = |answer: &str| -> u32 {
        let count = answer
            .strip_prefix("answered after ")
            .and_then(|rest| rest.strip_suffix(" sign-ins"));
        count.unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
    };
    // Every request is answered, through three changes of the key.
    let start = Instant::now();
    let mut asked = 0;
    while sign_ins(&wire.ask()) < 4 {
        asked += 1;
        assert!(
            start.elapsed() < Duration::from_secs(90),
            "no key changed in {asked} requests"
        );
    }
    assert!(asked > 3);
}

fn the_first_publication_under_a_new_key_is_read(lab: &Lab) {
    let mut wire = Wire::open(lab, "salt2");
    publish(lab);
    let heard = wire.wait_for("test.ping");
    assert!(heard.ends_with("with the key at hand"), "{heard}");

    // A minion that was deleted must not read on: the master takes a new key.
    let leaver = PrivateKey::generate(2048, &mut rand::rng())
        .unwrap()
        .public_key()
        .to_pem()
        .unwrap();
    fs::write(lab.pki_dir("salt2").unwrap().join("minions/leaver"), leaver).unwrap();
    let deleted = lab.salt_key("salt2", &["-y", "-d", "leaver"]).output().unwrap();
    assert!(deleted.status.success(), "{deleted:?}");
    let heard = loop {
        publish(lab);
        let heard = wire.wait_for("test.ping");
        if !heard.ends_with("with the key at hand") {
            break heard;
        }
    };
    assert!(heard.ends_with("after a new sign-in"), "{heard}");
    publish(lab);
    let heard = wire.wait_for("test.ping");
    assert!(heard.ends_with("with the key at hand"), "{heard}");
    assert!(wire.ask().starts_with("answered"));
}

fn publish(lab: &Lab) {
    let output = lab
        .salt_cli("salt2", &["--async", "minion01", "test.ping"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
