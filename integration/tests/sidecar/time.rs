//! Time that does not pass as it should: a clock that is set, and a sidecar that was not allowed to run.

use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::sidecar::{MASTERS, Sidecar};

/// Longer than any silence that a master is forgiven.
const PAUSE: Duration = Duration::from_secs(5);

/// The time of day jumps ahead and back by days; nothing that is known depends on it.
pub(crate) fn a_clock_that_jumps_changes_nothing(sidecar: &mut Sidecar<'_>) {
    let clock = Clock::new(sidecar.lab.folder());
    sidecar.preloaded = Some(clock.preload.clone());
    sidecar.fresh();
    let (log, day) = (sidecar.log(), 86_400);
    for ahead in [10 * day, -10 * day, 0] {
        clock.set(ahead);
        all_is_well_for_two_verifications(sidecar);
        let shown = sidecar.wait_after(Instant::now(), "a report", |_| true);
        // It did look at this clock.
        let said = humantime::parse_rfc3339(&shown.verified_at("salt1")).unwrap();
        let apart = match said.duration_since(std::time::SystemTime::now()) {
            Ok(ahead) => i64::try_from(ahead.as_secs()).unwrap(),
            Err(behind) => -i64::try_from(behind.duration().as_secs()).unwrap(),
        };
        assert!((apart - ahead).abs() < 600, "{ahead}: {shown:?}");
    }
    assert_eq!(sidecar.log(), log, "it has told something");
    sidecar.preloaded = None;
}

/// A host that was suspended, or had no time for us: the masters are not to blame.
pub(crate) fn a_pause_of_its_own_is_nobodys_fault(sidecar: &mut Sidecar<'_>) {
    sidecar.fresh();
    let log = sidecar.log();
    sidecar.pause();
    std::thread::sleep(PAUSE);
    sidecar.go_on();
    all_is_well_for_two_verifications(sidecar);
    assert_eq!(sidecar.log(), log, "it has told something");
}

fn all_is_well_for_two_verifications(sidecar: &mut Sidecar<'_>) {
    for _ in 0..2 {
        let now = Instant::now();
        let before = sidecar.wait_after(now, "a report", |now| now.readyz != 0);
        sidecar.wait_after(now, "the next verification of both", |now| {
            assert!(now.readyz == 0 || now.all_up(), "{now:?}");
            let is_newer = |master: &&str| now.verified_at(master) != before.verified_at(master);
            now.all_up() && MASTERS.iter().all(is_newer)
        });
    }
}
