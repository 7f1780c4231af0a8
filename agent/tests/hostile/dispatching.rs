//! `saltfo run` at masters that lie about the publish, lose its reply, or its return: it leaves once.

mod cancelling;
mod head_start;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proto::message::Value;

use super::client::{Client, Entry, ID, MINION};
use super::fake_master::{Ask, FakeMaster, Reply, Script, bad_load};
use super::saltfo::{Ended, Saltfo};

const MASTER: &str = "salt1.xyz.example";
const OTHER: &str = "salt2.xyz.example";
/// Of the lookup, the job, and the questions about it.
const PING: &str = "20261120184009000001";
const JOB: &str = "20261120184009000002";
const QUESTION: &str = "20261120184009000003";
const PILLAR: &str = "20261120184009000004";
const KILL: &str = "20261120184009000005";
/// What is dispatched.
const FUNCTION: &str = "test.arg";
/// Its return does not tell whether it succeeded.
const UNTOLD: &str = "service.restart";

type Fault = fn(&Ask) -> Reply;

/// A master that has the minion.
struct Master {
    fake: FakeMaster,
    /// How often the job was to be published.
    published: Arc<AtomicUsize>,
}

impl Master {
    /// `on_publish` answers the publish of the job, `on_return` the looks for its return. No runner is allowed.
    fn start(host: u8, on_publish: Fault, on_return: Fault) -> Self {
        Self::with_runners(host, on_publish, on_return, |ask| {
            seal(ask, &Value::Map(Vec::new()))
        })
    }

    /// `on_runner` answers the calls of runners.
    fn with_runners(host: u8, on_publish: Fault, on_return: Fault, on_runner: Fault) -> Self {
        let published = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&published);
        let fake = FakeMaster::start(
            host,
            Script::answering(
                move |ask| match (ask.command.as_str(), ask.text("fun").as_str()) {
                    ("minion_pub", "test.ping") => job(ask, PING),
                    ("minion_pub", FUNCTION) => {
                        count.fetch_add(1, Ordering::SeqCst);
                        on_publish(ask)
                    }
                    ("minion_pub", UNTOLD) => honest_job(ask),
                    ("minion_pub", "saltutil.refresh_pillar") => job(ask, PILLAR),
                    ("minion_pub", "saltutil.kill_job") => job(ask, KILL),
                    ("minion_pub", _) => job(ask, QUESTION),
                    ("minion_runner", _) => on_runner(ask),
                    ("pub_ret", _) => match ask.text("jid").as_str() {
                        PING | PILLAR => returned(ask, Value::Bool(true)),
                        JOB => on_return(ask),
                        KILL => returned(ask, Value::text("Signal 9 sent to job")),
                        _ => seal(ask, &Value::Map(Vec::new())),
                    },
                    _ => Reply::Bytes(ask.honest()),
                },
            ),
        );
        Self { fake, published }
    }

    fn published(&self) -> usize {
        self.published.load(Ordering::SeqCst)
    }
}

fn seal(ask: &Ask, value: &Value) -> Reply {
    Reply::Bytes(ask.seal(value))
}

fn job(ask: &Ask, jid: &str) -> Reply {
    let minions = Value::Array(vec![Value::text(MINION)]);
    seal(
        ask,
        &Value::map([("jid", Value::text(jid)), ("minions", minions)]),
    )
}

fn honest_job(ask: &Ask) -> Reply {
    job(ask, JOB)
}

fn returned(ask: &Ask, ret: Value) -> Reply {
    seal(ask, &Value::map([(MINION, Value::map([("ret", ret)]))]))
}

fn honest_return(ask: &Ask) -> Reply {
    returned(ask, Value::Bool(true))
}

fn no_return(ask: &Ask) -> Reply {
    seal(ask, &Value::Map(Vec::new()))
}

/// Runs the function with an argument, and prints the return as JSON.
fn run(masters: &[(&'static str, &Master)], timeout: &str, options: &[&str]) -> Ended {
    let words = [
        "--timeout",
        timeout,
        "--out",
        "json",
        MINION,
        FUNCTION,
        "secret-argument",
    ];
    start(&client(masters), &[&words[..], options].concat()).run()
}

fn client(masters: &[(&'static str, &Master)]) -> Client {
    let entries: Vec<Entry> = masters
        .iter()
        .map(|(name, master)| Entry {
            name,
            address: master.fake.address(),
            pinned: false,
        })
        .collect();
    Client::new(&entries)
}

/// `saltfo run` with these words, as if outside of GitLab.
fn start(client: &Client, words: &[&str]) -> Saltfo {
    let run = Saltfo::new(["run", "--config"]).arg(client.config());
    let run = words.iter().fold(run, |run, word| run.arg(word));
    run.env("GITLAB_CI", "")
        .env("XDG_CACHE_HOME", client.path("cache").to_str().unwrap())
}

#[test]
fn a_job_is_published_once_and_its_return_printed() {
    let master = Master::start(2, honest_job, honest_return);
    let ended = run(&[(MASTER, &master)], "10", &[]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert_eq!(ended.document()[MINION], true, "{ended:?}");
    assert_eq!(master.published(), 1);
    // The journal has what it takes to find the job, and no arguments.
    for word in [JOB, MASTER, MINION, FUNCTION] {
        assert!(ended.stderr.contains(word), "{ended:?}");
    }
    assert!(!ended.stderr.contains("secret-argument"), "{ended:?}");
}

#[test]
fn a_job_goes_over_the_connection_of_its_lookup() {
    let master = Master::start(2, honest_job, honest_return);
    let ended = run(&[(MASTER, &master)], "10", &[]);
    assert_eq!(
        (ended.code(), master.published(), master.fake.sign_ins()),
        (0, 1, 1),
        "{ended:?}"
    );
}

#[test]
fn a_refresh_of_the_pillar_does_not_wait_for_the_turn_of_its_own_lookup() {
    let master = Master::start(2, honest_job, honest_return);
    let ended = run(&[(MASTER, &master)], "20", &["--refresh-pillar"]);
    assert_eq!((ended.code(), master.published()), (0, 1), "{ended:?}");
    assert!(ended.took < Duration::from_secs(10), "{ended:?}");
}

#[test]
fn whatever_the_reply_to_the_publish_is_it_leaves_once() {
    let faults: [(&str, Fault); 9] = [
        ("bad load", |_| Reply::Bytes(bad_load())),
        ("silence", |_| Reply::Silence),
        ("the end of the connection", |_| Reply::HangUp),
        ("another session key", |ask| {
            Reply::Bytes(ask.seal_with_another_key())
        }),
        ("another nonce", |ask| {
            Reply::Bytes(ask.seal_with_nonce(Some(&[b'0'; 32])))
        }),
        ("a handler that failed", |ask| seal(ask, &Value::text(""))),
        ("a worker that failed", |_| {
            Reply::Bytes(Value::text("Some exception handling minion payload").encode())
        }),
        ("an answer that no release gives", |ask| seal(ask, &Value::Int(7))),
        ("a jid that is a path", |ask| job(ask, "../../../etc/passwd0")),
    ];
    std::thread::scope(|scope| {
        for (name, fault) in faults {
            scope.spawn(move || {
                let master = Master::start(2, fault, honest_return);
                // Another master is there, and must not get it either.
                let other = Master::start(3, honest_job, honest_return);
                let masters = [(MASTER, &master), (OTHER, &other)];
                let ended = run(&masters, "4", &[]);
                let published = master.published() + other.published();
                assert_eq!(published, 1, "{name}: {ended:?}");
                // Both have the minion here: if the honest one was asked, all is well.
                if other.published() == 0 {
                    assert_eq!(ended.code(), 7, "{name}: {ended:?}");
                    assert!(ended.stderr.contains("in its Target"), "{name}: {ended:?}");
                }
                assert!(ended.took < Duration::from_secs(8), "{name}: {ended:?}");
            });
        }
    });
}

#[test]
fn a_function_that_is_not_allowed_is_refused_with_the_lines_to_add() {
    let master = Master::start(2, |ask| seal(ask, &Value::Map(Vec::new())), honest_return);
    let ended = run(&[(MASTER, &master)], "10", &[]);
    assert_eq!((ended.code(), master.published()), (6, 1), "{ended:?}");
    let lines = format!("peer: {{'^{}$': ['test\\.arg$']}}", ID.replace('.', "\\."));
    assert!(ended.stderr.contains(&lines), "{ended:?}");
}

#[test]
fn a_return_that_does_not_come_leaves_the_jid() {
    let faults: [(&str, Fault); 4] = [
        ("none", no_return),
        ("of another minion", |ask| {
            seal(
                ask,
                &Value::map([("minion02", Value::map([("ret", Value::Bool(true))]))]),
            )
        }),
        ("a job that the master does not know", |ask| {
            seal(ask, &Value::text(""))
        }),
        ("under another key", |ask| {
            Reply::Bytes(ask.seal_with_another_key())
        }),
    ];
    std::thread::scope(|scope| {
        for (name, fault) in faults {
            scope.spawn(move || {
                let master = Master::start(2, honest_job, fault);
                let ended = run(&[(MASTER, &master)], "3", &[]);
                assert_eq!((ended.code(), master.published()), (7, 1), "{name}: {ended:?}");
                assert!(
                    ended
                        .stderr
                        .contains(&format!("look again with: saltfo run --jid {JOB} {MINION}")),
                    "{name}: {ended:?}"
                );
            });
        }
    });
}

#[test]
fn a_retcode_that_may_not_be_asked_for_is_called_unknown() {
    let returns: [(Fault, i32); 3] = [
        (honest_return, 0),
        (|ask| returned(ask, Value::text("done")), 0),
        // It looks like a failure, and nobody says that it is none.
        (|ask| returned(ask, Value::text("ERROR: no such service")), 1),
    ];
    for (on_return, code) in returns {
        let master = Master::start(2, honest_job, on_return);
        let client = client(&[(MASTER, &master)]);
        let ended = start(&client, &[MINION, UNTOLD, "x"]).run();
        assert_eq!(ended.code(), code, "{ended:?}");
        assert!(ended.stderr.contains("the retcode is not known"), "{ended:?}");
        assert!(
            ended
                .stderr
                .contains(r"peer_run: {'^pipeline\.xyz$': ['jobs\.list_job$']}"),
            "{ended:?}"
        );
    }
}

#[test]
fn a_retcode_that_does_not_come_leaves_the_outcome_unknown() {
    let faults: [(&str, Fault); 3] = [
        ("in time", |_| Reply::Silence),
        ("at all", |_| Reply::HangUp),
        ("from a runner that fails", |ask| {
            seal(ask, &Value::text("Exception occurred in runner jobs.list_job"))
        }),
    ];
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for (name, on_runner) in faults {
            let junit = folder.path().join(name);
            scope.spawn(move || {
                let on_return: Fault = |ask| returned(ask, Value::text("done"));
                let master = Master::with_runners(2, honest_job, on_return, on_runner);
                let client = client(&[(MASTER, &master)]);
                let ended = start(&client, &[MINION, UNTOLD, "x", "--timeout", "4"])
                    .arg("--junit")
                    .arg(&junit)
                    .run();
                assert_eq!(ended.code(), 7, "{name}: {ended:?}");
                assert_eq!(ended.stdout, format!("{MINION}:\n    done\n"), "{name}");
                for part in [
                    "the outcome is not known: the retcode is not known",
                    &format!("look again with: saltfo run --jid {JOB} {MINION}"),
                ] {
                    assert!(ended.stderr.contains(part), "{name}: {ended:?}");
                }
                let report = std::fs::read_to_string(&junit).unwrap();
                assert!(report.contains("type=\"unknown-outcome\""), "{name}: {report}");
            });
        }
    });
    // What fails by its return alone has failed.
    let on_return: Fault = |ask| returned(ask, Value::text("ERROR: no such service"));
    let master = Master::with_runners(2, honest_job, on_return, |_| Reply::Silence);
    let ended = start(&client(&[(MASTER, &master)]), &[MINION, UNTOLD, "--timeout", "3"]).run();
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(ended.stderr.contains("the retcode is not known"), "{ended:?}");
}

#[test]
fn a_file_that_cannot_be_written_is_found_before_anything_is_sent() {
    let master = Master::start(2, honest_job, honest_return);
    for option in ["--out-file", "--junit"] {
        for file in ["/nowhere/at/all", "/dev/null", "/"] {
            let ended = run(&[(MASTER, &master)], "10", &[option, file]);
            assert_eq!(ended.code(), 2, "{option} {file}: {ended:?}");
            assert!(ended.stderr.contains(file), "{option} {file}: {ended:?}");
        }
    }
    assert_eq!(master.fake.peer().connections(), 0);
}

#[test]
fn words_that_are_none_are_found_before_anything_is_sent() {
    let master = Master::start(2, honest_job, honest_return);
    let client = client(&[(MASTER, &master)]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arguments.json");
    std::fs::write(&file, "[1,\n 2").unwrap();
    let file = file.to_str().unwrap();
    let cases: [(&[&str], &str); 14] = [
        (&[], "no minion is given"),
        (&[MINION], "no function is given"),
        (&["-L", "minion01,minion02"], "no function is given"),
        (&["web*", "test.ping"], "web*"),
        (&["G@os:Debian", "test.ping"], "G@os:Debian"),
        (&["-L", "minion01,I@role:web", "test.ping"], "I@role:web"),
        (&["N@group", "test.ping"], "N@group"),
        (&[MINION, "test.ping,test.version"], "one at a time"),
        (&[MINION, "--base64", "dGVzdC5waW5n*"], "--base64 is no base64"),
        (
            &[MINION, "--base64", "dGVzdC5waW5n", "test.ping"],
            "give the minion alone",
        ),
        (&[MINION, "test.ping", "--jid", JOB], "give the minion alone"),
        (
            &[MINION, "state.apply", "pillar={v:", "3}"],
            "argument 1: pillar= is no YAML mapping",
        ),
        (&[MINION, FUNCTION, "--arg-json", file], "line 2 column 2"),
        (
            &[MINION, FUNCTION, "--arg-json", "/nowhere"],
            "cannot read /nowhere",
        ),
    ];
    for (words, why) in cases {
        let ended = start(&client, words).run();
        assert_eq!(ended.code(), 2, "{words:?}: {ended:?}");
        assert!(ended.stderr.contains(why), "{words:?}: {ended:?}");
    }
    assert_eq!(master.fake.peer().connections(), 0);
}

#[test]
fn a_result_that_cannot_be_printed_leaves_the_jid() {
    let master = Master::start(2, honest_job, honest_return);
    let client = client(&[(MASTER, &master)]);
    for form in ["text", "json"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let ended = start(&client, &["--out", form, MINION, FUNCTION])
            .stdout(full.into())
            .stderr(Stdio::piped())
            .run_as_is();
        // It was dispatched: 2 would say that it was not.
        assert_eq!(ended.code(), 7, "{form}: {ended:?}");
        assert!(
            ended.stderr.contains("cannot write to stdout"),
            "{form}: {ended:?}"
        );
        assert!(ended.stderr.contains(JOB), "{form}: {ended:?}");
    }
    assert_eq!(master.published(), 2);
}

#[test]
fn what_cannot_be_said_on_stderr_changes_no_result() {
    let failed: Fault = |ask| returned(ask, Value::text("'test.arg' is not available."));
    for (on_return, code) in [(honest_return as Fault, 0), (failed, 1)] {
        let master = Master::start(2, honest_job, on_return);
        let client = client(&[(MASTER, &master)]);
        let report = client.path("report.xml");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let ended = start(&client, &[MINION, FUNCTION, "--junit", report.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(full.into())
            .run_as_is();
        assert_eq!(ended.code(), code, "{ended:?}");
        assert!(ended.stdout.starts_with(&format!("{MINION}:\n")), "{ended:?}");
        assert!(std::fs::read_to_string(report).unwrap().contains("<testcase"));
    }
}

#[test]
fn text_is_in_the_colours_that_are_asked_for() {
    let failed = |ask: &Ask| {
        let text = "The minion function caused an exception: \u{1b}[2J";
        let fields = [("ret", Value::text(text)), ("out", Value::text("nested"))];
        seal(ask, &Value::map([(MINION, Value::map(fields))]))
    };
    let master = Master::start(2, honest_job, failed);
    let client = client(&[(MASTER, &master)]);
    let of = |options: &[&str]| {
        let words = [&[MINION, FUNCTION], options].concat();
        let ended = start(&client, &words).run();
        assert_eq!(ended.code(), 1, "{ended:?}");
        ended.stdout
    };
    let text = "The minion function caused an exception: ?[2J";
    assert_eq!(of(&[]), format!("{MINION}:\n    {text}\n"));
    // Of a failed job the name is red, not cyan.
    assert_eq!(
        of(&["--color", "always"]),
        format!("\u{1b}[0;31m{MINION}\u{1b}[0;0m:\n    \u{1b}[0;32m{text}\u{1b}[0;0m\n")
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    assert_eq!(of(&["--out-file", file.to_str().unwrap()]), "");
    assert_eq!(
        std::fs::read_to_string(file).unwrap(),
        format!("{MINION}:\n    {text}\n")
    );
}

#[test]
fn in_gitlab_the_block_of_a_minion_is_a_section() {
    let gitlab = |on_return: Fault| {
        let master = Master::start(2, honest_job, on_return);
        let client = client(&[(MASTER, &master)]);
        let run = start(&client, &[MINION, FUNCTION]);
        run.env("GITLAB_CI", "true").run().stdout
    };
    let printed = gitlab(honest_return);
    let (begin, rest) = printed.split_once("\r\u{1b}[0K").unwrap();
    assert!(begin.starts_with("section_start:"), "{printed:?}");
    assert!(
        begin.ends_with(&format!(":{MINION}[collapsed=true]")),
        "{printed:?}"
    );
    assert!(
        rest.starts_with(&format!(
            "{MINION}: {FUNCTION}: succeeded\n{MINION}:\n    True\nsection_end:"
        )),
        "{printed:?}"
    );
    // A name in the return cannot make or end a section.
    let printed = gitlab(|ask| {
        let key = "\r\u{1b}[0Ksection_end:1:minion01\r\u{1b}[0K";
        returned(ask, Value::map([(key, Value::Bool(true))]))
    });
    assert!(
        printed.contains("    ??[0Ksection_end:1:minion01??[0K:\n"),
        "{printed:?}"
    );
    // What went wrong lies open.
    let printed = gitlab(|ask| returned(ask, Value::text(format!("'{FUNCTION}' is not available."))));
    assert!(printed.contains(&format!(":{MINION}\r")), "{printed:?}");
    assert!(
        printed.contains("failed: 'test.arg' is not available."),
        "{printed:?}"
    );
}

#[test]
fn a_junit_report_is_written_however_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.xml");
    let report = |on_publish: Fault, on_return: Fault| {
        let master = Master::start(2, on_publish, on_return);
        let ended = run(&[(MASTER, &master)], "3", &["--junit", file.to_str().unwrap()]);
        (ended.code(), std::fs::read_to_string(&file).unwrap())
    };
    let cases: [(Fault, Fault, i32, &str); 4] = [
        (honest_job, honest_return, 0, "<system-out>True"),
        (
            honest_job,
            |ask| returned(ask, Value::text("'test.arg' is not available.")),
            1,
            "<failure message=\"&apos;test.arg&apos; is not available.\"",
        ),
        (
            |ask| seal(ask, &Value::Map(Vec::new())),
            honest_return,
            6,
            "type=\"not-dispatched\"",
        ),
        (honest_job, no_return, 7, "type=\"unknown-outcome\""),
    ];
    for (on_publish, on_return, code, part) in cases {
        let (exit, report) = report(on_publish, on_return);
        assert_eq!(exit, code, "{report}");
        assert!(report.contains(part), "{report}");
    }
}
