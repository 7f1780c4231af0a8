//! Workers of one master that hold different session keys of ours: salt-master makes two when an id signs in twice at the same moment, and
//! each worker keeps what it has read for a day.

use std::fs;
use std::time::Duration;

use integration::Lab;

use super::common::{Run, saltfo};

const MASTER: &str = "salt1";
const MINION: &str = "minion01";
/// Whoever has known this master's key for an id has forgotten it, and reads the file.
const RESTART: Duration = Duration::from_secs(120);
/// Each run is dealt to some worker.
const RUNS: usize = 30;

pub(crate) fn workers_with_different_keys_are_called_that(lab: &Lab) {
    restart(lab);
    // The workers that serve this read the key,
    assert_eq!(saltfo(lab, &["probe", "--out", "json"]).code, 0);
    // and the others read another one, as after the race.
    let file = lab.folder().join(MASTER).join("cache/sessions/pipeline.xyz");
    let key = fs::read_to_string(&file).unwrap();
    // Base64, so any order of its fours is a key.
    let (fours, end) = key.as_bytes().as_chunks::<4>();
    let last = fours.len().strict_sub(1);
    let other: Vec<u8> = fours[..last]
        .iter()
        .rev()
        .chain(&fours[last..])
        .flatten()
        .chain(end)
        .copied()
        .collect();
    fs::write(&file, other).unwrap();

    // What may be asked twice gets its answer.
    for _ in 0..3 {
        let probe = saltfo(lab, &["probe", "--out", "json"]);
        assert_eq!(probe.code, 0, "{probe:?}");
    }
    let refused = (0..RUNS).find_map(|number| {
        let (run, lines) = append(lab, number);
        match run.code {
            0 => assert_eq!(lines, 1, "{run:?}"),
            7 => {
                assert_eq!(lines, 0, "{run:?}");
                return Some(run);
            }
            _ => panic!("{run:?}"),
        }
        None
    });
    let refused = refused.expect("no worker has refused anything");
    assert!(refused.stderr.contains("restart that salt-master"), "{refused:?}");

    restart(lab);
    for number in RUNS..RUNS + 2 {
        let (run, lines) = append(lab, number);
        assert_eq!((run.code, lines), (0, 1), "{run:?}");
    }
}

fn restart(lab: &Lab) {
    lab.master(MASTER).unwrap().restart().unwrap();
    // It may have left for the other one meanwhile.
    lab.move_minion(MINION, MASTER).unwrap();
    lab.wait_answers(MASTER, &[MINION], RESTART).unwrap();
}

/// Runs a job that appends a line, and counts its lines.
fn append(lab: &Lab, number: usize) -> (Run, usize) {
    let file = lab.folder().join(format!("session-keys-{number}"));
    let command = format!("echo {number} >> {}", file.display());
    let run = saltfo(lab, &["run", MINION, "cmd.run", &command, "--timeout", "60"]);
    let lines = fs::read_to_string(&file).unwrap_or_default().lines().count();
    (run, lines)
}
