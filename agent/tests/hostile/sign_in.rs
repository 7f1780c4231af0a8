//! The sign-in: nobody but the genuine master gets through, and each is told why.

use proto::message::Value;

use super::acceptance::Accepted;
use super::case::{Case, Expect, Who, check_all, impostor};
use super::client::{Client, Entry};
use super::fake_master::{FakeMaster, Script, SignIn};
use super::liars;
use super::saltfo::Saltfo;

const MASTER: &str = "salt1.xyz.example";

fn client_of(master: &FakeMaster, pinned: bool) -> Client {
    Client::new(&[Entry {
        name: MASTER,
        address: master.address(),
        pinned,
    }])
}

#[test]
fn an_honest_master_is_active_with_and_without_a_pin() {
    // Without this, every refusal below would prove nothing.
    for pinned in [false, true] {
        let master = FakeMaster::start(2, Script::honest());
        let ended = Saltfo::lookup(&client_of(&master, pinned).config(), 5.0).run();
        let document = ended.document();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert_eq!(document["active"], MASTER);
        assert_eq!(document["masters"][0]["state"], "active");
        assert_eq!(document["masters"][0]["verified"], true);
        assert_eq!(ended.stderr, "");
        assert_eq!((master.sign_ins(), master.count("minion_pub")), (1, 1));
    }
}

#[test]
fn a_lie_at_the_sign_in_is_named() {
    check_all(&liars::unpinned(), Case::check_alone);
}

#[test]
fn a_pin_binds_the_key_the_token_and_every_refusal() {
    check_all(&liars::pinned(), Case::check_alone);
}

#[test]
fn a_publish_port_that_is_none_harms_nothing() {
    let lies: [fn(&mut Accepted); 3] = [
        |all| all.publish_port = Value::text("x"),
        |all| all.publish_port = Value::Int(-1),
        |all| all.publish_port = Value::UInt(u64::MAX),
    ];
    for lie in lies {
        let master = FakeMaster::start(2, Script::signing_in(SignIn::Accept(lie)));
        let ended = Saltfo::lookup(&client_of(&master, false).config(), 5.0).run();
        assert_eq!(ended.code(), 0, "{ended:?}");
    }
}

#[test]
fn a_genuine_reply_of_yesterday_is_a_replay() {
    let master = FakeMaster::start(2, Script::honest());
    assert_eq!(
        Saltfo::lookup(&client_of(&master, true).config(), 5.0)
            .run()
            .code(),
        0
    );
    let recorded = master.sign_in_replies().remove(0);

    let replay: Expect = impostor(&["a replay of an earlier reply"]);
    let case = |name| Case::new(name, Who::SignIn(SignIn::Reply(recorded.clone())), replay);
    check_all(
        &[case("no pin"), case("behind a pin").pinned()],
        Case::check_alone,
    );
}
