//! A run that is told to stop: a cancelled pipeline.

use integration::Lab;

use super::common::saltfo;
use super::once::Once;

pub(crate) fn a_cancelled_run_leaves_the_job(lab: &Lab) {
    let run = Once::start(lab, "minion01", 3, &[]);
    let jid = run.jid();
    run.terminate(lab);
    let ended = run.end();
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(
        ended.stderr.contains(&format!("saltfo run --jid {jid} minion01")),
        "{ended:?}"
    );
    let again = saltfo(lab, &["run", "--jid", &jid, "minion01"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(ended.wait_for_line(lab), 1);
}

pub(crate) fn a_cancelled_run_kills_the_job_if_told_to(lab: &Lab) {
    let run = Once::start(lab, "minion01", 600, &["--on-cancel", "kill"]);
    let jid = run.jid();
    // Until the minion has it, there is nothing to kill.
    lab.wait_for("the job runs", std::time::Duration::from_secs(20), || {
        let running = saltfo(
            lab,
            &["run", "minion01", "saltutil.find_job", &jid, "--out", "json"],
        );
        Ok(running.stdout.contains(&jid).then_some(()))
    })
    .unwrap();
    run.terminate(lab);
    let ended = run.end();
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.stderr.contains("Signal 9 sent to job"), "{ended:?}");
    let running = saltfo(
        lab,
        &["run", "minion01", "saltutil.find_job", &jid, "--out", "json"],
    );
    assert!(!running.stdout.contains(&jid), "{running:?}");
    assert_eq!(ended.lines, 0, "{ended:?}");
}
