//! What a dead, hung or cut-off other master adds to a lookup.

use integration::Progress;

use crate::fault::Fault;
use crate::inner::Task;
use crate::report::Row;
use crate::samples::Samples;
use crate::stage::{OTHER_MASTER, OTHER_MINION, Stage};

/// Most that a faulty master may add, in milliseconds.
const ADDED: f64 = 50.0;
const ALONE: &str = "`saltfo active-master`, one master configured";

struct Case {
    fault: Fault,
    what: &'static str,
    /// How `saltfo probe` calls it.
    state: &'static str,
}

const CASES: [Case; 3] = [
    Case {
        fault: Fault::Killed,
        what: "added by another master that is killed",
        state: "unreachable",
    },
    Case {
        fault: Fault::Hung,
        what: "added by another master that hangs (SIGSTOP)",
        state: "hung",
    },
    Case {
        fault: Fault::CutOff,
        what: "added by another master that is cut off",
        state: "unreachable",
    },
];

/// Measures healthy and faulty blocks in turn; each fault is compared with the faster one of the healthy blocks
/// around it. So work that others do on the machine, or a master that has just started, can make a fault look
/// worse than it is, but not better.
///
/// In the lab both masters share the processors, and a healthy one costs time that a dead one does not. What a
/// lookup takes when only one master is asked at all is the other thing to compare with.
///
/// # Errors
/// A fault that is none, a wrong answer, or a master that does not come back.
pub(crate) fn rows(stage: &Stage<'_>, runs: u32, progress: &Progress) -> anyhow::Result<Vec<Row>> {
    let master = stage.lab.master(OTHER_MASTER)?;
    // It would change masters because of the faults, at some moment, and that would be measured, too.
    stage.lab.minion(OTHER_MINION)?.kill()?;
    let block = Task::Lookups { runs };
    let alone: Samples = stage.measure_alone(&block)?;
    let mut rows = vec![Row::of(ALONE, &alone)];
    let mut before: Samples = stage.measure(&block)?;
    for Case { fault, what, state } in CASES {
        progress.say(what);
        fault.begin(master)?;
        stage.ensure_faulty(state)?;
        let faulty: Samples = stage.measure(&block)?;
        stage.ensure_faulty(state)?;
        fault.end(master)?;
        stage.until_healthy()?;
        let after: Samples = stage.measure(&block)?;
        let (healthy, faulty_median) = (before.median().min(after.median()), faulty.median());
        let added = faulty_median - healthy;
        let measured = format!("{added:+.0} ms ({healthy:.0} → {faulty_median:.0})");
        let row = Row::new(what, measured, added)
            .target("less than 50 ms", added < ADDED)
            .with("healthy_before", &before)
            .with("faulty", &faulty)
            .with("healthy_after", &after);
        rows.push(row);
        before = after;
    }
    Ok(rows)
}
