//! Masters with `request_server_ttl`, whose clock is not ours.

use super::case::{Case, Row, Who, check_all, refused, refused_by_anybody};
use super::client::{Client, Entry};
use super::fake_master::{FakeMaster, Reply, Script, bad_load};
use super::saltfo::Saltfo;

/// The master's `request_server_ttl`, in seconds.
const TTL: i64 = 60;

/// Its clock is so many seconds ahead of ours.
fn ahead(seconds: i64) -> Script {
    Script::answering(move |ask| {
        let too_old = ask.age(seconds) > TTL;
        Reply::Bytes(if too_old { bad_load() } else { ask.honest() })
    })
}

#[test]
fn a_clock_that_is_behind_the_masters_is_named() {
    let rows: [Row<i64>; 3] = [
        (
            "minutes",
            600,
            refused_by_anybody("refused", &["one dated ten minutes ahead was taken"]),
        ),
        (
            "an hour",
            3500,
            refused_by_anybody("refused", &["one dated an hour ahead was taken"]),
        ),
        ("years", 20 * 365 * 86_400, refused("refused", &["bad load"])),
    ];
    let case =
        |(name, seconds, expect)| Case::new(name, Who::Master(Box::new(move || ahead(seconds))), expect);
    check_all(&rows.map(case), Case::check_alone);
}

#[test]
fn a_clock_that_is_ahead_of_the_masters_or_near_it_does_no_harm() {
    for seconds in [-600, -30, 0, 30] {
        let master = FakeMaster::start(2, ahead(seconds));
        let client = Client::new(&[Entry {
            name: "salt1.xyz.example",
            address: master.address(),
            pinned: false,
        }]);
        let ended = Saltfo::lookup(&client.config(), 5.0).run();
        assert_eq!(ended.code(), 0, "{seconds}: {ended:?}");
        assert_eq!(master.sign_ins(), 1, "{seconds}");
    }
}
