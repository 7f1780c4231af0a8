//! The master that a minion was at goes first: a hint that is proved again, and costs no more than a moment when it is wrong.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{FUNCTION, MASTER, Master, OTHER, PING, honest_job, honest_return, job, no_return, start};
use crate::client::{Client, Entry, MINION};
use crate::fake_master::{FakeMaster, Reply, Script};
use crate::peer::{Peer, drain};

fn client(masters: impl IntoIterator<Item = (&'static str, SocketAddr)>) -> Client {
    let entry = |(name, address)| Entry {
        name,
        address,
        pinned: false,
    };
    Client::new(&masters.into_iter().map(entry).collect::<Vec<_>>())
}

/// A master that does not have the minion: nobody returns.
fn elsewhere(host: u8) -> FakeMaster {
    FakeMaster::start(
        host,
        Script::answering(|ask| match ask.command.as_str() {
            "minion_pub" => job(ask, PING),
            "pub_ret" => no_return(ask),
            _ => Reply::Bytes(ask.honest()),
        }),
    )
}

/// Keeps all others from asking this master.
fn hold_up(master: SocketAddr) -> File {
    let name = format!("saltfo-gate-{}-{}.lock", master.ip(), master.port());
    let gate = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(Path::new("/run/lock").join(name))
        .unwrap();
    gate.lock().unwrap();
    gate
}

#[test]
fn where_a_minion_was_is_asked_first_and_proved_again() {
    let (master, other) = (Master::start(2, honest_job, honest_return), elsewhere(3));
    let client = client([(OTHER, other.address()), (MASTER, master.fake.address())]);
    let words = ["--timeout", "10", MINION, FUNCTION];
    // Nothing is known: both are asked.
    assert_eq!(start(&client, &words).run().code(), 0);
    assert_eq!(other.sign_ins(), 1);
    let ended = start(&client, &words).run();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert_eq!((other.sign_ins(), other.count("minion_pub")), (1, 1));
    // Two lookups, two jobs.
    assert_eq!((master.fake.count("minion_pub"), master.published()), (4, 2));
}

#[test]
fn a_minion_that_is_no_longer_where_it_was_is_found() {
    let (master, other) = (Master::start(2, honest_job, honest_return), elsewhere(3));
    let hung = Peer::start(4, drain);
    let nobody = std::net::TcpListener::bind("127.0.0.77:0").unwrap();
    let gone = nobody.local_addr().unwrap();
    drop(nobody);
    let places = [other.address(), gone, hung.address, master.fake.address()];
    let names = [OTHER, "gone.xyz.example", "hung.xyz.example", MASTER];
    let client = client(names.into_iter().zip(places));
    let words = ["--timeout", "10", MINION, FUNCTION];
    assert_eq!(start(&client, &words).run().code(), 0);
    let hint = std::fs::read_dir(client.path("cache/saltfo/last-seen")).unwrap();
    let hint = hint.map(|file| file.unwrap().path()).next().unwrap();
    let was = std::fs::read_to_string(&hint).unwrap();
    assert_eq!(was, master.fake.address().to_string());
    for place in [other.address(), gone, hung.address] {
        std::fs::write(&hint, place.to_string()).unwrap();
        let ended = start(&client, &words).run();
        assert_eq!(ended.code(), 0, "{place}: {ended:?}");
        assert_eq!(std::fs::read_to_string(&hint).unwrap(), was);
    }
    assert_eq!(master.published(), 4);
}

#[test]
fn a_minion_that_another_process_has_found_meanwhile_is_asked_there_first() {
    let (master, other) = (Master::start(2, honest_job, honest_return), elsewhere(3));
    let places = [other.address(), master.fake.address()];
    let client = client([OTHER, MASTER].into_iter().zip(places));
    let words = ["--timeout", "10", MINION, FUNCTION];
    assert_eq!(start(&client, &words).run().code(), 0);
    let folder = client.path("cache/saltfo/last-seen");
    let hint = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let aside = client.path("hint");
    std::fs::rename(&hint, &aside).unwrap();

    let gates = places.map(hold_up);
    let asked = other.count("minion_pub");
    let connected = [other.peer(), master.fake.peer()].map(Peer::connections);
    let run = start(&client, &words);
    let run = std::thread::spawn(move || run.run());
    // By then it has seen that nothing is known.
    for (peer, before) in [other.peer(), master.fake.peer()].into_iter().zip(connected) {
        while peer.connections() == before {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    std::fs::rename(&aside, &hint).unwrap();
    drop(gates);
    let ended = run.join().unwrap();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert_eq!(other.count("minion_pub"), asked);
    assert_eq!(master.published(), 2);
}
