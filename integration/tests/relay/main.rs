//! The relay between a real minion and two real masters: how soon jobs get through after every fault, and that nothing is lost or
//! done twice on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod agent;
mod edges;
mod faults;
#[path = "../common/impostor.rs"]
mod impostor;
mod jobs;
#[path = "../common/lines.rs"]
mod lines;
#[path = "../sidecar/network.rs"]
#[allow(dead_code, reason = "the sidecar's test uses the rest")]
mod network;
#[path = "../run/once.rs"]
#[allow(dead_code, reason = "the tests of `saltfo run` use the rest")]
mod once;
mod releases;
mod reload;
mod stream;
mod table;
mod traffic;

use std::sync::{Mutex, MutexGuard, PoisonError};

use integration::{Lab, SaltVersion};

use agent::{MINION, Relay};
use table::Table;

/// A rotated key is taken up at once, not within a minute.
const MASTER: &str = "loop_interval: 1\n";

/// A job that was published by one master and returned to another is found on the minion only: the other one's `jobs.list_job` fails
/// in 3008, as it does not know who was asked.
const JOBS: &str = "cache_jobs: True\n";

/// One lab at a time: cores are few.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One lab per release, and everything that can happen to it: bringing it up takes longer than most faults.
#[test]
fn a_minion_behind_a_relay_is_there_whatever_happens_to_its_master() {
    let _turn = turn();
    for version in SaltVersion::tested_at_length().unwrap() {
        eprintln!("== salt {version}");
        let lab = Lab::builder()
            .version(version)
            .worker_threads(3)
            .minions([MINION])
            .relay()
            .minion_config(MINION, JOBS)
            .master_config("salt1", MASTER)
            .master_config("salt2", MASTER)
            .build()
            .unwrap();
        once::write_state(&lab);
        let mut table = Table::default();
        let mut relay = Relay::new(&lab);
        edges::a_minion_that_starts_before_its_relay_waits_for_it(&mut relay);
        traffic::salt_call_works_beside_the_daemon(&mut relay);
        traffic::a_large_file_arrives_and_holds_up_nobody(&mut relay);
        traffic::keys_that_rotate_move_nobody(&mut relay);
        edges::a_second_relay_says_that_its_ports_are_taken(&mut relay);
        edges::junk_on_its_ports_harms_nobody(&mut relay);
        edges::a_minion_that_stands_still_costs_little(&mut relay);
        edges::a_relay_that_dies_and_comes_back_finds_its_minion(&mut relay);
        reload::a_reload_of_other_settings_is_not_noticed(&mut relay);
        reload::a_relay_that_moves_to_other_ports_and_back_finds_its_minion(&mut relay);
        reload::masters_that_change_their_places_or_go_keep_the_minion(&mut relay);
        jobs::a_planned_move_loses_nothing(&mut relay);
        jobs::a_job_follows_a_minion_that_moves_while_its_pillar_is_rendered(&mut relay);
        faults::jobs_get_through_the_other_master_after_every_fault(&mut relay, &mut table);
        faults::to_and_fro(&mut relay, &mut table);
        faults::a_master_that_restarts_is_left_and_stays_left(&mut relay, &mut table);
        jobs::a_state_that_runs_across_a_switch_returns_to_the_other_master(&mut relay);
        stream::a_planned_move_under_a_stream_of_jobs_loses_none(&mut relay);
        stream::a_master_that_dies_under_a_stream_of_jobs_loses_none(&mut relay);
        faults::both_masters_may_be_gone_for_long(&mut relay);
        faults::an_impostor_is_not_elected_even_when_there_is_nobody_else(&mut relay, &mut table);
        edges::a_minion_without_its_relay_is_found_out(&mut relay);
        table.print(&format!("Salt {}", version.release()));
    }
}
