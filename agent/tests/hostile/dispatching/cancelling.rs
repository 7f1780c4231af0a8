//! `saltfo run` that is told to stop, as a cancelled pipeline is: it says what it leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proto::message::Value;

use super::{
    FUNCTION, Fault, JOB, MASTER, MINION, Master, PING, client, honest_job, honest_return, job, no_return,
    returned, seal, start,
};
use crate::fake_master::{FakeMaster, Reply, Script};

/// The run with these options that is cancelled when the master has had so many requests of this command; its exit code, stderr and
/// report.
fn cancelled(master: &Master, options: &[&str], command: &str, times: usize) -> (i32, String, String) {
    let client = client(&[(MASTER, master)]);
    let report = client.path("report.xml");
    let words = [&[MINION, FUNCTION, "--junit", report.to_str().unwrap()], options].concat();
    let run = start(&client, &words);
    let ended = run.run_until(|| master.fake.count(command) >= times);
    let report = std::fs::read_to_string(report).unwrap();
    (ended.code(), ended.stderr, report)
}

#[test]
fn a_job_that_goes_on_is_left_with_its_jid() {
    let master = Master::start(2, honest_job, no_return);
    let (code, stderr, report) = cancelled(&master, &[], "pub_ret", 5);
    assert_eq!(code, 7, "{stderr}");
    let again = format!("look again with: saltfo run --jid {JOB} {MINION}");
    assert!(stderr.contains(&again), "{stderr}");
    assert!(report.contains(&format!("jid {JOB} goes on")), "{report}");
}

#[test]
fn a_job_that_was_killed_is_not_said_to_go_on() {
    let master = Master::start(2, honest_job, no_return);
    let (code, stderr, report) = cancelled(&master, &["--on-cancel", "kill"], "pub_ret", 5);
    assert_eq!(code, 7, "{stderr}");
    assert!(stderr.contains("kill: Signal 9 sent to job"), "{stderr}");
    assert!(report.contains("kill: Signal 9 sent to job"), "{report}");
    assert!(!report.contains("goes on"), "{report}");
}

#[test]
fn a_publish_without_a_reply_may_have_been_one() {
    let master = Master::start(2, |_| Reply::Silence, honest_return);
    let (code, stderr, report) = cancelled(&master, &[], "minion_pub", 2);
    assert_eq!(code, 7, "{stderr}");
    assert!(stderr.contains("cancelled while it was published"), "{stderr}");
    assert!(report.contains("cancelled while it was published"), "{report}");
}

#[test]
fn a_run_that_has_sent_nothing_says_so() {
    let on_publish: Fault = |ask| seal(ask, &Value::map([("jid", Value::Int(0))]));
    let published = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&published);
    // The minion is here until the job is to be published, which the master declines: it is looked for anew.
    let fake = FakeMaster::start(
        2,
        Script::answering(
            move |ask| match (ask.command.as_str(), ask.text("fun").as_str()) {
                ("minion_pub", "test.ping") => job(ask, PING),
                ("minion_pub", FUNCTION) => {
                    count.fetch_add(1, Ordering::SeqCst);
                    on_publish(ask)
                }
                ("pub_ret", _) if count.load(Ordering::SeqCst) == 0 => returned(ask, Value::Bool(true)),
                ("pub_ret", _) => no_return(ask),
                _ => Reply::Bytes(ask.honest()),
            },
        ),
    );
    let master = Master { fake, published };
    let (code, stderr, report) = cancelled(&master, &[], "minion_pub", 3);
    assert_eq!((code, master.published()), (2, 1), "{stderr}");
    assert!(stderr.contains("cancelled: nothing was dispatched"), "{stderr}");
    assert!(report.contains("cancelled before it was dispatched"), "{report}");
}
