//! A good master beside each of the bad ones: they cost nothing, and are told of.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::case::{BAD, Case, Expect, check_all};
use super::client::{Client, Entry};
use super::fake_master::{FakeMaster, Reply, Script};
use super::saltfo::Saltfo;
use super::{liars, non_replies, requests, strangers};

const GOOD: &str = "good.xyz.example";
/// When the minion returns through the good master.
const RETURN: Duration = Duration::from_millis(100);

/// The bad master is first in the file.
fn check_beside_a_good_one(case: &Case) {
    let bad = Arc::new(case.start());
    // The verdict on the bad one must be in before the answer is: a busy machine may take its time.
    let (watched, has_shown) = (Arc::clone(&bad), case.has_shown());
    let published = OnceLock::new();
    let good = FakeMaster::start(
        2,
        Script::answering(move |ask| {
            let published = published.get_or_init(Instant::now);
            let is_time = published.elapsed() >= RETURN && has_shown(&watched);
            Reply::Bytes(if is_time {
                ask.honest()
            } else {
                ask.without_return()
            })
        }),
    );
    let good_entry = Entry {
        name: GOOD,
        address: good.address(),
        pinned: false,
    };
    let client = Client::new(&[case.entry(bad.address()), good_entry]);
    let ended = Saltfo::lookup(&client.config(), 10.0).run();
    let document = ended.document();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert_eq!(document["active"], GOOD, "{ended:?}");
    assert_eq!(document["masters"][0]["name"], BAD, "{ended:?}");
    assert_eq!(document["masters"][1]["state"], "active", "{ended:?}");
    assert_eq!(document["masters"][1]["verified"], true, "{ended:?}");
    assert!(ended.took < Duration::from_secs(5), "{ended:?}");
    when_somebody_was_faster(case.expect).check(&document["masters"][0], &ended);
}

/// A verified master that has not yet answered a publish is not called hung before time is up.
fn when_somebody_was_faster(expect: Expect) -> Expect {
    match expect.state {
        "hung" if expect.verified => Expect {
            state: "reachable",
            ..expect
        },
        _ => expect,
    }
}

#[test]
fn a_stranger_beside_a_good_master_costs_nothing() {
    check_all(&strangers::strangers(), check_beside_a_good_one);
}

#[test]
fn a_senseless_reply_beside_a_good_master_costs_nothing() {
    check_all(&non_replies::nonsense(), check_beside_a_good_one);
    check_all(&non_replies::catalogue(), check_beside_a_good_one);
}

#[test]
fn a_liar_at_the_sign_in_beside_a_good_master_costs_nothing() {
    check_all(&liars::unpinned(), check_beside_a_good_one);
    check_all(&liars::pinned(), check_beside_a_good_one);
}

#[test]
fn a_liar_after_the_sign_in_beside_a_good_master_costs_nothing() {
    check_all(&requests::publishing(), check_beside_a_good_one);
    check_all(&requests::returning(), check_beside_a_good_one);
    check_all(&requests::stopping(), check_beside_a_good_one);
}
