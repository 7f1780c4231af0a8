//! A relay whose configuration is read again (`systemctl reload`): what the minion notices of it, and what becomes of it.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::agent::{LONG, MASTERS, Relay, elected, other};
use crate::faults::fresh;
use crate::once::Once;

const TAKEN_UP: &str = "the configuration was read again";
const REFUSED: &str = "going on with the configuration that was";
/// What must not be said of ports that are our own.
const TAKEN: &str = "another process has that port";
/// Ports of another relay.
const ELSEWHERE: &str = "relay:\n  publish_port: 14505\n  master_port: 4506\n";

/// What does not concern the relay breaks no connection and moves nobody; what is no configuration changes nothing.
pub(crate) fn a_reload_of_other_settings_is_not_noticed(relay: &mut Relay<'_>) {
    let through = relay.settled();
    let before = (connections(relay), relay.switches());
    assert!(
        before.0.iter().any(|ends| ends.contains("127.0.0.1:4505")),
        "{before:?}"
    );
    relay.configure("  policy: random\n  round_trip: 1m\n");
    relay.reload(TAKEN_UP);
    relay.wait("the new policy is reported", |status| {
        (status["relay"]["policy"] == "random").then_some(())
    });
    goes_on(relay, through, &before);
    relay.configure("  policy: nonsense\n");
    let said = relay.reload(REFUSED);
    assert!(
        said.contains("sidecar.policy") && said.contains("nonsense"),
        "{said}"
    );
    assert_eq!(relay.status()["relay"]["policy"], "random");
    goes_on(relay, through, &before);
    relay.configure("");
    relay.reload(TAKEN_UP);
    goes_on(relay, through, &before);
}

/// A relay at another port than the minion's has no minion, says so, and has it again once it is back.
pub(crate) fn a_relay_that_moves_to_other_ports_and_back_finds_its_minion(relay: &mut Relay<'_>) {
    let through = relay.settled();
    let switches = relay.switches();
    relay.configure(ELSEWHERE);
    let mut said = relay.reload(TAKEN_UP);
    let why = relay.wait("the minion is missed", |status| {
        let at = status["relay"]["traffic"]["publish"]["address"].as_str()?;
        let missed = at.ends_with(":14505") && status["ready"] == false;
        missed.then(|| status["why"].as_str().unwrap_or_default().to_owned())
    });
    eprintln!("the relay listens elsewhere: {why}");
    relay.configure("");
    let start = Instant::now();
    said.push_str(&relay.reload(TAKEN_UP));
    fresh(relay, through, LONG);
    eprintln!(
        "the relay is back at its ports: a fresh job was answered {:.1} s after the reload",
        start.elapsed().as_secs_f64()
    );
    assert_eq!(relay.settled(), through);
    assert_eq!(relay.switches(), switches);
    assert!(!said.contains(TAKEN), "{said}");
    relay.minion_was_not_restarted();
}

/// Masters in another order are the same masters; one that is taken out of the list is left, also if it is the elected one, and is one
/// of them again when it is back.
pub(crate) fn masters_that_change_their_places_or_go_keep_the_minion(relay: &mut Relay<'_>) {
    let through = relay.settled();
    let spare = other(through);
    let before = (connections(relay), relay.switches());
    let mut turned = MASTERS;
    turned.reverse();
    relay.configure_with(&turned, "");
    relay.reload(TAKEN_UP);
    goes_on(relay, through, &before);
    // The other one goes, and comes back.
    relay.configure_with(&[through], "");
    relay.reload(TAKEN_UP);
    relay.wait("one master is left", |status| {
        (status["masters"].as_array()?.len() == 1).then_some(())
    });
    fresh(relay, through, LONG);
    relay.configure("");
    relay.reload(TAKEN_UP);
    assert_eq!(relay.settled(), through);
    // The elected one goes.
    let once = Once::start(relay.lab, relay.minion, 3, &[]);
    once.has_begun(relay.lab);
    relay.configure_with(&[spare], "");
    let start = Instant::now();
    relay.reload(TAKEN_UP);
    fresh(relay, spare, LONG);
    eprintln!(
        "the elected master is taken out of the list: a fresh job was answered through the other one after {:.2} s",
        start.elapsed().as_secs_f64()
    );
    relay.wait("jobs are known to get through", |status| {
        (elected(status) == Some(spare) && status["ready"] == true).then_some(())
    });
    once.end().has_returned(relay.minion);
    // And comes back: the minion is well where it is.
    relay.configure("");
    relay.reload(TAKEN_UP);
    assert_eq!(relay.settled(), spare);
    fresh(relay, spare, LONG);
    assert!(!relay.log().contains(TAKEN), "{}", relay.log());
    relay.minion_was_not_restarted();
}

/// The same connections, the same master, and jobs get through.
fn goes_on(relay: &mut Relay<'_>, through: &str, before: &(BTreeSet<String>, u64)) {
    fresh(relay, through, LONG);
    assert_eq!(relay.settled(), through);
    assert_eq!((&connections(relay), relay.switches()), (&before.0, before.1));
    relay.minion_was_not_restarted();
}

/// Both ends of each connection on which something is published: the minion's to the relay, and the relay's to the masters. Those for
/// requests come and go.
fn connections(relay: &Relay<'_>) -> BTreeSet<String> {
    let output = relay
        .lab
        .command(relay.minion, "ss")
        .args([
            "-Htn",
            "state",
            "established",
            "( sport = :4505 or dport = :4505 )",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // Before the ends stand the lengths of the queues.
    let ends = |line: &str| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
    text.lines().map(ends).collect()
}
