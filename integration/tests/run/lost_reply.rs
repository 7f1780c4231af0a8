//! The reply to the publish is lost: the job runs, and nobody told its jid.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use integration::Lab;

use super::once::Once;

/// Between saltfo and a master, on the runner. It forgets the reply to the publish of the job, and everything after it
/// on that connection.
struct Relay {
    child: Child,
    config: PathBuf,
}

impl Relay {
    fn start(lab: &Lab, master: &str, publications: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/run/relay.py");
        let address = &lab.host(master).unwrap().address;
        let mut child = lab
            .command("runner", lab.salt("runner").python())
            .args([script, &address.to_string(), publications])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.as_mut().unwrap());
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let original = fs::read_to_string(lab.saltfo_config("").unwrap()).unwrap();
        let config = lab.saltfo_config("").unwrap().with_file_name("relayed.yaml");
        let text = original.replace(&format!("address: {address}"), "address: 127.0.0.1");
        assert_ne!(text, original);
        fs::write(&config, text).unwrap();
        Self { child, config }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It ends with its stdin.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

pub(crate) fn a_reply_that_is_lost_is_made_up_for_by_the_publication(lab: &Lab) {
    let relay = Relay::start(lab, "salt1", "relay");
    let run = Once::start_with(
        lab,
        "minion01",
        1,
        &["--timeout", "60", "-v"],
        Some(&relay.config),
    );
    run.jid();
    let ended = run.end();
    ended.has_returned("minion01");
    assert!(
        ended
            .stderr
            .contains("the publication was seen, its reply was not"),
        "{ended:?}"
    );
}

pub(crate) fn a_job_whose_reply_and_publication_are_lost_is_found_on_the_minion(lab: &Lab) {
    let relay = Relay::start(lab, "salt1", "refuse");
    let run = Once::start_with(lab, "minion01", 15, &["--timeout", "90"], Some(&relay.config));
    run.jid();
    assert!(run.said().contains("is lost"), "{}", run.said());
    run.end().has_returned("minion01");
}

pub(crate) fn a_job_that_is_over_before_anybody_looks_is_unknown(lab: &Lab) {
    let relay = Relay::start(lab, "salt1", "refuse");
    let run = Once::start_with(lab, "minion01", 0, &["--timeout", "90"], Some(&relay.config));
    let ended = run.end();
    assert_eq!(ended.code, 7, "{ended:?}");
    let lines = r"peer_run: {'^pipeline\.xyz$': ['jobs\.list_jobs$']}";
    assert!(ended.stderr.contains(lines), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("jobs.list_jobs search_target=minion01` has it, with saltfo:"),
        "{ended:?}"
    );
    assert_eq!(ended.wait_for_line(lab), 1);
}

/// `salt2` lets us look through its jobs, as it was installed.
pub(crate) fn a_job_that_is_over_is_found_in_the_job_cache_if_that_is_allowed(lab: &Lab) {
    let relay = Relay::start(lab, "salt2", "refuse");
    let run = Once::start_with(lab, "minion02", 0, &["--timeout", "90"], Some(&relay.config));
    run.end().has_returned("minion02");
}
