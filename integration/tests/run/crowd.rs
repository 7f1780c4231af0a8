//! Many runs at once.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};

use integration::Lab;

use super::common::saltfo;

const MANY: usize = 50;

/// A master that stalls would run a job twice otherwise, and nobody could keep it from that.
pub(crate) fn masters_ask_themselves_once(lab: &Lab) {
    for master in ["salt1", "salt2"] {
        let output = lab
            .salt_run(master, &["config.get", "request_channel_tries", "--out", "json"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let tries = String::from_utf8_lossy(&output.stdout);
        assert_eq!(tries.trim(), "1", "{master}: {output:?}");
    }
}

pub(crate) fn fifty_at_once_run_once_each(lab: &Lab) {
    let file = lab.folder().join("crowd");
    let start = |number: usize| -> Child {
        let minion = ["minion01", "minion02"][number % 2];
        let command = format!("echo {number} >> {}", file.display());
        let mut command = lab
            .saltfo(&["run", minion, "cmd.run", &command, "--timeout", "240"])
            .unwrap();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let running: Vec<Child> = (0..MANY).map(start).collect();
    let mut unknown = Vec::new();
    for (number, child) in running.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            Some(0) => {}
            // A master that has too few processors for its workers may stall, and lose the reply.
            Some(7) => {
                eprintln!("run {number}: {}", String::from_utf8_lossy(&output.stderr));
                unknown.push(number);
            }
            _ => panic!("run {number}: {output:?}"),
        }
    }
    assert!(unknown.len() <= MANY / 10, "no outcome: {unknown:?}");
    let mut times: BTreeMap<usize, usize> = BTreeMap::new();
    for line in fs::read_to_string(&file).unwrap().lines() {
        *times.entry(line.parse().unwrap()).or_default() += 1;
    }
    for number in 0..MANY {
        let times = times.get(&number).copied().unwrap_or_default();
        let least = usize::from(!unknown.contains(&number));
        assert!((least..=1).contains(&times), "run {number} ran {times} times");
    }
    // No master has a worker that waits for itself.
    for _ in 0..4 {
        let run = saltfo(lab, &["probe", "--timeout", "5", "--out", "json"]);
        assert_eq!(run.code, 0, "{run:?}");
    }
}
