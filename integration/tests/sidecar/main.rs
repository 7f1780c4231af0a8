//! The sidecar beside a real minion, between two real masters: its verdict on every fault, why, and how soon.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod bus;
#[path = "../common/clock.rs"]
mod clock;
mod faults;
#[path = "../common/impostor.rs"]
mod impostor;
mod life;
#[path = "../common/lines.rs"]
mod lines;
mod names;
mod network;
mod restart;
mod sidecar;
mod table;
mod time;

use std::time::Duration;

use integration::{Lab, SaltVersion};

use sidecar::Sidecar;
use table::Table;

/// The minion may publish `test.ping`: only so the sidecar, which has its key, can prove that jobs get through. And a rotated key is
/// taken up at once, not within a minute.
const MASTER: &str = "peer: {'^minion01$': ['test\\.ping$']}\nloop_interval: 1\n";

/// For how long both masters are down, with the releases that are tested at length; with the others as long as it takes to be told.
const BOTH_GONE: Duration = Duration::from_secs(120);

/// One lab per release, and everything that can happen to it: bringing it up takes longer than most faults.
#[test]
fn a_sidecar_knows_what_is_wrong_and_how_soon() {
    for version in SaltVersion::tested().unwrap() {
        eprintln!("== salt {version}");
        let lab = Lab::builder()
            .version(version)
            .worker_threads(3)
            .minions(["minion01"])
            .master_config("salt1", MASTER)
            .master_config("salt2", MASTER)
            .build()
            .unwrap();
        let at_length = SaltVersion::tested_at_length().unwrap().contains(&version);
        let both_gone = if at_length { BOTH_GONE } else { Duration::ZERO };
        let mut table = Table::default();
        let mut sidecar = Sidecar::new(&lab);
        life::what_is_missing_at_the_start_is_told_and_waited_for(&mut sidecar);
        life::all_that_it_says_agrees_when_all_is_well(&mut sidecar);
        life::quiet_hours_are_quiet(&mut sidecar);
        time::a_clock_that_jumps_changes_nothing(&mut sidecar);
        time::a_pause_of_its_own_is_nobodys_fault(&mut sidecar);
        bus::masters_are_told_of_changes_on_their_event_bus(&mut sidecar);
        faults::a_rotated_key_changes_nothing(&mut sidecar, &mut table);
        faults::every_fault_of_the_active_master_is_called_by_its_name(&mut sidecar, &mut table);
        faults::a_bad_cable_is_told_without_flapping(&mut sidecar, &mut table);
        faults::a_restarted_master_is_up_again(&mut sidecar, &mut table);
        names::a_master_that_moves_is_found_by_its_name(&mut sidecar, &mut table);
        names::a_name_that_does_not_resolve_for_a_while_costs_nothing(&mut sidecar, &mut table);
        names::a_silent_name_server_delays_no_end(&mut sidecar);
        names::a_host_without_a_route_is_told_and_recovers(&mut sidecar, &mut table);
        faults::both_masters_may_be_gone_and_come_back(&mut sidecar, both_gone, &mut table);
        life::hooks_are_run_at_each_change(&mut sidecar);
        faults::an_impostor_at_a_masters_address_is_known(&mut sidecar, &mut table);
        life::a_new_configuration_is_taken_if_it_is_good(&mut sidecar);
        life::a_minion_that_hears_nothing_is_found_out(&mut sidecar, &mut table);
        restart::who_only_observes_restarts_nothing(&mut sidecar);
        restart::a_minion_on_a_dead_master_is_restarted_once(&mut sidecar, &mut table);
        table.print(&format!("Salt {}", version.release()));
    }
}
