//! How often and when a master is asked to publish: its most dangerous request.

use std::time::{Duration, Instant};

use proto::message::Value;

use super::case::without_minion;
use super::client::{Client, Entry};
use super::fake_master::{FakeMaster, Reply, Script};
use super::saltfo::Saltfo;

const MASTER: &str = "salt1.xyz.example";
const PROCESSES: usize = 20;

fn client_of(master: &FakeMaster) -> Client {
    Client::new(&[Entry {
        name: MASTER,
        address: master.address(),
        pinned: false,
    }])
}

/// A master that takes so long to publish.
fn slow(publish: Duration) -> Script {
    Script::answering(move |ask| {
        if ask.command == "minion_pub" {
            std::thread::sleep(publish);
        }
        Reply::Bytes(ask.honest())
    })
}

/// A master whose handler fails, so many times.
fn failing(times: usize) -> Script {
    Script::answering(move |ask| {
        let fails = ask.command == "minion_pub" && ask.nth < times;
        Reply::Bytes(if fails {
            ask.seal(&Value::text(""))
        } else {
            ask.honest()
        })
    })
}

#[test]
fn a_ping_that_nobody_returns_is_published_again_after_2_and_4_seconds_and_no_sooner() {
    let master = FakeMaster::start(2, Script::answering(|ask| Reply::Bytes(ask.without_return())));
    let client = client_of(&master);
    let ended = Saltfo::lookup(&client.config(), 8.0).run();
    assert_eq!(ended.code(), 3, "{ended:?}");
    let gaps: Vec<Duration> = master
        .times_of("minion_pub")
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    let [first, second] = gaps[..] else {
        panic!("{gaps:?}")
    };
    let seconds = Duration::from_secs;
    assert!(first >= seconds(2) && first < seconds(3), "{gaps:?}");
    assert!(second >= seconds(4) && second < seconds(5), "{gaps:?}");
    assert_eq!(master.most_publishing(), 1);
    assert_eq!(master.sign_ins(), 1);
}

#[test]
fn a_publish_that_failed_inside_the_master_is_tried_again_later() {
    let master = FakeMaster::start(2, failing(1));
    let client = client_of(&master);
    let ended = Saltfo::lookup(&client.config(), 6.0).run();
    assert_eq!(ended.code(), 0, "{ended:?}");
    let times = master.times_of("minion_pub");
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= Duration::from_secs(2), "{times:?}");
}

#[test]
fn a_publish_that_always_fails_inside_the_master_is_no_silence() {
    let master = FakeMaster::start(2, failing(usize::MAX));
    let client = client_of(&master);
    let ended = Saltfo::lookup(&client.config(), 1.0).run();
    assert_eq!(ended.code(), 3, "{ended:?}");
    let line = &ended.document()["masters"][0];
    without_minion("reachable", &["failed to publish"]).check(line, &ended);
    assert_eq!((master.count("minion_pub"), master.count("pub_ret")), (1, 0));
}

#[test]
fn a_master_that_falls_silent_after_the_publish_is_not_waited_for() {
    let master = FakeMaster::start(
        2,
        Script::answering(|ask| match ask.command.as_str() {
            "pub_ret" if ask.nth > 1 => Reply::Silence,
            _ => Reply::Bytes(ask.without_return()),
        }),
    );
    let client = client_of(&master);
    let ended = Saltfo::lookup(&client.config(), 1.5).run();
    assert_eq!(ended.code(), 3, "{ended:?}");
    let line = &ended.document()["masters"][0];
    without_minion("hung|reachable", &["in time", "no return"]).check(line, &ended);
}

#[test]
fn many_lookups_at_once_publish_one_at_a_time() {
    let master = FakeMaster::start(2, slow(Duration::from_millis(30)));
    let client = client_of(&master);
    let lookup = || Saltfo::lookup(&client.config(), 20.0).run();
    let ended: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(lookup)).collect();
        running.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for ended in &ended {
        assert_eq!(ended.code(), 0, "{ended:?}");
    }
    assert_eq!(master.most_publishing(), 1);
    assert_eq!(master.count("minion_pub"), PROCESSES);
}

#[test]
fn a_publish_that_outlives_its_process_is_waited_for() {
    let publish = Duration::from_millis(700);
    let master = FakeMaster::start(2, slow(publish));
    let client = client_of(&master);
    let first = Saltfo::lookup(&client.config(), 0.4).run();
    assert_eq!((first.code(), master.count("minion_pub")), (3, 1), "{first:?}");
    let began = Instant::now();
    let second = Saltfo::lookup(&client.config(), 5.0).run();
    assert_eq!(second.code(), 0, "{second:?}");
    assert_eq!(master.most_publishing(), 1);
    // Its own publish takes as long; it waited for the other one before.
    assert!(began.elapsed() > publish);
}

#[test]
fn a_long_reply_over_a_new_connection_is_taken_after_a_new_proof() {
    let master = FakeMaster::start(
        2,
        Script::answering(|ask| match (ask.command.as_str(), ask.nth) {
            ("_file_envs", 0) => Reply::Silence,
            ("_file_envs", _) => Reply::Bytes(ask.seal(&Value::text("x".repeat(1 << 20)))),
            _ => Reply::Bytes(ask.honest()),
        }),
    );
    let client = client_of(&master);
    let ended = Saltfo::new(["probe", "--timeout", "10", "--out", "json", "--config"])
        .arg(client.config())
        .run();
    assert_eq!(ended.code(), 0, "{ended:?}");
    let line = &ended.document()["masters"][0];
    assert!(line["request_ms"].is_number(), "{ended:?}");
    // It was asked in vain, then over a connection whose peer had proved nothing, then over one whose peer had.
    assert_eq!((master.count("_file_envs"), master.sign_ins()), (3, 2));
}
