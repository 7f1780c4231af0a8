//! `saltfo run` on real masters and minions, in good times and bad.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod common;
mod crowd;
mod dispatch;
mod faults;
mod lost_reply;
mod once;
mod printed;
mod results;
mod session_keys;
mod stopping;
mod terminal;
mod words;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use integration::{Lab, SaltVersion};

/// One lab at a time: what is tested is saltfo, not masters without processors.
fn alone() -> MutexGuard<'static, ()> {
    static LAB: Mutex<()> = Mutex::new(());
    LAB.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One lab per release, and everything that can be asked of it: bringing it up takes longer than asking.
#[test]
fn jobs_on_real_masters() {
    let _alone = alone();
    for version in SaltVersion::tested().unwrap() {
        eprintln!("== salt {version}");
        let lab = Lab::builder()
            .version(version)
            .worker_threads(3)
            .minion_config("minion01", "cache_jobs: True\n")
            // Salt's minion cuts longer returns, at 1 MiB if nothing is said.
            .minion_config("minion01", "max_event_size: 20000000\n")
            // What is allowed at salt2 as well is to look through all jobs.
            .master_config("salt1", "peer_run:\n  '^pipeline\\.xyz$': ['jobs\\.list_job$']\n")
            .build()
            .unwrap();
        once::write_state(&lab);
        results::every_kind_of_result_has_its_exit_code(&lab);
        results::text_and_bytes_arrive_whole(&lab);
        results::ten_megabytes_arrive(&lab);
        results::a_return_that_the_minion_has_cut_is_called_that(&lab);
        dispatch::several_minions_are_one_publish_per_master(&lab);
        dispatch::the_pillar_is_fresh_before_the_job_begins(&lab);
        dispatch::what_is_not_allowed_names_the_lines_to_add(&lab);
        dispatch::a_minion_that_is_nowhere_gets_nothing(&lab);
        dispatch::an_earlier_job_is_picked_up(&lab);
        stopping::a_cancelled_run_leaves_the_job(&lab);
        stopping::a_cancelled_run_kills_the_job_if_told_to(&lab);
        terminal::a_person_sees_what_the_minion_does_and_may_kill_it(&lab);
        terminal::a_person_who_says_no_leaves_the_job(&lab);
        terminal::the_line_of_progress_is_gone_when_the_result_is_there(&lab);
        lost_reply::a_reply_that_is_lost_is_made_up_for_by_the_publication(&lab);
        lost_reply::a_job_whose_reply_and_publication_are_lost_is_found_on_the_minion(&lab);
        lost_reply::a_job_that_is_over_before_anybody_looks_is_unknown(&lab);
        lost_reply::a_job_that_is_over_is_found_in_the_job_cache_if_that_is_allowed(&lab);
    }
}

/// What goes in and what comes out. One lab per release.
#[test]
fn words_and_forms() {
    let _alone = alone();
    for version in SaltVersion::tested().unwrap() {
        eprintln!("== salt {version}");
        let lab = Lab::builder().version(version).worker_threads(3).build().unwrap();
        fs::create_dir_all(lab.file_root()).unwrap();
        words::words_arrive_as_those_of_salt_do(&lab);
        words::a_base64_word_holds_the_whole_line(&lab);
        words::a_document_arrives_as_it_is(&lab);
        printed::text_is_what_salt_prints_of_the_same_job(&lab);
        printed::a_job_that_failed_is_as_red_as_salt_prints_it(&lab);
        printed::two_minions_are_one_document(&lab);
        printed::a_report_has_a_case_for_each_state(&lab);
        printed::in_gitlab_each_minion_is_a_section(&lab);
    }
}

/// Masters that do not repeat what they ask of themselves, as `pki-tools install` has told them. One lab per release.
#[test]
fn crowds() {
    let _alone = alone();
    for version in SaltVersion::tested().unwrap() {
        eprintln!("== salt {version}");
        let lab = Lab::builder().version(version).worker_threads(5).build().unwrap();
        crowd::masters_ask_themselves_once(&lab);
        crowd::fifty_at_once_run_once_each(&lab);
        session_keys::workers_with_different_keys_are_called_that(&lab);
    }
}

/// Every fault once the job is published. One lab per release.
#[test]
fn a_job_runs_once_whatever_happens() {
    let _alone = alone();
    for version in SaltVersion::tested().unwrap() {
        eprintln!("== salt {version}");
        let lab = Lab::builder()
            .version(version)
            .worker_threads(3)
            .master_alive_interval(5)
            .first_master("minion02", "salt1")
            .minion_config("minion01", "cache_jobs: True\n")
            .build()
            .unwrap();
        once::write_state(&lab);
        faults::the_cable_of_the_runner_is_cut_for_ten_seconds(&lab);
        faults::the_cable_of_the_master_is_cut_for_ten_seconds(&lab);
        faults::the_master_hangs_for_a_while(&lab);
        faults::the_master_hangs_for_good(&lab);
        faults::the_minion_restarts(&lab);
        faults::the_master_restarts(&lab);
        faults::the_master_is_killed_and_the_minions_fail_over(&lab);
    }
}
